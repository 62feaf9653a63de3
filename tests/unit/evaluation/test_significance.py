"""The bootstrap against resampling written out, and against what it must cover."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.stats import ttest_rel

from endcap.evaluation import significance
from endcap.evaluation.significance import bootstrap_means, compare, estimate, holm, mean


def test_equals_resampling_case_by_case() -> None:
    values = np.random.default_rng(0).random((30, 3))
    rng = np.random.default_rng(7)
    expected = [[values[i] for i in rng.integers(0, 30, 30)] for _ in range(120)]
    assert_allclose(bootstrap_means(values, samples=120, seed=7), np.mean(expected, axis=1))


def test_whole_groups_are_drawn_where_there_are_groups() -> None:
    values = np.random.default_rng(0).random((10, 2))
    values[3, 1] = np.nan
    groups = np.array([0, 0, 1, 1, 1, 2, 3, 3, 3, 3])
    rng = np.random.default_rng(7)
    expected = []
    for _ in range(60):
        drawn = np.concatenate([values[groups == group] for group in rng.integers(0, 4, 4)])
        expected.append(np.nanmean(drawn, axis=0))
    assert_allclose(bootstrap_means(values, samples=60, seed=7, groups=groups), expected)


def test_cases_that_say_the_same_make_nothing_surer() -> None:
    rng = np.random.default_rng(3)
    one = rng.normal(size=100)
    values = {"one": one, "other": one + rng.normal(size=100) + 0.05}
    (alone,) = compare(values, 2_000, 0)
    ten = {name: np.repeat(column, 10) for name, column in values.items()}
    (grouped,) = compare(ten, 2_000, 0, np.repeat(np.arange(100), 10))
    (taken_apart,) = compare(ten, 2_000, 0)
    assert grouped.p == pytest.approx(alone.p)
    assert taken_apart.p < alone.p / 2


def test_the_block_size_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random((30, 2))
    whole = bootstrap_means(values, samples=20, seed=7)
    monkeypatch.setattr(significance, "BLOCK", 3)
    assert_allclose(bootstrap_means(values, samples=20, seed=7), whole)


def test_same_seed_same_samples_other_seed_others() -> None:
    values = np.random.default_rng(0).random((30, 2))
    assert (bootstrap_means(values, 10, seed=1) == bootstrap_means(values, 10, seed=1)).all()
    assert (bootstrap_means(values, 10, seed=1) != bootstrap_means(values, 10, seed=2)).any()


def test_columns_are_paired() -> None:
    one = np.random.default_rng(0).random(50)
    means = bootstrap_means(np.column_stack([one, one + 0.25]), samples=40, seed=0)
    assert_allclose(means[:, 1] - means[:, 0], 0.25)  # the difference does not vary, though both means do
    assert means[:, 0].std() > 0


def test_a_case_without_a_value_is_left_out() -> None:
    values = np.array([[2.0], [np.nan], [2.0]])
    means = bootstrap_means(values, samples=200, seed=0)
    assert_allclose(means[np.isfinite(means)], 2.0)
    assert np.isnan(means).any()  # now and then only the case without a value is drawn
    assert mean(values[:, 0]) == 2.0


def test_interval_of_a_mean_matches_the_normal_one() -> None:
    values = np.random.default_rng(5).normal(size=(2_000, 1))
    got = estimate(values.mean(), bootstrap_means(values, samples=2_000, seed=0)[:, 0])
    half = 1.96 * values.std() / math.sqrt(2_000)
    assert got.mean == values.mean()
    assert got.low == pytest.approx(values.mean() - half, abs=half * 0.1)
    assert got.high == pytest.approx(values.mean() + half, abs=half * 0.1)


def test_about_95_of_100_intervals_cover_the_truth() -> None:
    rng = np.random.default_rng(11)
    covered = 0
    for seed in range(200):
        values = (rng.random((150, 1)) < 0.3).astype(float)
        got = estimate(float(values.mean()), bootstrap_means(values, samples=300, seed=seed)[:, 0])
        covered += got.low <= 0.3 <= got.high
    assert 180 <= covered <= 200


def test_nothing_at_all() -> None:
    assert math.isnan(mean(np.array([np.nan])))
    nothing = estimate(float("nan"), np.array([np.nan]))
    assert math.isnan(nothing.low)
    assert math.isnan(nothing.high)


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_equals_the_definition(p_values: list[float]) -> None:
    m = len(p_values)
    order = sorted(range(m), key=lambda at: p_values[at])
    expected = [0.0] * m
    for place, at in enumerate(order):
        expected[at] = max(min(1.0, (m - j) * p_values[order[j]]) for j in range(place + 1))
    assert_allclose(holm(p_values), expected)


def test_a_sure_difference_is_significant_and_equals_are_not() -> None:
    rng = np.random.default_rng(0)
    base = rng.random(500)
    values = {"base": base, "same": base.copy(), "better": base + 0.05 + 0.1 * rng.normal(size=500)}
    found = {(one.better, one.worse): one for one in compare(values, samples=1_000, seed=0)}
    assert set(found) == {("better", "base"), ("better", "same"), ("base", "same")}
    assert found["better", "base"].significant
    assert found["better", "base"].difference.mean == pytest.approx((values["better"] - base).mean())
    assert found["better", "base"].difference.low > 0
    assert found["base", "same"].p == 1.0
    assert not found["base", "same"].significant


def test_of_twenty_equal_models_hardly_ever_one_beats_another() -> None:
    wrong = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        values = {f"m{at}": (rng.random(200) < 0.2).astype(float) for at in range(6)}
        wrong += any(one.significant for one in compare(values, samples=500, seed=seed))
    assert wrong <= 4  # 5 % of 20, and luck; without the correction it is 10 and more


def test_the_p_value_is_that_of_the_t_test_where_both_hold() -> None:
    rng = np.random.default_rng(3)
    one = rng.normal(size=400)
    other = one + 0.1 * rng.normal(size=400) + 0.008
    (found,) = compare({"one": one, "other": other}, samples=20_000, seed=0)
    assert found.better == "other"
    assert found.p == pytest.approx(float(ttest_rel(one, other).pvalue), abs=0.02)
    assert 0.01 < found.p < 0.5


def test_one_model_is_compared_with_nobody() -> None:
    assert compare({"alone": np.ones(3)}, 10, 0) == ()

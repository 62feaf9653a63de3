"""Gini, popularity bias and miscalibration by hand, and against slow obvious versions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from endcap.evaluation.metrics.calibration import HEAD, MIDDLE, TAIL, miscalibration, popularity_groups
from endcap.evaluation.metrics.gini import gini
from endcap.evaluation.metrics.popularity_bias import popularity_bias
from endcap.types import IntArray


def rows(*numbers: int) -> IntArray:
    return np.array(numbers, np.int32)


@given(st.lists(st.integers(-1, 6), min_size=1, max_size=40))
def test_gini_is_half_the_mean_difference_over_the_mean(listed: list[int]) -> None:
    lists = np.array([listed], np.int32)
    counts = [listed.count(item) for item in range(7)]
    total = sum(counts)
    expected = sum(abs(a - b) for a in counts for b in counts) / (2 * 7 * total) if total else 0.0
    assert gini(lists, 7) == pytest.approx(expected)


def test_gini_of_equal_places_is_zero_and_of_one_item_nearly_one() -> None:
    assert gini(np.array([[0, 1], [2, 3]], np.int32), 4) == 0.0
    assert gini(np.full((3, 1), 2, np.int32), 100) == pytest.approx(0.99)


def test_popularity_bias_by_hand() -> None:
    popularity = rows(8, 4, 2, 0)  # of 8 people
    lists = np.array([[0, 1], [2, -1], [-1, -1], [0, 1]], np.int32)
    histories = [rows(2), rows(0, 2), rows(0), rows()]
    bias = popularity_bias(lists, histories, popularity, n_users=8)
    assert_allclose(bias, [(1 + 0.5) / 2 - 0.25, 0.25 - (1 + 0.25) / 2, np.nan, np.nan])


def slow_miscalibration(listed: list[int], history: list[int], groups: list[int]) -> float:
    def mix(items: list[int]) -> list[float]:
        known = [groups[item] for item in items if item >= 0 and groups[item] >= 0]
        return [known.count(group) / len(known) if known else math.nan for group in range(3)]

    wanted, shown = mix(history), mix(listed)
    if any(map(math.isnan, wanted + shown)):
        return math.nan
    pairs = zip(wanted, shown, strict=True)
    return sum(p * math.log(p / (0.99 * q + 0.01 * p)) for p, q in pairs if p > 0)


ITEMS = st.lists(st.integers(0, 5), max_size=6)


@given(st.lists(st.tuples(ITEMS, ITEMS), min_size=1, max_size=5))
def test_miscalibration_equals_its_definition(cases: list[tuple[list[int], list[int]]]) -> None:
    groups = [0, 0, 1, 2, 2, -1]
    lists = np.array([[*listed, *[-1] * (6 - len(listed))] for listed, _ in cases], np.int32)
    got = miscalibration(lists, [rows(*history) for _, history in cases], rows(*groups))
    assert_allclose(got, [slow_miscalibration(listed, history, groups) for listed, history in cases], atol=1e-12)


def test_a_list_of_the_same_mix_is_calibrated() -> None:
    groups = rows(0, 0, 1, 1)
    got = miscalibration(np.array([[1, 3], [0, 1]], np.int32), [rows(0, 2), rows(0, 2)], groups)
    assert got[0] == pytest.approx(0.0)
    assert got[1] > 1.0  # the half that nobody is shown


def test_thirds_of_all_touches() -> None:
    assert popularity_groups(rows(1, 9, 0, 4, 4, 3)).tolist() == [TAIL, HEAD, TAIL, MIDDLE, MIDDLE, TAIL]
    assert popularity_groups(rows(0, 0)).tolist() == [TAIL, TAIL]

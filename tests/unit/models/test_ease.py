"""EASE against the regressions that it solves, one item at a time."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.unit.models.pasts import follow, past, random_past

from endcap.errors import ConfigError, ModelError
from endcap.features.interactions import matrix
from endcap.models import ease
from endcap.models.ease import EASE, EASESettings

PAST = random_past(5)
MET = (matrix(PAST).toarray() > 0).astype(np.float64)


def ridge_without_self(x: NDArray[np.float64], penalty: NDArray[np.float64]) -> NDArray[np.float64]:
    """Regress each item on all the others: slow and obvious. ``penalty`` (items,)."""
    weights = np.zeros((x.shape[1], x.shape[1]))
    for j in range(x.shape[1]):
        others = np.delete(np.arange(x.shape[1]), j)
        a = x[:, others]
        weights[others, j] = np.linalg.solve(a.T @ a + np.diag(penalty[others]), a.T @ x[:, j])
    return weights


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("block", [7, 1_024])
def test_scores_are_those_of_one_regression_an_item(
    dropout: float, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ease, "BLOCK", block)
    model = EASE(EASESettings(l2=3.0, dropout=dropout, recency=0.5)).fit(PAST)
    expected = ridge_without_self(MET, 3.0 + dropout / (1 - dropout) * MET.sum(axis=0))
    scores = model.scores(follow(4, 9, weights=(2.0, 3.0)))
    np.testing.assert_allclose(scores, 0.5 * 2.0 * expected[4] + 3.0 * expected[9], atol=1e-5)


def test_beyond_the_bound_only_the_most_frequent_are_learnt() -> None:
    model = EASE(EASESettings(l2=3.0, items=6)).fit(PAST)
    frequent = np.sort(np.argsort(-MET.sum(axis=0), kind="stable")[:6])
    expected = np.zeros((20, 20))
    expected[np.ix_(frequent, frequent)] = ridge_without_self(MET[:, frequent], np.full(6, 3.0))
    for item in range(20):
        scores = model.scores(follow(item))
        np.testing.assert_allclose(scores, expected[item] if item in frequent else [], atol=1e-5)


def test_contributions_add_up_to_the_score() -> None:
    model = EASE(EASESettings(l2=3.0, items=15)).fit(PAST)
    items = np.array([*range(20), 99, -1], np.int32)
    query = follow(3, 99, 8, 3, weights=(4.0, 9.0, 2.0, 1.0))
    parts = model.contributions(query, items)
    np.testing.assert_allclose(parts[:, :20].sum(axis=0), model.scores(query), atol=1e-6)
    assert not parts[1].any()
    assert not parts[:, 20:].any()


def test_a_long_history_speaks_with_its_newest_events() -> None:
    model = EASE(EASESettings(recent=2)).fit(PAST)
    np.testing.assert_array_equal(model.scores(follow(*[7] * 10_000, 3, 8)), model.scores(follow(3, 8)))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"l2": 0.0}, "l2 is 0.0: it must be above 0"),
        ({"dropout": 1.0}, "dropout is 1.0: it must be at least 0 and below 1"),
        ({"recency": 0.0}, "recency is 0.0: it must be above 0 and at most 1"),
        ({"items": 0}, "items is 0: it must be at least 1"),
    ],
)
def test_settings_out_of_range(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EASE(EASESettings(**wrong))  # type: ignore[arg-type]  # items stays whole


def test_arrays_that_do_not_fit_are_refused() -> None:
    arrays = dict(EASE().fit(past((0, "ab"), n_items=2)).to_arrays())
    with pytest.raises(ModelError, match=r"weights \(2, 2\) do not go with 1 rows: train again"):
        EASE().from_arrays({**arrays, "rows": np.zeros(1, np.int32)})
    with pytest.raises(ModelError, match="rows are 0 to 7, of 2 items: train again"):
        EASE().from_arrays({**arrays, "rows": np.array([0, 7], np.int32)})


def test_memory_is_what_is_stated() -> None:
    weights = EASE(EASESettings(items=10)).fit(PAST).to_arrays()["weights"]
    assert weights.nbytes == 4 * 10**2

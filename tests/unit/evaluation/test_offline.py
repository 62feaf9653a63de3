"""The evaluator with models whose answers are known beforehand."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.testing import assert_allclose

from endcap.errors import DataError
from endcap.evaluation.offline import Background, Case, Settings, evaluate, serve
from endcap.types import IntArray, Query, Ranking


def rows(*numbers: int) -> IntArray:
    return np.array(numbers, np.int32)


class Fixed:
    """Gives the same list to everybody."""

    def __init__(self, *items: int) -> None:
        self.items = rows(*items)

    def recommend(self, query: Query, k: int) -> Ranking:  # noqa: ARG002  # the same for every query
        return Ranking(self.items[:k], -np.arange(self.items.size, dtype=np.float32)[:k])


class Mirror:
    """Gives back the history, newest first."""

    def recommend(self, query: Query, k: int) -> Ranking:
        items = query.history[::-1][:k]
        return Ranking(items, np.ones(items.size, np.float32))


BACKGROUND = Background(
    n_users=8, popularity=rows(8, 4, 2, 1, 1), vectors=np.eye(5, dtype=np.float32), likeness="content"
)
CASES = [
    Case(Query(history=rows(0, 1)), relevant=rows(1, 2), seen=rows(0, 1)),
    Case(Query(history=rows(3)), relevant=rows(0), seen=rows(3)),
    Case(Query(), relevant=rows(4)),
]
SETTINGS = Settings(ks=(1, 3), samples=200)


def test_figures_by_hand() -> None:
    table = evaluate({"fixed": Fixed(0, 1, 4), "mirror": Mirror()}, CASES, BACKGROUND, SETTINGS, {"fixed": 1.5})
    fixed, mirror = table.rows
    assert (fixed.model, fixed.fit_seconds, mirror.fit_seconds) == ("fixed", 1.5, 0.0)
    assert fixed.estimates["recall@3"].mean == pytest.approx((1 / 2 + 1 + 1) / 3)
    assert mirror.estimates["recall@3"].mean == pytest.approx((1 / 2 + 0 + 0) / 3)
    assert fixed.estimates["mrr@3"].mean == pytest.approx((1 / 2 + 1 + 1 / 3) / 3)
    assert mirror.estimates["recall@1"].mean == pytest.approx((1 / 2) / 3)
    assert fixed.estimates["coverage@3"].mean == 3 / 5
    assert mirror.estimates["coverage@3"].mean == 3 / 5
    assert fixed.estimates["novelty@1"].mean == 0.0  # everybody has item 0
    assert fixed.estimates["novelty@3"].mean == pytest.approx((0 + 1 + 3) / 3)
    assert fixed.estimates["diversity@3"].mean == 1.0
    assert np.isnan(fixed.estimates["diversity@1"].mean)  # one item is no pair
    assert table.best("recall@3").model == "fixed"


def test_gap_to_the_best_is_paired() -> None:
    table = evaluate({"a": Fixed(0, 1, 4), "b": Fixed(1, 0, 4)}, CASES, BACKGROUND, SETTINGS)
    a, b = table.rows
    assert (b.gaps["recall@3"].mean, b.gaps["recall@3"].low, b.gaps["recall@3"].high) == (0.0, 0.0, 0.0)
    assert b.estimates["recall@3"].low < b.estimates["recall@3"].high  # though each mean is unsure
    best = table.best("mrr@3")
    assert best.gaps["mrr@3"].mean == 0.0
    other = a if best is b else b
    assert other.gaps["mrr@3"].mean == pytest.approx(other.estimates["mrr@3"].mean - best.estimates["mrr@3"].mean)


def test_hiding_seen_items_still_fills_the_list() -> None:
    hidden = serve(Fixed(0, 1, 2, 3), CASES, Settings(ks=(2,), hide_seen=True))
    assert hidden.items.tolist() == [[2, 3], [0, 1], [0, 1]]
    assert hidden.scores[0].tolist() == [-2.0, -3.0]
    kept = serve(Fixed(0, 1, 2, 3), CASES, Settings(ks=(2,)))
    assert kept.items.tolist() == [[0, 1]] * 3


def test_short_lists_are_padded() -> None:
    lists = serve(Mirror(), CASES, Settings(ks=(3,)))
    assert lists.items.tolist() == [[1, 0, -1], [3, -1, -1], [-1, -1, -1]]
    assert np.isnan(lists.scores[2]).all()


class Busy:
    """Works 2 ms for a list."""

    def recommend(self, query: Query, k: int) -> Ranking:  # noqa: ARG002  # only time matters
        start = time.thread_time_ns()
        while time.thread_time_ns() - start < 2_000_000:
            pass
        return Ranking()


def test_serve_time_is_that_of_one_list() -> None:
    row = evaluate({"busy": Busy()}, CASES, BACKGROUND, SETTINGS).rows[0]
    assert 2_000 <= row.serve_us(50) <= row.serve_us(99) < 20_000
    assert_allclose(row.estimates["recall@3"].mean, 0.0)


def test_progress_sees_every_case_of_every_model() -> None:
    shown: list[tuple[str, int]] = []

    def watch(cases: object, name: str) -> object:
        shown.append((name, len(cases)))  # type: ignore[arg-type]  # a sequence of cases
        return cases

    evaluate({"a": Mirror(), "b": Mirror()}, CASES, BACKGROUND, SETTINGS, progress=watch)  # type: ignore[arg-type]
    assert shown == [("a", 3), ("b", 3)]


@pytest.mark.parametrize(("models", "cases"), [({}, CASES), ({"mirror": Mirror()}, [])])
def test_nothing_to_evaluate(models: dict[str, Mirror], cases: list[Case]) -> None:
    with pytest.raises(DataError, match="nothing to evaluate: it takes at least one model and one case"):
        evaluate(models, cases, BACKGROUND, SETTINGS)

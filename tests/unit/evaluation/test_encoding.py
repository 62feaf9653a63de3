"""Encoders against each other: what is asked, what is compared, which one is chosen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from endcap.evaluation.encoding import (
    AIM,
    Judged,
    Opening,
    Speed,
    Trial,
    choose,
    halved_titles,
    judge_encoders,
    new_item_cases,
    ratios,
)
from endcap.evaluation.offline import Case
from endcap.types import FloatArray, IntArray, Query

TEXTS = tuple(f"{number} item of a shop" for number in range(40))
NEW = np.arange(40) % 5 == 0
VECTORS = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)


def rows(*places: int) -> IntArray:
    return np.array(places, np.int32)


class Made:
    """Says the vectors that it was given, by the number that a text begins with."""

    name = "made"

    def __init__(self, vectors: FloatArray) -> None:
        self.vectors = vectors
        self.dim = vectors.shape[1]

    def load(self) -> None:
        pass

    def encode(self, texts: Sequence[str]) -> FloatArray:
        numbers = [int(text.split()[0]) if text[:1].isdigit() else 0 for text in texts]
        return self.vectors[numbers]


def opening(vectors: FloatArray, size: int = 1_000_000) -> Opening:
    return Opening(lambda: Made(vectors), lambda: Made(vectors), size)


def test_a_case_keeps_old_items_behind_and_new_ones_ahead() -> None:
    query = Query(rows(1, 5, 2), np.array([1, 2, 3], np.float32), user=7, now=9)
    cases = [
        Case(query, rows(10, 11, 99)),  # 99: not in the catalogue
        Case(Query(rows(5)), rows(10)),  # no history without the new item
        Case(query, rows(11)),  # nothing new is wanted
    ]
    (case,) = new_item_cases(cases, NEW)
    assert case.query.history.tolist() == [1, 2]
    assert case.query.weights.tolist() == [1, 3]
    assert case.relevant.tolist() == [10]
    assert case.seen.tolist() == np.flatnonzero(~NEW).tolist()


def test_half_of_a_title_asks_for_the_item() -> None:
    found = halved_titles(["red cup for tea", "cup", "blue cup for the hall"], rows(0, 1, 2), 9, 0)
    assert {row.item() for _, row in found} == {0, 2}
    for query, row in found:
        words = ["red cup for tea", "cup", "blue cup for the hall"][row.item()].split()
        assert len(query.split()) == len(words) // 2
        assert set(query.split()) <= set(words)


def test_another_rotation_of_the_same_vectors_is_as_good() -> None:
    """Six dimensions in eight, turned: all that is compared must be equal."""
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))[0][:6].astype(np.float32)
    cases = [Case(Query(rows(1, 2)), rows(5, 10), rows(*np.flatnonzero(~NEW))), Case(Query(rows(3)), rows(0))]
    trial = Trial(TEXTS, NEW, cases, [("3 item", rows(3)), ("4 item", rows(4, 9))], speed=8)
    base, turned = judge_encoders("base", {"base": opening(VECTORS), "turned": opening(VECTORS @ turn)}, trial)
    assert (base.dim, turned.dim) == (6, 8)
    assert turned.cosine_mean == pytest.approx(1, abs=1e-5)
    assert turned.cosine_least == pytest.approx(1, abs=1e-5)
    assert turned.recall == base.recall
    assert turned.ndcg == base.ndcg
    assert turned.ndcg_share == (1.0, 1.0, 1.0)
    assert base.speed.titles_per_second > 0


def test_recall_and_ndcg_are_as_defined() -> None:
    close = VECTORS.copy()
    close[5] = close[1]  # the new item 5 is what the shopper has; 10 is its opposite
    close[10] = -close[1]
    case = Case(Query(rows(1)), rows(5, 10), np.flatnonzero(~NEW).astype(np.int32))
    trial = Trial(TEXTS, NEW, [case], [("7 item", np.arange(40, dtype=np.int32))], speed=8)
    (judged,) = judge_encoders("base", {"base": opening(close)}, trial)
    assert judged.ndcg == pytest.approx(1 / (1 + 1 / np.log2(3)))  # one of two wanted, in the first place
    assert judged.recall == 1.0  # all of the 20 answer, of 40 that would
    assert judged.megabytes == 1.0


def test_without_events_or_queries_nothing_is_made_up() -> None:
    (judged,) = judge_encoders("base", {"base": opening(VECTORS)}, Trial(TEXTS, NEW, speed=8))
    assert (judged.recall, judged.ndcg, judged.ndcg_share) == (None, None, None)


def judged(name: str, megabytes: float, speed: float, share: float | None, recall: float = 0.5) -> Judged:
    found = None if share is None else (share, share, share)
    return Judged(name, 4, megabytes, Speed(1, 1, speed, speed, 1 / speed, 1), 1, 1, recall, share, found)


BASE = judged("base", 100, 10, 1.0)


@pytest.mark.parametrize(
    ("others", "chosen", "why"),
    [
        (
            [("a", 20, 40, 0.99), ("b", 10, 90, 0.985), ("c", 1, 999, 0.9)],
            "b",
            "of the 2 that are its searches find most",
        ),
        ([("a", 30, 40, 0.99), ("b", 20, 20, 0.99)], "a", "3.3 times smaller, 4.0 times faster"),
        ([("a", 1, 999, 0.97)], "base", "none of the smaller ones keeps 98%"),
        ([("a", 100, 9, 1.0)], "base", "none of the smaller ones"),
    ],
)
def test_the_choice(others: list[tuple[str, float, float, float]], chosen: str, why: str) -> None:
    name, said = choose([BASE, *(judged(*one) for one in others)], AIM)
    assert name == chosen
    assert why in said


def test_without_ndcg_the_recall_decides() -> None:
    base = judged("base", 100, 10, None, recall=0.8)
    assert ratios(judged("a", 10, 90, None, recall=0.79), base, AIM).reached
    found = ratios(judged("a", 10, 90, None, recall=0.7), base, AIM)
    assert not found.reached
    assert [found.smaller, found.faster, found.quicker, found.kept] == pytest.approx([10, 9, 9, 0.875])


def test_of_those_that_reach_the_aim_searches_decide_and_what_they_lose_is_said() -> None:
    found = [BASE, judged("a", 10, 90, 1.0, recall=0.3), judged("b", 10, 80, 1.0, recall=0.4)]
    name, why = choose(found, AIM)
    assert name == "b"
    assert "but its searches find 80% of what those of base find" in why

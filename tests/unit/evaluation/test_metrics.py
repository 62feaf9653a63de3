"""Every metric against cases worked out by hand and against a slow obvious version on random lists."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.sparse import csr_array

from endcap.evaluation.metrics.coverage import coverage
from endcap.evaluation.metrics.diversity import cooccurrence_vectors, diversity
from endcap.evaluation.metrics.judged import judge
from endcap.evaluation.metrics.novelty import novelty
from endcap.evaluation.metrics.registry import ACCURACY, AtK
from endcap.types import IntArray, Interactions, Vocabulary


def rows(*numbers: int) -> IntArray:
    return np.array(numbers, np.int32)


def found(ranking: Sequence[int], relevant: set[int], k: int) -> list[int]:
    """The ranks, from 1, of the hits."""
    return [rank for rank, item in enumerate(ranking[:k], 1) if item in relevant]


def slow_recall(ranking: Sequence[int], relevant: set[int], k: int) -> float:
    return len(found(ranking, relevant, k)) / len(relevant)


def slow_precision(ranking: Sequence[int], relevant: set[int], k: int) -> float:
    return len(found(ranking, relevant, k)) / k


def slow_hit_rate(ranking: Sequence[int], relevant: set[int], k: int) -> float:
    return 1.0 if set(ranking[:k]) & relevant else 0.0


def slow_ndcg(ranking: Sequence[int], relevant: set[int], k: int) -> float:
    gained = sum(1 / math.log2(rank + 1) for rank in found(ranking, relevant, k))
    return gained / sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(relevant)) + 1))


def slow_mrr(ranking: Sequence[int], relevant: set[int], k: int) -> float:
    hits = found(ranking, relevant, k)
    return 1 / hits[0] if hits else 0.0


def slow_map(ranking: Sequence[int], relevant: set[int], k: int) -> float:
    hits = found(ranking, relevant, k)
    return sum(nth / rank for nth, rank in enumerate(hits, 1)) / len(relevant)


SLOW: dict[str, Callable[[Sequence[int], set[int], int], float]] = {
    "recall": slow_recall,
    "precision": slow_precision,
    "hit_rate": slow_hit_rate,
    "ndcg": slow_ndcg,
    "mrr": slow_mrr,
    "map": slow_map,
}

RNG = np.random.default_rng(3)
LISTS = np.stack([RNG.permutation(30)[:12] for _ in range(200)]).astype(np.int32)
LISTS[RNG.random(200) < 0.3, 7:] = -1  # some lists are shorter
LISTS[17] = -1  # and one is empty
RELEVANT = [RNG.permutation(30)[: RNG.integers(1, 25)].astype(np.int32) for _ in range(200)]


def test_every_metric_has_its_slow_version() -> None:
    assert SLOW.keys() == ACCURACY.keys()


@pytest.mark.parametrize("name", SLOW)
@pytest.mark.parametrize("k", [1, 5, 12, 20])
def test_equals_the_slow_version(name: str, k: int) -> None:
    expected = [
        SLOW[name]([i for i in ranking.tolist() if i >= 0], set(relevant.tolist()), k)
        for ranking, relevant in zip(LISTS, RELEVANT, strict=True)
    ]
    assert_allclose(ACCURACY[name](judge(LISTS, RELEVANT), k), expected)


@pytest.mark.parametrize(
    ("name", "k", "expected"),
    [
        # the list 4 7 1 9; wanted are 7, 9 and 2: hits at the ranks 2 and 4
        ("recall", 4, 2 / 3),
        ("recall", 2, 1 / 3),
        ("precision", 4, 2 / 4),
        ("precision", 10, 2 / 10),
        ("hit_rate", 1, 0.0),
        ("hit_rate", 2, 1.0),
        ("mrr", 4, 1 / 2),
        ("mrr", 1, 0.0),
        ("map", 4, (1 / 2 + 2 / 4) / 3),
        ("ndcg", 2, (1 / math.log2(3)) / (1 + 1 / math.log2(3))),
        ("ndcg", 4, (1 / math.log2(3) + 1 / math.log2(5)) / (1 + 1 / math.log2(3) + 1 / 2)),
    ],
)
def test_by_hand(name: str, k: int, expected: float) -> None:
    assert AtK(ACCURACY[name], k)(rows(4, 7, 1, 9), rows(7, 9, 2)) == pytest.approx(expected)


def test_more_relevant_than_places() -> None:
    ranking, relevant = rows(0, 1), rows(*range(10))
    assert AtK(ACCURACY["recall"], 2)(ranking, relevant) == pytest.approx(0.2)
    assert AtK(ACCURACY["map"], 2)(ranking, relevant) == pytest.approx(0.2)
    assert AtK(ACCURACY["ndcg"], 2)(ranking, relevant) == pytest.approx(1.0)


@pytest.mark.parametrize("name", SLOW)
def test_nothing_wanted_or_nothing_listed_is_zero(name: str) -> None:
    assert AtK(ACCURACY[name], 3)(rows(1, 2), rows()) == 0.0
    assert AtK(ACCURACY[name], 3)(rows(), rows(1)) == 0.0


def test_a_repeated_item_counts_once() -> None:
    judged = judge(rows(5, 5, 3, 5)[None, :], [rows(5, 3, 3)])
    assert judged.hits.tolist() == [[True, False, True, False]]
    assert judged.sizes.tolist() == [2]


def test_cases_do_not_mix() -> None:
    judged = judge(np.array([[1, 2], [2, 1]], np.int32), [rows(1), rows(9)])
    assert judged.hits.tolist() == [[True, False], [False, False]]


def test_coverage_counts_different_items_of_the_catalogue() -> None:
    assert coverage(np.array([[1, 2], [2, -1]], np.int32), n_items=8) == 0.25
    assert coverage(np.full((2, 2), -1, np.int32), n_items=8) == 0.0
    assert coverage(np.full((0, 2), -1, np.int32), n_items=0) == 0.0


def test_novelty_by_hand() -> None:
    popularity = rows(8, 2, 1, 0)  # of 16 people: 1, 3 and 4 bits; an unseen item as if one had it: 4 bits
    lists = np.array([[0, 1], [2, 3], [1, -1], [-1, -1]], np.int32)
    assert_allclose(novelty(lists, popularity, n_users=16), [2.0, 4.0, 3.0, 0.0])


def slow_diversity(ranking: Sequence[int], vectors: np.ndarray) -> float:
    known = [vectors[item].astype(float) for item in ranking if item >= 0 and vectors[item].any()]
    distances = [1 - float(a @ b) for a, b in combinations(known, 2)]
    return sum(distances) / len(distances) if distances else math.nan


def unit_vectors() -> np.ndarray:
    vectors = np.random.default_rng(1).normal(size=(30, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[[3, 11]] = 0.0  # no content
    return vectors.astype(np.float32)


def test_diversity_equals_all_pairs_one_by_one() -> None:
    vectors = unit_vectors()
    expected = [slow_diversity(ranking.tolist(), vectors) for ranking in LISTS]
    assert_allclose(diversity(LISTS, vectors), expected, rtol=1e-4)
    assert_allclose(diversity(LISTS, csr_array(vectors)), expected, rtol=1e-4)


def test_diversity_needs_a_pair_with_content() -> None:
    lists = np.array([[3, 5], [5, -1], [-1, -1]], np.int32)
    assert np.isnan(diversity(lists, unit_vectors())).all()


def test_diversity_of_twins_is_zero_and_of_strangers_one() -> None:
    vectors = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    assert_allclose(diversity(np.array([[0, 1], [0, 2]], np.int32), vectors), [0.0, 1.0])


def test_diversity_over_more_lists_than_one_block(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = diversity(LISTS, unit_vectors())
    monkeypatch.setattr("endcap.evaluation.metrics.diversity.BLOCK", 7)
    assert_allclose(diversity(LISTS, unit_vectors()), whole, rtol=1e-5)


def test_cooccurrence_cosine_by_hand() -> None:
    # a: people 0, 1 (0 twice); b: people 1, 2; c: nobody
    shop = Interactions(
        Vocabulary("uvw"),
        Vocabulary("abc"),
        user=rows(0, 0, 1, 1, 2),
        item=rows(0, 0, 0, 1, 1),
        weight=np.ones(5, np.float32),
        time=np.arange(5),
        session=rows(0, 0, 0, 0, 0),
    )
    vectors = cooccurrence_vectors(shop).toarray()
    assert vectors[0] @ vectors[1] == pytest.approx(1 / 2)  # one person in common, sqrt(2) * sqrt(2)
    assert vectors[0] @ vectors[0] == pytest.approx(1.0)
    assert not vectors[2].any()


def test_cooccurrence_of_an_empty_shop() -> None:
    none = np.empty(0, np.int32)
    shop = Interactions(Vocabulary(), Vocabulary("a"), none, none, none.astype(np.float32), none.astype(np.int64), none)
    assert cooccurrence_vectors(shop).toarray().tolist() == [[0.0]]

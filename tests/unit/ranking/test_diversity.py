"""MMR against the definition, one item at a time."""

from __future__ import annotations

import numpy as np
import pytest

from endcap.ranking.diversity import spread
from endcap.types import FloatArray


def shop(seed: int, n: int = 12) -> tuple[FloatArray, FloatArray]:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(n, 4)).astype(np.float32)
    vectors[3] = 0.0
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units: FloatArray = (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return np.sort(random.random(n).astype(np.float32))[::-1].copy(), units


def slowly(scores: FloatArray, vectors: FloatArray, k: int, diversity: float) -> list[int]:
    chosen: list[int] = []
    while len(chosen) < min(k, scores.size):
        values = {}
        for one in range(scores.size):
            if one not in chosen:
                likeness = max([0.0, *(float(vectors[one] @ vectors[other]) for other in chosen)])
                values[one] = (1 - diversity) * float(scores[one] / scores[0]) - diversity * likeness
        chosen.append(max(values, key=lambda one: (values[one], -one)) if chosen else 0)
    return chosen


@pytest.mark.parametrize("diversity", [0.0, 0.2, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("k", [0, 1, 5, 12, 50])
def test_equals_the_definition(k: int, diversity: float) -> None:
    for seed in range(20):
        scores, vectors = shop(seed)
        assert spread(scores, vectors, k, diversity).tolist() == slowly(scores, vectors, k, diversity)


def test_without_diversity_the_order_stays() -> None:
    scores, vectors = shop(1)
    assert spread(scores, vectors, 12, 0.0).tolist() == list(range(12))


def test_the_twin_of_the_best_gives_way() -> None:
    scores = np.array([1.0, 0.95, 0.5], np.float32)
    vectors = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    assert spread(scores, vectors, 2, 0.5).tolist() == [0, 2]
    assert spread(scores, vectors, 2, 0.1).tolist() == [0, 1]


def test_nothing_to_spread() -> None:
    assert spread(np.empty(0, np.float32), np.empty((0, 4), np.float32), 5, 0.5).size == 0
    flat = np.zeros(3, np.float32)
    assert spread(flat, np.zeros((3, 2), np.float32), 2, 0.5).tolist() == [0, 1]

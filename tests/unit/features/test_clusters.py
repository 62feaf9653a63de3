"""Groups of vectors against planted ones, and their words against weights worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array

from endcap.features import clusters as module
from endcap.features.clusters import best_clusters, clusters, keywords, knee, nearest, silhouette, words
from endcap.types import FloatArray


def unit(rows: object) -> FloatArray:
    found = np.asarray(rows, np.float32)
    rows_of_one: FloatArray = found / np.linalg.norm(found, axis=1, keepdims=True)
    return rows_of_one


def planted(groups: int, members: int, seed: int = 0) -> tuple[FloatArray, np.ndarray]:
    """Points near to ``groups`` axes, and which axis each is near to."""
    draw = np.random.default_rng(seed)
    of = np.repeat(np.arange(groups), members)
    return unit(np.eye(groups)[of] + 0.05 * draw.standard_normal((of.size, groups))), of


def test_planted_groups_are_found_and_their_number_is() -> None:
    vectors, of = planted(12, 9)
    labels = nearest(vectors, best_clusters(vectors, seed=0))
    assert len({(one, other) for one, other in zip(labels.tolist(), of.tolist(), strict=True)}) == 12
    assert labels.max() == 11


@given(st.integers(0, 2**32 - 1), st.integers(1, 9))
def test_centres_are_unit_rows_and_the_seed_decides(seed: int, k: int) -> None:
    vectors, _ = planted(4, 5, seed % 7)
    centres = clusters(vectors, k, seed)
    assert_array_equal(centres, clusters(vectors, k, seed))
    assert_allclose(np.linalg.norm(centres, axis=1), 1.0, rtol=1e-5)
    assert len(centres) == k


def test_each_centre_is_the_mean_direction_of_its_members() -> None:
    vectors, _ = planted(3, 10)
    centres = clusters(vectors, 3, seed=1)
    labels = nearest(vectors, centres)
    for label, centre in enumerate(centres):
        assert_allclose(centre, unit(vectors[labels == label].sum(axis=0, keepdims=True))[0], rtol=1e-5)


def test_equal_vectors_make_one_group() -> None:
    same = unit(np.ones((30, 3)))
    assert len(clusters(same, 4, seed=0)) == 1
    assert len(best_clusters(same, seed=0)) == 1


def test_too_few_vectors_make_no_group() -> None:
    assert best_clusters(planted(3, 5)[0], seed=0).shape == (0, 3)
    assert best_clusters(np.zeros((0, 3), np.float32), seed=0).shape == (0, 3)


def test_many_vectors_are_learnt_from_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, of = planted(8, 40)
    monkeypatch.setattr(module, "SAMPLE", 160)
    labels = nearest(vectors, best_clusters(vectors, seed=0))
    assert len({(one, other) for one, other in zip(labels.tolist(), of.tolist(), strict=True)}) == 8


def test_the_silhouette_by_hand() -> None:
    centres = unit([[1, 0], [0, 1]])
    vectors = unit([[1, 0], [3, 4]])
    # Distances 0 and 1: (1 - 0) / 1. Distances 0.4 and 0.2: (0.4 - 0.2) / 0.4.
    assert_allclose(silhouette(vectors, centres), (1.0 + 0.5) / 2, rtol=1e-5)
    assert silhouette(vectors, centres[:1]) == 0.0


def test_the_knee() -> None:
    assert knee([8, 16, 24, 32], [0.1, 0.3, 0.35, 0.4]) == 1
    assert knee([8, 16, 24], [0.1, 0.2, 0.3]) == 2, "a straight line has none: the best"
    assert knee([8, 16, 24], [0.1, 0.5, 0.2]) == 1, "what lies behind the best is not looked at"
    assert knee([8, 16], [0.3, 0.2]) == 0


def test_keywords_by_hand() -> None:
    texts = ["red mug", "blue mug", "red lamp"]
    found = keywords(texts, csr_array(np.array([[1, 0], [1, 0], [0, 1]])), most=3)
    # 6 words, 2 groups: A = 3. Group 0: mug 2/4 log(1 + 3/2), blue 1/4 log(1 + 3), red 1/4 log(1 + 3/2).
    # Group 1: lamp 1/2 log(1 + 3), red 1/2 log(1 + 3/2).
    assert found == [["mug", "blue", "red"], ["lamp", "red"]]


def test_a_text_counts_by_its_share() -> None:
    found = keywords(["red mug", "blue lamp", "blue"], csr_array(np.array([[0.9, 0], [0.1, 0.2], [0, 0.8]])), most=4)
    # A = 3 / 2. Group 0, of 2 words: mug and red 0.9/2 log(1 + 1.5/0.9) each, lamp 0.1/2 log(1 + 1.5/0.3),
    # blue 0.1/2 log(1 + 1.5/1.1). Group 1, of 1.2: blue 1/1.2 log(1 + 1.5/1.1), lamp 0.2/1.2 log(1 + 1.5/0.3).
    assert found == [["mug", "red", "lamp", "blue"], ["blue", "lamp"]]


def test_groups_without_words_have_no_name() -> None:
    assert keywords(["12", "mug"], csr_array(np.eye(2)), most=3) == [[], ["mug"]]
    assert keywords([], csr_array((0, 2)), most=3) == [[], []]


def test_of_words_that_begin_alike_one_names_the_group() -> None:
    found = keywords(["candles", "candle", "candle", "the wick 12"], csr_array(np.ones((4, 1))), most=5)
    assert found == [["candle", "wick"]]


def test_chinese_counts_by_pairs() -> None:
    assert list(words("红色杯子 ab 12 mug")) == ["红色", "色杯", "杯子", "mug"]

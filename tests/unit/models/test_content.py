"""Content similarity against its definition, on vectors in a plane."""

from __future__ import annotations

import numpy as np
import pytest

from endcap.catalog.items import Item
from endcap.encoders.cache import ItemVectors
from endcap.features.words import WordIndex
from endcap.models.content import FEW, SHARPNESS, WORDS, Content
from endcap.types import FloatArray, Query


def at(*degrees: float) -> FloatArray:
    """(n, 2) unit vectors at the given angles: the cosine of two items is the cosine of the angle between them."""
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def items_at(*degrees: float) -> ItemVectors:
    vectors = ItemVectors(2)
    vectors.set(np.arange(len(degrees), dtype=np.int32), at(*degrees))
    return vectors


def history(*rows: int, weights: tuple[float, ...] = ()) -> Query:
    return Query(history=np.array(rows, np.int32), weights=np.array(weights, np.float32))


def near(items: ItemVectors, row: int, other: int) -> float:
    """How near ``other`` is to ``row`` by meaning: slow and obvious. Every item has a vector."""
    cosines = [float(items.matrix[row] @ vector) for vector in items.matrix]
    ordinary = max(sum(cosines[:row] + cosines[row + 1 :]) / (len(cosines) + FEW), 0.0)
    return max((cosines[other] - ordinary) / (1.0 - ordinary), 0.0) ** SHARPNESS


def saying(*texts: str) -> WordIndex:
    return WordIndex.of((row, Item(str(row), text)) for row, text in enumerate(texts))


class Overtaken(ItemVectors):
    """To which another thread adds a row at the worst moment, once."""

    rows = 0

    def __len__(self) -> int:
        size = super().__len__()
        if self.rows:
            new, self.rows = np.arange(size, size + self.rows, dtype=np.int32), 0
            self.set(new, at(*[0.0] * len(new)))
        return size


def test_it_may_be_made_while_items_get_their_vectors() -> None:
    vectors = Overtaken(2)
    vectors.set(np.arange(2, dtype=np.int32), at(0, 10))
    vectors.rows = 1
    content = Content(vectors)
    assert content.recommend(history(2), 10).items.tolist() == [0, 1]


def test_nearest_come_first_and_the_opposite_never() -> None:
    items = items_at(0, 50, 20, 180, 95)
    ranking = Content(items).recommend(history(0), 10)
    assert ranking.items.tolist() == [2, 1]  # 90 degrees and more say nothing
    np.testing.assert_allclose(ranking.scores, [near(items, 0, 2), near(items, 0, 1)], rtol=1e-5)


def test_scores_equal_a_slow_weighted_mean() -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(40, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    items = ItemVectors(6)
    items.set(np.arange(40, dtype=np.int32), vectors)
    rows, weights = (3, 7, 3, 20, 11), (1.0, 5.0, 2.0, 1.0, 3.0)
    shares = [weight * 0.5 ** (len(rows) - 1 - place) for place, weight in enumerate(weights)]
    expected = np.zeros(40)
    for row, share in zip(rows, shares, strict=True):
        close = [near(items, row, other) for other in range(40)]
        others = sorted((other for other in range(40) if other != row), key=lambda other: -close[other])
        for other in others[:10]:
            expected[other] += close[other] * share / sum(shares)
    model = Content(items, neighbours=10, recent=5, decay=0.5)
    query = history(*rows, weights=weights)
    ranking = model.recommend(query, 40)
    assert set(ranking.items.tolist()) == set(np.flatnonzero(expected).tolist())
    np.testing.assert_allclose(ranking.scores, expected[ranking.items], rtol=1e-4)
    assert ranking.scores.tolist() == sorted(ranking.scores.tolist(), reverse=True)


def test_the_parts_add_up_to_the_score() -> None:
    model = Content(items_at(0, 10, 25, 60, 61, 170), neighbours=3, recent=2)
    query = history(4, 99, 0, 3, 0, weights=(9.0, 1.0, 1.0, 2.0, 1.0))
    ranking = model.recommend(query, 10)
    parts = model.contributions(query, ranking.items)
    assert parts.shape == (5, len(ranking))
    np.testing.assert_allclose(parts.sum(axis=0), ranking.scores, rtol=1e-5)
    assert not parts[:3].any()  # older than the last two that count


def test_items_that_the_matrix_lacks_get_no_part() -> None:
    items = items_at(0, 10)
    parts = Content(items).contributions(history(0), np.array([1, 77, -1], np.int32))
    np.testing.assert_allclose(parts, [[near(items, 0, 1), 0.0, 0.0]], rtol=1e-5)


def test_the_first_row_gets_its_part_where_neighbours_are_few() -> None:
    items = items_at(0, 10, 20)
    model, query = Content(items, neighbours=50), history(1)
    parts = model.contributions(query, np.array([0], np.int32))
    np.testing.assert_allclose(parts, [[near(items, 1, 0)]], rtol=1e-5)
    assert sorted(model.recommend(query, 10).items.tolist()) == [0, 2]


def test_recent_items_count_more() -> None:
    model = Content(items_at(0, 10, 90, 100), decay=0.5)
    assert model.recommend(history(0, 2), 4).items[0] == 3
    assert model.recommend(history(2, 0), 4).items[0] == 1


def test_a_new_item_is_proposed_as_soon_as_its_vector_is_there() -> None:
    items = items_at(0, 50)
    model = Content(items)
    assert model.recommend(history(0), 10).items.tolist() == [1]
    items.set(np.array([7], np.int32), at(10))
    assert model.recommend(history(0), 10).items.tolist() == [7, 1]
    assert model.recommend(history(7), 10).items.tolist() == [0, 1]


def test_a_changed_or_removed_vector_counts_at_once() -> None:
    items = items_at(0, 50, 20)
    model = Content(items)
    assert model.recommend(history(0), 10).items.tolist() == [2, 1]
    items.set(np.array([2], np.int32), at(70))
    assert model.recommend(history(0), 10).items.tolist() == [1, 2]
    items.set(np.array([2], np.int32), np.zeros((1, 2), np.float32))
    assert model.recommend(history(0), 10).items.tolist() == [1]


@pytest.mark.parametrize("rows", [(), (99,), (-1,), (3,)], ids=["empty", "newer", "unknown", "no vector"])
def test_nothing_to_go_on_is_an_empty_ranking(rows: tuple[int, ...]) -> None:
    items = items_at(0, 10, 20)
    items.set(np.array([4], np.int32), at(30))  # row 3 stays without
    model = Content(items)
    assert len(model.recommend(history(*rows), 10)) == 0
    assert not model.contributions(history(*rows), np.array([1], np.int32)).any()


def test_an_item_without_a_vector_is_passed_over() -> None:
    model = Content(items_at(0, 10), recent=1)
    assert model.recommend(history(0, 99), 10).items.tolist() == [1]


def test_an_empty_shop_answers() -> None:
    assert len(Content(ItemVectors(2)).recommend(history(0), 10)) == 0


def test_weights_of_zero_say_nothing() -> None:
    assert len(Content(items_at(0, 10)).recommend(history(0, weights=(0.0,)), 10)) == 0


def test_words_and_meaning_share_how_near_an_item_is() -> None:
    items, words = items_at(0, 10, 20, 90), saying("red mug", "blue tray", "red mugs", "red mug")
    ranking = Content(items, words).recommend(history(0), 10)
    expected = [(1 - WORDS) * near(items, 0, other) + WORDS * float(words.like(0)[other]) for other in ranking.items]
    assert ranking.items.tolist() == [2, 1, 3]
    np.testing.assert_allclose(ranking.scores, expected, rtol=1e-5)


def test_an_item_without_a_vector_is_proposed_by_its_words_and_speaks_by_them() -> None:
    words = saying("red mug", "blue tray", "red cup")
    model = Content(items_at(0, 90), words)
    assert model.recommend(history(0), 10).items.tolist() == [2]
    assert model.recommend(history(2), 10).items.tolist() == [0]
    np.testing.assert_allclose(model.contributions(history(2), np.array([0], np.int32)), [[WORDS * words.like(2)[0]]])


def test_changed_words_count_at_once() -> None:
    words = saying("red mug", "blue tray", "red cup")
    model = Content(items_at(0, 90), words)
    assert model.recommend(history(0), 10).items.tolist() == [2]
    words.put(1, Item("1", "a mug"))
    words.put(2, None)
    assert model.recommend(history(0), 10).items.tolist() == [1]


def test_vectors_that_all_lie_close_together_tell_as_much() -> None:
    spread = at(*np.linspace(0, 90, 400))
    narrow = np.hstack([0.3 * spread, np.full((400, 1), np.sqrt(1 - 0.3**2), np.float32)])  # all cosines above .91
    lists = []
    for vectors in (spread, narrow):
        items = ItemVectors(vectors.shape[1])
        items.set(np.arange(400, dtype=np.int32), vectors)
        lists.append(Content(items, neighbours=400).recommend(history(0), 400))
    strengths = [np.zeros(400, np.float32) for _ in lists]
    for strength, ranking in zip(strengths, lists, strict=True):
        strength[ranking.items] = ranking.scores
    assert np.asarray(np.corrcoef(strengths))[0, 1] > 0.97  # .91 where cosines are taken as they are

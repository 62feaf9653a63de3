"""Search with a photo: cosines from the mean picture, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import ArrayLike

from endcap.encoders.bridge import Bridge
from endcap.encoders.cache import ItemVectors
from endcap.models.photo import BY_WORDS, Photo
from endcap.types import Query


def shop(*vectors: ArrayLike) -> tuple[ItemVectors, Photo]:
    held = ItemVectors(2)
    held.set(np.arange(len(vectors), dtype=np.int32), np.array(vectors, np.float32))
    return held, Photo(held)


def photo(*numbers: float) -> Query:
    return Query(image=np.array(numbers, np.float32))


def test_scores_are_cosines_seen_from_the_mean_and_none_is_below_zero() -> None:
    _, model = shop([1, 0], [0, 1], [0.6, 0.8])
    mean = np.array([1.6, 1.8]) / 3
    towards = np.array([0.8, 0.6]) - mean
    expected = []
    for vector in ([1, 0], [0, 1], [0.6, 0.8]):
        away = np.array(vector) - mean
        expected.append(max(float(away @ towards / np.sqrt((away @ away) * (towards @ towards))), 0.0))
    assert model.scores(photo(0.8, 0.6)) == pytest.approx(expected, abs=1e-5)
    assert [value > 0 for value in expected] == [True, False, True]
    assert model.recommend(photo(0.8, 0.6), 5).items.tolist() == [0, 2]


def test_an_item_without_a_picture_is_not_proposed_and_does_not_move_the_mean() -> None:
    _, with_gap = shop([1, 0], [0, 0], [0, 1])
    _, without = shop([1, 0], [0, 1])
    assert with_gap.scores(photo(0.8, 0.6))[[0, 2]].tolist() == without.scores(photo(0.8, 0.6)).tolist()
    assert with_gap.recommend(photo(0.8, 0.6), 5).items.tolist() == [0]


def test_a_picture_that_comes_or_goes_counts_at_once() -> None:
    held, model = shop([1, 0], [0, 1])
    assert model.recommend(photo(0, 1), 5).items.tolist() == [1]
    held.set(np.array([5], np.int32), np.array([[0.0, 1.0]], np.float32))
    assert model.recommend(photo(0, 1), 5).items.tolist() == [1, 5]
    held.set(np.array([1], np.int32), np.zeros((1, 2), np.float32))
    assert model.recommend(photo(0, 1), 5).items.tolist() == [5]


def test_a_photo_that_is_the_mean_looks_like_nothing() -> None:
    _, model = shop([1, 0], [-1, 0], [0, 1], [0, -1])
    assert len(model.recommend(photo(0, 0), 5)) == 0
    _, model = shop([0.6, 0.8], [0.8, 0.6], [1, 0])
    assert len(model.recommend(photo(2.4 / 3, 1.4 / 3), 5)) == 0


def test_pictures_that_are_all_the_same_tell_nothing_apart() -> None:
    _, model = shop(*[[0.6, 0.8]] * 7)
    assert len(model.recommend(photo(0.6, 0.8), 9)) == 0
    assert len(model.recommend(photo(1, 0), 9)) == 0


def test_a_single_picture_is_compared_as_it_is() -> None:
    _, model = shop([0, 0], [1, 0])
    assert model.scores(photo(0.6, 0.8)) == pytest.approx([0.0, 0.6])


@pytest.mark.parametrize("vectors", [(), ([0, 0], [0, 0])])
def test_where_there_are_no_pictures_nothing_is_found(vectors: tuple[ArrayLike, ...]) -> None:
    held = ItemVectors(2)
    if vectors:
        held.set(np.arange(2, dtype=np.int32), np.array(vectors, np.float32))
    assert len(Photo(held).recommend(photo(1, 0), 5)) == 0


def test_who_shows_no_photo_gets_nothing() -> None:
    _, model = shop([1, 0], [0, 1])
    assert len(model.recommend(Query(text="red"), 5)) == 0


def test_a_bridge_finds_what_has_words_only() -> None:
    images, texts = ItemVectors(2), ItemVectors(2)
    images.set(np.arange(3, dtype=np.int32), np.array([[1, 0], [0, 1], [0, 0]], np.float32))
    texts.set(np.arange(4, dtype=np.int32), np.array([[1, 0], [0, 1], [1, 0], [0, 1]], np.float32))
    bridge = Bridge(l2=1e-6).fit(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32))
    found = Photo(images, texts, bridge).scores(photo(1, 0))
    assert found == pytest.approx([1.0, 0.0, BY_WORDS, 0.0], abs=1e-3)  # the first has a picture, which speaks for it

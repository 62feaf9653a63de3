"""Vectors and letters follow the catalogue, also where it changes while something is being encoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.unit.shops import NOW, TEA, reading

from endcap.catalog.items import Item, ItemChange
from endcap.config import StateConfig
from endcap.encoders.cache import VectorStore
from endcap.encoders.text import UniversalSentenceEncoder
from endcap.serving.contents import IMAGE_WEIGHT, Contents, Reading
from endcap.state.fold import State, apply
from endcap.types import Entry, FloatArray, Progress


def encoded(*texts: str) -> FloatArray:
    return UniversalSentenceEncoder().encode(texts)


def texts_of(items: Sequence[Item | None]) -> list[str]:
    return [item.text() for item in items if item is not None]


def settle(contents: Contents) -> None:
    while contents.waiting:
        rows, items = contents.take(2)
        contents.put(rows, contents.encode(items))


@pytest.fixture
def contents(store: VectorStore) -> Contents:
    return Contents(reading(store))


def test_a_change_waits_for_its_vector_and_has_its_letters_at_once(contents: Contents) -> None:
    contents.change(1, Item("cup", "Tea cup", brand="Leaf"))
    assert contents.waiting == 1
    assert contents.letters.search("cup")[1] > 0.5
    assert contents.words.has.tolist() == [False, True]
    assert not contents.vectors.has.any()
    rows, items = contents.take(10)
    assert (rows.tolist(), texts_of(items), contents.waiting) == ([1], ["Tea cup. Leaf"], 0)
    contents.put(rows, contents.encode(items))
    assert contents.vectors.has.tolist() == [False, True]
    np.testing.assert_array_equal(contents.vectors.matrix[1], encoded("Tea cup. Leaf")[0])


def test_take_gives_the_oldest_first_and_no_more_than_asked(contents: Contents) -> None:
    for row, title in enumerate(("Tea pot", "Tea cup", "Desk lamp")):
        contents.change(row, Item(title, title))
    rows, items = contents.take(2)
    assert (rows.tolist(), texts_of(items), contents.waiting) == ([0, 1], ["Tea pot", "Tea cup"], 1)
    assert rows.dtype == np.int32
    assert texts_of(contents.take(2)[1]) == ["Desk lamp"]
    assert contents.take(2)[0].size == 0


def test_two_changes_before_take_are_encoded_once(contents: Contents) -> None:
    contents.change(0, Item("a", "Tea pot"))
    contents.change(0, Item("a", "Desk lamp"))
    assert texts_of(contents.take(10)[1]) == ["Desk lamp"]
    assert contents.letters.search("tea pot").max() == 0.0


def test_an_item_that_is_gone_has_neither_letters_nor_a_vector(contents: Contents) -> None:
    contents.change(0, Item("a", "Tea pot"))
    settle(contents)
    contents.change(0, None)
    assert contents.letters.search("tea pot").max() == 0.0
    assert not contents.words.has.any()
    settle(contents)
    assert not contents.vectors.has.any()
    assert not contents.vectors.matrix.any()


def test_gone_while_being_encoded(contents: Contents) -> None:
    contents.change(0, Item("a", "Tea pot"))
    rows, items = contents.take(10)
    contents.change(0, None)
    contents.put(rows, contents.encode(items))  # what was under way comes in late
    assert contents.waiting == 1
    settle(contents)
    assert not contents.vectors.has.any()


def test_changed_again_while_being_encoded(contents: Contents) -> None:
    contents.change(0, Item("a", "Tea pot"))
    rows, items = contents.take(10)
    contents.change(0, None)
    contents.change(0, Item("a", "Desk lamp"))
    contents.put(rows, contents.encode(items))
    settle(contents)
    np.testing.assert_array_equal(contents.vectors.matrix[0], encoded("Desk lamp")[0])


def test_what_could_not_be_encoded_waits_again_unless_it_changed_meanwhile(contents: Contents) -> None:
    contents.change(0, Item("a", "Tea pot"))
    contents.change(1, Item("b", "Tea cup"))
    rows, items = contents.take(10)
    contents.change(1, Item("b", "Desk lamp"))
    contents.give_back(rows, items)
    assert sorted(texts_of(contents.take(10)[1])) == ["Desk lamp", "Tea pot"]


def test_fill_takes_in_the_listed_items_as_single_changes_would(store: VectorStore) -> None:
    state = State(StateConfig())
    bodies = (*TEA, ItemChange("lamp", "delete"))
    for offset, body in enumerate(bodies, 1):
        apply(state, Entry(offset, NOW, body))
    whole, single = Contents(reading(store)), Contents(reading(store))
    single.change(0, Item("pot", "overtaken"))
    for row, one in state.shop.listed_items():
        single.change(row, one)
    settle(single)
    whole.change(0, Item("pot", "overtaken"))  # waits, and is old when fill has been there
    whole.fill(state.shop.listed_items())
    assert whole.waiting == 0
    np.testing.assert_array_equal(whole.vectors.matrix, single.vectors.matrix)
    assert whole.vectors.has.tolist() == [True, True, False, True, True]
    np.testing.assert_array_equal(whole.letters.search("tea clock"), single.letters.search("tea clock"))
    np.testing.assert_array_equal(whole.words.like(0), single.words.like(0))


def test_fill_encodes_only_what_is_not_stored_and_says_how_far_it_is(tmp_path: Path) -> None:
    state = State(StateConfig())
    for offset, body in enumerate(TEA, 1):
        apply(state, Entry(offset, NOW, body))
    seen: list[tuple[int, int]] = []
    for _ in range(2):
        fresh = VectorStore(tmp_path, UniversalSentenceEncoder())
        Contents(reading(fresh)).fill(state.shop.listed_items(), lambda done, total: seen.append((done, total)))
    assert seen == [(5, 5)]  # the second time, everything lay on the disk


def test_fill_of_an_empty_shop(contents: Contents) -> None:
    contents.fill([])
    assert (contents.waiting, len(contents.vectors), len(contents.letters)) == (0, 0, 0)


class Colours:
    """An encoder of pictures that sees one colour: enough to tell where a vector comes from."""

    name, dim = "colours", 2

    def load(self) -> None:
        """There is nothing to load."""

    def encode(self, images: Sequence[bytes]) -> FloatArray:
        return np.array([self.query(image) for image in images], np.float32).reshape(-1, 2)

    def query(self, image: bytes) -> FloatArray:
        return np.array([image == b"red", image == b"blue"], np.float32)


def with_pictures(store: VectorStore) -> Reading:
    colours = Colours()

    def pictures(items: Sequence[Item], _: Progress | None) -> FloatArray:
        return colours.encode([(item.image or "").encode() for item in items])

    return replace(reading(store), pictures=pictures, images=colours)


def test_pictures_change_what_is_alike_and_not_what_search_compares_with(store: VectorStore) -> None:
    contents = Contents(with_pictures(store))
    contents.fill(
        [(0, Item("a", "Tea cup", image="red")), (1, Item("b", "Tea cup", image="blue")), (2, Item("c", "Tea cup"))]
    )
    assert contents.images is not None
    assert contents.images.has.tolist() == [True, True, False]
    likeness = contents.vectors.matrix @ contents.vectors.matrix.T
    np.testing.assert_allclose(np.diag(likeness), 1.0, atol=1e-5)
    assert likeness[0, 1] == pytest.approx(1 - IMAGE_WEIGHT, abs=1e-5)
    np.testing.assert_array_equal(contents.texts.matrix[0], contents.texts.matrix[1])


def test_a_successor_takes_in_what_changes_while_it_gets_ready(store: VectorStore) -> None:
    contents = Contents(reading(store))
    contents.fill([(0, Item("a", "Tea pot")), (1, Item("b", "Tea cup"))])
    later = contents.succeeded_by(with_pictures(store))
    contents.change(0, Item("a", "Tea pot", image="red"))
    later.get_ready([(0, Item("a", "Tea pot")), (1, Item("b", "Tea cup"))])  # as it was before
    assert (later.waiting, later.letters, later.words) == (1, contents.letters, contents.words)
    settle(later)
    assert later.images is not None
    assert later.images.has.tolist() == [True, False]

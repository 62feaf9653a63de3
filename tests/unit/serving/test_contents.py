"""Vectors and letters follow the catalogue, also where it changes while something is being encoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.unit.shops import NOW, TEA

from endcap import wiring
from endcap.catalog.items import Item, ItemChange
from endcap.config import StateConfig
from endcap.encoders.cache import VectorStore
from endcap.serving.contents import Contents
from endcap.state.fold import State, apply
from endcap.types import Entry, FloatArray

DIM = wiring.text_encoder().dim


def encoded(*texts: str) -> FloatArray:
    return wiring.text_encoder().encode(texts)


def settle(contents: Contents) -> None:
    while contents.waiting:
        rows, texts = contents.take(2)
        contents.put(rows, contents.encode(texts))


@pytest.fixture
def contents(store: VectorStore) -> Contents:
    return Contents(store, DIM)


def test_a_change_waits_for_its_vector_and_has_its_letters_at_once(contents: Contents) -> None:
    contents.change(1, Item("cup", "Tea cup", brand="Leaf"))
    assert contents.waiting == 1
    assert contents.letters.search("cup")[1] > 0.5
    assert not contents.vectors.has.any()
    rows, texts = contents.take(10)
    assert (rows.tolist(), texts, contents.waiting) == ([1], ["Tea cup. Leaf"], 0)
    contents.put(rows, contents.encode(texts))
    assert contents.vectors.has.tolist() == [False, True]
    np.testing.assert_array_equal(contents.vectors.matrix[1], encoded("Tea cup. Leaf")[0])


def test_take_gives_the_oldest_first_and_no_more_than_asked(contents: Contents) -> None:
    for row, title in enumerate(("Tea pot", "Tea cup", "Desk lamp")):
        contents.change(row, Item(title, title))
    rows, texts = contents.take(2)
    assert (rows.tolist(), texts, contents.waiting) == ([0, 1], ["Tea pot", "Tea cup"], 1)
    assert rows.dtype == np.int32
    assert contents.take(2)[1] == ["Desk lamp"]
    assert contents.take(2)[0].size == 0


def test_two_changes_before_take_are_encoded_once(contents: Contents) -> None:
    contents.change(0, Item("a", "Tea pot"))
    contents.change(0, Item("a", "Desk lamp"))
    assert contents.take(10)[1] == ["Desk lamp"]
    assert contents.letters.search("tea pot").max() == 0.0


def test_an_item_that_is_gone_has_neither_letters_nor_a_vector(contents: Contents) -> None:
    contents.change(0, Item("a", "Tea pot"))
    settle(contents)
    contents.change(0, None)
    assert contents.letters.search("tea pot").max() == 0.0
    settle(contents)
    assert not contents.vectors.has.any()
    assert not contents.vectors.matrix.any()


def test_gone_while_being_encoded(contents: Contents) -> None:
    contents.change(0, Item("a", "Tea pot"))
    rows, texts = contents.take(10)
    contents.change(0, None)
    contents.put(rows, contents.encode(texts))  # what was under way comes in late
    assert contents.waiting == 1
    settle(contents)
    assert not contents.vectors.has.any()


def test_changed_again_while_being_encoded(contents: Contents) -> None:
    contents.change(0, Item("a", "Tea pot"))
    rows, texts = contents.take(10)
    contents.change(0, None)
    contents.change(0, Item("a", "Desk lamp"))
    contents.put(rows, contents.encode(texts))
    settle(contents)
    np.testing.assert_array_equal(contents.vectors.matrix[0], encoded("Desk lamp")[0])


def test_what_could_not_be_encoded_waits_again_unless_it_changed_meanwhile(contents: Contents) -> None:
    contents.change(0, Item("a", "Tea pot"))
    contents.change(1, Item("b", "Tea cup"))
    rows, texts = contents.take(10)
    contents.change(1, Item("b", "Desk lamp"))
    contents.give_back(rows, texts)
    assert sorted(contents.take(10)[1]) == ["Desk lamp", "Tea pot"]


def test_fill_takes_in_the_listed_items_as_single_changes_would(store: VectorStore) -> None:
    state = State(StateConfig())
    bodies = (*TEA, ItemChange("lamp", "delete"))
    for offset, body in enumerate(bodies, 1):
        apply(state, Entry(offset, NOW, body))
    whole, single = Contents(store, DIM), Contents(store, DIM)
    single.change(0, Item("pot", "overtaken"))
    for row, one in state.shop.listed_items():
        single.change(row, one)
    settle(single)
    whole.change(0, Item("pot", "overtaken"))  # waits, and is old when fill has been there
    whole.fill(state.shop)
    assert whole.waiting == 0
    np.testing.assert_array_equal(whole.vectors.matrix, single.vectors.matrix)
    assert whole.vectors.has.tolist() == [True, True, False, True, True]
    np.testing.assert_array_equal(whole.letters.search("tea clock"), single.letters.search("tea clock"))


def test_fill_encodes_only_what_is_not_stored_and_says_how_far_it_is(tmp_path: Path) -> None:
    state = State(StateConfig())
    for offset, body in enumerate(TEA, 1):
        apply(state, Entry(offset, NOW, body))
    seen: list[tuple[int, int]] = []
    for _ in range(2):
        fresh = VectorStore(tmp_path, wiring.text_encoder())
        Contents(fresh, DIM).fill(state.shop, lambda done, total: seen.append((done, total)))
    assert seen == [(5, 5)]  # the second time, everything lay on the disk


def test_fill_of_an_empty_shop(contents: Contents) -> None:
    contents.fill(State(StateConfig()).shop)
    assert (contents.waiting, len(contents.vectors), len(contents.letters)) == (0, 0, 0)

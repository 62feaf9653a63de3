"""One-hot attributes: what an item has, and that they follow the catalogue."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.shops import item

from endcap.catalog.items import Item, ItemChange, parse_change
from endcap.features.attributes import ItemAttributes, names_of
from endcap.features.joined import Joined
from endcap.state.shop import ShopState
from endcap.types import Vocabulary


def shop(*changes: ItemChange) -> ShopState:
    items = Vocabulary(change.item_id for change in changes)
    held = ShopState(items)
    held.grow(len(items))
    for change in changes:
        held.change(items.row(change.item_id), change)
    return held


def test_an_item_has_its_words_brand_steps_of_categories_price_band_and_plain_attributes() -> None:
    one = Item(
        "a", "Red Mug", brand="Leaf", categories=("Home > Kitchen",), price=20.0, sale_price=9.0,
        attributes={"size": "L", "sizes": ["L", "M"], "eco": True},
    )  # fmt: skip
    assert list(names_of(one)) == [
        "word:red", "word:mug", "brand:Leaf", "category:Home", "category:Home > Kitchen", "price:3",
        "attribute:size=L", "attribute:eco=True",
    ]  # fmt: skip


def test_rows_have_length_one_and_items_share_what_they_share() -> None:
    held = ItemAttributes(shop(item("a", "red mug"), item("b", "red lamp"), item("c", "green sofa")))
    rows = held.matrix.toarray()
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(rows @ rows.T, [[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]], atol=1e-6)


def test_a_change_is_seen_and_a_stock_is_none() -> None:
    held = shop(item("a", "red mug"), item("b", "red lamp"))
    attributes = ItemAttributes(held)
    before, first = attributes.version, attributes.matrix.toarray()
    held.change(0, parse_change("patch", {"item_id": "a", "in_stock": False}))
    assert attributes.version == before
    held.change(0, parse_change("patch", {"item_id": "a", "title": "red lamp"}))
    assert attributes.version > before
    after = attributes.matrix.toarray()
    np.testing.assert_array_equal(after[0], after[1])
    np.testing.assert_array_equal(after[1], first[1])
    held.change(1, ItemChange("b", "delete"))
    assert not attributes.matrix.toarray()[1].any()


def test_a_new_item_has_a_row() -> None:
    held = shop(item("a", "red mug"))
    attributes = ItemAttributes(held)
    assert attributes.matrix.shape == (1, 4_096)
    held.grow(3)
    held.change(2, item("c", "red mug"))
    rows = attributes.matrix.toarray()
    assert rows.shape == (3, 4_096)
    np.testing.assert_array_equal(rows[0], rows[2])
    assert not rows[1].any()


class Dense:
    """Two numbers an item."""

    dim, version = 2, 7

    def __init__(self, n: int) -> None:
        self.matrix = np.arange(2.0 * n, dtype=np.float32).reshape(n, 2)


def test_blocks_stand_side_by_side_the_dense_ones_first() -> None:
    sparse = ItemAttributes(shop(item("a", "red mug"), item("b", "red lamp")), columns=16)
    joined = Joined([sparse, Dense(3), sparse])
    whole = np.arange(32, dtype=np.int32)
    rows = joined.rows(np.array([1, 2, 5], np.int32), whole)
    assert rows.shape == (3, joined.width(whole)) == (3, 34)
    np.testing.assert_array_equal(rows[:, :2], [[2, 3], [4, 5], [0, 0]])
    np.testing.assert_array_equal(rows[0, 2:18], sparse.matrix.toarray()[1])
    np.testing.assert_array_equal(rows[0, 18:], rows[0, 2:18])
    assert not rows[1:, 2:].any()
    chosen = np.array([3, 16 + 3, 16 + 9], np.int32)
    np.testing.assert_array_equal(joined.rows(np.array([1], np.int32), chosen)[0, 2:], rows[0, 2:][chosen])
    assert joined.sparse(4).shape == (4, 32)
    assert Joined([Dense(3)]).sparse(4).shape == (4, 0)
    assert joined.known().tolist() == [True, True, True]
    assert len(joined) == 3


@pytest.mark.parametrize("block", [Dense(0), Dense(2)])
def test_an_item_that_no_block_knows_has_no_features(block: Dense) -> None:
    assert not Joined([block]).rows(np.array([9], np.int32), np.empty(0, np.int32)).any()

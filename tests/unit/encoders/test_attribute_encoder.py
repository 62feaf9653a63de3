"""Items are near by what is said of both."""

from __future__ import annotations

import numpy as np
import pytest

from endcap.catalog.items import Item
from endcap.encoders.attributes import AttributeEncoder
from endcap.protocols import Encoder


def near(one: Item, other: Item) -> float:
    encoder: Encoder[Item] = AttributeEncoder(4_096)
    first, second = encoder.encode([one, other])
    return float(first @ second)


MUG = Item("1", "mug", brand="Acme", categories=("Home > Kitchen",), price=9.0, attributes={"colour": "Red"})


@pytest.mark.parametrize(
    ("other", "shared", "said"),
    [
        (Item("2", "a cup", brand="ACME"), 1, 1),
        (Item("2", "a cup", categories=("home > garden",)), 1, 2),
        (Item("2", "a cup", categories=("Home > Kitchen > Cups",)), 2, 3),
        (Item("2", "a cup", price=50.0, sale_price=10.0), 1, 1),
        (Item("2", "a cup", attributes={"colour": "red", "size": 3}), 1, 2),
        (Item("2", "a cup", brand="Other", price=90.0, attributes={"colour": "blue"}), 0, 3),
    ],
    ids=["brand", "category above", "category below", "price band", "attribute", "nothing"],
)
def test_the_cosine_is_the_share_of_what_both_have(other: Item, shared: int, said: int) -> None:
    assert near(MUG, other) == pytest.approx(shared / np.sqrt(5 * said), abs=1e-6)  # of MUG, 5 things are said


def test_an_item_of_which_nothing_is_said_is_zero() -> None:
    encoder = AttributeEncoder()
    found = encoder.encode([Item("1", "mug", price=0.0, attributes={"sizes": [1, 2]}), MUG])
    assert found.shape == (2, encoder.dim)
    assert found.dtype == np.float32
    assert not found[0].any()
    assert np.linalg.norm(found[1]) == pytest.approx(1.0, abs=1e-6)
    assert encoder.encode([]).shape == (0, encoder.dim)

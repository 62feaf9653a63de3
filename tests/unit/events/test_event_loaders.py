"""Rows of a table as events' fields."""

from __future__ import annotations

import pytest

from endcap.errors import InvalidFieldError
from endcap.events.loaders import EVENT_COLUMNS, event_fields
from endcap.events.schema import Event, Line, parse_event
from endcap.events.times import time_reader

NOW = 1_795_512_600_000
BASE = {"type": "view", "user_id": "7", "item_id": "a", "time": "2011-01-01"}


def read(**changes: object) -> Event:
    return read_as(None, **changes)


def read_as(default_type: str | None, /, **changes: object) -> Event:
    row = {name: value for name, value in {**BASE, **changes}.items() if value is not None}
    return parse_event(event_fields(row, time_reader([]), default_type), NOW)


def test_texts_of_a_csv_become_what_the_fields_hold() -> None:
    event = read(rating="4.5", consent="no", value="12.50")
    assert (event.rating, event.consent, event.value, event.time) == (4.5, False, 12.5, 1_293_840_000_000)


def test_a_quantity_or_price_makes_a_line() -> None:
    assert read(quantity="3", price="2.5").items == (Line("a", 3.0, 2.5),)
    assert read(price=2.5).items == (Line("a", 1.0, 2.5),)
    assert read(quantity=3).item_id is None


def test_lines_may_be_json_in_a_text() -> None:
    assert read(items='[{"item_id": "b", "quantity": 2}]').items == (Line("b", 2.0, None),)
    with pytest.raises(InvalidFieldError, match="items is '\\[': a text must hold a JSON list"):
        read(items="[")


@pytest.mark.parametrize(("given", "type_"), [("addtocart", "cart"), ("Transaction", "purchase"), ("VIEW", "view")])
def test_types_of_other_systems_are_understood(given: str, type_: str) -> None:
    assert read(type=given).type == type_


def test_the_default_type_is_for_rows_that_name_none() -> None:
    assert read_as("click", type=None).type == "click"
    assert read_as("click", type="cart").type == "cart"


def test_an_id_that_a_table_keeps_as_a_float_is_its_digits() -> None:
    assert read(user_id=17850.0).user_id == "17850"
    assert read(user_id=17850).user_id == "17850"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("price", "cheap", r"price is 'cheap': it must be a number such as 12\.50"),
        ("price", "nan", r"price must be a finite number.*nan"),
        ("quantity", "0", r"quantity is 0: it must be above 0"),
        ("consent", "maybe", r"consent must be true or false, not 'maybe'"),
        ("user_id", 1.5, r"user_id must be a string"),
        ("type", "zap", r"type is 'zap': use one of"),
        ("time", None, r"the row has no time: an imported event needs the moment it happened"),
    ],
)
def test_a_wrong_field_is_named(field: str, value: object, message: str) -> None:
    with pytest.raises(InvalidFieldError, match=message) as caught:
        read(**{field: value})
    assert caught.value.field == field


def test_every_name_means_one_field() -> None:
    names = [name for names in EVENT_COLUMNS.values() for name in names]
    assert len(names) == len(set(names))
    assert set(Event.__dataclass_fields__) - {"listing"} <= set(EVENT_COLUMNS), "a listing is found, never sent"

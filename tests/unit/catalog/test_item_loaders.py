"""Rows of a table as items' fields, Google Merchant's among them."""

from __future__ import annotations

import pytest

from endcap.catalog.items import Item, parse_change
from endcap.catalog.loaders import ITEM_COLUMNS, item_fields
from endcap.errors import InvalidFieldError


def read(**row: object) -> Item:
    return read_with({}, **row)


def read_with(extra: dict[str, object], /, **row: object) -> Item:
    item = parse_change("put", item_fields({"item_id": "a", "title": "Mug", **row}, extra)).applied_to(None)
    assert item is not None
    return item


@pytest.mark.parametrize("text", ["12.50 GBP", "12.5gbp", "GBP 12.50", " 12.50  GBP "])
def test_a_price_with_its_currency(text: str) -> None:
    item = read(price=text)
    assert (item.price, item.currency) == (12.5, "GBP")


def test_a_currency_column_wins() -> None:
    assert read(price="12.50 GBP", currency="EUR").currency == "EUR"


def test_a_sale_price_is_read_like_a_price() -> None:
    assert read(price="12.50", sale_price="9.99 GBP").sale_price == 9.99


@pytest.mark.parametrize(
    ("given", "in_stock"),
    [
        ("in stock", True),
        ("in_stock", True),
        ("https://schema.org/InStock", True),
        ("preorder", True),
        (1, True),
        ("out of stock", False),
        ("Out_Of_Stock", False),
        ("0", False),
        (False, False),
    ],
)
def test_availability(given: object, in_stock: bool) -> None:
    assert read(in_stock=given).in_stock is in_stock


@pytest.mark.parametrize("given", ["Home > Mugs", ["Home > Mugs"], '["Home > Mugs"]'])
def test_categories(given: object) -> None:
    assert read(categories=given).categories == ("Home > Mugs",)


def test_several_categories_in_one_text() -> None:
    assert read(categories="Home > Mugs | Gifts").categories == ("Home > Mugs", "Gifts")


def test_columns_without_a_field_become_attributes() -> None:
    assert read_with({"color": "red", "size": "L"}, attributes='{"size": "M"}').attributes == {
        "color": "red",
        "size": "M",
    }


def test_an_id_that_a_table_keeps_as_a_float_is_its_digits() -> None:
    assert read(group_id=12.0).group_id == "12"


def test_moments_may_be_digits() -> None:
    assert read(expires="1795512600000").expires == 1_795_512_600_000
    assert read(available_from="2026-11-24T09:30:00Z").available_from == 1_795_512_600_000


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("price", "12,50", r"price is '12,50': give it as 12\.50 or as 12\.50 GBP"),
        ("price", "USD 1 GBP", r"price is 'USD 1 GBP': give it as"),
        ("price", "nan", r"price must be a finite number"),
        ("price", float("nan"), r"price must be a finite number"),
        ("price", "-1", r"price is -1: it must not be negative"),
        ("in_stock", "perhaps", r"in_stock is 'perhaps': give true, false, 'in stock' or 'out of stock'"),
        ("attributes", "{", r"attributes is '\{': a text must hold JSON"),
        ("categories", "[", r"categories is '\[': a text must hold JSON"),
    ],
)
def test_a_wrong_field_is_named(field: str, value: object, message: str) -> None:
    with pytest.raises(InvalidFieldError, match=message) as caught:
        read(**{field: value})
    assert caught.value.field == field


def test_every_name_means_one_field() -> None:
    names = [name for names in ITEM_COLUMNS.values() for name in names]
    assert len(names) == len(set(names))
    assert set(Item.__dataclass_fields__) == set(ITEM_COLUMNS)

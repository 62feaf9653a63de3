"""Columns found by name, or given."""

from __future__ import annotations

import pytest

from endcap.catalog.loaders import ITEM_COLUMNS
from endcap.errors import DataError
from endcap.events.loaders import EVENT_COLUMNS
from endcap.pipelines.mapping import match_columns, need, parse_map


@pytest.mark.parametrize("name", ["user_id", "userId", "USER ID", "CustomerID", "customer_id", "uid"])
def test_a_user_is_found_under_many_names(name: str) -> None:
    assert match_columns([name], EVENT_COLUMNS, {}, "f").found == {"user_id": name}


def test_google_merchant_columns_are_found() -> None:
    seen = ["id", "title", "description", "link", "image_link", "availability", "price", "sale_price", "brand"]
    seen += ["product_type", "google_product_category", "item_group_id", "expiration_date", "color"]
    columns = match_columns(seen, ITEM_COLUMNS, {}, "f")
    assert columns.found == {
        "item_id": "id",
        "title": "title",
        "description": "description",
        "brand": "brand",
        "categories": "product_type",
        "price": "price",
        "sale_price": "sale_price",
        "in_stock": "availability",
        "url": "link",
        "image": "image_link",
        "group_id": "item_group_id",
        "expires": "expiration_date",
    }
    assert columns.others == ("google_product_category", "color")


def test_the_better_name_wins_and_the_other_is_left() -> None:
    columns = match_columns(["customer", "user_id"], EVENT_COLUMNS, {}, "f")
    assert columns.found == {"user_id": "user_id"}
    assert columns.others == ("customer",)


def test_what_is_given_comes_first_and_may_be_used_twice() -> None:
    given = {"visitor_id": "s", "session_id": "s", "item_id": "x"}
    columns = match_columns(["s", "x", "item_id"], EVENT_COLUMNS, given, "f")
    assert columns.found == given
    assert columns.others == ("item_id",)


def test_a_given_name_that_does_not_exist_is_refused() -> None:
    with pytest.raises(DataError, match=r"--map user=a: there is no field 'user'; there are event_id, type, user_id"):
        match_columns(["a"], EVENT_COLUMNS, {"user": "a"}, "f")
    with pytest.raises(DataError, match=r"--map user_id=z: f\.csv has no column 'z'; it has a, b"):
        match_columns(["a", "b"], EVENT_COLUMNS, {"user_id": "z"}, "f.csv")


def test_what_is_needed_and_what_was_seen_is_said() -> None:
    seen = ["a", "time"]
    columns = match_columns(seen, EVENT_COLUMNS, {}, "f.csv")
    with pytest.raises(
        DataError, match=r"f\.csv has no column for type, user_id or visitor_id; it has a, time; .*; or x"
    ):
        need(columns, seen, [("type",), ("time",), ("user_id", "visitor_id")], "f.csv", "; or x")


def test_a_wide_file_is_not_listed_whole() -> None:
    seen = [f"column{i}" for i in range(40)]
    with pytest.raises(DataError, match=r"column29 and 10 more"):
        need(match_columns(seen, EVENT_COLUMNS, {}, "f"), seen, [("time",)], "f")


def test_pairs_are_read_and_others_refused() -> None:
    assert parse_map(["user_id=Customer ID", "time=when"]) == {"user_id": "Customer ID", "time": "when"}
    for pair in ("user_id", "=a", "user_id="):
        with pytest.raises(DataError, match=rf"--map {pair}: write our=theirs"):
            parse_map([pair])

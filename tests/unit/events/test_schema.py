"""Events from outside: each field, each refusal."""

from __future__ import annotations

import pytest

from endcap.errors import InvalidFieldError
from endcap.events.schema import EVENT_TYPES, MAX_LINES, TYPE_CODES, Event, Line, parse_event

NOW = 1_764_000_000_123
VIEW = {"type": "view", "visitor_id": "v"}


def test_reads_every_field() -> None:
    fields = {
        "event_id": "e",
        "type": "purchase",
        "user_id": 17850,
        "visitor_id": "v",
        "session_id": "s",
        "item_id": "i",
        "items": [{"item_id": "a", "quantity": 2, "price": 0.5}, {"item_id": 7}],
        "value": 3,
        "currency": "gbp",
        "query": "tea",
        "rating": 4.5,
        "text": "nice",
        "request_id": "r",
        "consent": False,
        "time": "2025-11-24T16:00:00.123Z",
    }
    assert {*fields, "listing"} == Event.__dataclass_fields__.keys(), "a listing is found, never sent"
    assert parse_event(fields, NOW) == Event(
        "purchase",
        NOW,
        "e",
        "17850",
        "v",
        "s",
        "i",
        (Line("a", 2.0, 0.5), Line("7", 1.0, None)),
        3.0,
        "GBP",
        "tea",
        4.5,
        "nice",
        "r",
        False,
    )


def test_null_means_absent_and_the_time_is_when_it_came_in() -> None:
    nulls = dict.fromkeys(Event.__dataclass_fields__.keys() - {"listing"})
    assert parse_event(nulls | VIEW, NOW) == Event("view", NOW, visitor_id="v")
    line = {"item_id": "a", "quantity": None, "price": None}
    assert parse_event(VIEW | {"items": (line,)}, NOW).items == (Line("a"),)


def test_nobody_says_of_which_list_an_event_is_but_by_its_request_id() -> None:
    with pytest.raises(InvalidFieldError, match="unknown field 'listing'"):
        parse_event(VIEW | {"listing": ["for-you", "m1", NOW, [1]]}, NOW)


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_each_type_is_accepted(kind: str) -> None:
    assert parse_event({"type": kind, "user_id": "u"}, NOW).type == kind


def test_the_code_of_a_type_never_changes() -> None:
    assert [TYPE_CODES[name] for name in EVENT_TYPES] == list(range(15))
    assert EVENT_TYPES[:3] == ("impression", "click", "view")


def test_lines_are_the_items_or_the_item() -> None:
    assert Event("view", NOW).lines() == ()
    assert Event("view", NOW, item_id="i").lines() == (Line("i", 1.0, None),)
    assert Event("cart", NOW, item_id="i", items=(Line("a", 2.0),)).lines() == (Line("a", 2.0),)


@pytest.mark.parametrize(
    ("change", "field", "match"),
    [
        ({"color": 1}, "color", "unknown field 'color': an event has consent, currency, event_id, item_id, "),
        ({"x" * 500: 1}, "x" * 500, "unknown field 'x{79}: an event has"),
        ({"type": None}, "type", "type is None: use one of impression, click, view, cart, "),
        ({"type": "look"}, "type", "type is 'look': use one of"),
        ({"type": ["view"]}, "type", r"type is \['view'\]: use one of"),
        ({"type": "x" * 500}, "type", "type is 'x{79}: use one of"),
        ({"visitor_id": None}, "user_id", "user_id and visitor_id are both missing: give at least one"),
        ({"visitor_id": ""}, "visitor_id", "visitor_id must be a string of 1 to 256 characters, not ''"),
        ({"event_id": 1.5}, "event_id", "event_id must be a string of 1 to 256 characters, not 1.5"),
        ({"session_id": []}, "session_id", r"session_id must be a string of 1 to 256 characters, not \[\]"),
        ({"item_id": True}, "item_id", "item_id must be a string of 1 to 256 characters, not True"),
        ({"request_id": "r" * 257}, "request_id", "request_id must be a string of 1 to 256 characters"),
        ({"value": "3"}, "value", "value must be a finite number of at most"),
        ({"rating": float("nan")}, "rating", "rating must be a finite number of at most"),
        ({"query": 5}, "query", "query must be a string of at most 20000 characters"),
        ({"text": "x" * 20_001}, "text", "text must be a string of at most 20000 characters"),
        ({"currency": 5}, "currency", "currency is 5: give the code of three letters, such as EUR"),
        ({"consent": "no"}, "consent", "consent must be true or false, not 'no'"),
        ({"time": "2099-01-01"}, "time", "time is '2099-01-01': that is more than a day in the future"),
        ({"time": -5}, "time", "time is -5: it must not be before 1970"),
        ({"time": "now"}, "time", "time is 'now': give RFC 3339"),
        ({"items": "a"}, "items", "items must be a list of at most 1000 lines"),
        ({"items": [{"item_id": "a"}] * (MAX_LINES + 1)}, "items", "items must be a list of at most 1000 lines"),
        ({"items": ["a"]}, "items", "a line of items is 'a': it needs an item_id"),
        ({"items": [{"price": 1}]}, "items", r"a line of items is \{'price': 1\}: it needs an item_id"),
        ({"items": [{"item_id": None}]}, "item_id", "item_id must be a string of 1 to 256 characters, not None"),
        (
            {"items": [{"item_id": "a", "qty": 3}]},
            "items",
            "unknown field 'qty' in items: a line has item_id, quantity",
        ),
        ({"items": [{"item_id": "a", "quantity": 0}]}, "quantity", "quantity is 0: it must be above 0; send a return"),
        (
            {"items": [{"item_id": "a", "quantity": -2}]},
            "quantity",
            "quantity is -2: it must be above 0; send a return",
        ),
        ({"items": [{"item_id": "a", "quantity": "2"}]}, "quantity", "quantity must be a finite number"),
        ({"items": [{"item_id": "a", "price": -0.5}]}, "price", "price is -0.5: it must not be negative"),
        ({"items": [{"item_id": "a", "price": "1"}]}, "price", "price must be a finite number"),
    ],
)
def test_each_refusal_names_the_field(change: dict[str, object], field: str, match: str) -> None:
    with pytest.raises(InvalidFieldError, match=f"^{match}") as caught:
        parse_event({**VIEW, **change}, NOW)
    assert caught.value.field == field


def test_a_thousand_lines_are_accepted() -> None:
    assert len(parse_event(VIEW | {"items": [{"item_id": "a"}] * MAX_LINES}, NOW).items) == 1_000


@pytest.mark.parametrize("name", ["served/r1", "erasure/1"])
def test_no_event_takes_the_key_of_one_of_the_logs_own_entries(name: str) -> None:
    with pytest.raises(InvalidFieldError, match="event_id begins with served/ or erasure/: Endcap's own entries do"):
        parse_event(VIEW | {"event_id": name}, NOW)
    assert parse_event(VIEW | {"event_id": f"my-{name}"}, NOW).event_id == f"my-{name}"

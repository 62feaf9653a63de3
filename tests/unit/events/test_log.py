"""Bodies to records and back."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endcap.backends.log.sqlite import SqliteLog
from endcap.catalog.items import ItemChange, parse_change
from endcap.catalog.rules import Rule, RuleChange
from endcap.errors import InvalidFieldError
from endcap.events.log import entries, to_entry, to_record
from endcap.events.schema import ANOTHERS_LIST, EVENT_TYPES, UNKNOWN_LIST, Event, Line, Listing
from endcap.events.served import Served, Shown, Tally
from endcap.types import DAMAGED, Activation, Record, Unreadable

NOW = 1_764_000_000_123
EVERYTHING = Event(
    "purchase",
    NOW,
    "e-1",
    "u",
    "v",
    "s",
    "i",
    (Line("a", 2.0, 0.1), Line("b")),
    1.5,
    "GBP",
    "q 茶",
    4.0,
    "t",
    "r",
    False,
    Listing("for-you", "m1", NOW - 5, (2, 0), 3),
)
DEMO = Event(
    "purchase",
    NOW,
    "536365-0001",
    user_id="17850",
    session_id="536365",
    items=(Line("85123A", 6.0, 2.55),),
    currency="GBP",
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
NUMBERS = st.floats(-1e15, 1e15)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=4,
)
EVENTS = st.builds(
    Event,
    type=st.sampled_from(EVENT_TYPES),
    time=st.integers(0, 2**53),
    event_id=st.none() | TEXTS,
    user_id=st.none() | TEXTS,
    visitor_id=st.none() | TEXTS,
    session_id=st.none() | TEXTS,
    item_id=st.none() | TEXTS,
    items=st.lists(st.builds(Line, TEXTS, NUMBERS, st.none() | NUMBERS), max_size=3).map(tuple),
    value=st.none() | NUMBERS,
    currency=st.none() | TEXTS,
    query=st.none() | TEXTS,
    rating=st.none() | NUMBERS,
    text=st.none() | TEXTS,
    request_id=st.none() | TEXTS,
    consent=st.none() | st.booleans(),
    listing=st.none()
    | st.sampled_from([UNKNOWN_LIST, ANOTHERS_LIST])
    | st.builds(
        Listing,
        TEXTS,
        TEXTS,
        st.integers(0, 2**53),
        st.lists(st.integers(0, 1_000), max_size=3).map(tuple),
        st.integers(0, 9),
    ),
)


@given(EVENTS)
def test_an_event_comes_back_equal(event: Event) -> None:
    record = to_record(event)
    assert (record.kind, record.time, record.key) == ("event", event.time, event.event_id)
    entry = to_entry(7, record)
    assert (entry.offset, entry.time, entry.body) == (7, event.time, event)


@pytest.mark.parametrize("name", Event.__dataclass_fields__)
def test_each_field_of_an_event_is_kept(name: str) -> None:
    assert getattr(to_entry(1, to_record(EVERYTHING)).body, name) == getattr(EVERYTHING, name)
    assert getattr(EVERYTHING, name) not in (None, ())


@given(st.sampled_from(["put", "patch"]), st.dictionaries(TEXTS, VALUES, max_size=4), st.lists(TEXTS, max_size=3))
def test_an_item_change_comes_back_equal(op: str, attributes: dict[str, object], categories: list[str]) -> None:
    fields = {"item_id": "i", "title": "t", "price": 3.0, "in_stock": False, "categories": categories}
    change = parse_change("put" if op == "put" else "patch", {**fields, "attributes": attributes})
    record = to_record(change, NOW)
    assert (record.kind, record.time, record.key) == ("item", NOW, None)
    body = to_entry(1, record).body
    assert isinstance(body, ItemChange)
    assert body == change
    assert body.applied_to(None) == change.applied_to(None)


def test_a_cleared_field_and_an_end_come_back() -> None:
    patch = parse_change("patch", {"item_id": "i", "brand": None, "categories": None})
    end = ItemChange("i", "delete")
    assert to_entry(1, to_record(patch, NOW)).body == patch
    assert to_entry(1, to_record(end, NOW)).body == end


def test_a_rule_and_its_end_come_back() -> None:
    rule = Rule("r", "cap", "price > 1", "popular", "review", 3.0, "brand", 1_000, 2_000)
    for change in (RuleChange("r", rule), RuleChange("r", Rule("r", "exclude", "true")), RuleChange("r", None)):
        record = to_record(change, NOW)
        assert (record.kind, record.time, record.key) == ("rule", NOW, None)
        assert to_entry(1, record).body == change


def test_an_activation_comes_back() -> None:
    record = to_record(Activation("2026-01-01-a"), NOW)
    assert record == Record("activation", NOW, b'{"version":"2026-01-01-a"}')
    assert to_entry(3, record).body == Activation("2026-01-01-a")


SHOWN = Served("r1", NOW, 12, "m1", (3, 1), {"recipe": "for-you"})


def test_a_served_list_says_what_was_left_to_chance_and_nothing_where_nothing_was() -> None:
    assert set(json.loads(to_record(SHOWN).data)) == {"o", "m", "r", "q"}
    drawn = replace(SHOWN, page_row=2, experiment="checkout/b", seed=2**60, propensities=(0.75, 0.1))
    for body in (SHOWN, replace(SHOWN, settled=False), drawn):
        record = to_record(body)
        assert (record.kind, record.time, record.key) == ("served", NOW, "served/r1")
        assert to_entry(1, record).body == body


def test_a_served_list_of_an_earlier_version_is_read() -> None:
    earlier = Record("served", NOW, b'{"o":12,"m":"m1","r":[3,1],"q":{"recipe":"for-you"},"s":false}', "served/r1")
    assert to_entry(1, earlier).body == replace(SHOWN, settled=False)


def test_a_tally_comes_back() -> None:
    tally = Tally(9, (Shown(20_000, "similar", "m1", 0, 3, 30), Shown(20_000, "for-you", "m1", 1, 1, 8)))
    record = to_record(tally, NOW)
    assert (record.kind, record.time, record.key) == ("tally", NOW, None)
    assert to_entry(1, record).body == tally


def test_an_event_keeps_its_own_time() -> None:
    assert to_record(DEMO, NOW + 5).time == NOW


@pytest.mark.parametrize("body", [ItemChange("i", "delete"), Activation("v")])
def test_what_has_no_time_of_its_own_needs_one(body: ItemChange | Activation) -> None:
    with pytest.raises(
        InvalidFieldError, match=f"{type(body).__name__} has no time of its own: give the moment it came"
    ):
        to_record(body)


def test_what_is_not_set_takes_no_room() -> None:
    assert json.loads(to_record(DEMO).data) == {
        "type": "purchase",
        "user_id": "17850",
        "session_id": "536365",
        "items": [["85123A", 6.0, 2.55]],
        "currency": "GBP",
    }


@pytest.mark.parametrize(
    ("record", "match"),
    [
        (Record("event", 1, b"{"), r"log entry 9 \('event'\) cannot be read .*restore the log from a backup"),
        (Record("event", 1, b"{}"), r"missing required field `type`"),
        (Record("event", 1, b'{"type":1}'), r"Expected `str`, got `int`"),
        (Record("event", 1, b'{"type":"view","items":[["a"]]}'), r"Expected `array` of length 3"),
        (Record("item", 1, b'{"item_id":"i","op":"burn"}'), r"Invalid enum value 'burn'"),
        (Record("activation", 1, b"\xff"), r"cannot be read"),
        (Record("erasure", 1, b"{}", "erasure/x"), r"log entry 9 \('erasure'\) cannot be read .*invalid literal"),
        (Record(DAMAGED, 1, b"{}"), r"log entry 9 is damaged \(its checksum does not fit\): see that the"),
        (
            Record("rule", 1, b'{"rule_id":"r","fields":{"id":"r","colour":1}}'),
            r"a rule with unknown or missing fields",
        ),
        (Record("rule", 1, b'{"rule_id":"r","fields":{"id":"r"}}'), r"a rule with unknown or missing fields"),
        (Record("item", 1, b'{"item_id":"i","op":"put","fields":' + b'{"a":' * 9_000), r"recursion"),
        (
            Record("experiment", 1, b"{}"),
            r"'experiment'\) cannot be read \(unknown kind.*or start the version of Endcap that wrote",
        ),
    ],
)
def test_a_record_that_cannot_be_read_is_named(record: Record, match: str) -> None:
    body = to_entry(9, record).body
    assert isinstance(body, Unreadable)
    assert re.search(match, body.reason), body.reason


def test_entries_follow_the_log(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "endcap.db")
    bodies = [replace(DEMO, event_id=f"e-{i}") for i in range(3)]
    log.append([to_record(body) for body in bodies])
    log.append([to_record(Activation("v"), NOW)])
    assert [(e.offset, e.time, e.body) for e in entries(log, after=1)] == [
        (2, NOW, bodies[1]),
        (3, NOW, bodies[2]),
        (4, NOW, Activation("v")),
    ]
    log.close()

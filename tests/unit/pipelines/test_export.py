"""All that is held of a person, by the API's names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.unit.shops import NOW, item

from endcap.backends.log.sqlite import SqliteLog
from endcap.config import StateConfig
from endcap.events.log import Body, entries, to_record
from endcap.events.schema import Event, Line, parse_event
from endcap.events.served import Served
from endcap.pipelines.export import Export, Past, export
from endcap.pipelines.person import Person
from endcap.state.batch import apply_batch
from endcap.state.fold import State
from endcap.types import Record, Rewrite


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    opened = SqliteLog(tmp_path / "log.db")
    yield opened
    opened.close()


def exported(log: SqliteLog, person: Person, *bodies: Body) -> Export:
    log.append([to_record(body, NOW) for body in bodies])
    state = State(StateConfig())
    apply_batch(state, entries(log))
    return export(log, state, person, NOW)


def test_events_lists_and_profile(log: SqliteLog) -> None:
    bought = Event("purchase", NOW, "e2", "ann", items=(Line("pot", 2.0, 20.0),), value=40.0, currency="EUR")
    hidden = Event("dismiss", NOW, "e3", "ann", item_id="lamp")
    shown = Served("r1", NOW, 6, "m1", (1, 0), {"recipe": "for-you", "user_id": "ann"})
    found = exported(
        log,
        Person(user_id="ann"),
        item("cup", "Tea cup", brand="Leaf"),
        item("pot", "Tea pot"),
        Event("view", NOW, "e0", visitor_id="v", item_id="cup"),
        Event("identify", NOW, "e1", "ann", "v"),
        bought,
        hidden,
        shown,
        Event("view", NOW, "e9", "bo", item_id="lamp"),
    )
    assert (found.user_id, found.visitor_id, found.visitor_ids, found.time) == ("ann", None, ["v"], NOW)
    assert [event["event_id"] for event in found.events] == ["e0", "e1", "e2", "e3"]
    assert found.events[2] == {
        "type": "purchase",
        "time": NOW,
        "event_id": "e2",
        "user_id": "ann",
        "items": ({"item_id": "pot", "quantity": 2.0, "price": 20.0},),
        "value": 40.0,
        "currency": "EUR",
    }
    assert found.served == [
        {
            "request_id": "r1",
            "time": NOW,
            "model": "m1",
            "asked": {"recipe": "for-you", "user_id": "ann"},
            "item_ids": ["pot", "cup"],
        }
    ]
    [profile] = found.profiles
    assert (profile.user_id, profile.visitor_id, profile.last_time) == ("ann", None, NOW)
    assert profile.counts == {"view": 1, "identify": 1, "purchase": 1, "dismiss": 1}
    assert profile.history == [Past("view", "cup", NOW, 1.0), Past("purchase", "pot", NOW, 2.0)]
    assert profile.dismissed == ["lamp"]
    assert profile.session == ["cup", "pot"]
    assert [one.name for one in profile.interests["brand"]] == ["Leaf"]


def test_an_exported_event_can_be_sent_again(log: SqliteLog) -> None:
    sent = parse_event({"type": "review", "user_id": "ann", "text": "nice", "rating": 4, "item_id": "cup"}, NOW)
    [event] = exported(log, Person(user_id="ann"), sent).events
    assert parse_event(msgspec.json.decode(msgspec.json.encode(event)), NOW) == sent


def test_a_visitor_who_is_theirs_without_a_login_has_a_profile_of_its_own(log: SqliteLog) -> None:
    found = exported(
        log,
        Person(user_id="ann"),
        Event("view", NOW, visitor_id="v", item_id="cup"),
        Event("view", NOW, user_id="ann", visitor_id="v", item_id="pot"),
    )
    assert [(one.user_id, one.visitor_id) for one in found.profiles] == [("ann", None), (None, "v")]
    alone = exported(log, Person(visitor_id="v"))
    assert [(one.user_id, one.visitor_id) for one in alone.profiles] == [(None, "v")]
    assert [event["item_id"] for event in alone.events] == ["cup"]


def test_nothing_is_held_of_an_unknown_person(log: SqliteLog) -> None:
    found = exported(log, Person(user_id="cy"), Event("view", NOW, user_id="ann", item_id="cup"))
    assert (found.events, found.served, found.profiles, found.visitor_ids) == ([], [], [], [])


def test_damaged_entries_may_be_theirs(log: SqliteLog) -> None:
    log.append([to_record(Event("view", NOW, None, "bo", item_id="cup"), NOW)])
    log.rewrite(0, lambda _: Rewrite({1: Record("event", NOW, b"{", checked=False)}))
    assert exported(log, Person(user_id="ann")).damaged == [1]

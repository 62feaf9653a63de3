"""Which list an event names: found by its request id, and nobody's but its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from endcap.backends.log.sqlite import SqliteLog
from endcap.config import StateConfig
from endcap.events.log import Body, to_record
from endcap.events.schema import ANOTHERS_LIST, UNKNOWN_LIST, Event, Line, Listing
from endcap.events.served import Served
from endcap.serving.listings import FEW_LISTS, find_in, lists_of, named_lists, with_listings
from endcap.state.fold import State, apply
from endcap.types import Activation, Entry, Record

NOW = 1_764_000_000_000


@pytest.fixture
def state() -> State:
    """Items a, b, c at rows 0 to 2; the visitor v1 is the user ann."""
    state = State(StateConfig())
    events = [Event("view", NOW, None, None, "v1", item_id=item) for item in "abc"]
    for offset, event in enumerate((*events, Event("identify", NOW, None, "ann", "v1")), 1):
        apply(state, Entry(offset, event.time, event))
    return state


def served(**asked: object) -> Served:
    return Served("r1", NOW, 1, "m1", (2, 0), {"recipe": "similar", **asked}, page_row=3)


def listing(state: State, event: Event, shown: Served | None) -> Listing | str | None:
    (found,) = with_listings([event], {"r1": shown}, state)
    assert isinstance(found, Event)
    return found.listing


def test_the_places_of_the_lines(state: State) -> None:
    event = Event("cart", NOW, visitor_id="v9", items=tuple(map(Line, ("a", "b", "c", "new"))), request_id="r1")
    assert listing(state, event, served()) == Listing("similar", "m1", NOW, (2, 0, 1, 0), 3)
    assert listing(state, Event("impression", NOW, visitor_id="v9", request_id="r1"), served()) == Listing(
        "similar", "m1", NOW, (), 3
    )


@pytest.mark.parametrize(
    ("asked", "who", "may"),
    [
        ({}, {"visitor_id": "v9"}, True),
        ({"visitor_id": "v9"}, {"visitor_id": "v9"}, True),
        ({"visitor_id": "v9"}, {"visitor_id": "v9", "user_id": "bo"}, True),
        ({"visitor_id": "v9"}, {"user_id": "bo"}, False),
        ({"visitor_id": "v9"}, {"visitor_id": "v8"}, False),
        ({"user_id": "ann"}, {"visitor_id": "v1"}, True),
        ({"visitor_id": "v1"}, {"user_id": "ann"}, True),
        ({"user_id": "ann"}, {"user_id": "bo"}, False),
        ({"user_id": "v9"}, {"visitor_id": "v9"}, False),
    ],
)
def test_a_list_is_named_by_whom_it_was_served_to(
    state: State, asked: dict[str, object], who: dict[str, str], may: bool
) -> None:
    found = listing(state, Event("click", NOW, item_id="a", request_id="r1", **who), served(**asked))  # type: ignore[arg-type]
    assert found == (Listing("similar", "m1", NOW, (2,), 3) if may else ANOTHERS_LIST)


def test_a_list_that_is_not_known(state: State) -> None:
    assert listing(state, Event("click", NOW, user_id="ann", item_id="a", request_id="r1"), None) == UNKNOWN_LIST


def test_only_events_that_name_a_list_are_looked_at(state: State) -> None:
    private = Event("view", NOW, user_id="ann", request_id="r1", consent=False)
    bodies: list[Body] = [Event("view", NOW, user_id="ann"), private, Activation("m1"), served()]
    assert named_lists([*bodies, Event("view", NOW, user_id="ann", request_id="r7")]) == {"r7"}
    assert with_listings(bodies, {}, state) == bodies


def test_the_log_is_asked_for_lists_alone(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db")
    log.append([to_record(served()), to_record(Event("view", NOW, "r2", "ann"))])
    assert (find_in(log, "r1"), find_in(log, "r2")) == (served(), None)
    log.close()


@pytest.mark.parametrize("others", [1, FEW_LISTS + 1])
def test_a_list_that_reaches_the_log_while_others_are_looked_up_is_found(tmp_path: Path, others: int) -> None:
    shown, waiting = served(), {"r1": served()}

    class Meanwhile(SqliteLog):
        def find(self, key: str) -> tuple[int, Record] | None:
            waiting.clear()
            return super().find(key)

    log = Meanwhile(tmp_path / "log.db")
    names = {"r1", *(f"other{n}" for n in range(others))}
    found = asyncio.run(lists_of(log, names, waiting))
    assert {name: one for name, one in found.items() if one is not None} == {"r1": shown}
    assert found.keys() == names
    log.close()

"""Random streams of everything a log may hold, for properties of the fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import strategies as st

from endcap.catalog.items import ItemChange
from endcap.catalog.rules import Rule, RuleChange
from endcap.events.schema import ANOTHERS_LIST, EVENT_TYPES, UNKNOWN_LIST, Event, Line, Listing
from endcap.events.served import Shown, Tally
from endcap.types import MS_PER_DAY, Activation, Entry, Unreadable

START = 1_764_000_000_000
_USERS = st.sampled_from(["ann", "bo", "çelik"])
_VISITORS = st.sampled_from(["v1", "v2"])
_ITEMS = st.sampled_from([f"i{number}" for number in range(8)])
_MINUTES = st.integers(-200, 100_000)
_LINES = st.lists(st.builds(Line, _ITEMS, st.floats(0.5, 5.0), st.none() | st.floats(0.0, 99.0)), max_size=3)


def _event(kind: str, minutes: int, who: tuple[str | None, str | None], **rest: object) -> Event:
    return Event(kind, START + minutes * 60_000, None, *who, **rest)  # type: ignore[arg-type]


def _named(event: Event, request_id: str, listing: Listing | str | None, places: Sequence[int]) -> Event:
    """``event``, naming a list in which its items had ``places``."""
    if isinstance(listing, Listing):
        listing = replace(listing, places=tuple(places[at % len(places)] for at in range(len(event.lines()))))
    return replace(event, request_id=request_id, listing=listing)


_LISTINGS = st.one_of(
    st.none(),
    st.sampled_from([UNKNOWN_LIST, ANOTHERS_LIST]),
    *(
        st.builds(
            Listing,
            st.sampled_from(["for-you", "similar"]),
            st.sampled_from(["m1", "m2"]),
            st.integers(-20, 60).map(lambda hours: START + hours * 3_600_000),
            st.just(()),
            st.sampled_from([0, 0, 2]),
        )
        for _ in range(4)
    ),
)
_PLAIN = st.builds(
    _event,
    st.sampled_from(EVENT_TYPES),
    _MINUTES,
    st.tuples(st.none() | _USERS, st.none() | _VISITORS).filter(any),
    session_id=st.none() | st.sampled_from(["s1", "s2"]),
    item_id=st.none() | _ITEMS,
    items=_LINES.map(tuple),
    consent=st.sampled_from([None, None, True, False]),
    rating=st.none() | st.sampled_from([1.0, 5.0]),
    value=st.none() | st.floats(0.0, 99.0),
    currency=st.sampled_from([None, "GBP", "EUR"]),
)
_NAMING = st.builds(
    _named,
    st.one_of(_PLAIN, _PLAIN.map(lambda event: replace(event, time=START + (event.time - START) // 100))),
    st.sampled_from(["r1", "r2", "r3"]),
    _LISTINGS,
    st.lists(st.integers(0, 2), min_size=1, max_size=3),
)
_EVENTS = _PLAIN | _NAMING
_TALLIES = st.builds(
    lambda until, shown: Tally(until, tuple(shown)),
    st.integers(0, 40),
    st.lists(
        st.builds(
            Shown,
            st.integers(-2, 2).map(lambda days: START // MS_PER_DAY + days),
            st.sampled_from(["for-you", "similar"]),
            st.sampled_from(["m1", "m2"]),
            st.sampled_from([0, 2]),
            st.integers(1, 5),
            st.integers(0, 50),
        ),
        max_size=2,
    ),
)


def _relined(event: Event) -> Event:
    """``event``, whose list says a place for each of its new lines."""
    return event if event.request_id is None else _named(event, event.request_id, event.listing, [1, 0])


def _burst(first: Event, after: Sequence[tuple[int, str, tuple[Line, ...]]]) -> list[Event]:
    """What one person does in one go: ``first``, then the same with other items, seconds apart."""
    return [
        first,
        *(
            _relined(replace(first, time=first.time + seconds * 1_000, item_id=item, items=lines))
            for seconds, item, lines in after
        ),
    ]


_BURSTS = st.builds(
    _burst,
    st.one_of(_EVENTS, _EVENTS.map(lambda event: replace(event, time=START + (event.time - START) // 1_000))),
    st.lists(st.tuples(st.integers(-100, 3_000), _ITEMS, _LINES.map(tuple)), max_size=6),
)
_FIELDS = st.fixed_dictionaries(
    {"title": st.sampled_from(["Tea pot", "茶壶", "Lamp"])},
    optional={
        "price": st.floats(0.0, 500.0),
        "sale_price": st.floats(0.0, 500.0),
        "in_stock": st.booleans(),
        "categories": st.sampled_from([("A > B",), ("C",), ("A > B", "C", "D")]),
        "brand": st.sampled_from(["Aga", "Bodum"]),
        "kind": st.sampled_from(["product", "review"]),
        "group_id": st.sampled_from(["g1", "g2"]),
        "attributes": st.just({"colour": "red", "sizes": [1, 2.5]}),
        "expires": st.integers(0, 2 * START),
        "available_from": st.integers(0, 2 * START),
    },
)
_CHANGES = st.one_of(
    st.builds(lambda item, fields: ItemChange(item, "put", fields), _ITEMS, _FIELDS),
    st.builds(lambda item, on: ItemChange(item, "patch", {"in_stock": on, "price": None}), _ITEMS, st.booleans()),
    st.builds(lambda item: ItemChange(item, "delete"), _ITEMS),
)
_RULES = st.one_of(
    st.builds(
        lambda name, value, until: RuleChange(name, Rule(name, "boost", "price > 1", value=value, until=until)),
        st.sampled_from("rs"),
        st.floats(0.1, 2.0),
        st.none() | st.integers(0, 2 * START),
    ),
    st.builds(lambda name: RuleChange(name, None), st.sampled_from("rs")),
)
_ONE = st.one_of(
    _EVENTS,
    _EVENTS,
    _EVENTS,
    _CHANGES,
    _RULES,
    _TALLIES,
    st.builds(Activation, st.sampled_from(["m1", "m2"])),
    st.just(Unreadable("log entry 9 is damaged")),
)


def _numbered(bodies: Sequence[object]) -> list[Entry]:
    return [
        Entry(offset, getattr(body, "time", START + offset), body)  # item changes and activations have no own time
        for offset, body in enumerate(bodies, 1)
    ]


def _flat(parts: Sequence[object]) -> list[object]:
    return [body for part in parts for body in (part if isinstance(part, list) else [part])]


STREAMS = st.lists(_ONE | _BURSTS, max_size=40).map(_flat).map(_numbered)

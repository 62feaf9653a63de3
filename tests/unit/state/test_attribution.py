"""What lists bring, against numbers by hand and against a join that goes through the whole past for each event."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.state.folds import did, fold, joined
from tests.unit.state.streams import START

from endcap.config import StateConfig
from endcap.events.schema import ANOTHERS_LIST, UNKNOWN_LIST, Event, Line, Listing
from endcap.events.served import Shown, Tally
from endcap.state.attribution import Counts, Key, Money
from endcap.state.fold import State
from endcap.types import MS_PER_DAY

DAY = START // MS_PER_DAY
FOR_YOU = Key("for-you", "m1", 0)
HOURS = 60


def listed(event: Event, request_id: str, *places: int, key: Key = FOR_YOU, served_at: float = 0) -> Event:
    """``event``, naming a list that was served ``served_at`` minutes after the start."""
    shown = Listing(key.recipe, key.model, START + int(served_at * 60_000), places, key.page_row)
    return replace(event, request_id=request_id, listing=shown)


def counts(state: State, key: Key = FOR_YOU, day: int = DAY) -> dict[str, int]:
    """Those that are not 0."""
    one = state.attribution.days[day].counts[key]
    return {name: getattr(one, name) for name in Counts.__dataclass_fields__ if getattr(one, name)}


def money(state: State, currency: str = "GBP", key: Key = FOR_YOU) -> tuple[float, float]:
    found = state.attribution.days[DAY].money[key, currency]
    return found.sold / 1e6, found.returned / 1e6


def left_out(state: State, day: int = DAY) -> dict[str, int]:
    return state.attribution.days[day].left_out


def test_one_visitor_by_hand() -> None:
    state = fold(
        listed(did("impression", "v:ann", "a", "b", "c"), "r1", 1, 2, 3),
        listed(did("click", "v:ann", "b"), "r1", 2),
        listed(did("view", "v:ann", "b"), "r1", 2),
        listed(did("cart", "v:ann", "b"), "r1", 2),
        listed(did("impression", "v:ann", "d"), "r2", 1, key=Key("similar", "m1", 0)),
        did("purchase", "v:ann", Line("b", 3, 2.5), Line("z", 1, 100.0), currency="GBP"),
        did("return", "v:ann", Line("b", 1)),
        Tally(9, (Shown(DAY, "for-you", "m1", 0, 2, 20), Shown(DAY, "similar", "m1", 0, 1, 6))),
    )
    assert counts(state) == {
        "lists": 2,
        "items": 20,
        "rendered": 1,
        "clicked": 1,
        "rendered_clicked": 1,
        "carted": 1,
        "bought": 1,
        "impressions": 3,
        "clicks": 1,
        "views": 1,
        "carts": 1,
        "purchases": 1,
        "followed": 1,
        "returns": 1,
    }
    assert money(state) == (7.5, 2.5)
    similar = Key("similar", "m1", 0)
    assert counts(state, similar) == {"lists": 1, "items": 6, "rendered": 1, "impressions": 1}
    assert state.attribution.tallied == 9
    assert left_out(state) == {}


def test_a_purchase_belongs_to_the_list_it_names_else_to_the_last_that_led_to_the_item() -> None:
    other = Key("similar", "m2", 2)
    named = fold(
        listed(did("click", "u:ann", "a"), "r1", 1),
        listed(did("purchase", "u:ann", Line("a", 1, 5.0), Line("b", 1, 7.0), currency="GBP"), "r2", 4, 0, key=other),
    )
    assert counts(named, other) == {"bought": 1, "purchases": 1}
    assert money(named, key=other) == (5.0, 0.0)
    assert counts(named) == {"clicked": 1, "clicks": 1}
    assert left_out(named) == {"not_in_list": 1}, "the line that was not in the list"

    followed = fold(
        listed(did("click", "u:ann", "a"), "r1", 1),
        listed(did("cart", "u:ann", "a", at=1), "r2", 1, key=other),
        did("purchase", "u:ann", Line("a", 1, 5.0), at=2, currency="GBP"),
        did("purchase", "u:bo", Line("a", 1, 5.0), at=2, currency="GBP"),
    )
    assert counts(followed, other) == {
        "clicked": 1,
        "carted": 1,
        "carts": 1,
        "bought": 1,
        "purchases": 1,
        "followed": 1,
    }
    assert counts(followed) == {"clicked": 1, "clicks": 1}


def test_the_window_is_that_of_the_list() -> None:
    config = StateConfig(attribution_days=1.0)
    bought = {"currency": "GBP"}
    click = listed(did("click", "u:ann", "a"), "r1", 1)
    at_the_end = did("purchase", "u:ann", Line("a", 1, 5.0), at=24 * HOURS, **bought)
    assert counts(fold(click, at_the_end, config=config))["purchases"] == 1
    too_late = replace(at_the_end, time=at_the_end.time + 1)
    assert "purchases" not in counts(fold(click, too_late, config=config))
    before = listed(did("click", "u:ann", "a", at=9), "r1", 1, served_at=9)
    earlier_order = did("purchase", "u:ann", Line("a", 1, 5.0), at=8, **bought)
    assert "purchases" not in counts(fold(before, earlier_order)), "an order that comes in late led to nothing"
    late = fold(listed(did("view", "u:ann", "a", "b", at=24 * HOURS + 1), "r1", 1, 1), config=config)
    assert left_out(late, DAY + 1) == {"late": 2}


@pytest.mark.parametrize(
    ("listing", "reason"),
    [(UNKNOWN_LIST, "unknown_list"), (ANOTHERS_LIST, "another_visitor"), (None, "not_looked_up")],
)
def test_what_counts_for_no_list_is_named(listing: str | None, reason: str) -> None:
    for kind in ("impression", "click", "view", "cart", "purchase"):
        state = fold(did(kind, "v:ann", "a", "b", request_id="r1", listing=listing))
        assert left_out(state) == {reason: 2}
        assert state.attribution.days[DAY].counts == {}


def test_an_event_without_an_item() -> None:
    state = fold(listed(did("impression", "v:ann"), "r1"), listed(did("click", "v:ann"), "r1"))
    assert counts(state) == {"rendered": 1}
    assert left_out(state) == {"no_item": 1}


def test_other_types_say_nothing_about_a_list() -> None:
    told = fold(*(listed(did(kind, "v:ann", "a"), "r1", 1) for kind in ("dismiss", "like", "search", "wishlist")))
    assert told.attribution.days == {}


def test_without_consent_nothing_counts() -> None:
    state = fold(listed(did("click", "v:ann", "a", consent=False), "r1", 1))
    assert state.attribution.days == {}


def test_what_led_a_visitor_led_the_user() -> None:
    state = fold(
        listed(did("click", "v:v1", "a"), "r1", 1),
        listed(did("click", "v:v1", "b"), "r1", 2),
        listed(did("click", "u:ann", "b", at=2), "r2", 1, served_at=2),
        joined("v1", "ann", at=3),
        did("purchase", "u:ann", Line("a", 2, 1.5), at=4, currency="EUR"),
        did("purchase", "u:ann", Line("b", 1, 1.0), at=4, currency="GBP"),
    )
    assert money(state, "EUR") == (3.0, 0.0)
    assert counts(state)["bought"] == 2, "b counts for r2, served later"


def test_a_price_is_that_of_the_line_or_the_value_of_the_only_one() -> None:
    led = [listed(did("click", "u:ann", item), "r1", 1) for item in "ab"]
    assert money(fold(*led, did("purchase", "u:ann", Line("a", 4), value=10.0, currency="GBP"))) == (10.0, 0.0)
    unpriced = fold(*led, did("purchase", "u:ann", "a", "b", value=10.0, currency="GBP"))
    assert counts(unpriced)["unpriced"] == counts(unpriced)["purchases"] == 2
    assert unpriced.attribution.days[DAY].money == {}
    below = fold(*led, did("purchase", "u:ann", "a", value=-10.0, currency="GBP"))
    assert counts(below)["unpriced"] == 1, "nothing is sold for less than nothing"
    assert below.attribution.days[DAY].money == {}
    nameless = fold(*led, did("purchase", "u:ann", Line("a", 1, 3.0)))
    assert money(nameless, "") == (3.0, 0.0)


def test_a_return_is_taken_off_where_its_purchase_was_counted_and_never_twice() -> None:
    state = fold(
        listed(did("click", "u:ann", "a"), "r1", 1),
        did("purchase", "u:ann", Line("a", 3, 0.1), currency="GBP"),
        listed(did("click", "u:ann", "a", at=1), "r2", 1, key=Key("similar", "m1", 0), served_at=1),
        did("return", "u:ann", Line("a", 2), at=20 * 24 * HOURS),
        did("return", "u:ann", Line("a", 2), at=20 * 24 * HOURS),
        did("return", "u:ann", Line("a", 2), at=20 * 24 * HOURS),
    )
    assert money(state) == (0.3, 0.3)
    assert counts(state)["returns"] == 2
    assert "returns" not in counts(state, Key("similar", "m1", 0))


def test_what_is_remembered_is_bounded() -> None:
    config = StateConfig(report_days=2, max_attributed_lists=1, max_attributed_items=2, max_history=2)
    days = fold(
        *(listed(did("view", "u:ann", "a"), f"r{day}", 1, served_at=day * 24 * HOURS) for day in (3, 1, 2)),
        config=config,
    )
    assert set(days.attribution.days) == {DAY + 2, DAY + 3}, "the oldest day goes"
    again = fold(*(listed(did("view", "u:ann", "a"), name, 1) for name in ("r1", "r2", "r1")), config=config)
    assert counts(again)["clicked"] == 3, "r1 was forgotten"
    led = [listed(did("view", who, item), "r1", 1) for who, item in (("u:ann", "a"), ("u:bo", "a"), ("u:bo", "b"))]
    bought = [did("purchase", who, Line("a", 1, 1.0)) for who in ("u:ann", "u:bo")]
    assert counts(fold(*led, *bought, config=config))["purchases"] == 1, "Ann's went, who was led longest ago"
    own = [listed(did("view", "u:ann", item), "r1", 1) for item in "abc"]
    assert "purchases" not in counts(fold(*own, did("purchase", "u:ann", Line("a", 1, 1.0)), config=config))


def test_examples_are_the_newest() -> None:
    state = fold(
        *(listed(did("view", f"u:{who}", who), f"r-{who}", 1, served_at=at) for at, who in enumerate("abcd")),
        listed(did("view", "u:a", "x"), "r-x", 1, key=Key("similar", "m1", 0)),
    )
    row = state.items.row
    found = state.attribution.examples(most=2, people=9)
    assert [(request_id, item) for _, request_id, item in found[FOR_YOU]] == [("r-a", row("a")), ("r-d", row("d"))]
    assert [request_id for _, request_id, _ in found[Key("similar", "m1", 0)]] == ["r-x"]
    assert FOR_YOU in state.attribution.examples(most=2, people=1), "one person has both"


# The slow and obvious join: for each event, look through everything before it.

_KEYS = [Key("for-you", "m1", 0), Key("similar", "m1", 0), Key("similar", "m2", 1)]
_LISTS = {f"r{at}": (key, START + at * 30 * 3_600_000) for at, key in enumerate(_KEYS * 2)}
_WINDOW = 2 * MS_PER_DAY


def _event(kind: str, who: str, hour: int, request_id: str | None, lines: list[tuple[str, int, float, int]]) -> Event:
    event = Event(
        kind,
        START + hour * 3_600_000,
        user_id=who,
        items=tuple(Line(item, quantity, price) for item, quantity, price, _ in lines),
        currency="GBP",
    )
    if request_id is None:
        return event
    key, time = _LISTS[request_id]
    places = tuple(place for *_, place in lines)
    return replace(event, request_id=request_id, listing=Listing(key.recipe, key.model, time, places, key.page_row))


_JOURNEYS = st.lists(
    st.builds(
        _event,
        st.sampled_from(["impression", "click", "view", "cart", "purchase", "purchase", "return", "like"]),
        st.sampled_from(["ann", "bo"]),
        st.integers(0, 300),
        st.none() | st.sampled_from(list(_LISTS)),
        st.lists(
            st.tuples(
                st.sampled_from("abc"), st.integers(1, 3), st.sampled_from([0.1, 2.5, 7.0]), st.sampled_from([0, 1, 2])
            ),
            min_size=1,
            max_size=3,
        ),
    ),
    max_size=30,
)


def _led_by(events: Sequence[Event], until: int, line: int) -> str | None:
    """The request id of the list that a line of the purchase ``events[until]`` counts for."""
    event = events[until]
    item = event.items[line].item_id
    if _names(event, line):
        return event.request_id
    for at in range(until, -1, -1):
        one = events[at]
        if one.user_id != event.user_id or one.type not in ("click", "view", "cart", "purchase"):
            continue
        before = range(line if at == until else len(one.items))
        if any(one.items[n].item_id == item and _names(one, n) for n in before):
            assert one.request_id is not None
            return one.request_id if 0 <= event.time - _LISTS[one.request_id][1] <= _WINDOW else None
    return None


def _names(event: Event, line: int) -> bool:
    listing = event.listing
    return isinstance(listing, Listing) and listing.places[line] > 0 and event.time - listing.time <= _WINDOW


@dataclass
class _Purchase:
    user_id: str | None
    item_id: str
    request_id: str
    price: float
    left: float


def _slow(events: Sequence[Event]) -> tuple[Counter[tuple[str, str]], dict[str, list[float]]]:
    """(request id, what) -> how many lines; request id -> sold, returned."""
    lines: Counter[tuple[str, str]] = Counter()
    revenue: dict[str, list[float]] = {}
    purchases: list[_Purchase] = []
    for at, event in enumerate(events):
        for n, line in enumerate(event.items):
            if event.type == "purchase" and (request_id := _led_by(events, at, n)) is not None:
                one = _Purchase(event.user_id, line.item_id, request_id, line.price or 0.0, line.quantity)
                purchases.append(one)
                lines[request_id, "purchases"] += 1
                revenue.setdefault(request_id, [0.0, 0.0])[0] += one.price * one.left
            elif event.type == "return":
                mine = [one for one in purchases if (one.user_id, one.item_id) == (event.user_id, line.item_id)]
                if mine and mine[-1].left:
                    back = min(mine[-1].left, line.quantity)
                    mine[-1].left -= back
                    lines[mine[-1].request_id, "returns"] += 1
                    revenue[mine[-1].request_id][1] += mine[-1].price * back
            elif event.type in ("impression", "click", "view", "cart") and _names(event, n):
                assert event.request_id is not None
                lines[event.request_id, f"{event.type}s"] += 1
    return lines, revenue


@given(_JOURNEYS)
@settings(max_examples=300, deadline=None)
def test_the_same_as_a_join_over_the_whole_past(events: list[Event]) -> None:
    lines, revenue = _slow(events)
    state = fold(*events, config=StateConfig(attribution_days=2.0))
    expected: Counter[tuple[int, Key, str]] = Counter()
    sold: Counter[tuple[int, Key]] = Counter()
    returned: Counter[tuple[int, Key]] = Counter()
    steps = {"rendered": {"impressions"}, "clicked": {"clicks", "views", "carts"}, "carted": {"carts"}}
    for request_id, (key, time) in _LISTS.items():
        day = time // MS_PER_DAY
        done = {what for name, what in lines if name == request_id}
        for what in done:
            expected[day, key, what] += lines[request_id, what]
        for step, by in {**steps, "bought": {"purchases"}}.items():
            expected[day, key, step] += bool(done & by)
        expected[day, key, "rendered_clicked"] += bool(done & steps["rendered"]) and bool(done & steps["clicked"])
        sold[day, key] += round(1e6 * revenue.get(request_id, [0, 0])[0])
        returned[day, key] += round(1e6 * revenue.get(request_id, [0, 0])[1])
    found = {
        (day, key, name): value
        for day, one in state.attribution.days.items()
        for key, some in one.counts.items()
        for name in Counts.__dataclass_fields__
        if name != "followed" and (value := getattr(some, name))
    }
    assert found == {name: value for name, value in expected.items() if value}
    for day, one in state.attribution.days.items():
        for (key, _), amount in one.money.items():
            assert amount == Money(sold[day, key], returned[day, key])
    named = sum(len(event.items) for event in events if event.request_id and event.type in NAMED)
    counted = sum(lines[name, what] for name, what in lines if what != "returns")
    followed = sum(some.followed for one in state.attribution.days.values() for some in one.counts.values())
    out = sum(sum(one.left_out.values()) for one in state.attribution.days.values())
    bought_without = sum(
        _led_by(events, at, n) is not None and not event.request_id
        for at, event in enumerate(events)
        if event.type == "purchase"
        for n in range(len(event.items))
    )
    assert named + bought_without == counted + out, "what names a list is counted or left out, by name"
    assert followed <= lines.total()


NAMED = ("impression", "click", "view", "cart", "purchase")

"""What is kept event by event equals what the raw events say, after each event: the tolerances of log-and-fold.md.

The other side is the definition, computed anew from the list of all events so far: sums of decayed weights, sets of
items by visit, one linear system by user.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from tests.unit.state.streams import START

from endcap.catalog.items import ItemChange
from endcap.config import StateConfig
from endcap.events.schema import Event, Line
from endcap.models.als import ALS
from endcap.state.fold import State, apply
from endcap.state.pairs import SessionIndex
from endcap.types import MS_PER_DAY, Entry

ITEMS = [f"i{number}" for number in range(6)]
USERS = ["ann", "bo"]
CONFIG = StateConfig(trending_half_life_days=2.0, popular_half_life_days=20.0, interest_half_life_days=5.0)
FACETS = {
    "i0": [("category", "A"), ("brand", "Aga"), ("price", "8-16")],
    "i1": [("category", "A"), ("category", "B"), ("price", "16-32")],
    "i2": [("category", "B"), ("brand", "Bodum"), ("price", "1-2")],
    "i3": [("category", "C"), ("brand", "Aga"), ("price", "8-16")],
    "i4": [("category", "A")],
    "i5": [],
}
"""Of what is put into the catalogue below."""
PUTS = [
    ItemChange("i0", "put", {"title": "0", "categories": ("A",), "brand": "Aga", "price": 10.0}),
    ItemChange("i1", "put", {"title": "1", "categories": ("A", "B"), "price": 20.0}),
    ItemChange("i2", "put", {"title": "2", "categories": ("B",), "brand": "Bodum", "price": 1.5}),
    ItemChange("i3", "put", {"title": "3", "categories": ("C",), "brand": "Aga", "price": 30.0, "sale_price": 9.0}),
    ItemChange("i4", "put", {"title": "4", "categories": ("A",)}),
    ItemChange("i5", "put", {"title": "5"}),
]
RNG = np.random.default_rng(0)
FACTORS = RNG.normal(size=(len(ITEMS), 4)).astype(np.float32)
L2, ALPHA = 2.0, 0.3
MODEL = ALS(factors=4).from_arrays({"item_factors": FACTORS, "l2_alpha": np.array([L2, ALPHA])})

_TYPES = st.sampled_from(["view", "view", "click", "cart", "purchase", "purchase", "return", "uncart", "impression"])
_EVENTS = st.builds(
    lambda kind, user, minutes, lines: Event(
        kind, START + minutes * 60_000, user_id=user, items=tuple(Line(item, float(count)) for item, count in lines)
    ),
    _TYPES,
    st.sampled_from(USERS),
    st.integers(-100, 100) | st.integers(-20_000, 60_000),  # in one visit; and up to six weeks on, late ones too
    st.lists(st.tuples(st.sampled_from(ITEMS), st.integers(1, 3)), min_size=1, max_size=3),
)


@dataclass
class Kept:
    """A line of an event that says something about taste, as long as nothing has undone it."""

    item: str
    kind: str
    time: int
    weight: float
    pieces: float


@dataclass
class Visit:
    last: int
    items: set[str] = field(default_factory=set)
    basket: set[str] = field(default_factory=set)


@dataclass
class Past:
    """The definition: what the raw events come to, computed from the first one on."""

    kept: dict[str, list[Kept]]
    visits: list[Visit]
    newest: int
    """The time up to which counts are decayed."""

    @classmethod
    def of(cls, events: list[Event]) -> Past:
        past, opened = cls({user: [] for user in USERS}, [], 0), dict[str, Visit]()
        for event in events:
            user = event.user_id or ""
            visit = opened.get(user)
            if visit is None or event.time - visit.last > CONFIG.session_gap_minutes * 60_000:
                visit = opened[user] = Visit(event.time)
                past.visits.append(visit)
            visit.last = max(visit.last, event.time)
            for line in event.items:
                past.take(user, event, line, visit)
        return past

    def take(self, user: str, event: Event, line: Line, visit: Visit) -> None:
        weight = CONFIG.weights.get(event.type, 0.0)
        mine = self.kept[user]
        if event.type == "return":
            self.give_back(mine, line)
        elif event.type == "uncart":
            carts = [one for one in mine if (one.item, one.kind) == (line.item_id, "cart")]
            self.kept[user] = [one for one in mine if not carts or one is not carts[-1]]
        elif weight > 0:
            mine.append(Kept(line.item_id, event.type, event.time, weight, line.quantity))
            self.newest = max(self.newest, event.time)
            visit.items.add(line.item_id)
            if event.type in ("cart", "purchase"):
                visit.basket.add(line.item_id)

    def give_back(self, mine: list[Kept], line: Line) -> None:
        left = line.quantity
        for one in [one for one in mine if (one.item, one.kind) == (line.item_id, "purchase")][::-1]:
            taken = min(left, one.pieces)
            left, one.pieces = left - taken, one.pieces - taken
        mine[:] = [one for one in mine if one.pieces > 0]

    def count(self, item: str, half_life_days: float) -> float:
        decay = half_life_days * MS_PER_DAY
        everything = [one for mine in self.kept.values() for one in mine]
        return sum(one.weight * math.exp2((one.time - self.newest) / decay) for one in everything if one.item == item)

    def interests(self, user: str, now: int) -> dict[tuple[str, str], float]:
        found: defaultdict[tuple[str, str], float] = defaultdict(float)
        for one in self.kept[user]:
            age = (now - one.time) / (CONFIG.interest_half_life_days * MS_PER_DAY)
            for facet in FACETS[one.item]:
                found[facet] += one.weight * math.exp2(-age)
        return dict(found)

    def together(self, of: str) -> Counter[frozenset[str]]:
        """In how many visits each pair, and each item by itself (a pair with itself), was."""
        found: Counter[frozenset[str]] = Counter()
        for visit in self.visits:
            items = visit.items if of == "sessions" else visit.basket
            found.update(frozenset(pair) for pair in combinations(sorted(items), 2))
            found.update(frozenset([item]) for item in items)
        return found

    def factors(self, user: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        """The normal equations of Hu, Koren, Volinsky 2008, equation 4, over all items."""
        y = FACTORS.astype(np.float64)
        wanted = np.array([sum(one.weight for one in self.kept[user] if one.item == item) for item in ITEMS])
        touched = np.array([any(one.item == item for one in self.kept[user]) for item in ITEMS])
        confidence = np.diag(1.0 + ALPHA * wanted)
        return np.linalg.solve(y.T @ confidence @ y + L2 * np.eye(4), y.T @ confidence @ touched)


def together(state: State, index: SessionIndex) -> Counter[frozenset[str]]:
    found: Counter[frozenset[str]] = Counter()
    sessions = sorted({int(one) for item in range(len(ITEMS)) for one in index.recent(item)})
    position, items = index.members(np.array(sessions, np.int32))
    for place in range(len(sessions)):
        names = sorted(state.items.name(row) for row in items[position == place].tolist())
        found.update(frozenset(pair) for pair in combinations(names, 2))
        found.update(frozenset([name]) for name in names)
    return found


@given(st.lists(_EVENTS, max_size=25))
@settings(deadline=None)
def test_after_each_event_everything_equals_its_definition(events: list[Event]) -> None:
    state = State(CONFIG)
    for offset, put in enumerate(PUTS, 1):
        apply(state, Entry(offset, START, put))
    for number, event in enumerate(events, 1):
        apply(state, Entry(len(PUTS) + number, event.time, event))
        check(state, Past.of(events[:number]))


def check(state: State, past: Past) -> None:
    for window, days in (("trending", 2.0), ("popular", 20.0)):
        wanted = [past.count(item, days) for item in ITEMS]
        assert_allclose(state.popularity.scores(window), wanted, rtol=1e-6, atol=1e-12)
    assert together(state, state.sessions) == past.together("sessions")
    assert together(state, state.baskets) == past.together("baskets")
    for user in USERS:
        row = state.user_row(user, None)
        if row >= 0:
            check_user(state, row, past, user)


def check_user(state: State, row: int, past: Past, user: str) -> None:
    now = past.newest
    found = {(kind, name): weight for kind, some in state.interests(row, now).items() for name, weight in some}
    wanted = past.interests(user, now)
    for facet in found.keys() | wanted.keys():
        assert_allclose(found.get(facet, 0.0), wanted.get(facet, 0.0), rtol=1e-9, atol=1e-8)
    query = state.query(row, now)
    assert_array_equal([state.items.name(one) for one in query.history.tolist()], [one.item for one in past.kept[user]])
    assert_allclose(MODEL.user_vector(query), past.factors(user), rtol=1e-9, atol=1e-12)
    if query.history.size:
        assert_allclose(MODEL.scores(query), FACTORS @ past.factors(user), rtol=1e-5, atol=1e-5)

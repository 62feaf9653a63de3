"""Small shops for the tests of what serves: items, events, and an engine over them in memory."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

from endcap import wiring
from endcap.catalog.items import ItemChange, parse_change
from endcap.config import Config, StateConfig
from endcap.encoders.cache import VectorStore
from endcap.encoders.text import UniversalSentenceEncoder
from endcap.events.log import Body
from endcap.events.schema import Event, Line
from endcap.serving.contents import Contents, Reading
from endcap.serving.engine import Answer, Engine, Request
from endcap.state.fold import State
from endcap.types import Entry

NOW = 1_764_000_000_000
MINUTE = 60_000
DAY = 24 * 60 * MINUTE


def item(item_id: str, title: str, **fields: object) -> ItemChange:
    """A whole item."""
    return parse_change("put", {"item_id": item_id, "title": title, **fields})


def basket(who: str, *item_ids: str, time: int = NOW - DAY, session_id: str | None = None) -> Event:
    """One purchase of several items."""
    return Event("purchase", time, user_id=who, session_id=session_id, items=tuple(map(Line, item_ids)))


def did(kind: str, who: str, item_id: str, time: int = NOW - DAY, **more: Any) -> Event:
    """One event of a user about one item."""
    return Event(kind, time, user_id=who, item_id=item_id, **more)


TEA = (
    item("pot", "Tea pot", price=20, brand="Leaf"),
    item("cup", "Tea cup", price=5),
    item("lamp", "Desk lamp", price=30),
    item("clock", "Wall clock", price=15),
    item("scarf", "Red wool scarf", price=12),
)


def open_files_in(folder: Path) -> list[str]:
    """What this process holds open under ``folder``."""
    held = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that lists the folder
            held.append(str(descriptor.readlink()))
    return [name for name in held if name.startswith(str(folder))]


def reading(store: VectorStore) -> Reading:
    """The real encoder of texts, over ``store``."""
    return Reading.of_texts(store, UniversalSentenceEncoder())


class Small:
    """An engine over what was added, with the untrained model and the real encoder."""

    def __init__(self, store: VectorStore, *bodies: Body) -> None:
        self.state = State(StateConfig())
        self.contents = Contents(reading(store))
        model = wiring.serving_model(self.state, self.contents, Config(), Path(), wiring.UNTRAINED)
        ids = count(1)
        self.engine = Engine(self.state, model, lambda: f"r{next(ids)}")
        self.add(*bodies)

    def add(self, *bodies: Body) -> None:
        """Apply ``bodies`` in order, and encode what has changed."""
        for body in bodies:
            self.engine.apply(Entry(self.state.offset + 1, NOW, body))
        while self.contents.waiting:
            rows, items = self.contents.take(100)
            self.contents.put(rows, self.contents.encode(items))

    def ask(self, recipe: str = "for-you", now: int = NOW, **asked: Any) -> Answer:
        """The list at ``now``."""
        return self.engine.recommend(Request(recipe, **asked), now)

    def ids(self, recipe: str = "for-you", now: int = NOW, **asked: Any) -> Sequence[str]:
        """The ids of the list at ``now``."""
        return [shown.item_id for shown in self.ask(recipe, now, **asked).items]

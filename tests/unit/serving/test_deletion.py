"""Evidence that can be put to the test: without the cited event the part is lower, and so is what is personal.

The log is folded again without it, and the list asked for again at the same moment. Not the whole score: the event was
demand too, and what is in demand is measured by the item that is wanted most, which in so small a shop it may move.
"""

from __future__ import annotations

import random

import pytest
from tests.unit.shops import DAY, MINUTE, NOW, Small, basket, did, item

from endcap.catalog.items import ItemChange
from endcap.encoders.cache import VectorStore
from endcap.events.schema import Event
from endcap.serving.engine import Recommended

TOPICS = {"tea": ("pot", "cup", "tray", "tin", "spoon"), "light": ("lamp", "bulb", "candle", "shade", "torch")}
ITEMS = [item(f"{topic}-{name}", f"{topic} {name}") for topic, names in TOPICS.items() for name in names]
PERSONAL = ("session_knn", "content")
SEEDS = range(8)


def shop_of(store: VectorStore, events: list[Event]) -> Small:
    return Small(store, *ITEMS, *events)


def past(seed: int) -> list[Event]:
    """Baskets of many, mostly of one topic, and what one visitor looked at."""
    draw = random.Random(seed)
    events = []
    for number in range(40):
        topic = draw.choice(list(TOPICS))
        names = draw.sample(TOPICS[topic], 3)
        events.append(
            basket(f"u{number}", *[f"{topic}-{name}" for name in names], time=NOW - draw.randrange(1, 20) * DAY)
        )
    seen = draw.sample([one.item_id for one in ITEMS if isinstance(one, ItemChange)], 3)
    events += [did("view", "w", name, NOW - (3 - at) * MINUTE) for at, name in enumerate(seen)]
    return events


def listed(shop: Small) -> dict[str, Recommended]:
    return {one.item_id: one for one in shop.ask(user_id="w", k=len(ITEMS), explain=True).items}


def personal(one: Recommended) -> float:
    return sum((one.parts or {}).get(name, 0.0) for name in PERSONAL)


@pytest.mark.parametrize("seed", SEEDS)
def test_without_the_cited_event_part_and_score_are_lower(store: VectorStore, seed: int) -> None:
    events = past(seed)
    before = listed(shop_of(store, events))
    cited = {(name, about) for one in before.values() for name, about in (one.evidence or {}).items()}
    assert {name for name, _ in cited} == set(PERSONAL)
    for about in {about for _, about in cited}:
        kept = [event for event in events if not (event.user_id == "w" and event.item_id == about)]
        assert len(kept) == len(events) - 1
        after = listed(shop_of(store, kept))
        for item_id, one in before.items():
            for name in [name for name, source in (one.evidence or {}).items() if source == about]:
                assert one.parts is not None
                left = after[item_id].parts or {}
                assert left.get(name, 0.0) < one.parts[name]
                assert personal(after[item_id]) < personal(one)

"""Every list that was served is made again, byte for byte: after restarts, and after other versions were activated."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from random import Random

import msgspec
import pytest

from endcap import wiring
from endcap.catalog.items import parse_change
from endcap.config import Config, ServeConfig, TrainConfig
from endcap.errors import NotFoundError
from endcap.events.log import Body, to_record
from endcap.events.schema import Event, Line
from endcap.serving.engine import Answer, Request
from endcap.serving.exposure import served
from endcap.serving.live import Live

NOW = 1_764_000_000_000
MINUTE = 60_000
DAY = 24 * 60 * MINUTE
CONFIG = Config(train=TrainConfig(als_factors=4, als_epochs=2))
THINGS = ("pot", "cup", "mug", "kettle", "tray", "spoon", "lamp", "clock", "vase", "rug")
COLOURS = ("red", "blue", "green", "white")
IDS = [f"{thing}-{colour}" for thing in THINGS for colour in COLOURS]
RECIPES = ("for-you", "next", "similar", "bought-together", "trending", "popular", "search", "rerank")


def filled(home: Path) -> Path:
    """Forty items, a hundred baskets, a trained version."""
    random = Random(1)
    log = wiring.open_log(home)
    items = [
        parse_change(
            "put",
            {"item_id": one, "title": one.replace("-", " "), "group_id": one.split("-")[0] * (n % 3 == 0) or None},
        )
        for n, one in enumerate(IDS)
    ]
    baskets = [
        Event(
            "purchase",
            NOW - (100 - n) * 3 * 60 * MINUTE,
            user_id=f"u{n % 12}",
            items=tuple(map(Line, random.sample(IDS, 3))),
        )
        for n in range(100)
    ]
    bodies: list[Body] = [*items, *baskets]
    log.append([to_record(body, NOW - 20 * DAY) for body in bodies])
    log.close()
    wiring.train(home, CONFIG, 0, NOW, lambda *_: None)
    return home


def asked(random: Random) -> Request:
    """Any request."""
    recipe = random.choice(RECIPES)
    about = (
        tuple(random.sample(IDS, random.randint(1, 6))) if recipe in ("similar", "bought-together", "rerank") else ()
    )
    return Request(
        recipe,
        user_id=random.choice([None, "u1", "u5", "nobody"]),
        visitor_id=random.choice([None, "v1"]),
        item_ids=about,
        query=random.choice(["tea cup", "blu lamp", "时钟"]) if recipe == "search" else "",
        k=random.choice([1, 5, 20]),
        where=random.choice([None, None, "title like '%red%'"]),
        exclude=tuple(random.sample(IDS, 2)),
        language=random.choice(["en", "zh"]),
    )


async def session(live: Live, random: Random, now: int, wanted: int) -> dict[str, tuple[Request, Answer]]:
    """What people do and see: events, changes of stock, lists."""
    shown: dict[str, tuple[Request, Answer]] = {}
    while len(shown) < wanted:
        now += random.randint(1, 20) * MINUTE
        kind = random.random()
        if kind < 0.4:
            await live.append(
                [Event(random.choice(["view", "cart", "dismiss"]), now, user_id="u1", item_id=random.choice(IDS))]
            )
        elif kind < 0.5:
            await live.append(
                [parse_change("patch", {"item_id": random.choice(IDS), "in_stock": random.random() < 0.5})]
            )
        else:
            request = asked(random)
            answer = live.engine.recommend(request, now)
            live.show(served(request, answer, now, live.engine.state.items, live.engine.contents.waiting == 0))
            shown[answer.request_id] = (request, answer)
            while live.engine.contents.waiting:
                await asyncio.sleep(0.01)
    return shown


def run(home: Path, random: Random, now: int, wanted: int) -> dict[str, tuple[Request, Answer]]:
    """One life of a server."""

    async def main() -> dict[str, tuple[Request, Answer]]:
        live = wiring.open_live(home, CONFIG)
        await live.start()
        try:
            return await session(live, random, now, wanted)
        finally:
            await live.stop()

    return asyncio.run(main())


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, tuple[Request, Answer]]]:
    """A home that was served twice, with another version trained in between, and all that was shown."""
    home, random = filled(tmp_path_factory.mktemp("rebuild") / "home"), Random(2)
    shown = run(home, random, NOW, 60)
    wiring.train(home, CONFIG, 1, NOW + 3 * DAY, lambda *_: None)
    return home, shown | run(home, random, NOW + 4 * DAY, 60)


def test_a_hundred_lists_are_made_again_byte_for_byte(lived: tuple[Path, dict[str, tuple[Request, Answer]]]) -> None:
    home, shown = lived
    assert len({answer.model for _, answer in shown.values()}) == 2
    chosen = Random(3).sample(sorted(shown), 100)
    different = [
        request_id
        for request_id in chosen
        if msgspec.json.encode(wiring.served_again(home, CONFIG, request_id))
        != msgspec.json.encode(shown[request_id][1])
    ]
    assert different == []
    assert sum(len(shown[request_id][1].items) for request_id in chosen) > 300


def test_why_and_why_not_for_every_item_of_a_list(lived: tuple[Path, dict[str, tuple[Request, Answer]]]) -> None:
    home, shown = lived
    request_id, (request, answer) = next(
        (one, pair) for one, pair in shown.items() if pair[0].recipe == "for-you" and pair[1].items
    )
    places = {one.item_id: place for place, one in enumerate(answer.items, 1)}
    verdicts = set()
    for item_id in IDS:
        found = wiring.why_served(home, CONFIG, request_id, item_id)
        assert (found.same, found.request, found.items) == (True, request, tuple(places))
        assert found.trace.place == places.get(item_id)
        assert (found.trace.verdict in ("shown", "filled")) == (item_id in places)
        if item_id in request.exclude:
            assert "excluded" in found.trace.hidden_by
        verdicts.add(found.trace.verdict)
    assert "hidden" in verdicts
    assert len(verdicts) > 1


def test_a_served_list_takes_at_most_400_bytes(lived: tuple[Path, dict[str, tuple[Request, Answer]]]) -> None:
    home, shown = lived
    log = wiring.open_log(home)
    sizes = {
        record.key: len(record.data) + len(record.key or "") for _, record in log.read() if record.kind == "served"
    }
    log.close()
    assert {f"served/{request_id}" for request_id in shown} == sizes.keys()
    plain = [f"served/{one}" for one, (request, _) in shown.items() if request.recipe != "rerank"]
    assert max(sizes[key] for key in plain) <= 400


def test_a_list_that_never_was(lived: tuple[Path, dict[str, tuple[Request, Answer]]]) -> None:
    with pytest.raises(NotFoundError, match="the log has no list 'never': see the id"):
        wiring.why_served(lived[0], CONFIG, "never", IDS[0])
    with pytest.raises(NotFoundError, match="item 'nothing' was unknown then"):
        wiring.why_served(lived[0], CONFIG, next(iter(lived[1])), "nothing")


def test_a_moment_without_a_request_id(lived: tuple[Path, dict[str, tuple[Request, Answer]]]) -> None:
    found = wiring.why_at(lived[0], CONFIG, Request("popular", user_id="u1", k=3), NOW - DAY, "pot-red")
    assert (found.same, found.request_id, len(found.items)) == (None, None, 3)
    later = wiring.why_at(lived[0], CONFIG, Request("popular", user_id="u1", k=3), NOW + 9 * DAY, "pot-red")
    assert later.offset > found.offset


def test_nothing_is_kept_where_that_is_configured(tmp_path: Path) -> None:
    home = filled(tmp_path / "home")
    config = replace(CONFIG, serve=ServeConfig(keep_served_days=0.0))

    async def main() -> None:
        live = wiring.open_live(home, config)
        await live.start()
        answer = live.engine.recommend(Request("popular"), NOW)
        live.show(served(Request("popular"), answer, NOW, live.engine.state.items, settled=True))
        await live.stop()

    asyncio.run(main())
    log = wiring.open_log(home)
    assert "served" not in {record.kind for _, record in log.read()}
    log.close()

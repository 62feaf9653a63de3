"""A clock that jumps, back and forward, under a running shop: its log, its state, its lists, what it keeps.

The clock is the shop's own, passed in; everything else is real: log, spool, engine, the API without its socket.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from endcap import wiring
from endcap.backends.log.sqlite import SqliteLog
from endcap.config import Config, Home
from endcap.events.log import entries
from endcap.events.schema import Event
from endcap.events.served import Served
from endcap.interfaces.api.app import create_app
from endcap.interfaces.api.auth import Keys
from endcap.interfaces.api.context import Context
from endcap.interfaces.api.server import ServerOptions, create_context
from endcap.state.fold import State, apply
from endcap.state.snapshot import digest
from endcap.types import MS_PER_DAY

START = 1_764_000_000_000
MINUTE = 60_000
HOUR = 60 * MINUTE
ITEMS = [f"i{number}" for number in range(8)]


class Clock:
    """Says what it is told."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


Story = Callable[[httpx.AsyncClient, Context, Clock], Awaitable[None]]


def run(home: Path, clock: Clock, story: Story) -> None:
    """Tells ``story`` with a shop in ``home`` that goes by ``clock``; checks its state against the log at the end."""

    async def main() -> None:
        live = wiring.open_live(home, Config())
        live.clock = clock
        await live.start()
        context = create_context(live, ServerOptions(home, Config().serve, Keys.parse("")))
        transport = httpx.ASGITransport(app=create_app(context))
        try:
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                items = [{"item_id": one, "title": f"Chair {one}"} for one in ITEMS]
                assert (await client.put("/v1/items", json={"items": items})).status_code == 200
                await story(client, context, clock)
            await live.settle()
            with_clock = digest(live.engine.state)
            offset = live.engine.state.offset
        finally:
            await live.stop()
        assert (with_clock, offset) == rebuilt(home)

    asyncio.run(main())


def rebuilt(home: Path) -> tuple[str, int]:
    """The digest of the log folded from its first entry, whose offsets ascend."""
    log, state, last = SqliteLog(Home(home).log), State(Config().state), 0
    for entry in entries(log):
        assert entry.offset > last
        last = entry.offset
        apply(state, entry)
    log.close()
    return digest(state), state.offset


async def send(client: httpx.AsyncClient, **event: Any) -> int:
    reply = await client.post("/v1/events", json={"type": "view", "visitor_id": "v", **event})
    assert (reply.status_code, reply.json()["accepted"]) == (202, 1), reply.text
    return int(reply.json()["offset"])


async def listed(client: httpx.AsyncClient, recipe: str = "for-you", **asked: Any) -> list[str]:
    reply = await client.post("/v1/recommend", json={"recipe": recipe, "visitor_id": "v", "k": 8, **asked})
    assert reply.status_code == 200, reply.text
    return [item["item_id"] for item in reply.json()["items"]]


@pytest.mark.parametrize("seed", range(3))
def test_whatever_the_clock_does_the_state_is_that_of_the_log(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)

    async def story(client: httpx.AsyncClient, context: Context, clock: Clock) -> None:
        last = 0
        for number in range(120):
            clock.now += chance.choice([1_000, MINUTE, HOUR, -HOUR, -HOUR, -MINUTE, 2 * MS_PER_DAY, -MS_PER_DAY])
            when = chance.choice([None, clock.now - 400 * MS_PER_DAY, clock.now + MS_PER_DAY, 0])
            who = chance.choice(["v", "w"])
            kind = chance.choice(["view", "cart", "purchase", "return", "dismiss"])
            extra: dict[str, object] = {} if when is None else {"time": when}
            offset = await send(client, type=kind, visitor_id=who, item_id=chance.choice(ITEMS), **extra)
            assert offset > last
            last = offset
            for recipe in ("for-you", "trending", "popular", "next"):
                await listed(client, recipe)
            await listed(client, "similar", item_ids=[chance.choice(ITEMS)])
            if number % 40 == 0:
                await context.live.tally()
                await context.live.expire("served", clock.now - 30 * MS_PER_DAY)
        stats = (await client.get("/v1/stats")).json()
        assert stats["events"] == 120
        assert stats["model_age_seconds"] is None or stats["model_age_seconds"] >= 0

    run(tmp_path, Clock(), story)


def test_a_visit_goes_on_over_a_jump_back_and_ends_after_its_silence(tmp_path: Path) -> None:
    async def story(client: httpx.AsyncClient, context: Context, clock: Clock) -> None:
        for step, item in ((0, "i0"), (-HOUR, "i1"), (0, "i2"), (-HOUR, "i3")):
            clock.now += step
            await send(client, item_id=item)
            query, _ = context.state.ask(None, "v", None, clock.now)
            assert item in [context.state.items.name(row) for row in query.session.tolist()]
        assert query.session.size == 4  # one visit, whatever the clock said
        clock.now = START + 31 * MINUTE
        query, _ = context.state.ask(None, "v", None, clock.now)
        assert query.session.size == 0  # half an hour after the newest of them it is over

    run(tmp_path, Clock(), story)


def test_an_item_with_dates_is_there_by_the_clock_of_the_request(tmp_path: Path) -> None:
    async def story(client: httpx.AsyncClient, context: Context, clock: Clock) -> None:  # noqa: ARG001
        await client.patch("/v1/items/i0", json={"expires": START + 10 * MINUTE})
        await client.patch("/v1/items/i1", json={"available_from": START + 10 * MINUTE})
        for jump, there, gone in ((0, "i0", "i1"), (HOUR, "i1", "i0"), (-HOUR, "i0", "i1"), (HOUR, "i1", "i0")):
            clock.now += jump
            items = await listed(client, "popular")
            assert there in items
            assert gone not in items

    run(tmp_path, Clock(), story)


def test_what_was_served_does_not_expire_because_the_clock_went_back_and_forth(tmp_path: Path) -> None:
    async def story(client: httpx.AsyncClient, context: Context, clock: Clock) -> None:
        for jump in (0, -HOUR, 2 * HOUR, -3 * HOUR, HOUR):
            clock.now += jump
            await listed(client)
            await context.live.settle()
            assert await context.live.expire("served", clock.now - 30 * MS_PER_DAY) == 0

    run(tmp_path, Clock(), story)
    log = SqliteLog(Home(tmp_path).log)
    served = [entry for entry in entries(log) if isinstance(entry.body, Served)]
    log.close()
    assert len(served) == 5
    assert [entry.time for entry in served] != sorted(entry.time for entry in served)


def test_an_event_of_the_far_future_is_refused_and_one_of_the_past_is_taken(tmp_path: Path) -> None:
    async def story(client: httpx.AsyncClient, context: Context, clock: Clock) -> None:
        await send(client, item_id="i0", time=START + MS_PER_DAY)
        clock.now -= HOUR  # now the same time is more than a day away
        reply = await client.post(
            "/v1/events", json={"type": "view", "visitor_id": "v", "item_id": "i0", "time": START + MS_PER_DAY}
        )
        assert (reply.status_code, reply.json()["error"]["field"]) == (400, "time")
        await send(client, item_id="i1", time=0)
        assert context.state.events == 2
        await send(client, item_id="i2")
        popular = await listed(client, "popular")
        assert {"i0", "i2"} <= set(popular)

    run(tmp_path, Clock(), story)


def test_the_events_stand_in_the_log_in_the_order_of_their_arrival(tmp_path: Path) -> None:
    async def story(client: httpx.AsyncClient, context: Context, clock: Clock) -> None:  # noqa: ARG001
        for number, jump in enumerate((0, -HOUR, 2 * HOUR, -3 * HOUR)):
            clock.now += jump
            await send(client, item_id="i0", event_id=f"e{number}")

    run(tmp_path, Clock(), story)
    log = SqliteLog(Home(tmp_path).log)
    events = [entry.body for entry in entries(log) if isinstance(entry.body, Event)]
    log.close()
    assert [event.event_id for event in events] == ["e0", "e1", "e2", "e3"]
    assert [(event.time - START) // HOUR for event in events] == [0, -1, 1, -2]

"""Who is let in: by the rule itself, and over a real socket whose loop is held up."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import pytest
import uvicorn
from tests.unit.interfaces.api.conftest import Shop
from uvicorn.server import ServerState

from endcap.interfaces.api.admission import (
    AHEAD,
    BURST,
    CALM_SECONDS,
    CROWD,
    LATE_SECONDS,
    SAMPLE_SECONDS,
    STANDING_SECONDS,
    Admission,
)
from endcap.interfaces.api.app import create_app
from endcap.interfaces.api.protocol import BoundedProtocol

LATE = 10 * LATE_SECONDS
LIST = b"/v1/recommend"


class Loop:
    """An admission, a clock that its samples move, and a thread that is busy for a share of the time."""

    def __init__(self, busy: float = 1.0) -> None:
        self.now = self.worked = 0.0
        self.busy = busy
        self.admission = Admission(lambda: self.now, lambda: self.worked)

    def sample(self, late: float, after: float = SAMPLE_SECONDS) -> None:
        """Something due ``after`` seconds after the last sample comes ``late`` seconds late."""
        self.now += after + late
        self.worked += self.busy * (after + late)
        self.admission.sample(late)

    def ask(self, times: int, waiting: int) -> int:
        """How many of so many lists are let in while so many wait."""
        self.admission.waiting = waiting
        return sum(self.admission.admits(LIST) for _ in range(times))


def loaded(late: float = LATE, waiting: int = AHEAD) -> Admission:
    loop = Loop()
    loop.admission.waiting = CROWD
    for _ in range(100):
        loop.sample(late)
    loop.admission.waiting = waiting
    return loop.admission


def test_a_calm_loop_lets_a_burst_in_and_no_more() -> None:
    assert loaded(late=0.0, waiting=BURST - 1).admits(LIST)
    assert not loaded(late=0.0, waiting=BURST).admits(LIST)


def test_in_a_congested_loop_one_may_wait_and_who_is_refused_is_counted() -> None:
    assert loaded(waiting=AHEAD - 1).admits(LIST)
    admission = loaded()
    assert not admission.admits(LIST)
    assert admission.refused == 1


@pytest.mark.parametrize(
    "path", [b"/health/live", b"/health/ready", b"/metrics", b"/", b"/v1/stats", b"/static/app.js"]
)
def test_what_one_looks_at_when_something_is_wrong_is_answered(path: bytes) -> None:
    assert loaded(waiting=1_000).admits(path)


def test_a_loop_that_is_late_now_and_then_is_not_congested() -> None:
    loop = Loop()
    loop.admission.waiting = CROWD
    for _ in range(100):
        for late in (0.018, 0.0, 0.004, 0.0):
            loop.sample(late)
    assert not loop.admission.congested


def test_a_queue_is_standing_by_its_time_not_by_its_samples() -> None:
    quick, slow = Loop(), Loop()
    quick.admission.waiting = slow.admission.waiting = CROWD
    for _ in range(2):
        quick.sample(0.003, after=0.002)
    assert not quick.admission.congested  # 8 ms
    for _ in range(2):
        quick.sample(0.003, after=0.002)
    assert not quick.admission.congested  # 18 ms
    quick.sample(0.003, after=0.002)
    assert quick.admission.congested  # 23 ms
    slow.sample(STANDING_SECONDS + 0.001)  # a single one, in a loop that comes this late to ask
    assert slow.admission.congested


def test_a_crowd_that_is_gone_when_the_loop_comes_to_ask_is_remembered() -> None:
    loop = Loop()
    loop.ask(1, waiting=CROWD)
    loop.admission.waiting = 0
    loop.sample(2 * STANDING_SECONDS)
    assert loop.admission.congested


def test_what_one_page_asks_for_is_no_queue_however_slow_an_answer() -> None:
    loop = Loop()
    loop.admission.waiting = CROWD - 1
    loop.sample(10 * STANDING_SECONDS)
    assert not loop.admission.congested


@pytest.mark.parametrize(("busy", "asked"), [(0.95, 1), (0.5, 2), (1.0, 20)])
def test_congestion_lasts_while_what_comes_would_not_fit(busy: float, asked: int) -> None:
    loop = Loop(busy)
    loop.admission.waiting = CROWD
    loop.sample(LATE)
    loop.sample(LATE)
    for _ in range(3 * round(CALM_SECONDS / SAMPLE_SECONDS)):
        loop.ask(1, waiting=0)
        loop.ask(asked - 1, waiting=AHEAD)  # the loop is on time only because these are refused
        loop.sample(0.0)
        assert loop.admission.congested


@pytest.mark.parametrize(("busy", "asked"), [(0.85, 1), (0.4, 2), (0.02, 20)])
def test_congestion_ends_when_what_comes_fits_again(busy: float, asked: int) -> None:
    loop = Loop(busy)
    loop.admission.waiting = CROWD
    loop.sample(LATE)
    loop.sample(LATE)
    assert loop.admission.congested
    for _ in range(round(CALM_SECONDS / SAMPLE_SECONDS) + 2):
        loop.ask(1, waiting=0)
        loop.ask(asked - 1, waiting=AHEAD)
        loop.sample(0.0)
    assert not loop.admission.congested


def test_the_loop_is_asked_how_late_it_is() -> None:
    async def held_up() -> tuple[float, float]:
        admission = Admission(time.monotonic, time.thread_time)
        watching = asyncio.create_task(admission.watch())
        await asyncio.sleep(0.2)
        calm = admission.late_seconds
        for _ in range(10):
            time.sleep(0.05)  # nothing else runs in this loop meanwhile
            await asyncio.sleep(0.001)
        watching.cancel()
        return calm, admission.late_seconds

    calm, late = asyncio.run(held_up())
    assert calm < 0.01 < late


@contextmanager
def congested(admission: Admission) -> Iterator[None]:
    """A loop that stays late, with as many waiting as may."""
    admission.congested, admission.waiting = True, admission.waiting + AHEAD
    try:
        yield
    finally:
        admission.congested, admission.waiting = False, admission.waiting - AHEAD


@asynccontextmanager
async def listening(shop: Shop) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to the shop on a real socket."""
    protocol: Any = partial(BoundedProtocol, admission=shop.context.admission)
    app = create_app(shop.context)
    server = uvicorn.Server(uvicorn.Config(app, port=0, http=protocol, ws="none", lifespan="off", log_config=None))
    serving = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0.01)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.servers[0].sockets[0].getsockname()[1])
    try:
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()
        server.should_exit = True
        await serving


BODY = b'{"recipe": "popular"}'
POST = (
    b"POST /v1/recommend HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
    % len(BODY)
)


async def answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    found = re.search(rb"content-length: (\d+)", head)
    assert found is not None
    return head + await reader.readexactly(int(found[1]))


def test_who_is_not_let_in_gets_503_at_once_and_may_go_on_on_the_same_connection(shop: Shop) -> None:
    admission = shop.context.admission
    before = admission.refused

    async def talk() -> list[bytes]:
        async with listening(shop) as (reader, writer):
            said = []
            with congested(admission):
                for part in (POST + b"\r\n" + BODY, b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n"):
                    writer.write(part)
                    said.append(await answer(reader))
                writer.write(POST + b"\r\n")
                said.append(await answer(reader))  # before its body has come
                writer.write(BODY)
            for _ in range(2):
                writer.write(POST + b"\r\n" + BODY)
                said.append(await answer(reader))
            return said

    refused, live, early, first, second = shop.runner.run(talk())
    assert refused == early
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nretry-after: 1\r\n" in refused
    assert b'{"error":{"code":"overloaded","message":"more is asked than can be answered now: ask again in' in refused
    assert [one.partition(b"\r\n")[0] for one in (live, first, second)] == [b"HTTP/1.1 200 OK"] * 3
    assert b'"items":[' in second
    assert admission.refused == before + 2
    assert admission.waiting == 0
    assert f'endcap_requests_shed_total{{cause="load"}} {admission.refused}.0' in shop.call("GET", "/metrics").text


def test_a_connection_that_is_to_be_closed_is_closed_after_the_refusal(shop: Shop) -> None:
    async def talk() -> bytes:
        async with listening(shop) as (reader, writer):
            with congested(shop.context.admission):
                writer.write(b"GET /v1/recommend/popular HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                async with asyncio.timeout(5):
                    return await reader.read()

    assert shop.runner.run(talk()).startswith(b"HTTP/1.1 503 ")


def test_a_body_that_waits_for_a_word_of_ours_is_not_refused(shop: Shop) -> None:
    async def talk() -> bytes:
        async with listening(shop) as (reader, writer):
            with congested(shop.context.admission):
                writer.write(POST + b"expect: 100-continue\r\n\r\n")
                assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
                writer.write(BODY)
                return await answer(reader)

    assert shop.runner.run(talk()).startswith(b"HTTP/1.1 200 ")


def test_who_goes_away_with_requests_in_line_waits_no_longer(shop: Shop) -> None:
    admission = loaded(waiting=3)

    async def run() -> BoundedProtocol:
        config = uvicorn.Config(create_app(shop.context), log_config=None, lifespan="off")
        config.load()
        lost = BoundedProtocol(config, ServerState(), {}, admission=admission)
        lost.pipeline.extend([(None, None), (None, None)])  # type: ignore[list-item]  # nobody looks at them any more
        lost.connection_lost(ConnectionResetError())
        return lost

    assert not shop.runner.run(run()).pipeline
    assert admission.waiting == 1

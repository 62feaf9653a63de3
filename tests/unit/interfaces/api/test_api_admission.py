"""Who is let in: by the rule itself, and over a real socket whose loop is held up."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import pytest
import uvicorn
from tests.unit.interfaces.api.conftest import Shop
from uvicorn.server import ServerState

from endcap.interfaces.api.admission import (
    CAP_SECONDS,
    ENOUGH,
    FEW,
    LOOK_SECONDS,
    MOST,
    PAGE,
    SAMPLE_SECONDS,
    TIMES,
    Admission,
)
from endcap.interfaces.api.app import create_app
from endcap.interfaces.api.protocol import BoundedProtocol

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

    def look(self, found: Sequence[int], busy: float) -> None:
        """The time from one look to the next, on time, in which requests find so many waiting."""
        self.busy = busy
        for waiting in found:
            self.ask(1, waiting)
        self.admission.waiting = 0
        self.sample(0.0, after=1.01 * LOOK_SECONDS)

    def learn(self, found: Sequence[int], busy: float = 0.5) -> None:
        """Enough of such time to tell what is usual."""
        for _ in range(2 * ENOUGH // len(found)):
            self.look(found, busy)


def full(usual: int = 0, found: int = 20) -> Loop:
    """So many wait at most while it is calm, each for half of the time, and the first has been refused."""
    loop = Loop()
    loop.learn([usual] * found)
    loop.ask(1, waiting=MOST)
    return loop


def test_a_calm_loop_lets_a_burst_in_and_no_more() -> None:
    burst = TIMES * (PAGE + 1)
    assert Loop().ask(1, waiting=burst - 1) == 1
    assert Loop().ask(1, waiting=burst) == 0


@pytest.mark.parametrize(("usual", "burst"), [(0, FEW), (1, FEW), (5, 6 * TIMES), (20, MOST)])
def test_what_is_a_burst_depends_on_what_is_usual(usual: int, burst: int) -> None:
    loop = Loop()
    loop.learn([usual] * 20)
    assert loop.ask(1, waiting=burst - 1) == 1
    assert loop.ask(1, waiting=burst) == 0


@pytest.mark.parametrize(("busy", "burst"), [(0.5, 2 * FEW), (1.0, FEW)])
def test_twice_as_many_may_wait_where_others_had_the_core(busy: float, burst: int) -> None:
    loop = Loop()
    loop.learn([0] * 20)
    loop.now += 0.03
    loop.worked += 0.03 * busy
    assert loop.ask(1, waiting=burst - 1) == 1
    assert loop.ask(1, waiting=burst) == 0


def test_who_is_refused_is_counted() -> None:
    loop = full(usual=5)
    before = loop.admission.refused
    assert loop.ask(3, waiting=5) == 3
    assert loop.ask(3, waiting=6) == 0
    assert loop.admission.refused == before + 3


@pytest.mark.parametrize(
    "path", [b"/health/live", b"/health/ready", b"/metrics", b"/", b"/v1/stats", b"/static/app.js"]
)
def test_what_one_looks_at_when_something_is_wrong_is_answered(path: bytes) -> None:
    admission = full().admission
    admission.waiting = 1_000
    assert admission.admits(path)


def test_a_loop_that_is_late_but_refuses_nobody_is_not_full() -> None:
    loop = Loop()
    loop.learn([0] * 10)
    for _ in range(100):
        loop.ask(1, waiting=FEW - 1)
        loop.sample(0.2)
    assert loop.ask(1, waiting=FEW - 1) == 1


@pytest.mark.parametrize(
    ("found", "usual"),
    [
        ([0] * 20, 0),
        ([0, 1, 2, 3, 4, 5] * 3, 5),
        ([0] * 98 + [7, 7], 7),  # two of a hundred
        ([0] * 98 + [0, 7], 0),  # one of a hundred
        ([20] * 20, 20),
    ],
)
def test_what_is_usual_is_what_99_of_100_find_waiting_in_a_calm_loop(found: list[int], usual: int) -> None:
    loop = Loop()
    loop.learn(found)
    loop.ask(1, waiting=MOST)
    assert loop.admission.limit == usual + 1


def test_a_shop_that_asks_for_more_at_once_than_was_thought_is_believed() -> None:
    loop = Loop()

    def page() -> int:
        let_in = 0
        for _ in range(30):
            let_in += loop.ask(1, waiting=let_in)
        for busy in (0.5, 0.0, 0.0):
            loop.look([], busy)
        return let_in

    assert page() == 24
    assert [page() for _ in range(40)][-1] == 30


def test_what_is_usual_changes_with_the_shop() -> None:
    loop = Loop()
    loop.learn([9] * 10)
    for _ in range(5):
        loop.learn([0] * 10)
    loop.ask(1, waiting=MOST)
    assert loop.admission.limit == 1


@pytest.mark.parametrize("busy", [(0.1, 1.0, 0.0), (0.0, 1.0, 0.1)])
def test_a_flood_with_its_begin_and_its_end_is_not_taken_for_usual(busy: tuple[float, ...]) -> None:
    loop = Loop()
    loop.learn([0] * 10)
    for _ in range(100):
        for one in busy:
            loop.look([FEW - 1] * 20 if one else [], one)
    loop.ask(1, waiting=MOST)
    assert loop.admission.limit == 1


def test_a_full_loop_takes_no_more_than_usually_wait() -> None:
    loop = full()
    assert loop.ask(1, waiting=0) == 1
    assert loop.ask(1, waiting=1) == 0


@pytest.mark.parametrize(("let_in", "refused"), [(40, 1), (39, 40), (30, 200)])
def test_the_loop_is_full_while_more_comes_than_it_could_answer(let_in: int, refused: int) -> None:
    loop = full(found=20)  # 20 requests take half of the time between two looks
    for _ in range(50):
        loop.look([0] * let_in + [MOST] * refused, busy=1.0)
        assert loop.admission.limit == 1


@pytest.mark.parametrize(("let_in", "refused"), [(0, 0), (20, 0), (10, 10), (1, 29)])
def test_the_loop_is_full_until_it_would_have_answered_all_that_came(let_in: int, refused: int) -> None:
    loop = full(found=20)
    share = (let_in + refused) / 40
    looks = 0
    while loop.admission.behind:
        loop.look([0] * let_in + [MOST] * refused, busy=let_in / 40)
        looks += 1
    assert looks <= 1 + CAP_SECONDS / LOOK_SECONDS / (1 - share)
    assert loop.ask(1, waiting=FEW - 1) == 1


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
def crowded(admission: Admission) -> Iterator[None]:
    """As many wait as may."""
    admission.waiting += MOST
    try:
        yield
    finally:
        admission.waiting -= MOST


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
            with crowded(admission):
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


def test_a_page_that_asks_for_six_lists_at_once_gets_them(shop: Shop) -> None:
    async def one(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(POST + b"\r\n" + BODY)
        try:
            return await answer(reader)
        finally:
            writer.close()

    async def talk() -> list[bytes]:
        async with listening(shop) as (_, writer):
            port = writer.get_extra_info("peername")[1]
            return await asyncio.gather(*(one(port) for _ in range(6)))

    assert [said.partition(b"\r\n")[0] for said in shop.runner.run(talk())] == [b"HTTP/1.1 200 OK"] * 6


def test_a_connection_that_is_to_be_closed_is_closed_after_the_refusal(shop: Shop) -> None:
    async def talk() -> bytes:
        async with listening(shop) as (reader, writer):
            with crowded(shop.context.admission):
                writer.write(b"GET /v1/recommend/popular HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                async with asyncio.timeout(5):
                    return await reader.read()

    assert shop.runner.run(talk()).startswith(b"HTTP/1.1 503 ")


def test_a_body_that_waits_for_a_word_of_ours_is_not_refused(shop: Shop) -> None:
    async def talk() -> bytes:
        async with listening(shop) as (reader, writer):
            with crowded(shop.context.admission):
                writer.write(POST + b"expect: 100-continue\r\n\r\n")
                assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
                writer.write(BODY)
                return await answer(reader)

    assert shop.runner.run(talk()).startswith(b"HTTP/1.1 200 ")


def test_who_goes_away_with_requests_in_line_waits_no_longer(shop: Shop) -> None:
    admission = Loop().admission
    admission.waiting = 3

    async def run() -> BoundedProtocol:
        config = uvicorn.Config(create_app(shop.context), log_config=None, lifespan="off")
        config.load()
        lost = BoundedProtocol(config, ServerState(), {}, admission=admission)
        lost.pipeline.extend([(None, None), (None, None)])  # type: ignore[list-item]  # nobody looks at them any more
        lost.connection_lost(ConnectionResetError())
        return lost

    assert not shop.runner.run(run()).pipeline
    assert admission.waiting == 1

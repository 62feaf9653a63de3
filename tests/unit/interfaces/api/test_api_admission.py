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

from endcap.interfaces.api.admission import AHEAD, LATE_SECONDS, Admission
from endcap.interfaces.api.app import create_app
from endcap.interfaces.api.protocol import BoundedProtocol

LATE = 10 * LATE_SECONDS
LIST = b"/v1/recommend"


def loaded(late: float = LATE, waiting: int = AHEAD) -> Admission:
    admission = Admission(lambda: 0.0)
    for _ in range(100):
        admission.sample(late)
    admission.waiting = waiting
    return admission


def test_in_a_calm_loop_everybody_is_let_in_however_many_wait() -> None:
    assert loaded(late=0.0, waiting=1_000).admits(LIST)


def test_in_a_congested_loop_a_few_may_wait_and_who_is_refused_is_counted() -> None:
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
    admission = loaded(late=0.0)
    for _ in range(100):
        for late in (0.03, 0.02, 0.01, 0.005, 0.0):
            admission.sample(late)
    assert admission.admits(LIST)


def test_a_standing_queue_is_congestion_at_its_fifth_sample_and_until_the_loop_is_calm() -> None:
    admission = loaded(late=0.0)
    for _ in range(4):
        admission.sample(0.006)
    assert admission.admits(LIST)
    admission.sample(0.006)
    assert not admission.admits(LIST)
    for late in (0.0, 0.004, 0.0, 0.004) * 10:
        admission.sample(late)
    assert not admission.admits(LIST)  # what is let in keeps it busy: no reason to let everybody in
    for _ in range(20):
        admission.sample(0.0)
    assert admission.admits(LIST)


def test_the_loop_is_asked_how_late_it_is() -> None:
    async def held_up() -> tuple[float, float]:
        admission = Admission(time.monotonic)
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

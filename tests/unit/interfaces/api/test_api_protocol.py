"""The head of a request is bounded in size and time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from uvicorn.server import ServerState

from endcap.interfaces.api import protocol
from endcap.interfaces.api.protocol import BoundedProtocol

Story = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
GET = b"GET / HTTP/1.1\r\nhost: localhost\r\n"


def tell(story: Story) -> None:
    """Runs ``story`` on a connection to a server that answers ``hello``."""

    async def run() -> None:
        config = uvicorn.Config(PlainTextResponse("hello"), log_config=None, log_level="critical", lifespan="off")
        config.load()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: BoundedProtocol(config, ServerState(), {}), "127.0.0.1", 0)
        async with server, asyncio.timeout(10):
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            try:
                await story(reader, writer)
            finally:
                writer.close()
                await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    asyncio.run(run())


async def status(reader: asyncio.StreamReader) -> int:
    """The status of the next answer, its headers read."""
    head = await reader.readuntil(b"\r\n\r\n")
    return int(head.split()[1])


def refused(answer: bytes) -> tuple[int, str, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    error = json.loads(body)["error"]
    return int(head.split()[1]), error["code"], error["message"]


def test_requests_follow_each_other_on_one_connection() -> None:
    async def story(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(3):
            writer.write(GET + b"\r\n")
            assert await status(reader) == 200
            assert await reader.readexactly(5) == b"hello"

    tell(story)


def test_many_requests_do_not_add_up() -> None:
    async def story(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(3):
            writer.write(GET + b"x: " + b"a" * 40_000 + b"\r\n")
            await asyncio.sleep(0.01)
            writer.write(b"\r\n")
            assert await status(reader) == 200
            await reader.readexactly(5)

    tell(story)


@pytest.mark.parametrize("rest", [b"x: " + b"a" * 70_000, b"a: b\r\n" * 20_000])
def test_a_head_that_is_too_long_is_refused(rest: bytes) -> None:
    async def story(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GET + rest)
        code, name, message = refused(await reader.read())
        assert (code, name, message) == (400, "malformed", "the headers are longer than 65536 bytes")

    tell(story)


def test_what_is_not_http_is_refused() -> None:
    async def story(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
        assert refused(await reader.read())[:2] == (400, "malformed")

    tell(story)


@pytest.mark.parametrize("begun", [b"", GET])
def test_a_head_that_does_not_come_ends_the_connection(monkeypatch: pytest.MonkeyPatch, begun: bytes) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.05)

    async def story(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(begun)
        assert await reader.read() == b""

    tell(story)


def test_the_head_of_a_later_request_must_come_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.05)

    async def story(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GET + b"\r\n")
        assert await status(reader) == 200
        await reader.readexactly(5)
        writer.write(GET)
        assert await reader.read() == b""

    tell(story)


def test_a_body_may_take_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.05)

    async def story(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n")
        assert await status(reader) == 200
        await asyncio.sleep(0.15)
        writer.write(b"{}" + GET + b"\r\n")
        await reader.readexactly(5)
        assert await status(reader) == 200

    tell(story)

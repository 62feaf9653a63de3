"""GET /v1/stream: the list at once, then whenever it changes; never a queue of old ones."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from starlette.types import Message

from endcap.interfaces.api import stream
from endcap.interfaces.api.app import create_app


class Reader:
    """A client of the stream, without a socket."""

    def __init__(self, shop: Any, query: str = "visitor_id=reader&recipe=for-you&k=100") -> None:
        self.messages: list[Message] = []
        self.came = asyncio.Event()
        self.may_read = asyncio.Event()
        self.may_read.set()
        self.held_up = asyncio.Event()
        """Something is on its way to a reader that does not read."""
        self._shop = shop
        self._leave = asyncio.Event()
        self._asked = False
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/v1/stream",
            "query_string": query.encode(),
            "headers": [(b"host", b"localhost")],
        }
        self.task = asyncio.ensure_future(create_app(shop.context)(scope, self._receive, self._send))

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._leave.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if not self.may_read.is_set():
            self.held_up.set()
        await self.may_read.wait()
        self.messages.append(message)
        self.came.set()

    async def wait(self, count: int) -> None:
        """Until ``count`` messages have come."""
        async with asyncio.timeout(20):
            while len(self.messages) < count:
                self.came.clear()
                await self.came.wait()

    async def quiet(self) -> None:
        """Until the first list has come and nothing is left that would bring another: what new items say is known."""
        await self.wait(2)
        live = self._shop.context.live
        async with asyncio.timeout(20):
            while live.engine.contents.waiting or live._encoding:
                await asyncio.sleep(0.01)
        await self.turns()

    async def turns(self) -> None:
        """Let the stream look at what has changed: it takes its turn between requests."""
        for _ in range(10):
            await self._shop.client.get("/health/live")
            async with self._shop.context.streams.turn:
                await asyncio.sleep(0)

    async def until(self, reached: Callable[[list[str]], bool]) -> None:
        """Until the newest list is as wanted; others may come before, as vectors of new items become known."""
        async with asyncio.timeout(20):
            while not (self.lists() and reached(self.lists()[-1])):
                self.came.clear()
                await self.came.wait()

    async def leave(self) -> None:
        self._leave.set()
        await asyncio.wait_for(self.task, 20)

    def bodies(self) -> list[bytes]:
        return [message["body"] for message in self.messages if message["type"] == "http.response.body"]

    def lists(self) -> list[list[str]]:
        """The item ids of each list that came."""
        lines = b"".join(self.bodies()).decode().splitlines()
        answers = [msgspec.json.decode(line[6:]) for line in lines if line.startswith("data: ")]
        return [[item["item_id"] for item in answer["items"]] for answer in answers]


async def post(shop: Any, event: dict[str, object]) -> None:
    reply = await shop.client.post("/v1/events", json=event)
    assert reply.status_code == 202


def run(shop: Any, story: Callable[[], Awaitable[None]]) -> None:
    async def told() -> None:
        await story()

    shop.runner.run(told())


def test_the_list_comes_at_once_and_again_when_it_changes(shop: Any) -> None:
    async def story() -> None:
        reader = Reader(shop)
        await reader.wait(2)
        start = reader.messages[0]
        assert (start["status"], dict(start["headers"])[b"content-type"]) == (200, b"text/event-stream; charset=utf-8")
        assert reader.bodies()[0].startswith(b"event: list\nid: ")
        assert reader.bodies()[0].endswith(b"}\n\n")
        assert "pot" in reader.lists()[0]
        await post(shop, {"type": "view", "visitor_id": "reader", "item_id": "pot"})
        await reader.until(lambda items: "pot" not in items)  # it is in the open session
        assert shop.context.streams.open == 1
        await reader.leave()
        assert shop.context.streams.open == 0

    run(shop, story)


def test_an_item_that_is_gone_leaves_the_list(shop: Any) -> None:
    async def story() -> None:
        reader = Reader(shop)
        await reader.until(lambda items: "lamp" in items)
        await shop.client.patch("/v1/items/lamp", json={"in_stock": False})
        await reader.until(lambda items: "lamp" not in items)
        await shop.client.patch("/v1/items/lamp", json={"in_stock": True})
        await reader.until(lambda items: "lamp" in items)
        await reader.leave()

    run(shop, story)


def test_what_does_not_change_the_list_is_not_sent(shop: Any) -> None:
    async def story() -> None:
        reader = Reader(shop, "visitor_id=quiet&recipe=for-you")
        await reader.quiet()
        before = len(reader.messages)
        await post(shop, {"type": "custom", "visitor_id": "quiet"})
        await reader.turns()
        await post(shop, {"type": "view", "visitor_id": "somebody-else", "item_id": "nothing"})
        await reader.turns()
        assert len(reader.messages) == before
        await reader.leave()

    run(shop, story)


def test_a_slow_reader_gets_the_newest_list_only(shop: Any) -> None:
    async def story() -> None:
        reader = Reader(shop, "visitor_id=slow&recipe=for-you&k=100")
        await reader.quiet()
        before = len(reader.lists())
        reader.may_read.clear()
        await post(shop, {"type": "view", "visitor_id": "slow", "item_id": "pot"})
        async with asyncio.timeout(20):
            await reader.held_up.wait()
        for item in ("cup", "lamp"):
            await post(shop, {"type": "view", "visitor_id": "slow", "item_id": item})
            await reader.turns()
        reader.may_read.set()
        await reader.until(lambda items: not {"pot", "cup", "lamp"} & set(items))
        await reader.turns()
        assert len(reader.lists()) == before + 2  # what was on its way; the newest
        await reader.leave()

    run(shop, story)


def test_a_quiet_stream_shows_that_it_lives(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_SECONDS", 0.02)

    async def story() -> None:
        reader = Reader(shop)
        async with asyncio.timeout(20):
            while reader.bodies().count(b": still here\n\n") < 2:
                reader.came.clear()
                await reader.came.wait()
        await reader.leave()

    run(shop, story)


def test_streams_are_bounded(shop: Any) -> None:
    async def story() -> None:
        readers = [Reader(shop), Reader(shop)]
        for reader in readers:
            await reader.wait(2)
        refused = await shop.client.get("/v1/stream?visitor_id=third")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
        assert "2 streams are open: close one, or raise serve.max_streams" in refused.json()["error"]["message"]
        for reader in readers:
            await reader.leave()
        assert shop.context.streams.open == 0

    run(shop, story)


def test_a_stopping_server_ends_its_streams(shop: Any) -> None:
    async def story() -> None:
        reader = Reader(shop)
        await reader.wait(2)
        shop.context.streams.stopping.set()
        await asyncio.wait_for(reader.task, 20)
        assert reader.messages[-1] == {"type": "http.response.body", "body": b"", "more_body": False}
        shop.context.streams.stopping.clear()

    run(shop, story)


@pytest.mark.parametrize(
    ("query", "field"), [("recipe=best", "recipe"), ("colour=1", "colour"), ("recipe=similar", "item_ids")]
)
def test_a_wrong_question_is_answered_before_the_stream_begins(shop: Any, query: str, field: str) -> None:
    reply = shop.call("GET", f"/v1/stream?{query}")
    assert (reply.status_code, reply.json()["error"]["field"]) == (400, field)


def test_the_length_of_a_stream_is_no_response_time(shop: Any) -> None:
    text = shop.call("GET", "/metrics").text
    assert 'endcap_requests_total{route="GET /v1/stream",status="200"}' in text
    assert 'endcap_request_seconds_count{route="GET /v1/stream"}' not in text or (
        shop.call("GET", "/v1/stats").json()["recommend_ms"]["p99"] is None
    )

"""Bodies are read within limits."""

from __future__ import annotations

import asyncio

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message

from endcap.errors import OverloadedError, TimedOutError, TooLargeError, UnsupportedMediaError
from endcap.interfaces.api.intake import Intake, check_media


class Sender:
    """A client that sends its parts and then is silent."""

    def __init__(self, *parts: bytes, more: bool = False) -> None:
        self.sent = 0
        self._messages: list[Message] = [
            {"type": "http.request", "body": part, "more_body": more or place < len(parts) - 1}
            for place, part in enumerate(parts)
        ]

    async def receive(self) -> Message:
        if self.sent == len(self._messages):
            await asyncio.sleep(60)
        self.sent += 1
        return self._messages[self.sent - 1]


def read(intake: Intake, sender: Sender, declared: bytes | None = None) -> bytes:
    headers = {} if declared is None else {b"content-length": declared}
    return asyncio.run(intake.read(sender.receive, headers))


def test_a_body_comes_whole_or_in_parts() -> None:
    intake = Intake(10, 100)
    assert read(intake, Sender(b"0123456789"), b"10") == b"0123456789"
    assert read(intake, Sender(b"01", b"", b"23")) == b"0123"


def test_a_body_that_says_it_is_too_large_is_not_read() -> None:
    sender = Sender(b"0" * 11)
    with pytest.raises(TooLargeError, match="the body is larger than 10 bytes: send it in parts"):
        read(Intake(10, 100), sender, b"11")
    assert sender.sent == 0


def test_a_number_too_long_to_be_a_size_is_too_large() -> None:
    with pytest.raises(TooLargeError, match="larger than 10 bytes"):
        read(Intake(10, 100), Sender(b""), b"9" * 5_000)


def test_a_body_that_turns_out_too_large_is_not_read_to_its_end() -> None:
    sender = Sender(*[b"0123"] * 1000)
    with pytest.raises(TooLargeError, match="larger than 10 bytes"):
        read(Intake(10, 100), sender)
    assert sender.sent == 3


def test_a_whole_body_that_is_too_large() -> None:
    with pytest.raises(TooLargeError, match="larger than 10 bytes"):
        read(Intake(10, 100), Sender(b"0" * 11))


def test_all_bodies_together_are_bounded_and_the_room_is_given_back() -> None:
    intake = Intake(10, 12)

    async def two_at_once() -> None:
        waiting = asyncio.ensure_future(intake.read(Sender(b"0123456", more=True).receive, {}))
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError, match="too many large bodies at once"):
            await intake.read(Sender(b"0123", b"45").receive, {})
        waiting.cancel()

    asyncio.run(two_at_once())
    assert read(intake, Sender(b"0123", b"45")) == b"012345"


def test_a_body_that_does_not_come_is_given_up() -> None:
    with pytest.raises(TimedOutError, match=r"the body did not come within 0\.01 s"):
        read(Intake(10, 100, seconds=0.01), Sender(b"01", more=True))


def test_a_sender_that_goes_away_is_noticed() -> None:
    async def gone() -> Message:
        return {"type": "http.disconnect"}

    with pytest.raises(ClientDisconnect):
        asyncio.run(Intake(10, 100).read(gone, {}))


@pytest.mark.parametrize("kind", [b"", b"application/json", b"Application/JSON; charset=UTF-8"])
def test_json_is_read(kind: bytes) -> None:
    check_media({b"content-type": kind})


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({b"content-type": b"text/plain"}, "the body is 'text/plain': send JSON"),
        ({b"content-type": b"application/x-www-form-urlencoded"}, "send JSON in UTF-8 with 'Content-Type"),
        ({b"content-type": b"application/json; charset=latin-1"}, "charset=latin-1"),
        ({b"content-encoding": b"gzip"}, r"the body is compressed \('gzip'\)"),
    ],
)
def test_other_media_are_refused(headers: dict[bytes, bytes], message: str) -> None:
    with pytest.raises(UnsupportedMediaError, match=message):
        check_media(headers)

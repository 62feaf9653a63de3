"""Every error has one shape, and its status comes from one table."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Protocol

import httpx
import msgspec
import pytest

from endcap import errors
from endcap.errors import EndcapError, InvalidFieldError, NotFittedError
from endcap.interfaces.api.app import STATUS, error_reply
from endcap.interfaces.api.schema import ErrorAnswer


class Calls(Protocol):
    """What the tests need of a shop."""

    def call(self, method: str, path: str, **more: object) -> httpx.Response: ...


def _classes(root: type[EndcapError]) -> Iterator[type[EndcapError]]:
    yield root
    for child in root.__subclasses__():
        yield from _classes(child)


def _made(kind: type[EndcapError]) -> EndcapError:
    if kind is InvalidFieldError:
        return InvalidFieldError("k", "k is 0: give 1")
    return NotFittedError(object()) if kind is NotFittedError else kind("what, where, remedy")


STATUS_BY_NAME = {
    "EndcapError": 400,
    "InvalidFieldError": 400,
    "MalformedError": 400,
    "DataError": 400,
    "UnauthorizedError": 401,
    "ForbiddenError": 403,
    "NotFoundError": 404,
    "TimedOutError": 408,
    "ModelError": 409,
    "TooLargeError": 413,
    "UnsupportedMediaError": 415,
    "ConfigError": 500,
    "EndpointError": 502,
    "HomeError": 503,
    "DamagedEntryError": 503,
    "NotFittedError": 503,
    "OverloadedError": 503,
}


@pytest.mark.parametrize("kind", sorted(_classes(EndcapError), key=str))
def test_every_class_has_its_status_and_the_one_shape(kind: type[EndcapError]) -> None:
    assert kind.__module__ == errors.__name__
    assert STATUS[kind] == STATUS_BY_NAME[kind.__name__]
    error = _made(kind)
    reply = error_reply(error)
    answer = msgspec.json.decode(bytes(reply.body), type=ErrorAnswer)
    assert reply.status_code == STATUS[kind]
    assert (answer.error.code, answer.error.message) == (kind.code, str(error))
    assert answer.error.field == ("k" if kind is InvalidFieldError else None)
    assert set(msgspec.json.decode(bytes(reply.body))["error"]) <= {"code", "message", "field"}


def test_a_missing_key_and_an_overload_say_how_to_go_on() -> None:
    assert error_reply(errors.UnauthorizedError("no key")).headers["www-authenticate"] == "Bearer"
    assert error_reply(errors.OverloadedError("full")).headers["retry-after"] == "1"


def test_what_is_unexpected_stays_inside() -> None:
    reply = error_reply(KeyError("the password is hunter2"))
    assert reply.status_code == 500
    assert b"hunter2" not in reply.body
    assert b'"code":"internal"' in reply.body


def test_a_fault_is_logged_with_its_traceback_and_answered(
    shop: Calls, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = shop.context.live.engine  # type: ignore[attr-defined]  # the fixture is a Shop
    monkeypatch.setattr(type(engine), "recommend", lambda *_: 1 / 0)
    with caplog.at_level(logging.ERROR):
        reply = shop.call("POST", "/v1/recommend", json={"recipe": "popular"})
    assert reply.status_code == 500
    assert "ZeroDivisionError" not in reply.text
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/v1/recommend/", 404, "not_found"),
        ("POST", "/v1/recommend/", 404, "not_found"),
        ("GET", "/static/../app.py", 404, "not_found"),
        ("GET", "/static/docs/nothing.js", 404, "not_found"),
        ("PUT", "/v1/recommend", 405, "method_not_allowed"),
        ("DELETE", "/v1/events", 405, "method_not_allowed"),
        ("POST", "/health/live", 405, "method_not_allowed"),
    ],
)
def test_addresses_that_do_not_exist(shop: Calls, method: str, path: str, status: int, code: str) -> None:
    reply = shop.call(method, path)
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
    assert reply.headers["content-type"] == "application/json"
    assert (reply.headers.get("allow") is not None) == (status == 405)


@pytest.mark.parametrize(
    ("more", "status", "code"),
    [
        ({"content": b"{"}, 400, "malformed"),
        ({"content": b'{"recipe":"caf\xe9"}'}, 400, "malformed"),
        ({"content": b"[" * 20_000}, 400, "malformed"),
        ({"content": b" " * 50_001}, 413, "too_large"),
        ({"content": b"{}", "headers": {"content-type": "text/plain"}}, 415, "unsupported_media"),
        ({"content": b"{}", "headers": {"content-encoding": "gzip"}}, 415, "unsupported_media"),
        ({"content": b"{}", "headers": {"host": "evil.example"}}, 403, "forbidden"),
        ({"content": b"{}", "headers": {"origin": "https://evil.example"}}, 403, "forbidden"),
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/recommend"), ("POST", "/v1/events"), ("PUT", "/v1/items")])
def test_bad_bodies_and_bad_pages(
    shop: Calls, method: str, path: str, more: dict[str, object], status: int, code: str
) -> None:
    reply = shop.call(method, path, **more)
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)


def test_a_body_that_is_sent_without_its_size_is_measured(shop: Calls) -> None:
    async def parts() -> object:
        for _ in range(100):
            yield b" " * 1_000

    reply = shop.call("POST", "/v1/events", content=parts())
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, "too_large")

"""What a page of another origin may do."""

from __future__ import annotations

import pytest

from endcap.errors import ForbiddenError
from endcap.interfaces.api.origins import Origins, is_loopback

SHOP = b"https://shop.example"
OPEN = Origins(["https://shop.example/"], open=True)
KEYED = Origins(["https://shop.example"], open=False)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1", "[::1]"])
def test_names_of_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "0.0.0.0", "::", "10.0.0.1", "example.com", "localhost.example.com", "127.0.0.1.nip.io"]
)
def test_names_that_may_be_another_machine(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("host", [b"localhost", b"localhost:8080", b"127.0.0.1:8080", b"[::1]:8080", b"[::1]"])
def test_an_open_server_answers_to_this_machine(host: bytes) -> None:
    assert OPEN.check({b"host": host}) is False


@pytest.mark.parametrize(
    "host", [b"", b"evil.example", b"evil.example:8080", b"127.0.0.1.evil.example", b"localhost:x"]
)
def test_an_open_server_does_not_answer_to_another_name(host: bytes) -> None:
    with pytest.raises(ForbiddenError, match="answers to localhost only, not to"):
        OPEN.check({b"host": host})


@pytest.mark.parametrize(
    "origin", [b"https://evil.example", b"null", b"http://localhost:3000", b"http://127.0.0.1:8080"]
)
def test_an_open_server_answers_no_page_of_another_origin(origin: bytes) -> None:
    with pytest.raises(ForbiddenError, match=r"answers no page of .*serve\.allowed_origins"):
        OPEN.check({b"host": b"localhost:8080", b"origin": origin})


def test_its_own_pages_and_the_allowed_ones_are_told_apart() -> None:
    host = {b"host": b"localhost:8080"}
    assert OPEN.check({**host, b"origin": b"http://localhost:8080"}) is False
    assert OPEN.check({**host, b"origin": SHOP}) is True
    assert KEYED.check({b"host": b"api.example", b"origin": b"https://evil.example"}) is False


def test_an_events_key_works_from_allowed_origins_only() -> None:
    KEYED.check_browser({b"host": b"api.example"})
    KEYED.check_browser({b"host": b"api.example", b"origin": b"https://api.example"})
    KEYED.check_browser({b"host": b"api.example", b"origin": SHOP})
    with pytest.raises(ForbiddenError, match="works from allowed origins only"):
        KEYED.check_browser({b"host": b"api.example", b"origin": b"https://evil.example"})


def test_only_an_allowed_origin_is_given_the_answer() -> None:
    assert KEYED.reply_headers({b"origin": b"https://evil.example"}) == []
    assert KEYED.reply_headers({}) == []
    assert KEYED.reply_headers({b"origin": SHOP}) == [(b"access-control-allow-origin", SHOP), (b"vary", b"origin")]


def test_a_preflight_names_what_may_be_sent() -> None:
    granted = dict(KEYED.preflight({b"origin": SHOP}))
    assert granted[b"access-control-allow-methods"] == b"GET, POST"
    assert b"x-endcap-visitor" in granted[b"access-control-allow-headers"]
    with pytest.raises(ForbiddenError, match="may not call the API"):
        KEYED.preflight({b"origin": b"https://evil.example"})

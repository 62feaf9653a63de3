"""Keys, scopes and visitor tokens."""

from __future__ import annotations

import base64
import hashlib
import hmac

import msgspec
import pytest

from endcap.errors import ConfigError, ForbiddenError, UnauthorizedError
from endcap.interfaces.api.auth import OWNER, Caller, Keys, speaks_for

ADMIN = "a" * 20
READ = "r" * 20
EVENTS = "e" * 20
KEYS = Keys.parse(f"admin:{ADMIN},read:{READ}, events:{EVENTS}")
NOW = 1_700_000_000_000


def sent(key: str, **others: str) -> dict[bytes, bytes]:
    named = {name.replace("_", "-").encode(): value.encode() for name, value in others.items()}
    return {b"authorization": f"Bearer {key}".encode(), **named}


@pytest.mark.parametrize(("key", "scope"), [(ADMIN, "admin"), (READ, "read")])
def test_a_key_has_its_scope(key: str, scope: str) -> None:
    assert KEYS.caller(sent(key), NOW) == Caller(scope)


def test_a_key_with_two_scopes_has_the_wider_one() -> None:
    assert Keys.parse(f"read:{ADMIN},admin:{ADMIN}").caller(sent(ADMIN), NOW) == Caller("admin")


def test_no_configured_key_means_open() -> None:
    assert Keys.parse("").open
    assert not KEYS.open


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "no key was sent: add the header 'Authorization: Bearer <key>'"),
        ({b"authorization": b"Basic abc"}, "no key was sent"),
        ({b"authorization": b"Bearer "}, "no key was sent"),
        (sent("x" * 20), "the key is not known"),
        (sent(ADMIN[:-1]), "the key is not known"),
        (sent(EVENTS), "an events key speaks for one visitor: send the header X-Endcap-Visitor"),
        (sent(EVENTS, x_endcap_visitor="abc"), "is not genuine"),
        (sent(EVENTS, x_endcap_visitor="a.b.c"), "is not genuine"),
        (sent(EVENTS, x_endcap_visitor="é.é"), "is not genuine"),
    ],
)
def test_no_good_key_is_unauthorized(headers: dict[bytes, bytes], message: str) -> None:
    with pytest.raises(UnauthorizedError, match=message):
        KEYS.caller(headers, NOW)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("secret-without-scope-0123", "a key must start with its scope"),
        ("root:0123456789abcdef", "a key must start with its scope"),
        ("admin:short-key", "the admin key has 9 characters: give at least 16"),
        (f"events:{EVENTS}", "an events key but no admin key"),
    ],
)
def test_unsafe_keys_are_refused_without_showing_them(value: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        Keys.parse(value)
    assert value.partition(":")[2] not in str(raised.value) or ":" not in value


def test_a_token_binds_an_events_key_to_its_visitor() -> None:
    token = KEYS.sign("v.1/ü", "u1", NOW + 1)
    assert KEYS.caller(sent(EVENTS, x_endcap_visitor=token), NOW) == Caller("events", True, "v.1/ü", "u1")


def test_a_token_ends() -> None:
    token = KEYS.sign("v1", None, NOW)
    with pytest.raises(UnauthorizedError, match="has expired"):
        KEYS.caller(sent(EVENTS, x_endcap_visitor=token), NOW)


def test_a_token_that_was_changed_or_signed_elsewhere_is_refused() -> None:
    payload = base64.urlsafe_b64encode(msgspec.json.encode(["v2", None, NOW + 1])).decode()
    genuine = KEYS.sign("v1", None, NOW + 1)
    other_shop = Keys.parse(f"admin:{'b' * 20},events:{EVENTS}").sign("v2", None, NOW + 1)
    signed_with_the_public_key = base64.urlsafe_b64encode(
        hmac.digest(EVENTS.encode(), base64.b64decode(payload), hashlib.sha256)
    ).decode()
    for token in (f"{payload}.{genuine.partition('.')[2]}", other_shop, f"{payload}.{signed_with_the_public_key}"):
        with pytest.raises(UnauthorizedError, match="is not genuine"):
            KEYS.caller(sent(EVENTS, x_endcap_visitor=token), NOW)


def test_a_shop_without_admin_key_signs_nothing() -> None:
    with pytest.raises(ForbiddenError, match="has none: add one"):
        Keys.parse(f"read:{READ}").sign("v1", None, NOW)


BOUND = Caller("events", True, "v1", "u1")


@pytest.mark.parametrize(
    ("asked", "gets"),
    [((None, None), (None, "v1")), ((None, "v1"), (None, "v1")), (("u1", None), ("u1", "v1"))],
)
def test_a_bound_caller_speaks_for_itself(asked: tuple[str | None, str | None], gets: tuple[str, str]) -> None:
    assert speaks_for(BOUND, *asked) == gets


@pytest.mark.parametrize("asked", [("u2", None), (None, "v2"), ("u1", "v2")])
def test_a_bound_caller_speaks_for_nobody_else(asked: tuple[str | None, str | None]) -> None:
    with pytest.raises(ForbiddenError, match="is for another visitor"):
        speaks_for(BOUND, *asked)


def test_a_token_without_a_user_does_not_speak_for_one() -> None:
    with pytest.raises(ForbiddenError, match="is for another visitor"):
        speaks_for(Caller("events", True, "v1"), "u1", None)


def test_other_callers_speak_for_everybody() -> None:
    assert speaks_for(OWNER, "u2", "v2") == ("u2", "v2")

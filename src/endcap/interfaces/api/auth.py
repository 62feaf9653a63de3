"""Keys, their scopes, and the signed tokens that let a browser speak for one visitor.

``ENDCAP_KEYS`` holds the keys: ``admin:KEY,read:KEY,events:KEY``. A key of the scope ``events`` is public (it
stands in a web page), so with it comes the header ``X-Endcap-Visitor``: a token that the shop's own backend
asked for with a better key, which names the visitor, ends, and is signed (HMAC-SHA256, RFC 2104).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import msgspec

from endcap.errors import ConfigError, ForbiddenError, UnauthorizedError

KEYS_VARIABLE = "ENDCAP_KEYS"
SCOPES = ("events", "read", "admin")
MIN_KEY_LENGTH = 16
VISITOR_HEADER = b"x-endcap-visitor"

Headers = Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. ``bound``: speaks only for ``visitor_id`` (and ``user_id``, where the token names one)."""

    scope: str
    bound: bool = False
    visitor_id: str | None = None
    user_id: str | None = None


OWNER = Caller("admin")
"""Everybody, where the server is open."""
ALLOWED_PAGE = Caller("events")
"""A page of an allowed origin, where the server is open."""


def speaks_for(caller: Caller, user_id: str | None, visitor_id: str | None) -> tuple[str | None, str | None]:
    """The user and the visitor that a request is about, from what it says and who sends it.

    Raises ForbiddenError where the caller is bound to somebody else.
    """
    if not caller.bound:
        return user_id, visitor_id
    if visitor_id not in (None, caller.visitor_id) or user_id not in (None, caller.user_id):
        raise ForbiddenError("the token in X-Endcap-Visitor is for another visitor: leave the ids out, or ask for one")
    return user_id, caller.visitor_id


class _Claims(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    visitor_id: str
    user_id: str | None
    expires: int


class Keys:
    """The configured keys. Only their digests are kept, and they are compared in constant time."""

    def __init__(self, keys: list[tuple[str, str]]) -> None:
        self._digests = [(scope, hashlib.sha256(key.encode()).digest()) for scope, key in keys]
        admins = [key for scope, key in keys if scope == "admin"]
        secret = admins[0].encode() if admins else b""
        self._secret = hmac.digest(secret, b"endcap visitor token", "sha256") if secret else None

    @classmethod
    def parse(cls, value: str) -> Self:
        """The keys in ``value`` (``scope:key,scope:key``); none for an empty one.

        Raises ConfigError, which does not show the key, for an unknown scope, a short key, or an ``events`` key
        without an ``admin`` key to sign visitor tokens.
        """
        keys = [_parse_key(part.strip()) for part in value.split(",") if part.strip()]
        scopes = {scope for scope, _ in keys}
        if "events" in scopes and "admin" not in scopes:
            raise ConfigError(f"{KEYS_VARIABLE} has an events key but no admin key: add one, it signs visitor tokens")
        return cls(keys)

    @property
    def open(self) -> bool:
        """Whether no key is configured: everybody may do everything."""
        return not self._digests

    def caller(self, headers: Headers, now_ms: int) -> Caller:
        """Who sends ``headers``. Raises UnauthorizedError for no key, an unknown key or a bad visitor token."""
        kind, _, key = headers.get(b"authorization", b"").partition(b" ")
        if kind.lower() != b"bearer" or not key:
            raise UnauthorizedError("no key was sent: add the header 'Authorization: Bearer <key>'")
        scope = self._scope(key.strip())
        if scope != "events":
            return Caller(scope)
        return self._visitor(headers.get(VISITOR_HEADER), now_ms)

    def sign(self, visitor_id: str, user_id: str | None, expires: int) -> str:
        """A token with which an ``events`` key speaks for that visitor until ``expires`` (milliseconds since 1970).

        Raises ForbiddenError where there is no admin key to sign with.
        """
        payload = msgspec.json.encode(_Claims(visitor_id, user_id, expires))
        return f"{_to_text(payload)}.{_to_text(self._signature(payload))}"

    def _scope(self, key: bytes) -> str:
        digest = hashlib.sha256(key).digest()
        found = [scope for scope, known in self._digests if hmac.compare_digest(digest, known)]
        if not found:
            raise UnauthorizedError(f"the key is not known: use one of those in {KEYS_VARIABLE}")
        return max(found, key=SCOPES.index)

    def _signature(self, payload: bytes) -> bytes:
        if self._secret is None:
            raise ForbiddenError(f"visitor tokens are signed with the admin key, and {KEYS_VARIABLE} has none: add one")
        return hmac.digest(self._secret, payload, "sha256")

    def _visitor(self, token: bytes | None, now_ms: int) -> Caller:
        if token is None:
            raise UnauthorizedError(
                "an events key speaks for one visitor: send the header X-Endcap-Visitor with a token from "
                "POST /v1/visitor-tokens"
            )
        try:
            payload, signature = (base64.b64decode(part, b"-_", validate=True) for part in token.split(b"."))
            genuine = hmac.compare_digest(signature, self._signature(payload))
            claims = msgspec.json.decode(payload, type=_Claims) if genuine else None
        except (ValueError, binascii.Error, msgspec.MsgspecError):
            claims = None
        if claims is None:
            raise UnauthorizedError("the token in X-Endcap-Visitor is not genuine: ask for a new one")
        if claims.expires <= now_ms:
            raise UnauthorizedError("the token in X-Endcap-Visitor has expired: ask for a new one")
        return Caller("events", True, claims.visitor_id, claims.user_id)


def _parse_key(part: str) -> tuple[str, str]:
    scope, _, key = part.partition(":")
    if scope not in SCOPES:
        raise ConfigError(f"{KEYS_VARIABLE}: a key must start with its scope ({', '.join(SCOPES)}) and a colon")
    if len(key) < MIN_KEY_LENGTH:
        raise ConfigError(
            f"{KEYS_VARIABLE}: the {scope} key has {len(key)} characters: give at least {MIN_KEY_LENGTH} random ones"
        )
    return scope, key


def _to_text(data: bytes) -> str:
    # The padding stays, so that decoding can be strict.
    return base64.urlsafe_b64encode(data).decode()

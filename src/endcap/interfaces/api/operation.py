"""One operation of the API: what its route, its key check and its page in /openapi.json are all made of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from starlette.responses import Response
from starlette.types import ASGIApp, Scope

from endcap.errors import InvalidFieldError
from endcap.interfaces.api.auth import Caller, Headers
from endcap.interfaces.api.context import Context

PUBLIC: frozenset[str] = frozenset()
ADMIN = frozenset({"admin"})
READ = frozenset({"read", "admin"})
LISTS = frozenset({"events", "read", "admin"})
WRITES = frozenset({"events", "admin"})


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request whose body is read and whose caller is known."""

    scope: Scope
    headers: Headers
    body: bytes
    caller: Caller

    def path(self, name: str) -> str:
        """A part of the path."""
        return str(self.scope["path_params"][name])

    def parameters(self) -> list[tuple[str, str]]:
        """The query string, decoded, in order. Raises InvalidFieldError where it is not UTF-8."""
        raw: bytes = self.scope["query_string"]
        try:
            return parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=2_000)
        except ValueError as error:
            raise InvalidFieldError("query_string", f"the query string cannot be read ({error}): use UTF-8") from None


Handler = Callable[[Context, Incoming], Response | Awaitable[Response] | ASGIApp]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A part of the query string."""

    name: str
    summary: str
    type: object = str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    handler: Handler
    summary: str
    scopes: frozenset[str]
    """Key scopes that may call it; empty: no key is asked for."""
    answer: type | None = None
    """The type of the answer's body; None: it is not JSON."""
    status: int = 200
    body: tuple[type, ...] = ()
    """The types that the body may have; empty: no body is read."""
    parameters: tuple[Parameter, ...] = ()
    example: object = None
    """A body that works."""
    media_type: str = "application/json"
    signed: bool = False
    """The handler checks a signature instead of a key."""

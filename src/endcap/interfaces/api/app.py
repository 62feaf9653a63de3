"""The ASGI application: routes, and the one place where an error becomes a status code."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import Message, Receive, Scope, Send

from endcap.errors import (
    ConfigError,
    DamagedEntryError,
    DataError,
    EndcapError,
    EndpointError,
    ForbiddenError,
    HomeError,
    InvalidFieldError,
    MalformedError,
    ModelError,
    NotFittedError,
    NotFoundError,
    OverloadedError,
    TimedOutError,
    TooLargeError,
    UnauthorizedError,
    UnsupportedMediaError,
)
from endcap.interfaces.api.context import Context
from endcap.interfaces.api.endpoint import Endpoint
from endcap.interfaces.api.intake import Intake
from endcap.interfaces.api.origins import RawHeaders
from endcap.interfaces.api.protocol import ARRIVED
from endcap.interfaces.api.replies import json_reply
from endcap.interfaces.api.routes import OPERATIONS
from endcap.interfaces.api.schema import ErrorAnswer, ErrorDetail
from endcap.protocols import Attribute
from endcap.wiring import new_id

_logger = logging.getLogger(__name__)

STATUS: Mapping[type[EndcapError], int] = {
    EndcapError: 400,
    MalformedError: 400,
    InvalidFieldError: 400,
    DataError: 400,
    UnauthorizedError: 401,
    ForbiddenError: 403,
    NotFoundError: 404,
    TimedOutError: 408,
    ModelError: 409,
    TooLargeError: 413,
    UnsupportedMediaError: 415,
    ConfigError: 500,
    EndpointError: 502,
    HomeError: 503,
    DamagedEntryError: 503,
    NotFittedError: 503,
    OverloadedError: 503,
}
"""Every class of errors.py and its status."""

MAX_HELD_BODIES = 32
"""Bodies of the largest size that are held at a time."""

_EXTRA_HEADERS = {401: {"www-authenticate": "Bearer"}, 503: {"retry-after": "1"}}
_NO_SNIFFING = (b"x-content-type-options", b"nosniff")


def create_app(context: Context) -> Api:
    """The whole API over ``context``."""
    intake = Intake(context.config.max_body_bytes, MAX_HELD_BODIES * context.config.max_body_bytes)
    routes = [
        Route(operation.path, Endpoint(context, operation, intake), methods=[operation.method])
        for operation in OPERATIONS
    ]
    return Api(context, Router(routes, redirect_slashes=False))


def error_reply(error: Exception) -> Response:
    """The answer to an error, in the one shape of all errors. What is not an EndcapError stays inside."""
    if isinstance(error, HTTPException):
        return _routing_reply(error)
    if not isinstance(error, EndcapError):
        return _reply(500, "internal", "something went wrong in the server, and its log says what: please report it")
    field = error.field if isinstance(error, InvalidFieldError) else None
    return _reply(STATUS[type(error)], error.code, str(error), field)


def _routing_reply(error: HTTPException) -> Response:
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        reply = _reply(405, "method_not_allowed", f"this address takes {allowed}: see /docs")
        reply.headers["allow"] = allowed
        return reply
    return _reply(error.status_code, "not_found", "there is nothing at this address: see /docs")


def _reply(status: int, code: str, message: str, field: str | None = None) -> Response:
    reply = json_reply(ErrorAnswer(ErrorDetail(code, message, field)), status)
    reply.headers.update(_EXTRA_HEADERS.get(status, {}))
    return reply


class Api:
    """The outermost layer: origins, routing, errors, counting."""

    def __init__(self, context: Context, router: Router) -> None:
        self._context = context
        self._router = router

    @property
    def routes(self) -> Sequence[BaseRoute]:
        """What is served."""
        return self._router.routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"{scope['type']} is not served here: the server must speak http only")
        started = self._context.timer()
        if ARRIVED in scope:
            self._context.admission.waiting -= 1
        arrived = scope.setdefault(ARRIVED, started)
        answer = _Answer(send)
        tracer = self._context.live.engine.tracer
        headers = scope["endcap.headers"] = dict(scope["headers"])
        try:
            with tracer.request(headers, _told(scope)):
                await self._answer(scope, receive, answer)
                tracer.answered(_route(scope), answer.status)
        finally:
            now = self._context.timer()
            streamed = answer.streamed
            self._context.meters.request(_route(scope), answer.status, now, None if streamed else now - arrived)

    async def _answer(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        headers = scope["endcap.headers"]
        scope["app"] = self  # makes the router raise what error_reply answers
        origins = self._context.origins
        answer.extra = origins.reply_headers(headers)
        try:
            scope["endcap.other_page"] = origins.check(headers)
            if scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
                answer.extra = origins.preflight(headers)
                await Response(status_code=204)(scope, receive, answer)
                return
            await self._router(scope, receive, answer)
        except ClientDisconnect:
            answer.status = 499  # nobody is there to answer
        except Exception as error:
            self._note(scope, error, answer)
            if answer.begun:
                return  # the status is out; the server closes the connection
            await error_reply(error)(scope, receive, answer)

    def _note(self, scope: Scope, error: Exception, answer: _Answer) -> None:
        """Log what is the server's to mend, under an id that the answer names too. Overload is counted, not logged."""
        status = STATUS.get(type(error), 500) if isinstance(error, EndcapError) else 500
        if isinstance(error, (HTTPException, OverloadedError)) or status < 500:
            return
        request_id = new_id()
        answer.extra = [*answer.extra, (b"x-request-id", request_id.encode())]
        fields = {
            "route": _route(scope),
            "status": status,
            "ms": round((self._context.timer() - scope[ARRIVED]) * 1000, 3),
            "request_id": request_id,
        }
        if isinstance(error, EndcapError):
            _logger.warning("request refused", extra={**fields, "reason": str(error)})
        else:
            _logger.error("request failed", extra=fields, exc_info=error)


class _Answer:
    """The way back: notes the status and adds the headers that every answer has."""

    __slots__ = ("_send", "begun", "extra", "status", "streamed")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False
        self.streamed = False
        self.status = 500
        self.extra: RawHeaders = []

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            self.status = message["status"]
            message["headers"] = [*message["headers"], _NO_SNIFFING, *self.extra]
        elif message.get("more_body", False):
            self.streamed = True
        await self._send(message)


def _told(scope: Scope) -> dict[str, Attribute]:
    return {
        "http.request.method": scope["method"],
        "url.path": scope["path"],
        "url.scheme": scope.get("scheme", "http"),
    }


def _route(scope: Scope) -> str:
    endpoint = scope.get("endpoint")
    return endpoint.route if isinstance(endpoint, Endpoint) else "none"

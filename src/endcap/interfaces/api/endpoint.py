"""One operation as an ASGI app: the key, the body within its limits, the handler, the answer."""

from __future__ import annotations

from collections.abc import Awaitable

from starlette.types import Receive, Scope, Send

from endcap.errors import ForbiddenError
from endcap.interfaces.api.auth import ALLOWED_PAGE, OWNER, Caller, Headers
from endcap.interfaces.api.context import Context
from endcap.interfaces.api.intake import Intake, check_media
from endcap.interfaces.api.operation import Incoming, Operation


class Endpoint:
    """Errors pass through: app.py answers them."""

    def __init__(self, context: Context, operation: Operation, intake: Intake) -> None:
        self.operation = operation
        self.route = f"{operation.method} {operation.path.replace(':path', '')}"
        self._context = context
        self._intake = intake

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: Headers = scope["endcap.headers"]
        with self._context.live.engine.tracer.stage("auth"):
            caller = self._caller(headers, scope["endcap.other_page"])
        body = b""
        if self.operation.body:
            check_media(headers)
            body = await self._intake.read(receive, headers)
        reply = self.operation.handler(self._context, Incoming(scope, headers, body, caller))
        if isinstance(reply, Awaitable):
            reply = await reply
        await reply(scope, receive, send)

    def _caller(self, headers: Headers, other_page: bool) -> Caller:
        allowed, context = self.operation.scopes, self._context
        if not allowed:
            return OWNER
        if context.keys.open:
            caller = ALLOWED_PAGE if other_page else OWNER
        else:
            caller = context.keys.caller(headers, context.now_ms())
        if caller.scope == "events":
            context.origins.check_browser(headers)
        if caller.scope not in allowed:
            raise ForbiddenError(
                f"the key has the scope {caller.scope!r}, and {self.route} needs {' or '.join(sorted(allowed))}"
            )
        return caller

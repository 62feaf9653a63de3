"""A server that speaks ``POST /v1/chat/completions``, well or badly: over HTTP, on a free port of this machine."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.unit.http_server import answering

from endcap.config import LLMConfig

Answer = str | bytes | int
"""What is said; or the body as it is; or a status of refusal."""


class Server:
    """What it was asked, and how it answers. ``behave`` is given the task and the question."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.behave: Callable[[str, str], Answer] = lambda *_: "yes"
        self.seconds = 0.0
        """That it takes for an answer."""
        self.port = 0

    @property
    def questions(self) -> list[str]:
        return [str(body["messages"][1]["content"]) for body in self.asked]

    def config(self, *uses: str, **settings: Any) -> LLMConfig:
        given: dict[str, Any] = {
            "address": f"http://127.0.0.1:{self.port}/v1",
            "model": "m",
            "timeout_ms": 2_000.0,
            "patience_seconds": 5.0,
            "uses": uses,
        }
        return LLMConfig(**given | settings)


class _Http(ThreadingHTTPServer):
    state: Server
    daemon_threads = True


class _Handler(BaseHTTPRequestHandler):
    server: _Http

    def do_POST(self) -> None:
        body, state = json.loads(self.rfile.read(int(self.headers["Content-Length"]))), self.server.state
        state.asked.append(body)
        state.headers.append(dict(self.headers) | {"path": self.path})
        time.sleep(state.seconds)
        found = state.behave(*(message["content"] for message in body["messages"]))
        status = found if isinstance(found, int) else 200
        if isinstance(found, str):
            message = {"role": "assistant", "content": found}
            found = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
        sent = found if isinstance(found, bytes) else b"no"
        with suppress(OSError):  # the other side may have hung up
            self.send_response(status)
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


@contextmanager
def chat_server() -> Iterator[Server]:
    """Runs one."""
    http = _Http(("127.0.0.1", 0), _Handler)
    http.state = Server()
    with answering(http) as http.state.port:
        yield http.state

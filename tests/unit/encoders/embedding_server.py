"""A server that speaks ``POST /v1/embeddings``, well or badly: over HTTP, on a free port of this machine."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.unit.http_server import answering

from endcap.config import EndpointConfig

DIM = 8


def vector(text: str, dim: int = DIM) -> list[float]:
    """Any, but always the same of one text."""
    return [byte / 100 - 1.0 for byte in hashlib.sha256(text.encode()).digest()[:dim]]


def answer(texts: list[str], dim: int = DIM) -> dict[str, Any]:
    """As OpenAI gives it."""
    found = [{"object": "embedding", "index": at, "embedding": vector(text, dim)} for at, text in enumerate(texts)]
    return {"object": "list", "data": found, "model": "m", "usage": {"prompt_tokens": 1, "total_tokens": 1}}


class Server:
    """What it was asked, and how it answers. ``behave`` is given the request's number and its texts."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.headers: list[dict[str, str]] = []
        self.behave: Callable[[int, list[str]], object] = lambda _, texts: answer(texts)
        self.port = 0

    def config(self, **settings: Any) -> EndpointConfig:
        defaults: dict[str, Any] = {
            "address": f"http://127.0.0.1:{self.port}/v1",
            "model": "m",
            "dim": DIM,
            "timeout_seconds": 5.0,
        }
        return EndpointConfig(**defaults | settings)


class StatusError(Exception):
    """To be answered instead."""

    def __init__(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"no") -> None:
        super().__init__(status)
        self.status, self.headers, self.body = status, headers or {}, body


class DripError(Exception):
    """To be sent a byte at a time, with a pause after each."""


class _Http(ThreadingHTTPServer):
    state: Server


class _Handler(BaseHTTPRequestHandler):
    server: _Http

    def do_POST(self) -> None:
        body, state = json.loads(self.rfile.read(int(self.headers["Content-Length"]))), self.server.state
        state.asked.append(body["input"])
        state.headers.append(dict(self.headers) | {"path": self.path, "model": body["model"]})
        try:
            found = state.behave(len(state.asked), body["input"])
        except StatusError as error:
            self._send(error.status, error.body, error.headers)
        except DripError:
            self._drip()
        else:
            self._send(200, found if isinstance(found, bytes) else json.dumps(found).encode(), {})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):  # the other side may have hung up
            self.wfile.write(body)

    def _drip(self) -> None:
        self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n")
        with suppress(OSError):
            for _ in range(500):
                self.wfile.write(b" ")
                self.wfile.flush()
                time.sleep(0.02)

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


@contextmanager
def embedding_server() -> Iterator[Server]:
    """Runs one."""
    http = _Http(("127.0.0.1", 0), _Handler)
    http.state = Server()
    with answering(http) as http.state.port:
        yield http.state

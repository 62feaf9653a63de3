"""From an event to the changed list: by asking again, and pushed by the stream; and the disk's own fsync beside it."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from openloop import Connection, Latency, latency

INTERVAL_SECONDS = 0.05
"""Between the starts of two samples, so that each finds an idle server."""
PUSH_SECONDS = 2.0
"""How long a push is waited for."""
PROBE_BYTES = 16_384
"""About what one event writes to SQLite's write-ahead log: a page each of the table, its index and the sequence."""
_PUSHED = re.compile(rb"event: list\nid: (\d+)\ndata: [^\n]+\n\n")


class Fresh(Struct):
    """Milliseconds from sending the event. ``unchanged``: of ``samples``, where the new list equals the old one."""

    samples: int
    asked: Latency
    """To the first answer to POST /v1/recommend that reflects the event; event and list one after the other."""
    acknowledged: Latency
    """To the 202 of the event."""
    pushed: Latency
    """To the arrival of the changed list on GET /v1/stream."""
    unchanged: int
    """Samples of ``asked`` whose list was the same as before the event."""
    not_pushed: int
    """Samples of ``pushed`` without a push; the list asked for then was the same as before, or ``missed`` counts it."""
    missed: int
    fsync: Latency
    """Appending PROBE_BYTES to a file in the folder of the log, and fsync; one beside each sample."""


class _List(Struct):
    items: list[dict[str, object]]
    offset: int


class _Receipt(Struct):
    offset: int


_to_list = msgspec.json.Decoder(_List).decode
_to_receipt = msgspec.json.Decoder(_Receipt).decode


def measure(port: int, folder: Path, customers: Iterator[tuple[str, str, str]], samples: int) -> Fresh:
    """``samples`` of each kind, one every INTERVAL_SECONDS, on the server at ``port`` whose log lies in ``folder``."""
    asked, pushed = _Asked(port), _Pushed(port)
    probe = folder / "fsync-probe"
    fsync: list[float] = []
    with probe.open("wb", buffering=0) as file:
        for _ in range(samples):
            for kind in (asked, pushed):
                begun = time.perf_counter()
                kind.sample(*next(customers))
                fsync.append(fsync_seconds(file.fileno()))
                time.sleep(max(begun + INTERVAL_SECONDS - time.perf_counter(), 0.0))
    probe.unlink()
    asked.close()
    pushed.close()
    return Fresh(
        samples,
        latency(asked.seconds),
        latency(asked.acknowledged),
        latency(pushed.seconds),
        asked.unchanged,
        pushed.not_pushed,
        pushed.missed,
        latency(fsync),
    )


def ask_changed(connection: Connection, event: str, wanted: str) -> float:
    """Seconds from sending ``event`` to the answer to ``wanted`` that reflects it."""
    begun = time.perf_counter()
    offset = _to_receipt(_answer(connection, event)).offset
    while _to_list(_answer(connection, wanted)).offset < offset:
        pass  # bounded: the connection's time limit ends a server that never catches up
    return time.perf_counter() - begun


def fsync_seconds(file: int) -> float:
    """Appending PROBE_BYTES, and fsync."""
    begun = time.perf_counter()
    os.write(file, bytes(PROBE_BYTES))
    os.fsync(file)
    return time.perf_counter() - begun


class _Asked:
    """Event, then the list again, on one connection."""

    def __init__(self, port: int) -> None:
        self._connection = Connection(port)
        self.seconds: list[float] = []
        self.acknowledged: list[float] = []
        self.unchanged = 0

    def sample(self, _: str, event: str, wanted: str) -> None:
        before = _items(_answer(self._connection, wanted))
        begun = time.perf_counter()
        offset = _to_receipt(_answer(self._connection, event)).offset
        self.acknowledged.append(time.perf_counter() - begun)
        while (found := _to_list(_answer(self._connection, wanted))).offset < offset:
            pass  # bounded: the connection's time limit ends a server that never catches up
        self.seconds.append(time.perf_counter() - begun)
        self.unchanged += [item["item_id"] for item in found.items] == before

    def close(self) -> None:
        self._connection.close()


class _Pushed:
    """A stream of its own for each sample; the event comes on another connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection = Connection(port)
        self.seconds: list[float] = []
        self.not_pushed = 0
        self.missed = 0

    def sample(self, user: str, event: str, wanted: str) -> None:
        with contextlib.closing(Connection(self._port)) as stream:
            stream.socket.settimeout(PUSH_SECONDS)
            line = f"GET /v1/stream?user_id={user}&recipe=for-you&k=20 HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
            stream.send(line.encode())
            _next_list(stream)
            before = _items(_answer(self._connection, wanted))
            begun = time.perf_counter()
            self._connection.send(event.encode())
            arrived = _next_list(stream)
            elapsed = time.perf_counter() - begun
            while self._connection.take() is None:  # the event's own answer
                pass
            if arrived:
                self.seconds.append(elapsed)
            else:
                self.not_pushed += 1
                self.missed += _items(_answer(self._connection, wanted)) != before

    def close(self) -> None:
        self._connection.close()


def _next_list(stream: Connection) -> bool:
    """Whether the stream sent a list within its time limit."""
    received = b""
    try:
        while _PUSHED.search(received) is None:
            received += stream.socket.recv(65_536)
    except TimeoutError:
        return False
    return True


def _answer(connection: Connection, wire: str) -> bytes:
    status, body = connection.ask(wire.encode())
    if not 200 <= status < 300:
        raise RuntimeError(f"the server answered {status}: {body!r}")
    return body


def _items(body: bytes) -> list[object]:
    return [item["item_id"] for item in _to_list(body).items]

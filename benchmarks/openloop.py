"""The load: requests over HTTP at a constant rate, whatever the server makes of them. Runs in a process of its own.

An open loop: task ``i`` is due ``i / rate`` seconds after the start, and its latency counts from that moment, not from
the moment a connection was free for it. So a server that falls behind cannot slow down what measures it ("coordinated
omission", Gil Tene, "How NOT to measure latency", 2013). A task is a request, or several of one visitor, each sent
when the one before it is answered.

Reads a Plan from standard input and writes a Load to standard output, both as JSON.
"""

from __future__ import annotations

import contextlib
import math
import os
import resource
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct

DRAIN_SECONDS = 10.0
"""How long after the last task was due answers are waited for."""
CONNECTIONS = 64
"""Kept alive. A task that is due while all of them are busy waits, and its latency runs."""
SETTLE_SECONDS = 0.3
"""Between connecting and the first task, so that no task waits until all connections have been taken."""
PRIORITY = 5
"""Of a load that goes first, among those of the real-time scheduler (1 to 99)."""
_HEAD_END = b"\r\n\r\n"


class Plan(Struct):
    """What to send, and how fast."""

    port: int
    rate: float
    """Tasks due a second."""
    seconds: float
    tasks: list[list[str]]
    """Requests as they go over the wire, one after the other on one connection; begun again when they run out."""
    goes_first: bool = False
    """Whether the load runs before other processes: what it sends too late would count as the server's latency."""


class Latency(Struct):
    """Percentiles, milliseconds. ``inf`` cannot be in JSON: a percentile that was never answered is None."""

    count: int
    p50: float | None
    p90: float | None
    p99: float | None
    longest: float | None


class Load(Struct, omit_defaults=True):
    """What came of a plan."""

    rate: float
    seconds: float
    steps: list[Latency]
    """For each request of a task: the first from when it was due, the others from the answer before them."""
    whole: Latency
    """From when the task was due to its last answer."""
    achieved: float
    """Tasks answered a second, from the first due to the last answer."""
    refused: int
    """Answers whose status is not 2xx."""
    refusal: str
    """The first of them."""
    unanswered: int
    """Tasks without all their answers DRAIN_SECONDS after the last was due."""
    late_p99: float
    """Milliseconds by which the load itself noticed a due task too late; counted in the latency."""
    cpu_seconds: float
    """User and system time of the load's whole process, its start included."""
    cpu_share: float
    """Of one core, taken by the load while it ran."""
    accepted: Latency | None = None
    """``whole``, of the tasks that were not refused; None in results of before it was taken."""


def percentile(ascending: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: the smallest value that at least ``share`` of all values do not exceed."""
    return ascending[max(math.ceil(share * len(ascending)), 1) - 1]


def latency(seconds: Iterable[float], unanswered: int = 0) -> Latency:
    """Percentiles of ``seconds`` and of ``unanswered`` more, which count as longer than any."""
    values = sorted(seconds) + [math.inf] * unanswered
    if not values:
        return Latency(0, None, None, None, None)
    found = [percentile(values, share) for share in (0.5, 0.9, 0.99, 1.0)]
    return Latency(len(values), *(round(one * 1000, 3) if math.isfinite(one) else None for one in found))


def request(path: str, body: object) -> str:
    """POST ``body`` as JSON to ``path``, as it goes over the wire."""
    encoded = msgspec.json.encode(body).decode()
    length = len(encoded.encode())
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {length}"
    return f"{head}\r\n\r\n{encoded}"


class Connection:
    """One HTTP/1.1 connection, kept alive, with one request at a time. Answers must have a content-length."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""

    def send(self, wire: bytes) -> None:
        """Send one request."""
        self._received = b""
        self.socket.sendall(wire)

    def take(self) -> tuple[int, bytes] | None:
        """Read what has come: the status and the body of the answer if it is whole now, else None.

        Raises ConnectionError if the server has closed the connection.
        """
        more = self.socket.recv(65_536)
        if not more:
            raise ConnectionError("the server closed a connection that was in use")
        self._received += more
        return parse_answer(self._received)

    def ask(self, wire: bytes) -> tuple[int, bytes]:
        """Send one request and wait for its answer."""
        self.send(wire)
        while (answer := self.take()) is None:
            pass
        return answer

    def close(self) -> None:
        """Hang up."""
        self.socket.close()


def parse_answer(received: bytes) -> tuple[int, bytes] | None:
    """The status and the body of a whole HTTP answer; None while a part is missing."""
    end = received.find(_HEAD_END)
    if end < 0:
        return None
    head = received[:end].lower()
    at = head.find(b"\r\ncontent-length:")
    if at < 0:
        raise ConnectionError(f"an answer without content-length: {received[:200]!r}")
    length = int(head[at + 17 :].split(b"\r\n", 1)[0])
    start = end + len(_HEAD_END)
    if len(received) < start + length:
        return None
    return int(received[9:12]), received[start : start + length]


class _Task:
    """One task under way."""

    __slots__ = ("due", "refused", "since", "step", "wires")

    def __init__(self, wires: list[bytes], due: float) -> None:
        self.wires = wires
        self.due = due
        self.since = due
        self.step = 0
        self.refused = False


class OpenLoop:
    """Sends the tasks of a plan when they are due. ``select`` keeps time to 0.1 ms; ``epoll`` rounds up to 1 ms."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._total = max(round(plan.rate * plan.seconds), 1)
        self._wires = [[wire.encode() for wire in task] for task in plan.tasks]
        self._free = deque(Connection(plan.port) for _ in range(CONNECTIONS))
        self._busy: dict[socket.socket, tuple[Connection, _Task]] = {}
        self._waiting: deque[_Task] = deque()
        self._next = 0
        self._steps: list[list[float]] = [[] for _ in plan.tasks[0]]
        self._whole: list[float] = []
        self._accepted: list[float] = []
        self._late: list[float] = []
        self._refused = 0
        self._refusal = ""

    def run(self) -> Load:
        """Send everything, wait for the answers, say how it went."""
        time.sleep(SETTLE_SECONDS)
        used, begun = _cpu_seconds(), time.perf_counter()
        self._start = begun + 0.01
        end = self._start + self._total / self._plan.rate + DRAIN_SECONDS
        now = begun
        while len(self._whole) < self._total and now < end:
            self._begin(now)
            self._hear(max(min(self._due(self._next), now + 1.0) - time.perf_counter(), 0.0))
            now = time.perf_counter()
        for connection in [*self._free, *(one for one, _ in self._busy.values())]:
            connection.close()
        return self._result(now, (_cpu_seconds() - used) / (now - begun))

    def _due(self, index: int) -> float:
        return self._start + index / self._plan.rate if index < self._total else math.inf

    def _begin(self, now: float) -> None:
        """Note what is due, and send it as far as connections are free."""
        while (due := self._due(self._next)) <= now:
            self._waiting.append(_Task(self._wires[self._next % len(self._wires)], due))
            self._late.append(now - due)
            self._next += 1
        while self._waiting and self._free:
            connection, task = self._free.popleft(), self._waiting.popleft()
            connection.send(task.wires[0])
            self._busy[connection.socket] = connection, task

    def _hear(self, seconds: float) -> None:
        """Wait at most ``seconds``, and take the answers that come."""
        readable, _, _ = select.select(list(self._busy), (), (), seconds)
        for ready in readable:
            connection, task = self._busy[ready]
            answer = connection.take()
            if answer is not None:
                self._answered(connection, task, *answer)

    def _answered(self, connection: Connection, task: _Task, status: int, body: bytes) -> None:
        now = time.perf_counter()
        if not 200 <= status < 300:
            self._refused += 1
            task.refused = True
            self._refusal = self._refusal or f"{status}: {body[:500].decode(errors='replace')}"
        self._steps[task.step].append(now - task.since)
        task.step += 1
        if task.step < len(task.wires):
            task.since = now
            connection.send(task.wires[task.step])
            return
        self._whole.append(now - task.due)
        if not task.refused:
            self._accepted.append(now - task.due)
        del self._busy[connection.socket]
        self._free.append(connection)

    def _result(self, now: float, cpu_share: float) -> Load:
        missing = self._total - len(self._whole)
        return Load(
            rate=self._plan.rate,
            seconds=self._plan.seconds,
            steps=[latency(step, self._total - len(step)) for step in self._steps],
            whole=latency(self._whole, missing),
            achieved=round(len(self._whole) / (now - self._start), 1),
            refused=self._refused,
            refusal=self._refusal,
            unanswered=missing,
            late_p99=round(percentile(sorted(self._late), 0.99) * 1000, 3),
            cpu_seconds=round(_cpu_seconds(), 3),
            cpu_share=round(cpu_share, 3),
            accepted=latency(self._accepted),
        )


def go_first() -> None:
    """Run before other processes, where the system lets this one."""
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    if plan.goes_first:
        go_first()
    sys.stdout.buffer.write(msgspec.json.encode(OpenLoop(plan).run()))

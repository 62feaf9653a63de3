"""A duplicate storm: many clients send the same batches over and over, and the server is killed in between.

Each event is stored once, counted once, and told as new at most once by each life of the server.
"""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from tests.integration.servers import server

from endcap import wiring
from endcap.backends.log.sqlite import SqliteLog
from endcap.config import Home
from endcap.events.log import entries
from endcap.events.schema import Event

CLIENTS = 6
BATCHES = 20
SIZE = 25
ALL = BATCHES * SIZE


def batch(number: int, turn: int) -> dict[str, object]:
    ids = [f"turn-{turn}-{number}-{i}" for i in range(SIZE)]
    return {"events": [{"type": "view", "event_id": one, "visitor_id": f"v{turn}", "item_id": "i1"} for one in ids]}


@dataclass
class Storm:
    """One client: sends one of the batches after the other, at random, until the server is gone or it is to end."""

    base: str
    turn: int
    seed: int
    stop: threading.Event
    accepted: Counter[int] = field(default_factory=Counter)
    """By batch: how many of its events this client was told are new."""
    posts: int = 0
    seconds: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def run(self) -> None:
        chance = random.Random(self.seed)
        with httpx.Client(base_url=self.base, timeout=30) as http, contextlib.suppress(httpx.TransportError):
            while not self.stop.is_set():
                number = chance.randrange(BATCHES)
                begun = time.monotonic()
                reply = http.post("/v1/events", json=batch(number, self.turn))
                told = reply.json()
                if reply.status_code == 503 and told["error"]["code"] == "overloaded":
                    continue
                self.seconds.append(time.monotonic() - begun)
                self.posts += 1
                if reply.status_code != 202 or told["accepted"] + told["duplicates"] != SIZE:
                    self.problems.append(reply.text)
                    return
                self.accepted[number] += told["accepted"]


def storm(base: str, turn: int, seed: int, until: int, process: subprocess.Popen[bytes] | None) -> list[Storm]:
    """``until`` posts from all clients together; ``process`` is killed then, in the middle of the others."""
    stop = threading.Event()
    clients = [Storm(base, turn, seed * 100 + n, stop) for n in range(CLIENTS)]
    threads = [threading.Thread(target=client.run, daemon=True) for client in clients]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 120
    while sum(client.posts for client in clients) < until and not any(client.problems for client in clients):
        assert time.monotonic() < deadline
        time.sleep(0.002)
    if process is not None:
        process.kill()
        assert process.wait(30) == -signal.SIGKILL
    stop.set()
    for thread in threads:
        thread.join(60)
    assert [client.problems for client in clients] == [[]] * CLIENTS
    return clients


def rounds(tmp_path: Path, number: int, posts: int) -> None:
    home, said, chance = tmp_path / "home", tmp_path / "serve.log", random.Random(number)
    wiring.open_log(home).close()
    killed: list[Storm] = []
    for turn in range(number + 1):
        with server(home, said, "live") as (process, base):
            if turn:
                check(base, turn - 1, killed, posts)
            killed = storm(base, turn, 2 * turn, chance.randrange(5, 60), process)
    log = SqliteLog(Home(home).log)
    stored = Counter(entry.body.event_id for entry in entries(log) if isinstance(entry.body, Event))
    log.close()
    assert set(stored.values()) == {1}
    assert number * ALL < len(stored) <= (number + 1) * ALL


def check(base: str, turn: int, killed: list[Storm], posts: int) -> None:
    """The storm goes on after the kill, to its end; every event is there once."""
    with httpx.Client(base_url=base, timeout=30) as http:
        known = http.get("/v1/stats").json()["events"] - turn * ALL
        assert 0 <= known <= ALL
        told = sum((client.accepted for client in killed), Counter[int]())
        assert sum(told.values()) <= known  # what was told as new is there
        after = storm(base, turn, 2 * turn + 1, posts, None)
        for number in range(BATCHES):
            assert http.post("/v1/events", json=batch(number, turn)).status_code == 202
        assert http.get("/v1/stats").json()["events"] == (turn + 1) * ALL
        assert http.get(f"/v1/users/v{turn}").json()["counts"] == {"view": ALL}
    new = sum((client.accepted for client in after), Counter[int]())
    assert sum(new.values()) <= ALL - known
    assert all(count <= SIZE for count in (told + new).values())
    slow = sorted(second for client in after for second in client.seconds)
    assert slow[len(slow) // 2] < 1.0


def test_a_storm_of_duplicates_counts_once(tmp_path: Path) -> None:
    rounds(tmp_path, 3, posts=400)


@pytest.mark.slow
def test_storms_of_duplicates_count_once(tmp_path: Path) -> None:
    rounds(tmp_path, 20, posts=2_000)

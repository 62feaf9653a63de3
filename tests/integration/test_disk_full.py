"""A full disk under a real server: it refuses, loses nothing, answers on, and goes on by itself once there is room.

The disk is a small one of its own in memory, where the tests may mount one; elsewhere the system's limit on the size of
the server's files stands for it.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from tests.integration.servers import server

from endcap import wiring
from endcap.backends.log.sqlite import SqliteLog
from endcap.catalog.items import parse_change
from endcap.config import Config, Home
from endcap.events.log import entries, to_record
from endcap.events.schema import Event
from endcap.events.served import Served

ITEMS = [f"i{n}" for n in range(20)]
NOW = time.time_ns() // 1_000_000


@dataclass
class Disk:
    """Where a home lies, and how to leave it no room."""

    folder: Path
    mounted: bool
    _limited: list[int] = field(default_factory=list)

    def fill(self, pid: int) -> None:
        """From now on the process ``pid`` can write no byte more into a file that grows."""
        if self.mounted:
            with contextlib.suppress(OSError), (self.folder / "ballast").open("wb", buffering=0) as ballast:
                while True:
                    ballast.write(bytes(4_096))
        else:
            wal = self.folder / "home" / "log" / "endcap.db-wal"
            size = wal.stat().st_size
            self._limited = list(resource.prlimit(pid, resource.RLIMIT_FSIZE))
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, self._limited[1]))

    def free(self, pid: int) -> None:
        """There is room again."""
        if self.mounted:
            (self.folder / "ballast").unlink()
        else:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (self._limited[0], self._limited[1]))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48m", "none", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, check=False, capture_output=True).returncode == 0
    try:
        yield Disk(folder, mounted)
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def home(disk: Disk) -> Path:
    home = disk.folder / "home"
    log = wiring.open_log(home)
    log.append([to_record(parse_change("put", {"item_id": one, "title": f"Chair {one}"}), NOW) for one in ITEMS])
    chance = random.Random(0)
    past = [
        Event("purchase", NOW - (60 - day) * 86_400_000, f"past-{user}-{day}", f"u{user}", item_id=chance.choice(ITEMS))
        for day in range(60)
        for user in range(5)
    ]
    log.append([to_record(event) for event in past])
    log.close()
    wiring.train(home, Config(), 0, NOW, lambda *_: None)
    return home


@dataclass
class Sender:
    """Sends events one after the other, each again until it is taken, and notes what it was told."""

    name: str
    base: str
    stop: threading.Event
    acknowledged: list[str] = field(default_factory=list)
    refusals: list[tuple[int, str | None, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def run(self) -> None:
        with httpx.Client(base_url=self.base, timeout=20) as http:
            number = 0
            while not self.stop.is_set():
                ids = [f"{self.name}-{number}-{i}" for i in range(20)]
                reply = http.post("/v1/events", json={"events": [self.event(one) for one in ids]})
                if reply.status_code == 202:
                    if reply.json()["accepted"] != 20:  # what was refused had not been stored
                        self.problems.append(reply.text)
                    self.acknowledged += ids
                    number += 1
                    time.sleep(0.002)
                else:
                    error = reply.json()["error"]
                    if error["code"] != "overloaded":  # the machine is busy, whatever its disk does
                        self.refusals.append((reply.status_code, reply.headers.get("retry-after"), error["message"]))
                    time.sleep(0.01)

    def event(self, event_id: str) -> dict[str, object]:
        return {"type": "view", "event_id": event_id, "visitor_id": self.name, "item_id": "i1", "text": "x" * 200}


def lists(http: httpx.Client, count: int) -> list[str]:
    """``count`` lists are answered, and their ids; the one thing that may be said instead: the machine is busy."""
    shown: list[str] = []
    until = time.monotonic() + 60
    while len(shown) < count:
        reply = http.post("/v1/recommend", json={"recipe": "for-you", "user_id": f"u{len(shown) % 5}", "k": 5})
        if reply.status_code == 200:
            assert len(reply.json()["items"]) == 5
            shown.append(reply.json()["request_id"])
        else:
            assert reply.json()["error"]["code"] == "overloaded"
            assert time.monotonic() < until
    return shown


def wait_for(what: str, holds: object) -> None:
    until = time.monotonic() + 60
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < until, what
        time.sleep(0.02)


def round_of(
    disk: Disk, process: subprocess.Popen[bytes], base: str, name: str, calm: float
) -> tuple[list[str], list[str]]:
    """The disk gets full while two send, and free again; the events that were acknowledged, and the lists shown."""
    stop = threading.Event()
    senders = [Sender(f"{name}-{i}", base, stop) for i in range(2)]
    threads = [threading.Thread(target=sender.run, daemon=True) for sender in senders]
    for thread in threads:
        thread.start()
    try:
        wait_for("nothing was acknowledged", lambda: all(sender.acknowledged for sender in senders))
        time.sleep(calm)
        disk.fill(process.pid)
        wait_for("nothing was refused", lambda: all(len(sender.refusals) > 3 for sender in senders))
        with httpx.Client(base_url=base, timeout=20) as http:
            shown = lists(http, 30)
            assert http.get("/v1/stats").status_code == 200
        disk.free(process.pid)
        before = [len(sender.acknowledged) for sender in senders]
        wait_for(
            "it did not go on",
            lambda: all(len(one.acknowledged) > n + 20 for one, n in zip(senders, before, strict=True)),
        )
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert [sender.problems for sender in senders] == [[], []]
    for status, retry_after, message in [one for sender in senders for one in sender.refusals]:
        assert (status, retry_after is not None) == (503, True)
        assert "then send again; nothing was stored" in message or "free space on its disk and send again" in message
    return [one for sender in senders for one in sender.acknowledged], shown


def rounds(disk: Disk, home: Path, number: int) -> None:
    chance = random.Random(number)
    acknowledged: list[str] = []
    shown: list[str] = []
    said = home.parent.parent / "serve.log"
    with server(home, said) as (process, base), httpx.Client(base_url=base, timeout=20) as http:
        for turn in range(number):
            events, listed = round_of(disk, process, base, f"turn-{turn}", chance.uniform(0, 0.2))
            acknowledged, shown = acknowledged + events, shown + listed
            assert http.get("/v1/stats").json()["events"] == 300 + len(acknowledged)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    log = SqliteLog(Home(home).log)
    read = list(entries(log))
    log.close()
    stored = [entry.body.event_id for entry in read if isinstance(entry.body, Event)]
    kept = [entry.body.request_id for entry in read if isinstance(entry.body, Served)]
    assert sorted(kept) == sorted(shown)  # those that were shown while it was full came in afterwards, once
    assert len(stored) == len(set(stored))
    assert set(acknowledged) <= set(stored)
    assert len(acknowledged) > 2 * 20 * number  # what was waited for; how many more says how fast the machine is


def test_a_full_disk_loses_nothing_and_the_server_goes_on(disk: Disk, home: Path) -> None:
    rounds(disk, home, 3)


@pytest.mark.slow
def test_a_disk_that_gets_full_many_times(disk: Disk, home: Path) -> None:
    rounds(disk, home, 20)


def test_a_kill_on_a_full_disk(disk: Disk, home: Path) -> None:
    """The server dies while nothing can be written; with room again, it starts and has all it acknowledged."""
    said = home.parent.parent / "serve.log"
    with server(home, said) as (process, base), httpx.Client(base_url=base, timeout=20) as http:
        sent = Sender("v", base, threading.Event())
        first = http.post("/v1/events", json={"events": [sent.event(f"e{n}") for n in range(500)]})
        assert first.json()["accepted"] == 500
        disk.fill(process.pid)
        refused = http.post("/v1/events", json={"events": [sent.event(f"f{n}") for n in range(500)]})
        assert refused.status_code == 503
        process.kill()
        process.wait(30)
        disk.free(os.getpid())
    with server(home, said) as (_, base), httpx.Client(base_url=base, timeout=20) as http:
        assert http.get("/v1/stats").json()["events"] == 800
        again = http.post("/v1/events", json={"events": [sent.event(f"f{n}") for n in range(500)]})
        assert (again.json()["accepted"], again.json()["duplicates"]) == (500, 0)


def test_a_stop_on_a_full_disk_keeps_the_log_and_the_older_snapshot(disk: Disk, home: Path) -> None:
    """The snapshot of the end cannot be written: it is noted, and the next start reads the log."""
    said = home.parent.parent / "serve.log"
    before = sorted(path.name for path in Home(home).state.iterdir())
    with server(home, said) as (process, base), httpx.Client(base_url=base, timeout=20) as http:
        sent = Sender("v", base, threading.Event())
        assert http.post("/v1/events", json={"events": [sent.event(f"e{n}") for n in range(100)]}).status_code == 202
        disk.fill(process.pid)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        if disk.mounted:
            assert "no snapshot of the state" in said.read_text()
            assert sorted(path.name for path in Home(home).state.iterdir()) == before
        disk.free(os.getpid())
    with server(home, said) as (_, base), httpx.Client(base_url=base, timeout=20) as http:
        assert http.get("/v1/stats").json()["events"] == 400
        lists(http, 5)

"""kill -9 under load: no acknowledged entry is lost, none is there twice, and the log goes on.

A real process appends from several threads through one writer, as the server does, and says on a pipe what
it is about to append and what append acknowledged.
"""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from endcap.backends.log.sqlite import SqliteLog
from endcap.events.log import entries, to_record
from endcap.events.schema import Event

WRITER = """
import os, queue, sys, threading
from pathlib import Path

from endcap.backends.log.sqlite import SqliteLog
from endcap.events.log import to_record
from endcap.events.schema import Event

log = SqliteLog(Path(sys.argv[1]))
waiting = queue.Queue()


def say(line):
    os.write(1, (line + "\\n").encode())


def send(ids):
    done = threading.Event()
    waiting.put((ids, done))
    done.wait()


def client(name):
    count = 0
    while True:
        send([f"{name}-{count + i}" for i in range(20)])
        count += 20


def group_commit():
    while True:
        batch = [waiting.get()]
        while not waiting.empty():
            batch.append(waiting.get())
        ids = [event_id for some, _ in batch for event_id in some]
        for event_id in ids:
            say(f"sent {event_id}")
        offsets = log.append([to_record(Event("view", 1, i, visitor_id="v", text="x" * 300)) for i in ids])
        for event_id, offset in zip(ids, offsets):
            say(f"kept {event_id} {offset}" if offset else f"known {event_id}")
        for _, done in batch:
            done.set()


def write():
    try:
        group_commit()
    finally:
        os._exit(1)  # else the clients would wait for ever


threading.Thread(target=write, daemon=True).start()
if len(sys.argv) > 3:
    send(sys.argv[3:])
threads = [threading.Thread(target=client, args=(f"{sys.argv[2]}-{i}",)) for i in range(4)]
for thread in threads:
    thread.start()
"""


@dataclass
class Heard:
    """What the writer said before it was killed."""

    sent: list[str] = field(default_factory=list)
    kept: dict[str, int] = field(default_factory=dict)
    known: list[str] = field(default_factory=list)

    def unanswered(self) -> list[str]:
        return [name for name in self.sent if name not in self.kept and name not in self.known]


def run_and_kill(path: Path, name: str, resend: list[str], seconds: float) -> Heard:
    """Starts a writer, kills it ``seconds`` after its first acknowledgement, and gives all that it said."""
    heard = Heard()
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, path, name, *resend], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        timer = threading.Timer(seconds, child.kill)
        for line in child.stdout:
            if not line.endswith("\n"):
                break  # cut off by the kill
            word, event_id, *offset = line.split()
            if word == "sent":
                heard.sent.append(event_id)
                continue
            if not heard.kept and not heard.known:
                timer.start()
            if word == "kept":
                heard.kept[event_id] = int(offset[0])
            else:
                heard.known.append(event_id)
        timer.cancel()
    assert child.returncode == -signal.SIGKILL
    return heard


def check(path: Path, kept: dict[str, int]) -> set[str]:
    """Opens the log after a kill, checks it whole, and gives the ids that are stored."""
    with closing(sqlite3.connect(path)) as plain:
        assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    log = SqliteLog(path)
    read = list(entries(log))
    offsets = [entry.offset for entry in read]
    assert offsets == sorted(set(offsets))
    places: dict[str, int] = {}
    for entry in read:
        assert isinstance(entry.body, Event)
        assert entry.body.event_id is not None
        places[entry.body.event_id] = entry.offset
    assert len(places) == len(read)  # nothing is there twice
    assert kept.items() <= places.items()  # each acknowledged one is there, at the offset that was acknowledged
    fresh = f"after-{len(read)}"
    (offset,) = log.append([to_record(Event("view", 1, fresh, visitor_id="v"))])
    assert offset is not None
    assert offset > offsets[-1]
    log.close()
    return places.keys() | {fresh}


def kill_rounds(path: Path, rounds: int) -> None:
    chance = random.Random(rounds)
    kept: dict[str, int] = {}
    resend: list[str] = []
    for number in range(rounds):
        before = check(path, kept) if number else set()
        heard = run_and_kill(path, str(number), resend, chance.uniform(0.05, 0.5))
        assert set(heard.known) == before & set(resend)  # what had been stored unheard is not stored again
        assert set(resend) <= before | heard.kept.keys()
        kept |= heard.kept
        resend = heard.unanswered()
    assert len(kept) > 100 * rounds
    check(path, kept)


def test_kill_loses_and_doubles_nothing(tmp_path: Path) -> None:
    kill_rounds(tmp_path / "endcap.db", 3)


@pytest.mark.slow
def test_many_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    kill_rounds(tmp_path / "endcap.db", 20)

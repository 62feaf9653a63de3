"""Damage to the log of a killed server: detected, named by offset, everything else kept, and the shop serves again.

Each round kills a real server under what it acknowledged, damages the files in another way and another place, starts
it again as its message says, and sends everything once more.
"""

from __future__ import annotations

import random
import re
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from tests.docs.running import ENDCAP, free_port
from tests.integration.servers import server

from endcap import wiring
from endcap.backends.log.sqlite import SqliteLog
from endcap.config import Home
from endcap.events.log import entries
from endcap.events.schema import Event
from endcap.types import Unreadable

PAGE = 4_096
BATCH = 200


def sent(http: httpx.Client, names: list[str]) -> tuple[int, int]:
    """How many of the events the server took as new, and how many it knew."""
    counts = [0, 0]
    for start in range(0, len(names), BATCH):
        some = [
            {"type": "view", "event_id": one, "visitor_id": "v", "item_id": "i1", "text": f"<{one}>{'x' * 100}"}
            for one in names[start : start + BATCH]
        ]
        reply = http.post("/v1/events", json={"events": some})
        assert reply.status_code == 202, reply.text
        counts[0] += reply.json()["accepted"]
        counts[1] += reply.json()["duplicates"]
    return counts[0], counts[1]


def in_log(home: Path) -> tuple[dict[str, int], list[int]]:
    """The offset of each event, and the offsets that cannot be read."""
    log = SqliteLog(Home(home).log)
    read = list(entries(log))
    log.close()
    found = {entry.body.event_id or "": entry.offset for entry in read if isinstance(entry.body, Event)}
    assert len(found) == sum(isinstance(entry.body, Event) for entry in read)
    return found, [entry.offset for entry in read if isinstance(entry.body, Unreadable)]


def refused(home: Path) -> str:
    """What a server says that does not start."""
    done = subprocess.run(
        [ENDCAP, "serve", "--home", home, "--port", str(free_port())], check=False, capture_output=True, timeout=120
    )
    assert done.returncode == 2, done.stderr
    return done.stderr.decode()


def place_of_one(path: Path, names: list[str], chance: random.Random) -> tuple[str, int]:
    """One of the events, and where it lies in the file: its bytes are there once."""
    data = path.read_bytes()
    name = chance.choice([one for one in names if data.count(f"<{one}>".encode()) == 1])
    return name, data.index(f"<{name}>".encode())


def overwrite(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def flip_a_row(home: Path, said: Path, names: list[str], chance: random.Random) -> set[str]:
    path = Home(home).log
    before, _ = in_log(home)  # opening and closing it brings the write-ahead log into the file
    name, at = place_of_one(path, names, chance)
    overwrite(path, at + 1, bytes([path.read_bytes()[at + 1] ^ 1]))
    with server(home, said, "live") as (_, base), httpx.Client(base_url=base, timeout=30) as http:
        stats = http.get("/v1/stats").json()  # it comes back by itself
        assert (stats["unreadable"], stats["events"]) == (1, len(before) - 1)
        assert stats["unreadable_first"].startswith(f"log entry {before[name]} is damaged")
        assert "endcap_unreadable_entries 1.0" in http.get("/metrics").text
        assert sent(http, [new := f"after-{name}"]) == (1, 0)
    assert f"set aside: log entry {before[name]} is damaged (its checksum does not fit)" in said.read_text()
    repaired(home)
    after, unreadable = in_log(home)
    assert after == {one: offset for one, offset in before.items() if one != name} | {new: max(after.values())}
    assert unreadable == []
    return {name}


def lose_a_page(home: Path, said: Path, names: list[str], chance: random.Random) -> set[str]:  # noqa: ARG001
    path = Home(home).log
    before, _ = in_log(home)
    for snapshot in Home(home).state.glob("*.npz"):
        snapshot.unlink()  # else a start need not read what is damaged
    name, at = place_of_one(path, names, chance)
    overwrite(path, at // PAGE * PAGE, chance.randbytes(PAGE))
    message = refused(home)
    found = re.search(r"malformed.*run endcap repair.*it can be read up to entry (\d+)", message)
    assert found is not None, message
    assert int(found.group(1)) < before[name]
    repaired(home)
    after, _ = in_log(home)
    lost = before.keys() - after.keys()
    assert name in lost
    assert len(lost) < PAGE // 100
    assert after == {one: offset for one, offset in before.items() if one not in lost}
    assert min(before[one] for one in lost) == int(found.group(1)) + 1
    return lost


def damage_the_write_ahead_log(home: Path, said: Path, names: list[str], chance: random.Random) -> set[str]:
    wal = Home(home).log.with_name("endcap.db-wal")
    data = wal.read_bytes()
    frames = [at for at in range(32, len(data), 24 + PAGE) if data[at + 8 : at + 16] == data[16:24]]  # of this round
    assert len(frames) > 10
    at = chance.choice(frames[-10:]) + chance.randrange(24 + PAGE)
    overwrite(wal, at, bytes([data[at] ^ 1 << chance.randrange(8)]))
    damaged = wal.read_bytes()
    with server(home, said, "live") as (_, base), httpx.Client(base_url=base, timeout=30) as http:
        assert http.get("/v1/stats").json()["unreadable"] == 0
    assert "write-ahead log damaged: its newest entries are lost" in said.read_text()
    assert wal.with_name("endcap.db-wal.damaged").read_bytes() == damaged
    after, unreadable = in_log(home)
    assert unreadable == []
    mine = [one in after for one in names]
    assert mine == sorted(mine, reverse=True)  # everything before the damage is there
    assert not all(mine)
    return {one for one in names if one not in after}


def repaired(home: Path) -> None:
    """``endcap repair`` finds something, mends it, and nothing more is found."""
    assert not wiring.repair(home, look_only=True).found.sound
    done = subprocess.run([ENDCAP, "repair", "--home", home], check=False, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert b"The damaged file is kept" in done.stdout
    assert wiring.repair(home, look_only=True).found.sound


WAYS = (flip_a_row, lose_a_page, damage_the_write_ahead_log)


def rounds(tmp_path: Path, number: int) -> None:
    home, said, chance = tmp_path / "home", tmp_path / "serve.log", random.Random(number)
    wiring.open_log(home).close()
    everything: list[str] = []
    lost: set[str] = set()
    for turn in range(number + 1):
        names = [f"turn-{turn}-{n}" for n in range(1_000)]
        with server(home, said, "live") as (process, base), httpx.Client(base_url=base, timeout=30) as http:
            assert sent(http, everything) == (len(lost), len(everything) - len(lost))  # nothing else is stored anew
            reply = http.post("/v1/recommend", json={"recipe": "popular", "user_id": "u", "k": 3})
            assert reply.status_code == 200
            assert sent(http, names) == (len(names), 0)
            process.kill()  # what was acknowledged lies in the write-ahead log
            assert process.wait(30) == -signal.SIGKILL
        everything += names
        if turn < number:
            lost = WAYS[turn % len(WAYS)](home, said, names, chance)
    stored, unreadable = in_log(home)
    assert set(everything) <= stored.keys()
    assert unreadable == []
    with closing(sqlite3.connect(Home(home).log)) as plain:
        assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_damage_is_named_and_the_rest_is_kept(tmp_path: Path) -> None:
    rounds(tmp_path, 3)


@pytest.mark.slow
def test_damage_in_many_places(tmp_path: Path) -> None:
    rounds(tmp_path, 20)

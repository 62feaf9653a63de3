"""Poison: whatever a buggy client sends, and entries that nobody can read in the log itself.

A real server refuses the one by name and keeps the good ones beside it; it sets the other aside, says so, and serves
everything before and after.
"""

from __future__ import annotations

import json
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from tests.integration.servers import server

from endcap import wiring
from endcap.backends.log.sqlite import SqliteLog
from endcap.config import Config, Home
from endcap.events.log import entries, to_record
from endcap.events.schema import Event
from endcap.pipelines.restart import keep_snapshot, replayed
from endcap.state.snapshot import digest

VIEW = '{"type": "view", "visitor_id": "v", "item_id": "i"'
POISON = {
    "a huge number": f'{VIEW}, "value": 1e400}}',
    "more digits than a number has": f'{VIEW}, "value": {"9" * 5_000}}}',
    "NaN": f'{VIEW}, "value": NaN}}',
    "Infinity": f'{VIEW}, "value": -Infinity}}',
    "a number as text": f'{VIEW}, "value": "12"}}',
    "deep nesting": "[" * 100_000 + "]" * 100_000,
    "a deep field": f'{VIEW}, "items": {"[" * 2_000}{"]" * 2_000}}}',
    "half a character": f'{VIEW}, "text": "\\ud800"}}',
    "half a character as an id": '{"type": "view", "visitor_id": "\\udfff", "item_id": "i"}',
    "a megabyte of text": f'{VIEW}, "text": "{"x" * 1_000_000}"}}',
    "a megabyte as an id": f'{{"type": "view", "visitor_id": "{"x" * 1_000_000}"}}',
    "a list for a text": f'{VIEW}, "query": ["a"]}}',
    "an object for an id": '{"type": "view", "visitor_id": {"id": 1}, "item_id": "i"}',
    "a truth value for an id": '{"type": "view", "visitor_id": true, "item_id": "i"}',
    "10,000 items": f'{VIEW}, "items": [{", ".join(["{}"] * 10_000).replace("{}", json.dumps({"item_id": "i"}))}]}}',
    "a negative quantity": f'{VIEW}, "items": [{{"item_id": "i", "quantity": -1}}]}}',
    "no quantity at all": f'{VIEW}, "items": [{{"item_id": "i", "quantity": 0}}]}}',
    "the year 9999": f'{VIEW}, "time": "9999-12-31T23:59:59Z"}}',
    "the year 1": f'{VIEW}, "time": "0001-01-01T00:00:00Z"}}',
    "a time before time": f'{VIEW}, "time": -1}}',
    "a time in nanoseconds": f'{VIEW}, "time": 1764000000000000000}}',
    "a field that nobody knows": f'{VIEW}, "__proto__": 1}}',
    "a key of the log's own": f'{VIEW}, "event_id": "served/x"}}',
    "a type that nobody knows": '{"type": "hack", "visitor_id": "v"}',
    "half a body": f'{VIEW}, "va',
    "no JSON": "\x00\xff",
    "nothing": "",
}
HARMLESS = {
    "NUL in an id": '{"type": "view", "visitor_id": "v\\u0000w", "item_id": "\\u0000"}',
    "a name for SQL": '{"type": "view", "visitor_id": "\'; DROP TABLE entries; --", "item_id": "i"}',
    "the largest numbers": f'{VIEW}, "value": -1e15, "rating": 1e-300}}',
    "1,000 items": f'{VIEW}, "items": {json.dumps([{"item_id": f"i{n}"} for n in range(1_000)])}}}',
    "1970": f'{VIEW}, "time": 0}}',
}


def posted(http: httpx.Client, content: str) -> httpx.Response:
    return http.post(
        "/v1/events", content=content.encode(errors="surrogatepass"), headers={"content-type": "application/json"}
    )


def test_whatever_a_buggy_client_sends_harms_nobody(tmp_path: Path) -> None:
    home = tmp_path / "home"
    wiring.open_log(home).close()
    kept = 0
    with server(home, health="live") as (process, base), httpx.Client(base_url=base, timeout=30) as http:
        for number, (what, content) in enumerate(POISON.items()):
            reply = posted(http, content)
            assert reply.status_code in (400, 413), (what, reply.status_code, reply.text)
            assert reply.json()["error"]["message"], what
            good = posted(http, f'{VIEW}, "event_id": "good-{number}"}}')
            assert (good.status_code, good.json()["accepted"]) == (202, 1), what
            kept += 1
        for number, (what, content) in enumerate(HARMLESS.items()):
            named = content.replace('"view"', f'"view", "event_id": "odd-{number}"', 1)
            for counts in ((1, 0), (0, 1)):
                reply = posted(http, named)
                assert reply.status_code == 202, (what, reply.text)
                assert (reply.json()["accepted"], reply.json()["duplicates"]) == counts, what
            kept += 1
        assert http.get("/v1/stats").json()["events"] == kept
        for who in ("v", "v\0w", "'; DROP TABLE entries; --"):
            answer = http.post("/v1/recommend", json={"recipe": "for-you", "visitor_id": who, "k": 5})
            assert answer.status_code == 200
        process.kill()
        process.wait(30)
    with server(home, health="live") as (_, base), httpx.Client(base_url=base, timeout=30) as http:
        stats = http.get("/v1/stats").json()
        assert (stats["events"], stats["unreadable"]) == (kept, 0)


GARBAGE = [
    ("event", b"\x00\xff garbage"),
    ("event", b'{"type": 1}'),
    ("event", b""),
    ("item", b'{"item_id": "i", "op": "burn"}'),
    ("rule", b'{"rule_id": "r", "fields": {"colour": 1}}'),
    ("served", b"[]"),
    ("tally", b"{}"),
    ("activation", b"null"),
    ("of-a-newer-version", b'{"new": true}'),
]


def poison_the_log(home: Path, chance: random.Random, count: int) -> list[int]:
    """Appends entries that nobody can read, as another program or a newer Endcap would; their offsets."""
    offsets = []
    with closing(sqlite3.connect(Home(home).log, isolation_level=None)) as plain:
        for kind, data in chance.sample(GARBAGE, count):
            done = plain.execute("INSERT INTO entries (kind, time, data) VALUES (?, ?, ?)", (kind, 1, data))
            offsets.append(done.lastrowid or 0)
    return offsets


def rounds(tmp_path: Path, number: int) -> None:
    home, said, chance = tmp_path / "home", tmp_path / "serve.log", random.Random(number)
    wiring.open_log(home).close()
    bad: list[int] = []
    for turn in range(number + 1):
        with server(home, said, "live") as (process, base), httpx.Client(base_url=base, timeout=30) as http:
            stats = http.get("/v1/stats").json()
            assert (stats["unreadable"], stats["events"]) == (len(bad), 50 * turn)  # all before and between is there
            if bad:
                assert stats["unreadable_first"].startswith(f"log entry {bad[0]} (")
            for offset in bad[:20]:
                assert f"set aside: log entry {offset} (" in said.read_text()
            answer = http.post("/v1/recommend", json={"recipe": "for-you", "visitor_id": "v", "k": 5})
            assert answer.status_code == 200
            for counts in ((50, 0), (0, 50)):
                told = http.post("/v1/events", json={"events": views(turn)}).json()
                assert (told["accepted"], told["duplicates"]) == counts
            process.kill()
            process.wait(30)
        bad += poison_the_log(home, chance, 2)
    log = SqliteLog(Home(home).log)
    assert sum(isinstance(entry.body, Event) for entry in entries(log)) == 50 * (number + 1)
    log.close()


def views(turn: int) -> list[dict[str, str]]:
    return [{"type": "view", "event_id": f"turn-{turn}-{n}", "visitor_id": "v", "item_id": "i"} for n in range(50)]


def test_entries_that_nobody_can_read_are_set_aside(tmp_path: Path) -> None:
    rounds(tmp_path, 3)


@pytest.mark.slow
def test_entries_that_nobody_can_read_are_set_aside_many_times(tmp_path: Path) -> None:
    rounds(tmp_path, 20)


def test_an_entry_that_comes_while_the_server_runs_is_set_aside_too(tmp_path: Path) -> None:
    home = tmp_path / "home"
    wiring.open_log(home).close()
    with server(home, health="live") as (_, base), httpx.Client(base_url=base, timeout=30) as http:
        assert posted(http, f"{VIEW}}}").status_code == 202
        with closing(sqlite3.connect(Home(home).log, isolation_level=None)) as plain:
            plain.execute("INSERT INTO entries (kind, time, data) VALUES ('event', 1, x'00')")
        reply = posted(http, f"{VIEW}}}")
        assert reply.status_code == 202
        stats = http.get("/v1/stats").json()
        assert (stats["unreadable"], stats["events"], stats["unreadable_first"][:12]) == (1, 2, "log entry 2 ")


def test_a_snapshot_that_set_an_entry_aside_is_given_up_when_it_can_be_read(tmp_path: Path) -> None:
    home, config = tmp_path / "home", Config()
    log = wiring.open_log(home)
    log.append([to_record(Event("view", n, f"e{n}", visitor_id="v", item_id="i")) for n in range(3)])
    with closing(sqlite3.connect(Home(home).log, isolation_level=None)) as plain:
        whole = plain.execute("SELECT data FROM entries WHERE offset = 2").fetchone()[0]
        plain.execute("UPDATE entries SET data = x'00' WHERE offset = 2")
    damaged = replayed(home, config, log)
    assert (damaged.unreadable, damaged.events) == (1, 2)
    keep_snapshot(home, damaged, log)
    assert digest(replayed(home, config, log)) == digest(damaged)
    with closing(sqlite3.connect(Home(home).log, isolation_level=None)) as plain:
        plain.execute("UPDATE entries SET data = ? WHERE offset = 2", (whole,))
    mended = replayed(home, config, log)
    assert (mended.unreadable, mended.events) == (0, 3)
    log.close()

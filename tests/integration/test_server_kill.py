"""kill -9 of a real server under load: what it acknowledged is there once, in the log and in what it answers.

Clients post events and put items over HTTP and note each acknowledgement; the server is killed in the middle,
started again on the same home, and asked.
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
from typing import Any

import httpx
import pytest
from tests.integration.servers import server

from endcap import wiring
from endcap.backends.log.sqlite import SqliteLog
from endcap.catalog.items import ItemChange, parse_change
from endcap.config import Config, Home
from endcap.events.log import entries, to_record
from endcap.events.schema import Event

ITEMS = [f"i{n}" for n in range(20)]
NOW = time.time_ns() // 1_000_000
"""The server's clock is the machine's, and an event must not be from its future."""
CLIENTS = 4
BATCH = 10


@dataclass
class Client:
    """What one client sent, and what it was told."""

    name: str
    sent: list[str] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    sent_items: list[str] = field(default_factory=list)
    acknowledged_items: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def load(self, base: str) -> None:
        """Posts events, puts items and sends some events again until the server is gone."""
        with httpx.Client(base_url=base, timeout=20) as http, contextlib.suppress(httpx.TransportError):
            for number in range(100_000):
                self.step(http, number)

    def step(self, http: httpx.Client, number: int) -> None:
        ids = [f"{self.name}-{number}-{i}" for i in range(BATCH)]
        self.sent += ids
        self.expect(http.post("/v1/events", json=events(self.name, ids)), accepted=BATCH, duplicates=0)
        self.acknowledged += ids
        if number % 3 == 0:
            item_id = f"item-{self.name}-{number}"
            self.sent_items.append(item_id)
            self.expect(http.put(f"/v1/items/{item_id}", json={"title": f"Lamp {number}"}), accepted=1)
            self.acknowledged_items.append(item_id)
        if number % 5 == 0:
            self.expect(http.post("/v1/events", json=events(self.name, ids)), accepted=0, duplicates=BATCH)

    def expect(self, reply: httpx.Response, **counts: int) -> None:
        told = reply.json()
        if not reply.is_success or any(told[name] != count for name, count in counts.items()):
            self.problems.append(f"{reply.status_code} {told}, not {counts}")


def events(name: str, ids: list[str]) -> dict[str, object]:
    return {
        "events": [
            {"type": "view", "event_id": one, "visitor_id": name, "item_id": ITEMS[place % len(ITEMS)]}
            for place, one in enumerate(ids)
        ]
    }


def load_and_kill(process: subprocess.Popen[bytes], base: str, clients: list[Client], seconds: float) -> None:
    """Kills the server ``seconds`` after the first acknowledgement, while all ``clients`` send."""
    threads = [threading.Thread(target=client.load, args=(base,), daemon=True) for client in clients]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 20
    while not any(client.acknowledged for client in clients):
        assert time.monotonic() < until, "nothing was acknowledged"
        time.sleep(0.005)
    time.sleep(seconds)
    process.kill()
    assert process.wait(30) == -signal.SIGKILL
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert [client.problems for client in clients] == [[]] * len(clients)


def in_log(home: Path) -> tuple[Counter[str], Counter[str], int]:
    """How often each event and each item is in the log, and the events' number, read without the server."""
    log = SqliteLog(Home(home).log)
    bodies = [entry.body for entry in entries(log)]
    log.close()
    stored = [body for body in bodies if isinstance(body, Event)]
    items = Counter(body.item_id for body in bodies if isinstance(body, ItemChange))
    return Counter(event.event_id for event in stored if event.event_id is not None), items, len(stored)


def check(home: Path, version: str, base: str, clients: list[Client]) -> None:
    """Asks a server started after a kill for what ``clients`` were told, and sends all of the newest's again."""
    stored, items, number = in_log(home)
    assert max(stored.values()) == 1
    assert max(items.values()) == 1
    assert {one for client in clients for one in client.acknowledged} <= stored.keys()
    with httpx.Client(base_url=base, timeout=20) as http:
        assert http.get("/v1/stats").json()["events"] == number
        for client in clients[:-CLIENTS]:
            assert views(http, client) == len(client.sent)
        for client in clients[-CLIENTS:]:
            check_client(http, client, stored, items)
        everything = {one for client in clients for one in client.sent}
        stored, _, number = in_log(home)
        assert stored == Counter({*everything, *(name for name in stored if name.startswith("past-"))})
        assert http.get("/v1/stats").json()["events"] == number
        check_model(http, version)


def check_client(http: httpx.Client, client: Client, stored: Counter[str], items: Counter[str]) -> None:
    kept = sum(one in stored for one in client.sent)
    assert views(http, client) == kept
    assert set(client.acknowledged_items) <= items.keys()
    there = [item["item_id"] for item in found_items(http, client.sent_items)]
    assert there == [item_id for item_id in client.sent_items if item_id in items]
    assert resent(http, client.name, client.acknowledged) == (0, len(client.acknowledged))
    assert resent(http, client.name, client.sent) == (len(client.sent) - kept, kept)
    assert views(http, client) == len(client.sent)


def views(http: httpx.Client, client: Client) -> int:
    """How many events of ``client`` the server counts."""
    counts = http.get(f"/v1/users/{client.name}").json()["counts"]
    assert counts.keys() == {"view"}
    return int(counts["view"])


def found_items(http: httpx.Client, ids: list[str]) -> list[dict[str, Any]]:
    pages = [",".join(ids[start : start + 100]) for start in range(0, len(ids), 100)]
    return [item for page in pages for item in http.get(f"/v1/items?ids={page}").json()["items"]]


def resent(http: httpx.Client, name: str, ids: list[str]) -> tuple[int, int]:
    """How many the server took as new, and how many it knew."""
    replies = [http.post("/v1/events", json=events(name, ids[at : at + 1_000])) for at in range(0, len(ids), 1_000)]
    assert {reply.status_code for reply in replies} == {202}
    told = [reply.json() for reply in replies]
    return sum(one["accepted"] for one in told), sum(one["duplicates"] for one in told)


def check_model(http: httpx.Client, version: str) -> None:
    models = http.get("/v1/models").json()
    assert (models["active"], models["problem"]) == (version, None)
    answer = http.post("/v1/recommend", json={"recipe": "for-you", "user_id": "u1", "k": 5}).json()
    assert answer["model"] == version
    assert len(answer["items"]) == 5


@pytest.fixture
def shop(tmp_path: Path) -> tuple[Path, str]:
    """A small shop with a trained model: its home, and the version that serves."""
    home = tmp_path / "home"
    log = wiring.open_log(home)
    log.append([to_record(parse_change("put", {"item_id": one, "title": f"Chair {one}"}), NOW) for one in ITEMS])
    chance = random.Random(0)
    past = [
        Event("purchase", NOW - (60 - day) * 86_400_000, f"past-{user}-{day}", f"u{user}", item_id=item)
        for day in range(60)
        for user in range(5)
        for item in [chance.choice(ITEMS)]
    ]
    log.append([to_record(event) for event in past])
    log.close()
    return home, wiring.train(home, Config(), 0, NOW, lambda *_: None).version


def kill_rounds(shop: tuple[Path, str], rounds: int) -> None:
    home, version = shop
    chance = random.Random(rounds)
    clients: list[Client] = []
    for number in range(rounds):
        if number % 3 == 2:
            end_orderly(home)
        fresh = [Client(f"client-{number}-{i}") for i in range(CLIENTS)]
        with server(home) as (process, base):
            check(home, version, base, clients)
            load_and_kill(process, base, fresh, chance.uniform(0.1, 0.8))
        clients += fresh
    with server(home) as (_, base):
        check(home, version, base, clients)
    assert sum(len(client.acknowledged) for client in clients) > 100 * rounds
    assert any(client.acknowledged_items for client in clients)
    assert any(len(client.sent) > len(client.acknowledged) for client in clients)  # it was killed at work


def end_orderly(home: Path) -> None:
    """A start and an end in between: the next server begins with the state that this one kept."""
    with server(home) as (process, _):
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_a_killed_server_keeps_what_it_acknowledged_once(shop: tuple[Path, str]) -> None:
    kill_rounds(shop, 3)


@pytest.mark.slow
def test_a_server_killed_many_times_keeps_what_it_acknowledged_once(shop: tuple[Path, str]) -> None:
    kill_rounds(shop, 20)


def test_what_a_killed_server_showed_can_still_be_asked_about(shop: tuple[Path, str]) -> None:
    home, _ = shop
    shown: dict[str, list[str]] = {}
    with server(home) as (process, base), httpx.Client(base_url=base, timeout=20) as http:
        for number in range(60):
            asked = {"recipe": "for-you", "user_id": f"u{number % 5}", "k": 5}
            answer = http.post("/v1/recommend", json=asked).json()
            shown[answer["request_id"]] = [item["item_id"] for item in answer["items"]]
        process.send_signal(signal.SIGKILL)  # at once: the last of them are in no commit yet
        process.wait(30)
    with server(home) as (_, base), httpx.Client(base_url=base, timeout=60) as http:
        last = list(shown)[-1]
        why = http.get("/v1/why", params={"request_id": last, "item_id": shown[last][0]}).json()
        assert (why["items"], why["same"], why["trace"]["place"]) == (shown[last], True, 1)
    log = SqliteLog(Home(home).log)
    stored = Counter(record.key for _, record in log.read() if record.kind == "served")
    log.close()
    assert stored == Counter(f"served/{request_id}" for request_id in shown)

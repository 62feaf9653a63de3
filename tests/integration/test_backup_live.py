"""A backup of a home whose real server takes events meanwhile: what comes back is one moment of it, and serves."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import httpx
from tests.docs.running import endcap, serving

from endcap.backends.log.sqlite import SqliteLog
from endcap.config import Home
from endcap.types import Record

ITEMS = [f"i{n}" for n in range(20)]


class Sender:
    """Posts numbered events, one after the other, until it is told to stop."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self.acknowledged = 0

    def __enter__(self) -> Sender:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _send(self) -> None:
        with httpx.Client(base_url=self._base, timeout=20) as http:
            while not self._stop.is_set():
                number = self.acknowledged
                body = {"type": "view", "visitor_id": "v", "event_id": f"e{number}", "item_id": ITEMS[number % 20]}
                http.post("/v1/events", json=body).raise_for_status()
                self.acknowledged += 1


def records(home: Path) -> list[tuple[int, Record]]:
    with contextlib.closing(SqliteLog(Home(home).log)) as log:
        return list(log.read())


def make_shop(folder: Path) -> Path:
    items, events = folder / "items.csv", folder / "events.csv"
    items.write_text("item_id,title\n" + "".join(f"{one},Chair {one}\n" for one in ITEMS))
    rows = [
        f"p{day}-{user},purchase,u{user},{ITEMS[(day + user) % 20]},2026-{day % 9 + 1:02d}-01T00:00:00Z\n"
        for day in range(18)
        for user in range(6)
    ]
    events.write_text("event_id,type,user_id,item_id,time\n" + "".join(rows))
    home = folder / "home"
    endcap("import", "items", items, "--home", home)
    endcap("import", "events", events, "--home", home)
    endcap("train", "--home", home)
    return home


def test_a_live_home_is_archived_consistently_and_serves_again(tmp_path: Path) -> None:
    home = make_shop(tmp_path)
    with serving(home) as base, Sender(base) as sender:
        between = []
        for number in range(3):
            before = sender.acknowledged
            if number == 1:
                endcap("train", "--home", home)  # a new model is activated while events come in
            endcap("backup", "--home", home, "--out", tmp_path / f"{number}.tar")
            between.append((before, sender.acknowledged))
        with httpx.Client(base_url=base) as http:
            active = http.get("/v1/models").json()["active"]
    everything = records(home)
    for number, (before, after) in enumerate(between):
        restored = tmp_path / f"restored-{number}"
        endcap("restore", tmp_path / f"{number}.tar", "--home", restored)
        found = records(restored)
        assert found == everything[: len(found)]
        views = sum(record.kind == "event" and (record.key or "").startswith("e") for _, record in found)
        assert before <= views <= after + 1
        assert after > before  # events came in while it was taken
    with serving(restored) as base, httpx.Client(base_url=base) as http:
        assert {name: http.get("/v1/models").json()[name] for name in ("active", "problem")} == {
            "active": active,
            "problem": None,
        }
        assert http.get("/v1/users/v").json()["counts"] == {"view": views}
        assert len(http.post("/v1/recommend", json={"recipe": "for-you", "user_id": "u1", "k": 5}).json()["items"]) == 5

"""GET /v1/reports/attribution and ``endcap attribution``: one visitor on a real server, numbers by hand."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.unit.serving.test_live import RefusingLog

from endcap import wiring
from endcap.config import Config, Home
from endcap.errors import HomeError
from endcap.interfaces.api.app import create_app
from endcap.interfaces.api.auth import Keys
from endcap.interfaces.api.recommend import drafted
from endcap.interfaces.api.server import ServerOptions, create_context
from endcap.interfaces.cli.main import main
from endcap.serving.engine import Request
from endcap.serving.live import Live

ITEMS = [{"item_id": name, "title": f"Tea {name}"} for name in ("pot", "cup", "tray", "spoon")]
FAR = 4_000_000_000_000
"""Milliseconds since 1970, after everything."""


class Running:
    """A server on ``home`` without a socket; the one before it, if any, is stopped."""

    def __init__(self, home: Path, runner: asyncio.Runner) -> None:
        self._runner = runner
        self.live: Live = wiring.open_live(home, Config())
        runner.run(self.live.start())
        context = create_context(self.live, ServerOptions(home, Config().serve, Keys.parse("")))
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(create_app(context)), base_url="http://localhost"
        )

    def call(self, method: str, path: str, **more: Any) -> Any:
        answer = self._runner.run(self._client.request(method, path, **more))
        assert answer.status_code < 300, answer.text
        return answer.json()

    def send(self, *events: dict[str, Any]) -> None:
        assert self.call("POST", "/v1/events", json={"events": events})["accepted"] == len(events)

    def list(self, recipe: str, visitor: str = "ann", **more: Any) -> str:
        answer = self.call("POST", "/v1/recommend", json={"recipe": recipe, "visitor_id": visitor, **more})
        request_id: str = answer["request_id"]
        return request_id

    def report(self, **params: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", "/v1/reports/attribution", params=params)
        return found

    def tally(self) -> None:
        self._runner.run(self.live.settle())
        self._runner.run(self.live.tally())

    def stop(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.run(self.live.stop())


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as running:
        yield running


def event(kind: str, request_id: str | None, *items: str, visitor: str = "ann", **more: Any) -> dict[str, Any]:
    named = {} if request_id is None else {"request_id": request_id}
    return {"type": kind, "visitor_id": visitor, "items": [{"item_id": item} for item in items], **named, **more}


def play(server: Running) -> None:
    """What one visitor sees and does, and what others claim."""
    server.call("PUT", "/v1/items", json={"items": ITEMS})
    server.send(*(event("view", None, item["item_id"], visitor="crowd") for item in ITEMS))
    shown = server.list("popular", k=3)
    # The list may not be in the log yet: it is found all the same.
    server.send(event("click", shown, "pot"), event("view", shown, "pot"))
    similar = server.list("similar", item_ids=["pot"])
    server.send(
        event("impression", similar, "cup", "tray"),
        event("cart", similar, "cup"),
        event("click", similar, "cup", visitor="thief"),
        event("click", "never", "cup"),
        event("click", similar, "pot"),
    )
    lines = [{"item_id": "cup", "quantity": 2, "price": 4.25}, {"item_id": "spoon", "quantity": 1, "price": 9}]
    server.send({"type": "purchase", "visitor_id": "ann", "items": lines, "currency": "GBP"})
    server.send(event("return", None, "cup"))
    server.call("POST", "/v1/recommend", json={"recipe": "page", "visitor_id": "bo"})


def check(found: dict[str, Any]) -> None:
    rows = {row["name"]: row for row in found["rows"]}
    popular, similar = rows["popular"], rows["similar"]
    assert (popular["items"], popular["clicks"], popular["views"], popular["purchases"]) == (3, 1, 1, 0)
    assert (similar["impressions"], similar["rendered"], similar["carts"], similar["clicks"]) == (2, 1, 1, 0)
    assert (similar["lists"], similar["clicked"], similar["carted"], similar["bought"]) == (1, 1, 1, 1)
    assert (similar["purchases"], similar["followed"], similar["returns"]) == (1, 1, 1)
    assert similar["revenue"] == [{"currency": "GBP", "sold": 8.5, "returned": 4.25, "net": 4.25}]
    assert found["left_out"] == {"another_visitor": 1, "unknown_list": 1, "not_in_list": 1}


def test_a_visitor_by_hand_and_the_same_after_the_lists_have_expired(
    tmp_path: Path, runner: asyncio.Runner, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Running(tmp_path, runner)
    play(server)
    runner.run(server.live.settle())
    first = server.report()
    check(first)
    assert first["total"]["lists"] == sum(row["lists"] for row in server.report(by="page_row")["rows"]) > 2
    assert main(["attribution", "--home", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == first, "beside the server, from the log alone"
    server.tally()
    assert server.report() == first
    server.stop()

    log = wiring.open_log(tmp_path)
    assert log.expire("served", FAR, 1_000) == first["total"]["lists"]
    log.close()
    server = Running(tmp_path, runner)
    assert server.report() == first
    runner.run(server.live.settle())
    shown = server.list("popular")
    server.send(event("click", shown, "pot"))
    runner.run(server.live.settle())
    assert server.report()["total"]["lists"] == first["total"]["lists"] + 1
    assert server.report()["total"]["clicks"] == first["total"]["clicks"] + 1
    server.stop()
    for snapshot in (tmp_path / "state").glob("*.npz"):
        snapshot.unlink()
    server = Running(tmp_path, runner)
    rebuilt = server.report()
    server.stop()
    assert rebuilt["total"]["lists"] == first["total"]["lists"] + 1, "a replay from the first entry says the same"
    assert rebuilt["total"]["revenue"] == first["total"]["revenue"]


def test_a_row_of_a_page_is_a_list_of_its_own(tmp_path: Path, runner: asyncio.Runner) -> None:
    server = Running(tmp_path, runner)
    play(server)
    page = server.call("POST", "/v1/recommend", json={"recipe": "page", "visitor_id": "bo"})["rows"]
    last = page[-1]
    server.send(event("click", last["request_id"], last["items"][0]["item_id"], visitor="bo"))
    rows = {row["name"]: row for row in server.report(by="page_row")["rows"]}
    server.stop()
    assert rows[str(len(page))]["clicks"] == 1
    assert rows[str(len(page))]["examples"] == [
        {"request_id": last["request_id"], "item_id": last["items"][0]["item_id"]}
    ]


def test_many_events_at_once_are_looked_up_too(tmp_path: Path, runner: asyncio.Runner) -> None:
    server = Running(tmp_path, runner)
    server.call("PUT", "/v1/items", json={"items": ITEMS})
    server.send(*(event("view", None, item["item_id"], visitor="crowd") for item in ITEMS))
    lists = [server.list("popular", k=2) for _ in range(30)]
    runner.run(server.live.settle())
    server.send(*(event("impression", name) for name in lists), event("impression", "never"))
    found = server.report()
    server.stop()
    assert (found["total"]["rendered"], found["left_out"]) == (30, {"unknown_list": 1})


def test_a_list_that_is_computed_but_not_sent_is_not_served(tmp_path: Path, runner: asyncio.Runner) -> None:
    """A stream makes the list again at each event, and sends it only where it has changed."""
    server = Running(tmp_path, runner)
    context = create_context(server.live, ServerOptions(tmp_path, Config().serve, Keys.parse("")))
    drafted(context, Request("popular"))
    runner.run(server.live.settle())
    assert server.report()["total"]["lists"] == 0
    _, show = drafted(context, Request("popular"))
    show()
    runner.run(server.live.settle())
    assert server.report()["total"]["lists"] == 1
    server.stop()


def test_lists_that_could_not_be_counted_in_the_log_are_counted_the_next_time(
    tmp_path: Path, runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = RefusingLog(Home(tmp_path).log)
    monkeypatch.setattr("endcap.wiring.shop.open_log", lambda _: log)
    server = Running(tmp_path, runner)
    play(server)
    runner.run(server.live.settle())
    before = server.report()["total"]["lists"]
    log.error = HomeError("the disk is full")
    runner.run(server.live.tally())
    assert server.report()["total"]["lists"] == before
    log.error = None
    server.tally()
    assert server.report()["total"]["lists"] == before
    assert server.live.untallied() == []
    server.stop()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"by": "hour"}, "by is 'hour'"),
        ({"from": "2026-11-24", "until": "2026-11-01"}, "from is 2026-11-24, after until, 2026-11-01"),
        ({"until": "soon"}, "until is 'soon'"),
        ({"colour": "red"}, "unknown parameter 'colour': there are from, until, by, recipe"),
    ],
)
def test_what_cannot_be_asked(shop: Any, params: dict[str, str], message: str) -> None:
    answer = shop.call("GET", "/v1/reports/attribution", params=params)
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]


def test_the_command_says_it_in_words(
    tmp_path: Path, runner: asyncio.Runner, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["attribution", "--home", str(tmp_path), "--from", "2026-11-01", "--until", "2026-11-02"]) == 0
    assert capsys.readouterr().out == "No list was served from 2026-11-01 to 2026-11-02.\n"
    server = Running(tmp_path, runner)
    play(server)
    server.stop()
    today = time.strftime("%Y-%m-%d", time.gmtime())
    assert main(["attribution", "--home", str(tmp_path), "--until", str(wiring.clock())]) == 0
    told = capsys.readouterr().out.splitlines()
    similar = next(line.split() for line in told if line.startswith("similar"))
    assert similar == ["similar", "1", "1", "1", "100.00%", "(20.65%", "to", "100.00%)", "1", "1", "4.25", "GBP"]
    assert today in next(line for line in told if line.startswith("Lists of"))
    assert "Not counted: 1 that name a list that was served to somebody else." in told
    assert main(["attribution", "--home", str(tmp_path), "--by", "hour"]) == 2


def test_nothing_is_kept_where_no_list_is_kept(tmp_path: Path, runner: asyncio.Runner) -> None:
    config = replace(Config(), serve=replace(Config().serve, keep_served_days=0))
    live = wiring.open_live(tmp_path, config)
    runner.run(live.start())
    runner.run(live.tally())
    assert live.untallied() == []
    runner.run(live.stop())

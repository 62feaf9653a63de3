"""The server as a process: what it promises over a real socket, from its start to its end."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

ENDCAP = Path(sys.executable).with_name("endcap")
ITEMS = [{"item_id": name, "title": f"The {name}"} for name in ("pot", "cup", "lamp", "vase", "rug")]
KEYS = "admin:admin-key-0123456789,events:events-key-0123456789"


@dataclass
class Running:
    """A server process and a client of it."""

    process: subprocess.Popen[str]
    client: httpx.Client
    port: int
    lines: list[str]
    """What it printed at the start."""

    def stop(self) -> float:
        """SIGTERM; the seconds until the process has ended."""
        begun = time.monotonic()
        self.process.terminate()
        self.process.wait(20)
        return time.monotonic() - begun

    def shown(self, recipe: str = "popular", **more: object) -> list[str]:
        """The item ids of a list."""
        answer = self.client.post("/v1/recommend", json={"recipe": recipe, "k": 100, **more})
        assert answer.status_code == 200, answer.text
        return [item["item_id"] for item in answer.json()["items"]]


@contextlib.contextmanager
def running(home: Path, keys: str = "") -> Iterator[Running]:
    """``endcap serve`` on ``home``; what it says on standard error goes to home/err."""
    environment = {**os.environ, "ENDCAP_KEYS": keys}
    with (home / "err").open("a") as errors:
        process = subprocess.Popen(
            [ENDCAP, "serve", "--home", home, "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
        )
    assert process.stdout is not None
    try:
        lines = [process.stdout.readline() for _ in range(3)]
        assert lines[0].startswith("Shop"), (home / "err").read_text()
        address = lines[1].split()[1]
        with httpx.Client(base_url=address, timeout=20) as client:
            yield Running(process, client, int(address.rpartition(":")[2].rstrip("/")), lines)
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """An open server with five items."""
    with running(tmp_path_factory.mktemp("home")) as process:
        assert process.client.put("/v1/items", json={"items": ITEMS}).status_code == 200
        yield process


def events_of(lines: Iterator[str]) -> Iterator[list[str]]:
    """The item ids of each list in a stream."""
    for line in lines:
        if line.startswith("data: "):
            yield [item["item_id"] for item in json.loads(line[6:])["items"]]


def test_the_start_names_two_addresses_and_that_it_is_open(server: Running) -> None:
    address = f"http://127.0.0.1:{server.port}"
    assert server.lines[0].split() == ["Shop", f"{address}/shop"]
    assert server.lines[1].split() == ["Console", f"{address}/"]
    assert "The server is open: no key in ENDCAP_KEYS, for this machine only." in server.lines[2]
    for path in ("/shop", "/", "/docs"):
        assert server.client.get(path).headers["content-type"] == "text/html; charset=utf-8"


def test_the_very_next_list_reflects_the_event(server: Running) -> None:
    assert "pot" in server.shown("for-you", visitor_id="next")
    reply = server.client.post("/v1/events", json={"type": "view", "visitor_id": "next", "item_id": "pot"})
    assert reply.status_code == 202
    answer = server.client.post("/v1/recommend", json={"recipe": "for-you", "visitor_id": "next"}).json()
    assert "pot" not in [item["item_id"] for item in answer["items"]]
    assert answer["offset"] >= reply.json()["offset"]


def test_an_item_out_of_stock_is_gone_from_every_recipe(server: Running) -> None:
    asked: Mapping[str, dict[str, object]] = {
        "for-you": {"visitor_id": "stock"},
        "similar": {"item_ids": ["cup"]},
        "bought-together": {"item_ids": ["cup"]},
        "next": {"item_ids": ["cup"]},
        "trending": {},
        "popular": {},
        "search": {"query": "the rug"},
        "rerank": {"item_ids": ["rug", "cup"]},
    }
    assert all("rug" in server.shown(recipe, **more) for recipe, more in asked.items())
    server.client.patch("/v1/items/rug", json={"in_stock": False})
    assert not any("rug" in server.shown(recipe, **more) for recipe, more in asked.items())
    server.client.patch("/v1/items/rug", json={"in_stock": True})


def test_the_stream_pushes_the_changed_list(server: Running) -> None:
    with server.client.stream("GET", "/v1/stream?visitor_id=push&recipe=for-you&k=100") as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        lists = events_of(reply.iter_lines())
        assert "lamp" in next(lists)
        server.client.post("/v1/events", json={"type": "view", "visitor_id": "push", "item_id": "lamp"})
        assert any("lamp" not in items for items in lists)
    until = time.monotonic() + 30
    while server.client.get("/v1/stats").json()["streams"]:
        assert time.monotonic() < until, "the stream of a reader that left is still open"
        time.sleep(0.02)


def test_a_huge_body_is_refused_without_being_kept(server: Running) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(64):
            yield b" " * 1_000_000

    before = memory(server)
    for _ in range(2):
        reply = server.client.post("/v1/events", content=parts())
        assert (reply.status_code, reply.json()["error"]["code"]) == (413, "too_large")
    declared = server.client.build_request("POST", "/v1/events", content=b"{}", headers={"content-length": str(2**30)})
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        head = "".join(f"{name}: {value}\r\n" for name, value in declared.headers.items())
        raw.sendall(f"POST /v1/events HTTP/1.1\r\n{head}\r\n".encode())
        assert raw.recv(100).startswith(b"HTTP/1.1 413 ")
    assert memory(server) - before < 40_000_000
    assert server.client.get("/health/live").status_code == 200


def memory(server: Running) -> int:
    """The most bytes that the process has had in memory."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def test_another_site_cannot_use_an_open_server(server: Running) -> None:
    event = {"type": "view", "visitor_id": "x", "item_id": "pot"}
    for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
        assert server.client.post("/v1/events", json=event, headers=headers).status_code == 403
    form = server.client.post("/v1/events", content=json.dumps(event), headers={"Content-Type": "text/plain"})
    assert form.status_code == 415


def test_keys_are_asked_for(tmp_path: Path) -> None:
    with running(tmp_path, KEYS) as keyed:
        assert "The server asks for a key." in keyed.lines[2]
        admin = {"Authorization": "Bearer admin-key-0123456789"}
        assert keyed.client.get("/v1/recommend/popular").status_code == 401
        assert keyed.client.put("/v1/items", json={"items": ITEMS}, headers=admin).status_code == 200
        signed = keyed.client.post("/v1/visitor-tokens", json={"visitor_id": "v1"}, headers=admin).json()["token"]
        page = {"Authorization": "Bearer events-key-0123456789", "X-Endcap-Visitor": signed}
        assert keyed.client.put("/v1/items", json={"items": ITEMS}, headers=page).status_code == 403
        with keyed.client.stream("GET", "/v1/stream?k=100", headers=page) as reply:
            lists = events_of(reply.iter_lines())
            assert "lamp" in next(lists)
            keyed.client.post("/v1/events", json={"type": "view", "item_id": "lamp"}, headers=page)
            assert any("lamp" not in items for items in lists)
        assert keyed.client.get("/v1/stream?visitor_id=v2", headers=page).status_code == 403


def test_a_stop_ends_streams_and_loses_nothing(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    refused: list[str] = []
    at_work = threading.Event()

    def send(client: httpx.Client, name: str) -> None:
        for number in range(100_000):
            event = {"type": "view", "visitor_id": name, "item_id": "pot", "event_id": f"{name}-{number}"}
            try:
                reply = client.post("/v1/events", json=event)
            except httpx.HTTPError:
                return
            if reply.status_code != 202:
                refused.append(reply.text)
                return
            acknowledged.append(f"{name}-{number}")
            if len(acknowledged) >= 100:
                at_work.set()

    with running(tmp_path) as server, httpx.Client(base_url=server.client.base_url, timeout=20) as other:
        server.client.put("/v1/items", json={"items": ITEMS})
        with server.client.stream("GET", "/v1/stream?visitor_id=a") as reply:
            lists = events_of(reply.iter_lines())
            next(lists)
            writers = [threading.Thread(target=send, args=(other, name)) for name in ("w1", "w2")]
            for writer in writers:
                writer.start()
            assert at_work.wait(60)
            took = server.stop()
            list(lists)  # the stream ends as it should: httpx raises where it is cut off
            for writer in writers:
                writer.join(20)
        assert took < 10  # a stream that did not end would hold it up for longer; a busy machine takes a few seconds
        assert server.process.returncode == 0
    assert (tmp_path / "err").read_text() == ""
    assert acknowledged
    assert refused == []
    with running(tmp_path) as again:
        batch = [{"type": "view", "visitor_id": "w", "event_id": name} for name in acknowledged[:1000]]
        answer = again.client.post("/v1/events", json={"events": batch}).json()
        assert (answer["accepted"], answer["duplicates"]) == (0, len(batch))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", "2"], "--workers is 2: one process serves a home"),
        (["--host", "0.0.0.0"], "can be reached from other machines and no key is configured"),
        (["--home", "/nowhere/at/all"], "there is no home folder /nowhere/at/all: run 'endcap init"),
    ],
)
def test_what_cannot_start_says_why_in_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    assert_refused(["--home", str(tmp_path), *arguments], message)


def test_a_port_in_use_and_a_home_in_use(server: Running, tmp_path: Path) -> None:
    assert_refused(["--home", str(tmp_path), "--port", str(server.port)], f"port {server.port}: Address already in use")
    home = Path(server.process.args[3])  # type: ignore[index,arg-type]  # the list that running() gave
    assert_refused(["--home", str(home), "--port", "0"], "is served by another process")


def test_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "serve.lock").mkdir()
    assert_refused(["--home", str(tmp_path), "--port", "0"], "cannot be written")


def test_weak_keys(tmp_path: Path) -> None:
    assert_refused(["--home", str(tmp_path)], "the admin key has 5 characters", keys="admin:short")


def assert_refused(arguments: list[str], message: str, keys: str = "") -> None:
    environment = {**os.environ, "ENDCAP_KEYS": keys}
    command = [str(ENDCAP), "serve", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""

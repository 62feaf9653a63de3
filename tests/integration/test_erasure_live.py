"""Somebody is erased from a server that runs: no byte of them is left in its home, before it stops and after."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import httpx
from tests.docs.running import ENDCAP
from tests.integration.servers import server
from tests.integration.test_rebuild import CONFIG, IDS, NOW, filled

from endcap import wiring
from endcap.config import Home

NAME = "xw3k9"
OTHERS = ("u1", "u5", "u9")


def files_with_her(home: Path) -> list[str]:
    found = subprocess.run(["grep", "-rlaF", NAME, str(home)], capture_output=True, text=True, check=False, timeout=60)
    assert found.returncode in (0, 1), found.stderr
    return found.stdout.splitlines()


def check(home: Path) -> dict[str, Any]:
    done = subprocess.run(
        [ENDCAP, "replay", "--check", "--json", "--home", home], capture_output=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def ask(base: str, asked: dict[str, Any]) -> dict[str, Any]:
    """A list; asked for again where the server, on a busy machine, has too much to do."""
    until = time.monotonic() + 30
    while (reply := httpx.post(f"{base}/v1/recommend", json=asked, timeout=30)).status_code == 503:
        assert time.monotonic() < until
        time.sleep(1)
    assert reply.status_code == 200, reply.text
    answer: dict[str, Any] = reply.json()
    return answer


def lists(base: str) -> dict[str, list[str]]:
    """What others get that has nothing to do with her."""
    asked = {who: {"recipe": "similar", "item_ids": [IDS[3]], "user_id": who} for who in OTHERS}
    return {who: [one["item_id"] for one in ask(base, one)["items"]] for who, one in asked.items()}


def active(base: str) -> dict[str, Any]:
    models = httpx.get(f"{base}/v1/models", timeout=30).json()["models"]
    (found,) = (one for one in models if one["active"])
    return dict(found)


def did(base: str, number: int, **more: object) -> None:
    event = {"type": "view", "item_id": IDS[number % len(IDS)], "event_id": f"{NAME}-{number}", **more}
    assert httpx.post(f"{base}/v1/events", json=event, timeout=30).status_code == 202


def test_a_server_forgets_while_it_serves(tmp_path: Path) -> None:
    home = filled(tmp_path / "home")
    (home / "config.toml").write_text("[train]\nals_factors = 4\nals_epochs = 2\n")
    wiring.train(home, CONFIG, 1, NOW, lambda *_: None)
    user, visitor = f"{NAME}-user", f"{NAME}-visitor"
    with server(home) as (process, base):
        for number in range(5):
            did(base, number, visitor_id=visitor)
        did(base, 5, type="identify", visitor_id=visitor, user_id=user, item_id=None)
        did(base, 6, type="review", user_id=user, text=f"{NAME} lives in Ulm")
        ask(base, {"recipe": "search", "user_id": user, "query": f"{NAME} lamp"})
        before, stop = lists(base), threading.Event()

        def goes_on() -> None:
            while not stop.is_set():
                event = {"type": "view", "user_id": "u5", "item_id": IDS[0]}
                assert httpx.post(f"{base}/v1/events", json=event, timeout=60).status_code in (202, 503)
                time.sleep(0.02)

        others = threading.Thread(target=goes_on)
        others.start()
        try:
            with httpx.stream("GET", f"{base}/v1/stream", params={"user_id": user}, timeout=60) as hers:
                assert next(hers.iter_lines()), "her page; it is closed before she is erased"
            with httpx.stream("GET", f"{base}/v1/stream", params={"user_id": "u9"}, timeout=60) as page:
                lines = page.iter_lines()
                assert next(lines)
                assert files_with_her(home)
                receipt = httpx.delete(f"{base}/v1/users/{user}", timeout=120).json()
                assert files_with_her(home) == []
                assert next(lines) is not None, "the page of another goes on"
        finally:
            stop.set()
            others.join()
        assert (receipt["events"], receipt["visitors"]) == ({"identify": 1, "review": 1, "view": 5}, 1)
        assert receipt["lists"] >= 1
        assert receipt["problem"] is None
        assert httpx.get(f"{base}/v1/users/{user}", timeout=30).status_code == 404
        assert lists(base) == before
        assert active(base)["erasures"] == 0, "it had learnt nothing of her"
        process.terminate()
        process.wait(30)
    assert files_with_her(home) == []
    found = check(home)
    assert {one["name"]: one["same"] for one in found["checks"]} == {"restart": True, "live": True}
    assert (Home(home).state / f"{found['offset']:020d}.npz").exists()
    with server(home) as (_, base):
        assert lists(base) == before
        assert httpx.get(f"{base}/v1/users/{user}", timeout=30).status_code == 404


def test_who_was_learnt_from_makes_the_model_old(tmp_path: Path) -> None:
    home = filled(tmp_path / "home")
    (home / "config.toml").write_text("[train]\nals_factors = 4\nals_epochs = 2\n")
    wiring.train(home, CONFIG, 1, NOW, lambda *_: None)
    with server(home) as (_, base):
        assert httpx.delete(f"{base}/v1/users/u5", timeout=120).json()["number"] == 1
        assert active(base)["erasures"] == 1

"""A fold with a fault, behind a real server: what is sent is stored and acknowledged, and the server says so."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import httpx
from tests.integration.servers import server

from endcap import wiring

FAULTY = """
from endcap.interfaces.cli.main import main
from endcap.state import fold

whole = fold._apply_event

def faulty(state, event):
    whole(state, event)
    if event.item_id == "poison":
        raise RuntimeError("it cannot be added")

fold._apply_event = faulty
main()
"""


def sent(http: httpx.Client, item: str) -> tuple[int, object]:
    reply = http.post("/v1/events", json={"type": "view", "visitor_id": f"who-sees-{item}", "item_id": item})
    return reply.status_code, reply.json().get("accepted")


def test_an_event_that_always_breaks_the_fold_is_acknowledged_and_the_server_is_not_ready(tmp_path: Path) -> None:
    home, said = tmp_path / "home", tmp_path / "serve.log"
    wiring.open_log(home).close()
    with (
        server(home, said, "live", (sys.executable, "-c", FAULTY)) as (process, base),
        httpx.Client(base_url=base, timeout=30) as http,
    ):
        assert sent(http, "cup") == (202, 1)
        assert sent(http, "poison") == (202, 1)
        until = time.monotonic() + 3.5
        while time.monotonic() < until:  # three folds: at once, after a second, after two more
            assert sent(http, "pot") == (202, 1)
            time.sleep(0.05)
        ready = http.get("/health/ready")
        assert ready.status_code == 503
        assert ready.json()["error"]["message"] == (
            "the state is not what the log adds up to, and it cannot be folded again: the log cannot be folded beyond "
            "entry 1 (RuntimeError('it cannot be added')): start the version of Endcap that wrote what follows, or "
            "restore a backup from before it, and report this"
        )
        counted = http.get("/v1/stats").json()["events"]
        listed = http.post("/v1/recommend", json={"recipe": "trending", "k": 5})
        assert listed.status_code == 200
        assert [one for one in said.read_text().splitlines() if "entry not applied" in one and "offset=2" in one]
        assert 1 <= said.read_text().count("state not folded again") <= 3
        process.kill()
        process.wait(30)
    with (
        server(home, said, "live") as (_, base),
        httpx.Client(base_url=base, timeout=30) as http,
    ):  # the fault is mended
        assert http.get("/v1/stats").json()["events"] == counted
        assert "no model serves" in http.get("/health/ready").json()["error"]["message"]

"""A fold with a fault, behind a real server: what is sent is stored and acknowledged, and the server says so."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import httpx
from tests.docs.running import ENDCAP
from tests.integration.servers import server

from endcap import wiring

FAULTY = """
import sys

from endcap.interfaces.cli.main import main
from endcap.state import fold

whole = fold._apply_event

def faulty(state, event):
    whole(state, event)
    if event.item_id == "poison":
        raise RuntimeError("it cannot be added")

fold._apply_event = faulty
sys.exit(main())
"""


FAULT = (sys.executable, "-c", FAULTY)
MENDED = (str(ENDCAP),)


def ran(version: tuple[str, ...], command: str, home: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*version, command, "--home", str(home), *options], capture_output=True, text=True, timeout=120, check=False
    )


def sent(http: httpx.Client, item: str) -> tuple[int, object]:
    reply = http.post("/v1/events", json={"type": "view", "visitor_id": f"who-sees-{item}", "item_id": item})
    return reply.status_code, reply.json().get("accepted")


def test_an_event_that_always_breaks_the_fold_is_acknowledged_and_the_server_is_not_ready(tmp_path: Path) -> None:
    home, said = tmp_path / "home", tmp_path / "serve.log"
    wiring.open_log(home).close()
    with (
        server(home, said, "live", FAULT) as (process, base),
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
            "stop the server and run 'endcap repair --fold', which sets aside the entries that break it; and report "
            "this"
        )
        assert "endcap_state_broken 1.0" in http.get("/metrics").text
        assert http.get("/v1/stats").json()["state_problem"] == ready.json()["error"]["message"]
        counted = http.get("/v1/stats").json()["events"]
        listed = http.post("/v1/recommend", json={"recipe": "trending", "k": 5})
        assert listed.status_code == 200
        assert [one for one in said.read_text().splitlines() if "entry not applied" in one and "offset=2" in one]
        assert 1 <= said.read_text().count("state not folded again") <= 3
        process.kill()
        process.wait(30)
    refused = ran(FAULT, "serve", home)
    assert refused.returncode != 0
    assert "beyond entry 1 (RuntimeError('it cannot be added'))" in refused.stderr
    assert ran(FAULT, "repair", home, "--fold").stdout.splitlines() == [
        "Set aside: entry 2 (event: RuntimeError('it cannot be added')).",
        "The server can be started.",
    ]
    with server(home, said, "live", FAULT) as (_, base), httpx.Client(base_url=base, timeout=30) as http:
        stats = http.get("/v1/stats").json()
        assert (stats["events"], stats["unreadable"], stats["state_problem"]) == (counted - 1, 1, None)
        assert stats["unreadable_first"].startswith("log entry 2 ('event') was set aside because it broke the fold")
        assert "no model serves" in http.get("/health/ready").json()["error"]["message"]
        assert "endcap_state_broken 0.0" in http.get("/metrics").text
    assert ran(MENDED, "repair", home, "--fold").stdout.splitlines()[0] == "Taken back: entry 2."
    with server(home, said, "live") as (_, base), httpx.Client(base_url=base, timeout=30) as http:
        stats = http.get("/v1/stats").json()
        assert (stats["events"], stats["unreadable"]) == (counted, 0)

"""``serve --retrain-every`` with a real server: it trains at once where there is no model, says so, and fails aloud."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
from tests.docs.running import ENDCAP, free_port

from endcap import wiring
from endcap.catalog.items import parse_change
from endcap.config import Home
from endcap.events.log import to_record
from endcap.events.schema import Event
from endcap.types import MS_PER_DAY


def stats(base: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = httpx.get(f"{base}/v1/stats").json()
    except httpx.TransportError:
        return None
    return found


def wait_for_training(base: str, ok: bool, process: subprocess.Popen[bytes], said: Path) -> dict[str, Any]:
    until = time.monotonic() + 90
    while time.monotonic() < until and process.poll() is None:
        now = stats(base)
        if now is not None and now["training"]["ok"] is ok:
            return now
        time.sleep(0.05)
    raise AssertionError(f"no training ended with ok={ok}:\n{said.read_text()}")


def test_a_server_without_a_model_trains_one_and_serves_on_when_that_fails(tmp_path: Path) -> None:
    home, said = tmp_path / "home", tmp_path / "serve.log"
    now = time.time_ns() // 1_000_000
    log = wiring.open_log(home)
    log.append([to_record(parse_change("put", {"item_id": f"i{n}", "title": f"chair {n}"}), now) for n in range(5)])
    base = f"http://127.0.0.1:{free_port()}"
    with said.open("w") as out:
        arguments = ["--home", str(home), "--port", base.rpartition(":")[2], "--retrain-every", "1m"]
        process = subprocess.Popen([str(ENDCAP), "serve", *arguments], stdout=out, stderr=out)
    try:
        told = wait_for_training(base, False, process, said)  # the log holds no events yet
        assert "the log holds no events" in told["training"]["problem"]
        assert told["training"]["running"] is False
        assert 0 < told["training"]["next_ms"] - told["training"]["last_ms"] <= 60_000 + 30_000
        assert 'endcap_trainings_total{outcome="failed"} 1.0' in httpx.get(f"{base}/metrics").text
        assert httpx.post(f"{base}/v1/recommend", json={"recipe": "popular"}).status_code == 200
        assert "training failed" in said.read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        log.append(
            [
                to_record(Event("purchase", now - n * MS_PER_DAY, None, f"u{n % 3}", item_id=f"i{n % 5}"))
                for n in range(30)
            ]
        )
        with said.open("w") as out:
            process = subprocess.Popen([str(ENDCAP), "serve", *arguments], stdout=out, stderr=out)
        told = wait_for_training(base, True, process, said)
        until = time.monotonic() + 30
        while httpx.get(f"{base}/health/ready").status_code != 200:
            assert time.monotonic() < until
            time.sleep(0.05)
        (version,) = (path.name for path in Home(home).models.iterdir())
        assert (stats(base) or {})["model"] == version
        (line,) = [
            line
            for line in httpx.get(f"{base}/metrics").text.splitlines()
            if line.startswith("endcap_training_last_success_timestamp_seconds ")
        ]
        assert float(line.split()[1]) == told["training"]["last_ms"] / 1000
    finally:
        log.close()
        process.kill()
        process.wait(30)

"""What the check of the night found, in /v1/stats and in /metrics, with a real run of the command."""

from __future__ import annotations

import json
from math import isnan
from typing import Any

from endcap.config import Home
from endcap.interfaces.cli.main import main


def gauges(shop: Any) -> dict[str, float]:
    lines = shop.call("GET", "/metrics").text.splitlines()
    return {line.split()[0]: float(line.split()[1]) for line in lines if line.startswith("endcap_digest_check")}


def check(shop: Any) -> dict[str, Any] | None:
    found: dict[str, Any] | None = shop.call("GET", "/v1/stats").json()["check"]
    return found


def test_none_the_same_and_another(shop: Any) -> None:
    assert check(shop) is None
    assert all(isnan(value) for value in gauges(shop).values())
    assert len(gauges(shop)) == 2
    assert main(["replay", "--check", "--home", str(shop.context.home)]) == 0
    offset = shop.context.live.engine.state.offset
    found = check(shop)
    assert found is not None
    assert (found["offset"], found["ok"], found["live"]) == (offset, True, False)
    assert gauges(shop)["endcap_digest_check_ok"] == 1
    assert 0 <= gauges(shop)["endcap_digest_check_age_seconds"] < 60
    path = Home(shop.context.home).reports / "replay.json"
    report = json.loads(path.read_bytes())
    report["checks"].append({"name": "live", "same": False})
    path.write_text(json.dumps(report))
    assert (check(shop) or {})["ok"] is False
    assert (check(shop) or {})["live"] is True
    assert gauges(shop)["endcap_digest_check_ok"] == 0
    path.write_text("{half")
    assert check(shop) is None

"""/v1/models beside a real training: forward, back, and not to a damaged version."""

from __future__ import annotations

import asyncio
import shutil
from typing import Any

import pytest

from endcap import wiring
from endcap.config import Config


def train(shop: Any, seed: int) -> str:
    """A new version, trained beside the running shop, which has then seen its activation."""
    home, now = shop.context.home, shop.context.now_ms()
    version = wiring.train(home, Config(), seed, now, lambda *_: None).version

    async def served() -> None:
        async with asyncio.timeout(20):
            while shop.context.live.engine.model.version != version:
                await asyncio.sleep(0.02)

    shop.runner.run(served())
    return version


def versions(shop: Any) -> dict[str, bool]:
    return {model["version"]: model["active"] for model in shop.call("GET", "/v1/models").json()["models"]}


@pytest.fixture
def trained(shop: Any) -> tuple[str, str]:
    """Two versions; the second serves."""
    batch = [
        {"type": "purchase", "user_id": f"u{user}", "item_id": item, "time": 1_700_000_000_000 + user * 86_400_000}
        for user in range(30)
        for item in ("pot", "cup" if user % 2 else "lamp")
    ]
    assert shop.call("POST", "/v1/events", json={"events": batch}).json()["accepted"] == len(batch)
    return train(shop, 1), train(shop, 2)


def test_forward_back_and_never_to_a_damaged_one(shop: Any, trained: tuple[str, str]) -> None:
    old, new = trained
    assert versions(shop) == {old: False, new: True}
    assert shop.call("GET", "/health/ready").json() == {"status": "ready"}
    listed = shop.call("GET", "/v1/models").json()["models"][0]
    assert (listed["version"], listed["problem"]) == (new, None)
    assert listed["created"] > 0 < listed["offset"]
    assert shop.call("GET", "/v1/stats").json()["model_age_seconds"] >= 0

    back = shop.call("POST", f"/v1/models/{old}/activate")
    assert (back.status_code, back.json()["version"]) == (200, old)
    answer = shop.call("GET", "/v1/recommend/for-you").json()
    assert (answer["model"], answer["offset"]) == (old, back.json()["offset"])
    assert versions(shop) == {old: True, new: False}

    folder = shop.context.home / "models" / new
    next(folder.glob("*.safetensors")).write_bytes(b"cut")
    refused = shop.call("POST", f"/v1/models/{new}/activate")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "model")
    assert shop.call("GET", "/v1/recommend/for-you").json()["model"] == old
    shutil.rmtree(folder)
    assert shop.call("POST", f"/v1/models/{new}/activate").status_code == 404

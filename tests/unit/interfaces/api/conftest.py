"""A tiny real shop behind the API: real log, real state, real engine; only the socket is left out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from endcap import wiring
from endcap.config import Config
from endcap.interfaces.api.app import create_app
from endcap.interfaces.api.auth import Keys
from endcap.interfaces.api.context import Context
from endcap.interfaces.api.server import ServerOptions, create_context
from endcap.interfaces.api.webhooks import ShopifySecrets

ADMIN = "admin-key-0123456789"
READ = "read-key-0123456789"
EVENTS = "events-key-0123456789"
SHOPIFY = "shopify-secret-0123456789"
PAGE = "https://shop.example"

ITEMS = [
    {"item_id": "pot", "title": "Tea pot", "categories": ["Kitchen > Tea"], "price": 20, "currency": "GBP"},
    {"item_id": "cup", "title": "Tea cup", "categories": ["Kitchen > Tea"], "price": 5, "attributes": {"set": 6}},
    {"item_id": "lamp", "title": "Desk lamp", "categories": ["Light"], "kind": "product"},
    {"item_id": "a/b c", "title": "An id with a slash"},
]


@dataclass
class Shop:
    """The API of one running shop, called without a socket."""

    runner: asyncio.Runner
    context: Context
    client: httpx.AsyncClient

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        """One request and its answer."""
        return self.runner.run(self.client.request(method, path, **more))


def _start(home: Path, keys: str, runner: asyncio.Runner, secrets: str = "") -> Shop:
    config = Config()
    serving = replace(config.serve, max_body_bytes=50_000, allowed_origins=(PAGE,), max_streams=2)
    live = wiring.open_live(home, config)
    runner.run(live.start())
    context = create_context(
        live, ServerOptions(home, serving, Keys.parse(keys), shopify=ShopifySecrets.parse(secrets))
    )
    transport = httpx.ASGITransport(app=create_app(context))
    shop = Shop(runner, context, httpx.AsyncClient(transport=transport, base_url="http://localhost"))
    filled = shop.call("PUT", "/v1/items", json={"items": ITEMS}, headers={"Authorization": f"Bearer {ADMIN}"})
    assert filled.status_code == 200, filled.text
    return shop


def _stop(shop: Shop) -> None:
    shop.runner.run(shop.client.aclose())
    shop.runner.run(shop.context.live.stop())


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """An open shop with four items."""
    with asyncio.Runner() as runner:
        running = _start(tmp_path_factory.mktemp("home"), "", runner)
        yield running
        _stop(running)


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The same with a key of each scope."""
    with asyncio.Runner() as runner:
        keys = f"admin:{ADMIN},read:{READ},events:{EVENTS}"
        running = _start(tmp_path_factory.mktemp("home"), keys, runner, f"{SHOPIFY},{SHOPIFY[::-1]}")
        yield running
        _stop(running)

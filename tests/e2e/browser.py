"""A real headless Chromium before a real server, and what every page must keep: no error, no request to elsewhere.

``tests/e2e/conftest.py`` makes its fixtures known.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import polars as pl
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright
from tests.docs.running import endcap, serving

from endcap.catalog.demo import demo_lines

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MS = 15_000
FIRST_DAY = "2011-12-05"
"""Of the invoices that make the shop: its last five days are enough to learn from in seconds."""
expect.set_options(timeout=PATIENCE_MS)

NO_SCROLL = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"


@dataclass
class Watched:
    """What pages said and asked for while a test ran."""

    errors: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    """Requests that left the origin."""


@dataclass
class Visit:
    """One visitor's browser window on the server at ``address``."""

    page: Page
    address: str
    watched: Watched

    def shop(self, hash: str = "") -> Page:
        """The storefront with its first lists in place."""
        self.page.goto(f"{self.address}/shop{hash}")
        self.page.wait_for_selector("[data-row=for-you][data-ready]")
        return self.page

    def console(self, hash: str = "") -> Page:
        """The operator's console."""
        self.page.goto(f"{self.address}/{hash}")
        self.page.wait_for_selector("main h1")
        return self.page

    def order(self, row: str = "for-you") -> list[str]:
        """The item ids of a row, in the order shown."""
        ids: list[str] = self.page.eval_on_selector_all(
            f"[data-row={row}] .card", "cards => cards.map(card => card.dataset.id)"
        )
        return ids

    def visitor(self) -> str:
        """The id that this browser has given itself."""
        found: str = self.page.evaluate("JSON.parse(localStorage.getItem('endcap.visitor'))")
        return found

    def known(self) -> dict[str, int]:
        """How many events of each type the server holds of this visitor, but for what the page has rendered."""
        answer = self.page.request.get(f"{self.address}/v1/users/{self.visitor()}")
        counts: dict[str, int] = answer.json()["counts"]
        counts.pop("impression", None)
        return counts


class Windows:
    """Opens windows that are watched; ``close`` checks what they did."""

    def __init__(self, browser: Browser, address: str) -> None:
        self._browser = browser
        self._address = address
        self.watched = Watched()

    def open(self, width: int = 1280, language: str = "en-GB", scheme: str = "light", still: bool = False) -> Visit:
        """A window of a visitor nobody has seen before. ``still``: they want no motion."""
        context = self._browser.new_context(
            viewport={"width": width, "height": 760},
            locale=language,
            color_scheme="dark" if scheme == "dark" else "light",
            reduced_motion="reduce" if still else "no-preference",
        )
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.watched.errors.append(str(error)))
        page.on("request", self._asked)
        return Visit(page, self._address, self.watched)

    def close(self) -> None:
        """Closes every window."""
        for context in self._browser.contexts:
            context.close()

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.watched.errors.append(message.text)

    def _asked(self, request: Request) -> None:
        own = urlsplit(request.url).netloc == urlsplit(self._address).netloc
        if not own and not request.url.startswith(("data:", "blob:")):
            self.watched.elsewhere.append(request.url)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the demo shop's last days, imported and trained by the commands that a user has."""
    folder = tmp_path_factory.mktemp("browser")
    file = folder / "invoices.parquet"
    demo_lines().filter(pl.col("InvoiceDate").cast(pl.String) >= FIRST_DAY).write_parquet(file)
    for command in ("items", "events"):
        endcap("import", command, file, "--home", folder / "home")
    endcap("train", "--home", folder / "home")
    return folder / "home"


@pytest.fixture(scope="session")
def address(home: Path) -> Iterator[str]:
    """The address of a server on that home."""
    with serving(home) as base:
        yield base


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Closed after each module: while it is open, asyncio.run() cannot be used in this thread."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def windows(chromium: Browser, address: str) -> Iterator[Windows]:
    """Windows for one test; afterwards nothing may have gone wrong in them."""
    opened = Windows(chromium, address)
    yield opened
    opened.close()
    assert opened.watched.errors == []
    assert opened.watched.elsewhere == []


@pytest.fixture
def visit(windows: Windows) -> Visit:
    """One window of the usual size."""
    return windows.open()

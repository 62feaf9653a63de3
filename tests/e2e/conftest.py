"""Fixtures of the browser tests, known to every module here."""

from tests.e2e.browser import address, chromium, home, visit, windows

__all__ = ["address", "chromium", "home", "visit", "windows"]

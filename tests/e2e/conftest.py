"""Fixtures of the browser tests, known to every module here."""

import pytest

pytest.register_assert_rewrite("tests.e2e.browser")

from tests.e2e.browser import address, chromium, home, visit, windows  # noqa: E402  # rewritten only if imported after

__all__ = ["address", "chromium", "home", "visit", "windows"]

"""The reference at /docs works in a browser that has no way out."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from tests.e2e.browser import Visit

from endcap.interfaces.api.routes import OPERATIONS

pytestmark = pytest.mark.browser


def test_the_reference_shows_every_operation_and_tries_one(visit: Visit) -> None:
    page = visit.page
    page.goto(f"{visit.address}/docs")
    expect(page.locator(".opblock")).to_have_count(len(OPERATIONS))
    block = page.locator(".opblock", has_text="/health/live")
    block.click()
    block.get_by_role("button", name="Try it out").click()
    block.get_by_role("button", name="Execute").click()
    expect(block.locator(".live-responses-table .response-col_status").last).to_contain_text("200")

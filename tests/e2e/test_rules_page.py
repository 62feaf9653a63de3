"""The console's page of the shop's rules in a real browser, on a real server: written, looked at, put, taken back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect
from tests.e2e.browser import NO_SCROLL, Visit, Windows
from tests.e2e.contrast import too_faint

pytestmark = pytest.mark.browser

LIGHTS = "title LIKE '%LIGHT%'"


@pytest.fixture(autouse=True)
def no_rules_left(visit: Visit) -> Iterator[None]:
    yield
    request = visit.page.request
    for status in request.get(f"{visit.address}/v1/rules").json()["rules"]:
        request.delete(f"{visit.address}/v1/rules/{status['rule']['id']}")


def write(page: Page, name: str, action: str, where: str, value: str = "") -> None:
    """Fill the form in, as somebody would."""
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Action").select_option(label=action)
    if value:
        page.locator("#rule-value").fill(value)
    page.get_by_label("Items for which this is true").fill(where)


def popular(visit: Visit) -> list[str]:
    answer = visit.page.request.post(f"{visit.address}/v1/recommend", data={"recipe": "popular", "k": 6}).json()
    return [item["item_id"] for item in answer["items"]]


def test_a_rule_is_looked_at_put_and_honoured(visit: Visit) -> None:
    page = visit.console("#/rules")
    expect(page.locator("main .note").nth(1)).to_contain_text("There are no rules")
    before = popular(visit)
    asked: dict[str, str | float | bool] = {"where": f"item_id = '{before[0]}'"}
    preview = page.request.get(f"{visit.address}/v1/rule-preview", params=asked).json()
    write(page, "not-first", "Hide", str(asked["where"]))
    expect(page.locator(".match-count")).to_contain_text(f"1 of {preview['items']:,} items match")
    expect(page.locator(".samples .card")).to_have_count(1)
    changed = page.locator(".comparison[data-recipe=popular]")
    expect(changed).to_contain_text("of the first 6 places change")
    titles = changed.locator(".columns > div").nth(1).locator("li").all_inner_texts()
    assert popular(visit) == before, "a look changes nothing"
    page.get_by_role("button", name="Save rule").click()
    row = page.locator("tr[data-rule=not-first]")
    expect(row).to_contain_text("Active")
    expect(row).to_contain_text("no key asked")
    after = popular(visit)
    assert after == [*before[1:], after[-1]]
    assert len(titles) == len(after)


def test_the_preview_is_of_a_visitor_too_and_says_when_there_is_nobody(visit: Visit) -> None:
    request = visit.page.request
    event = {"type": "view", "visitor_id": "only-a-visitor", "item_id": popular(visit)[0]}
    assert request.post(f"{visit.address}/v1/events", data=event).status == 202
    page = visit.console("#/rules")
    write(page, "lights", "Hide", LIGHTS)
    page.locator("#rule-visitor").fill("nobody-by-that-name")
    expect(page.locator(".rule-preview .note")).to_contain_text("There is no user or visitor “nobody-by-that-name”")
    visit.watched.errors.clear()  # Chromium itself writes down the 404
    with page.expect_request(lambda one: one.method == "POST" and one.url.endswith("/v1/rule-preview")) as asked:
        page.locator("#rule-visitor").fill("only-a-visitor")
    sent = asked.value.post_data_json or {}
    assert (sent.get("visitor_id"), "user_id" in sent) == ("only-a-visitor", False)
    expect(page.locator(".rule-preview .note")).to_have_count(0)


def test_dates_say_whether_it_waits_or_is_over(visit: Visit) -> None:
    for name, dates in (("later", {"from": "2999-01-01T00:00:00Z"}), ("gone", {"until": "2020-01-01T00:00:00Z"})):
        rule = {"action": "cap", "where": "price > 1", "value": 2, **dates}
        assert visit.page.request.put(f"{visit.address}/v1/rules/{name}", data=rule).status == 200
    page = visit.console("#/rules")
    expect(page.locator("tr[data-rule=later] .tag")).to_have_text("Waiting")
    expect(page.locator("tr[data-rule=gone] .tag")).to_have_text("Over")
    page.get_by_role("button", name="Edit rule later").click()
    expect(page.locator("#rule-name")).to_have_value("later")
    expect(page.locator("#rule-from")).to_have_value("2999-01-01T00:00")
    expect(page.locator("#rule-value")).to_have_value("2")


def test_a_wrong_condition_is_marked_where_it_is_wrong(visit: Visit) -> None:
    page = visit.console("#/rules")
    write(page, "wrong", "Hide", "price > 1 AND prize > 2")
    expect(page.locator(".problem")).to_contain_text("there is no column 'prize' at character 15")
    expect(page.locator(".position mark")).to_have_text("p")
    expect(page.locator(".position")).to_have_text("price > 1 AND prize > 2")
    expect(page.locator("#rule-where")).to_have_attribute("aria-invalid", "true")
    page.locator("#rule-where").fill("price > 1")
    expect(page.locator(".match-count")).to_be_visible()
    expect(page.locator(".problem")).to_be_empty()
    visit.watched.errors.clear()  # Chromium itself writes down that the server refused


def test_what_was_deleted_comes_back_with_the_keyboard(visit: Visit) -> None:
    rule = {"action": "boost", "where": LIGHTS, "value": 0.5, "recipe": "popular"}
    visit.page.request.put(f"{visit.address}/v1/rules/lights", data=rule)
    kept = visit.page.request.get(f"{visit.address}/v1/rules/lights").json()["rule"]
    page = visit.console("#/rules")
    page.get_by_role("button", name="Delete rule lights").focus()
    page.keyboard.press("Enter")
    expect(page.locator("tr[data-rule=lights]")).to_have_count(0)
    expect(page.get_by_role("button", name="Undo")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("tr[data-rule=lights]")).to_contain_text("Boost 0.50")
    assert page.request.get(f"{visit.address}/v1/rules/lights").json()["rule"] == kept


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_small_screen_nothing_is_cut_off_or_faint(visit: Visit, windows: Windows, scheme: str) -> None:
    visit.page.request.put(f"{visit.address}/v1/rules/lights", data={"action": "exclude", "where": LIGHTS})
    page = windows.open(width=360, scheme=scheme, language="zh-CN").console("#/rules")
    expect(page.locator("h1")).to_have_text("规则")
    assert page.locator(".condition").evaluate("one => one.getClientRects().length") <= 2, "not a letter a line"
    page.locator("#rule-where").fill("price > 10")
    expect(page.locator(".match-count")).to_contain_text("件商品中有")
    assert page.evaluate(NO_SCROLL)
    assert too_faint(page) == []

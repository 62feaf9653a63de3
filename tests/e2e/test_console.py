"""The operator's console in a real browser, on a real server."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Response, Route, expect
from tests.docs.running import ENDCAP, endcap
from tests.e2e.browser import NO_SCROLL, Visit, Windows
from tests.e2e.contrast import too_faint

pytestmark = pytest.mark.browser


def busy(visit: Visit, times: int = 20) -> None:
    """Some requests and events, so that there is something to measure."""
    for number in range(times):
        event = {"type": "view", "visitor_id": f"busy-{number}", "item_id": "85123A"}
        assert visit.page.request.post(f"{visit.address}/v1/events", data=event).status == 202
        wanted = {"recipe": "for-you", "visitor_id": f"busy-{number}"}
        assert visit.page.request.post(f"{visit.address}/v1/recommend", data=wanted).status == 200


def figure(page: Page, name: str) -> str:
    return page.locator(".figure", has_text=name).locator(".figure-value").first.inner_text()


def test_the_overview_shows_what_the_server_measured(visit: Visit) -> None:
    busy(visit)
    page = visit.console()
    expect(page.locator(".health")).to_have_text("Ready")
    expect(page.locator(".figure", has_text="Events").first).to_contain_text(re.compile(r"\d+\.\d+ per second"))
    for name in ("Answer time, p50", "Answer time, p99", "Freshness, p99"):
        expect(page.locator(".figure", has_text=name)).to_contain_text(re.compile(r"\d+(\.\d+)?\s*ms"))
    assert float(figure(page, "Requests").split()[0]) > 0
    stats = page.request.get(f"{visit.address}/v1/stats").json()
    assert figure(page, "Model") == stats["model"]
    expect(page.locator(".facts-line").first).to_contain_text(f"Items {stats['items']:,}")
    expect(page.locator(".facts-line").first).to_contain_text("Rules broken 0")
    expect(page.locator("#digest-check")).to_contain_text("none yet. Run “endcap replay --check")


def test_every_chart_has_a_range_and_units(visit: Visit) -> None:
    busy(visit)
    page = visit.console()
    expect(page.locator(".chart canvas")).to_have_count(3)
    expect(page.locator(".chart .note:visible")).to_have_count(0)
    page.get_by_role("button", name="15 min").click()
    for chart in page.locator(".chart").all():
        expect(chart.locator("figcaption")).to_contain_text("last 15 min")
        expect(chart.locator(".u-legend")).to_contain_text(re.compile(r"\d (ms|/s)"))


def test_the_console_says_when_the_server_is_gone(visit: Visit) -> None:
    page = visit.console()
    expect(page.locator(".health")).to_have_text("Ready")
    page.route("**/v1/stats", lambda route: route.abort())
    expect(page.locator(".health")).to_have_text("No answer")
    expect(page.locator("main > .note")).to_contain_text("endcap serve")
    page.unroute("**/v1/stats")
    expect(page.locator(".health")).to_have_text("Ready")
    visit.watched.errors.clear()  # Chromium itself writes down the requests that were broken


def test_the_console_says_that_the_state_is_broken(visit: Visit) -> None:
    def broken(route: Route) -> None:
        found = route.fetch()
        route.fulfill(response=found, json={**found.json(), "state_problem": "it cannot be folded"})

    page = visit.console()
    page.route("**/v1/stats", broken)
    expect(page.locator(".health")).to_have_text("Not ready")
    expect(page.locator("main > .note")).to_contain_text("not from what the log adds up to. it cannot be folded")
    page.unroute("**/v1/stats")
    expect(page.locator(".health")).to_have_text("Ready")
    expect(page.locator("main > .note")).to_be_hidden()


def test_in_chinese_the_words_of_the_server_stand_behind_those_of_the_page(windows: Windows) -> None:
    visit = windows.open(language="zh-CN")
    page = visit.console("#/why?request_id=nobody&item_id=85123A")
    expect(page.locator("main .note")).to_contain_text("找不到所请求的内容。", timeout=30_000)
    expect(page.locator("main .note small[lang=en]")).to_contain_text("nobody")
    page = visit.console("#/data")
    expect(page.locator("tbody tr", has_text="完全重复").first).to_contain_text("保留第一行")
    visit.watched.errors.clear()  # Chromium itself writes down that there is no such list


def test_data_shows_what_the_import_did(visit: Visit) -> None:
    page = visit.console("#/data")
    reports = page.request.get(f"{visit.address}/v1/reports").json()["reports"]
    imports = [one["report"] for one in reports if "rules" in one["report"]]
    expect(page.locator(".report")).to_have_count(len(imports))
    rules = [rule for report in imports for rule in report["rules"]]
    assert len(rules) > 0
    for rule in rules:
        row = page.locator("tbody tr", has_text=rule["name"].replace("_", " ")).first
        expect(row).to_contain_text(f"{rule['rows']:,}")
        for example in rule["examples"]:
            expect(row).to_contain_text(" ".join(example.split()))


SURE, UNSURE = "In brackets: the 95% interval", "Figures without brackets"


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ([{"blend ndcg@20": [0.2, 0.3]}], (SURE,)),
        ([{}], (UNSURE,)),
        ([{"blend ndcg@20": [0.2, 0.3]}, {}], (SURE, UNSURE)),
        ([None], ()),
    ],
)
def test_models_promise_an_interval_only_where_there_is_one(
    visit: Visit, kept: list[dict[str, list[float]] | None], said: tuple[str, ...]
) -> None:
    def answered(route: Route) -> None:
        found = route.fetch().json()
        one = found["models"][0]
        versions = [
            {
                **one,
                "version": f"v{at}",
                "metrics": {} if of is None else {"blend ndcg@20": 0.25},
                "intervals": of or {},
            }
            for at, of in enumerate(kept)
        ]
        route.fulfill(json={**found, "models": versions})

    visit.page.route("**/v1/models", answered)
    page = visit.console("#/models")
    expect(page.locator("tbody tr")).to_have_count(len(kept))
    expect(page.locator(".metrics", has_text="(0.200 to 0.300)")).to_have_count(sum(bool(of) for of in kept))
    line = page.locator(".facts-line")
    expect(line.locator("span")).to_have_count(len(said) + (kept != [None]))
    for sentence in (SURE, UNSURE):
        expect(line.locator("span", has_text=sentence)).to_have_count(said.count(sentence))


def test_a_newer_model_is_activated_and_rolled_back(visit: Visit, home: Path) -> None:
    old = visit.page.request.get(f"{visit.address}/v1/models").json()["active"]
    endcap("train", "--home", home, "--seed", "7")
    page = visit.console("#/models")
    expect(page.locator("tbody tr")).to_have_count(2)
    expect(page.locator(".metrics").first).to_contain_text(re.compile(r"0\.\d{4} \(0\.\d{3} to 0\.\d{3}\)"))
    page.get_by_role("button", name="Roll back to this").click()
    page.get_by_role("button", name="Cancel").click()
    assert page.request.get(f"{visit.address}/v1/models").json()["active"] != old
    page.get_by_role("button", name="Roll back to this").click()
    page.locator("dialog").get_by_role("button", name="Roll back to this").click()
    expect(page.locator("tr", has_text=old)).to_contain_text("Serves now")
    assert page.request.get(f"{visit.address}/v1/models").json()["active"] == old
    page.get_by_role("button", name="Activate").click()
    page.locator("dialog").get_by_role("button", name="Activate").click()
    expect(page.locator("tr", has_text=old)).to_contain_text("Roll back to this")


KEY = "read-key-of-the-tests-0123456789"


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[str]:
    """The address of a server that asks for a key, on a home that holds nothing."""
    endcap("init", "--home", tmp_path / "home")
    server = subprocess.Popen(
        [ENDCAP, "serve", "--home", tmp_path / "home", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "ENDCAP_KEYS": f"admin:{KEY}"},
    )
    assert server.stdout is not None
    with server.stdout as lines:
        yield next(line for line in lines if line.startswith("Console")).split()[1].rstrip("/")
        server.terminate()
        server.wait(20)


def test_a_locked_and_empty_server_says_what_to_do(chromium: Browser, locked: str) -> None:
    windows = Windows(chromium, locked)
    page = windows.open().page
    page.goto(locked)
    expect(page.locator("h1")).to_have_text("The server asks for a key")
    page.locator("#key").fill(KEY)
    page.get_by_role("button", name="Use it").click()
    expect(page.locator(".health")).to_have_text("Not ready")
    expect(page.locator("main > .note")).to_contain_text("endcap train")
    expect(page.locator(".chart .note").last).to_contain_text("Open the shop and click around")
    page.goto(f"{locked}/#/models")
    expect(page.locator(".note:visible")).to_contain_text("endcap train")
    page.goto(f"{locked}/#/data")
    expect(page.locator(".note:visible")).to_contain_text("endcap import")
    page.goto(f"{locked}/#/results")
    expect(page.locator(".note:visible")).to_contain_text("No list was served in these days")
    page.goto(f"{locked}/shop")
    expect(page.locator("[data-row=for-you] .note")).to_contain_text("Nothing to show here yet")
    windows.close()
    assert windows.watched.elsewhere == []
    assert all("401" in error for error in windows.watched.errors), windows.watched.errors


def test_the_pages_are_reached_with_the_keyboard(visit: Visit) -> None:
    page = visit.console()
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.dataset.page") == "models":
            break
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Models")
    expect(page.locator("[aria-current=page]")).to_have_text("Models")
    for link in ("/shop", "/docs"):
        assert page.request.get(visit.address + link).status == 200


@pytest.mark.parametrize(("width", "scheme", "language"), [(360, "dark", "zh-CN"), (1600, "light", "en-GB")])
def test_every_page_fits_and_can_be_read(windows: Windows, width: int, scheme: str, language: str) -> None:
    visit = windows.open(width=width, scheme=scheme, language=language)
    busy(visit, times=2)
    for place in ("#/", "#/results", "#/models", "#/data"):
        page = visit.console(place)
        page.wait_for_selector(".figure-unit, tbody tr")
        assert page.evaluate(NO_SCROLL)
        assert too_faint(page) == []


def test_why_shows_the_way_of_an_item_that_was_shown_and_of_one_that_was_not(visit: Visit) -> None:
    wanted = {"recipe": "popular", "visitor_id": "asked", "k": 5, "exclude": ["22423"]}
    answer = visit.page.request.post(f"{visit.address}/v1/recommend", data=wanted).json()
    first = answer["items"][0]["item_id"]
    page = visit.console("#/why")
    page.locator("#trace-request_id").fill(answer["request_id"])
    page.locator("#trace-item_id").fill(first)
    page.get_by_role("button", name="Show the way").click()
    expect(page.locator(".trace .why-sentence")).to_have_text("It was shown at place 1.", timeout=30_000)
    expect(page.locator(".stage-mark.lost")).to_have_count(0)
    expect(page.locator(".trace")).to_contain_text("item by item, the list that was served")
    assert f"item_id={first}" in page.url  # the question can be sent to somebody
    page.locator("#trace-item_id").fill("22423")
    page.keyboard.press("Enter")
    hidden = re.compile("It was hidden: excluded by the request")
    expect(page.locator(".trace .why-sentence")).to_have_text(hidden, timeout=30_000)
    expect(page.locator(".stage", has_text="Allowed").locator(".lost")).to_have_count(1)
    assert too_faint(page) == []
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate(NO_SCROLL)


def test_why_adds_up_with_a_shop_rule_under_its_own_name(visit: Visit) -> None:
    rule = {"action": "boost", "where": "item_id = '22423'", "value": 0.5}
    assert visit.page.request.put(f"{visit.address}/v1/rules/two_words", data=rule).status == 200
    wanted = {"recipe": "popular", "visitor_id": "lifted"}
    answer = visit.page.request.post(f"{visit.address}/v1/recommend", data=wanted).json()
    assert visit.page.request.delete(f"{visit.address}/v1/rules/two_words").status == 200
    place = [item["item_id"] for item in answer["items"]].index("22423") + 1
    page = visit.console(f"#/why?request_id={answer['request_id']}&item_id=22423")
    expect(page.locator(".trace .why-sentence")).to_have_text(f"It was shown at place {place}.", timeout=30_000)
    expect(page.locator(".part")).to_contain_text(["", "", "Score"])
    expect(page.locator(".part", has_text="Shop rule “two_words”")).to_have_count(1)
    *parts, score = (float(text) for text in page.locator(".part-value").all_inner_texts())
    assert abs(sum(parts) - score) < 0.002, "each is rounded to three digits"


def test_why_says_what_it_cannot_answer(visit: Visit) -> None:
    page = visit.console("#/why?request_id=never&item_id=22423")
    expect(page.locator(".trace .note")).to_contain_text("the log has no list 'never'", timeout=30_000)
    visit.watched.errors.clear()  # Chromium itself writes down the 404


def posted(kind: str) -> Callable[[Response], bool]:
    """Whether it answers an event of that type."""
    return lambda answer: f'"type":"{kind}"' in (answer.request.post_data or "")


def test_results_shows_what_the_lists_of_the_shop_brought(visit: Visit) -> None:
    page = visit.console("#/results")
    before = page.request.get(f"{visit.address}/v1/reports/attribution").json()["total"]
    page.goto(f"{visit.address}/shop")
    card = page.locator("[data-row=trending] .card:not(.ghost)").first
    item = card.get_attribute("data-id")
    with page.expect_response(posted("impression")):
        page.reload()
    with page.expect_response(posted("cart"), timeout=10_000):
        card.get_by_role("button", name=re.compile("^Add")).click()
    page.locator("#cart").click()
    with page.expect_response(posted("purchase")):
        page.locator("dialog").get_by_role("button", name="Buy").click()
    found = page.request.get(f"{visit.address}/v1/reports/attribution").json()
    total = found["total"]
    assert total["rendered"] > before["rendered"]
    assert (total["carts"], total["purchases"]) == (before["carts"] + 1, before["purchases"] + 1)
    page.goto(f"{visit.address}/#/results")
    row = page.locator("tbody tr", has_text="trending")
    expect(row).to_contain_text("£")
    expect(page.locator(".chart")).to_have_count(3)
    expect(page.locator(".figure", has_text="Revenue")).to_contain_text("£")
    row.get_by_role("link", name=f"Why was {item} in this list?").click()
    expect(page.locator(".trace .why-sentence")).to_contain_text("It was shown at place 1.", timeout=30_000)
    expect(page.locator(".trace")).to_contain_text("Recipe trending")


def test_results_renews_itself_and_says_what_is_not_counted(visit: Visit) -> None:
    page = visit.console("#/results?days=7&by=model")
    expect(page.locator("h1")).to_have_text("What do the lists bring?")
    expect(page.locator("[aria-current=true]", has_text="7 d")).to_be_visible()
    event = {"type": "click", "visitor_id": "somebody", "item_id": "22423", "request_id": "never-served"}
    assert page.request.post(f"{visit.address}/v1/events", data=event).status == 202
    expect(page.locator(".results")).to_contain_text("name a list that is not known", timeout=10_000)
    page.route("**/v1/reports/**", lambda route: route.abort())
    expect(page.locator("main > .note")).to_be_visible(timeout=10_000)
    page.unroute("**/v1/reports/**")
    expect(page.locator("main > .note")).to_be_hidden(timeout=10_000)
    visit.watched.errors.clear()  # Chromium itself writes down the requests that were broken


def test_results_keeps_currencies_apart(visit: Visit) -> None:
    request = visit.page.request
    wanted = {"recipe": "trending", "visitor_id": "two-purses", "k": 2}
    answer = request.post(f"{visit.address}/v1/recommend", data=wanted).json()
    item = {"visitor_id": "two-purses", "item_id": answer["items"][0]["item_id"], "request_id": answer["request_id"]}
    for money in ({"currency": "USD"}, {"currency": "CAD"}, {}):
        bought = {"type": "purchase", "value": 7, **item, **money}
        assert request.post(f"{visit.address}/v1/events", data=bought).status == 202
    page = visit.console("#/results")
    revenue = page.locator(".figure", has_text="Revenue").locator(".figure-value")
    for text in ("US$7.00", "CA$7.00", "7.00 (no currency)"):
        expect(revenue).to_contain_text(text)
    for name in ("USD", "CAD", "no currency"):
        expect(page.locator(".chart", has_text=f"Revenue, {name}")).to_have_count(1)


def test_money_in_what_is_no_currency_is_shown_as_it_stands(visit: Visit) -> None:
    page = visit.console("#/results")
    said = page.evaluate("import('/static/js/i18n.js').then(({ money }) => [money(-1.5, 'Gold'), money(2, 'GBP')])")
    assert said == ["-1.50 Gold", "£2.00"]

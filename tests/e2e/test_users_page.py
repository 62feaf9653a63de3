"""The console's page of one shopper in a real browser, on a real server: looked at, exported, erased with a receipt."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.docs.running import ENDCAP, endcap
from tests.e2e.browser import NO_SCROLL, Visit, Windows
from tests.e2e.contrast import too_faint

from endcap.pipelines.erase import BEYOND

pytestmark = pytest.mark.browser

PENNY, SOLD = "85123A", "22423"
ERASED_MS = 60_000


@pytest.fixture(autouse=True)
def busy_is_no_fault(windows: Windows) -> Iterator[None]:
    """An erasure keeps a small machine busy for a moment, so that it may refuse: the page asks again, as it is told."""
    yield
    windows.watched.errors[:] = [error for error in windows.watched.errors if "503" not in error]


def calm(visit: Visit) -> None:
    """Wait until the server has come to rest after what a test before has made it do."""
    until, at_rest = time.monotonic() + 60, 0
    while at_rest < 5:
        at_rest = at_rest + 1 if visit.page.request.get(f"{visit.address}/v1/models").status == 200 else 0
        assert time.monotonic() < until
        time.sleep(0.05)


def lived(visit: Visit, name: str) -> dict[str, Any]:
    """Somebody with a past: a visitor who logged in, bought, dismissed, and was shown a list. What the API knows."""
    events = [
        {"type": "view", "visitor_id": f"{name}-phone", "item_id": PENNY},
        {"type": "identify", "visitor_id": f"{name}-phone", "user_id": name},
        {"type": "purchase", "user_id": name, "items": [{"item_id": SOLD, "quantity": 3, "price": 10}]},
        {"type": "dismiss", "user_id": name, "item_id": PENNY},
    ]
    calm(visit)
    request = visit.page.request
    assert request.post(f"{visit.address}/v1/events", data={"events": events}).status == 202
    assert request.post(f"{visit.address}/v1/recommend", data={"recipe": "for-you", "user_id": name}).status == 200
    found: dict[str, Any] = request.get(f"{visit.address}/v1/users/{name}").json()
    return found


def titles(visit: Visit, *ids: str) -> list[re.Pattern[str]]:
    """The items' titles, in whatever case the page sets them."""
    found = [visit.page.request.get(f"{visit.address}/v1/items/{one}").json()["title"] for one in ids]
    return [re.compile(re.escape(" ".join(title.split())), re.IGNORECASE) for title in found]


def erase(page: Page, name: str) -> None:
    page.get_by_role("button", name="Erase …").click()
    page.get_by_label(f"Type {name} to go on").fill(name)
    page.keyboard.press("Enter")


def test_who_somebody_is(visit: Visit) -> None:
    known = lived(visit, "u-looked-at")
    page = visit.console("#/users")
    page.get_by_label("User id or visitor id").fill("u-looked-at")
    page.keyboard.press("Enter")
    expect(page.locator(".user h2").first).to_have_text("User u-looked-at")
    assert page.url.endswith("#/users?id=u-looked-at")
    penny, sold = titles(visit, PENNY, SOLD)
    expect(page.locator(".moment")).to_have_count(known["remembered"])
    expect(page.locator(".moment").first).to_contain_text(sold)
    expect(page.locator(".moment").first).to_contain_text(re.compile(r"\W 3$"))
    expect(page.locator(".moment a").first).to_have_attribute("href", f"/shop#/item/{SOLD}")
    expect(page.locator(".timeline > .fine")).to_have_text(
        f"Events that lists follow from: {known['remembered']}, all of them, the newest first."
    )
    expect(page.locator("[aria-labelledby=users-dismissed]")).to_contain_text(penny)
    expect(page.locator("[aria-labelledby=users-visit]")).to_contain_text(sold)
    shown = page.locator("[aria-labelledby=users-counts] dt").all_inner_texts()
    assert sorted(shown) == ["Log-in", "Not interested", "Purchase", "View"]
    bands = page.locator("[aria-labelledby=users-interests] dt").all_inner_texts()
    assert bands == [one["name"] for kind in ("price", "theme") for one in known["interests"][kind]]


def test_what_people_here_are_interested_in(visit: Visit) -> None:
    page = visit.console("#/users")
    themes = visit.page.request.get(f"{visit.address}/v1/interests").json()["themes"]
    assert len(themes) > 1
    rows = page.locator("[aria-labelledby=shop-interests] tbody tr")
    expect(rows).to_have_count(len(themes))
    expect(rows.first.locator("th")).to_have_text(", ".join(themes[0]["keywords"]))
    expect(rows.first.locator("li")).to_have_count(3)


def test_a_visitor_leads_to_its_user(visit: Visit) -> None:
    lived(visit, "u-joined")
    page = visit.console("#/users?id=u-joined-phone")
    expect(page.locator(".user .note")).to_contain_text("This visitor was identified as a user")
    page.get_by_role("link", name="u-joined", exact=True).click()
    expect(page.locator(".user h2").first).to_have_text("User u-joined")


def test_who_withholds_consent(visit: Visit) -> None:
    event = {"type": "view", "visitor_id": "v-private", "item_id": PENNY, "consent": False}
    assert visit.page.request.post(f"{visit.address}/v1/events", data=event).status == 202
    page = visit.console("#/users?id=v-private")
    expect(page.locator(".user .note")).to_contain_text("Consent is withheld")
    expect(page.locator("[aria-labelledby=users-counts]")).to_contain_text("No event is counted.")


def test_all_that_is_held_is_saved(visit: Visit) -> None:
    lived(visit, "u-exported")
    page = visit.console("#/users?id=u-exported")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Export all that is held").click()
    assert saved.value.suggested_filename == "endcap-export-u-exported.json"
    found = json.loads(Path(saved.value.path()).read_text(encoding="utf-8"))
    assert [event["type"] for event in found["events"]] == ["view", "identify", "purchase", "dismiss"]
    held = page.locator(".held")
    expect(held).to_contain_text("Events: 4 (View 1, Log-in 1, Purchase 1, Not interested 1)")
    expect(held).to_contain_text("Lists that were shown: 1")
    expect(held).to_contain_text("Visitor ids that are theirs: 1 u-exported-phone")


def test_erased_with_a_receipt(visit: Visit) -> None:
    lived(visit, "u-erased")
    page = visit.console("#/users?id=u-erased")
    page.get_by_role("button", name="Erase …").click()
    go = page.get_by_role("button", name="Erase for ever")
    page.get_by_label("Type u-erased to go on").fill("u-erase")
    expect(go).to_be_disabled()
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    expect(page.get_by_role("button", name="Erase …")).to_be_focused()
    erase(page, "u-erased")
    expect(page.locator(".held")).to_contain_text("Being erased")
    receipt = page.locator(".receipt")
    expect(receipt.locator("h2")).to_be_focused(timeout=ERASED_MS)
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save the receipt").click()
    found = json.loads(Path(saved.value.path()).read_text(encoding="utf-8"))
    assert found["events"] == {"dismiss": 1, "identify": 1, "purchase": 1, "view": 1}
    assert saved.value.suggested_filename == f"endcap-erasure-{found['number']}.json"
    for text in (*found["people"], found["before"], found["after"], "Served lists that went1"):
        expect(receipt).to_contain_text(text)
    assert receipt.locator(".sentences").last.locator("li").all_inner_texts() == list(BEYOND) == found["beyond"]
    expect(receipt).to_contain_text("had learnt nothing from people who were erased")
    expect(page.locator(".moment")).to_have_count(0)
    assert page.request.get(f"{visit.address}/v1/users/u-erased").status == 404
    page.get_by_role("button", name="Look up").click()
    expect(page.locator(".user .note")).to_contain_text("there is no such user or visitor")
    erase(page, "u-erased")
    expect(receipt.locator("h2")).to_have_text("Nothing was held", timeout=ERASED_MS)
    visit.watched.errors.clear()  # Chromium itself writes down that the server knows nobody by that id


def test_the_receipt_follows_who_goes_to_another_page(visit: Visit) -> None:
    lived(visit, "u-left")
    page = visit.console("#/users?id=u-left")
    erase(page, "u-left")
    page.get_by_role("link", name="Data", exact=True).click()
    expect(page.locator("h1")).to_have_text("Data")
    expect(page.locator("dialog .receipt")).to_contain_text("Keyed hash of the id", timeout=ERASED_MS)
    expect(page.locator("dialog").get_by_role("button", name="Save the receipt")).to_be_visible()


def test_a_customer_whom_the_model_knows_asks_for_a_training(visit: Visit, home: Path) -> None:
    endcap("train", "--home", home, "--seed", "11")
    page = visit.console("#/users?id=12748")
    expect(page.locator(".timeline > .fine")).to_contain_text(re.compile("The newest 50 of \\d+ events"))
    expect(page.locator(".moment")).to_have_count(50)
    erase(page, "12748")
    expect(page.locator(".receipt .note")).to_contain_text("A training is due", timeout=ERASED_MS)
    page.locator(".receipt").get_by_role("link", name="Models").click()
    expect(page.locator("main > .note")).to_contain_text("had learnt from were erased")


READ, ADMIN = "read-key-of-the-tests-0123456789", "admin-key-of-the-tests-0123456789"


@pytest.fixture
def keyed(tmp_path: Path) -> Iterator[str]:
    """The address of a server with a key that may look and one that may erase."""
    endcap("init", "--home", tmp_path / "home")
    server = subprocess.Popen(
        [ENDCAP, "serve", "--home", tmp_path / "home", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "ENDCAP_KEYS": f"read:{READ},admin:{ADMIN}"},
    )
    assert server.stdout is not None
    with server.stdout as lines:
        yield next(line for line in lines if line.startswith("Console")).split()[1].rstrip("/")
        server.terminate()
        server.wait(20)


def test_who_may_only_look_is_told_which_key_it_takes(chromium: Browser, keyed: str) -> None:
    windows = Windows(chromium, keyed)
    page = windows.open().page
    page.goto(f"{keyed}/#/users?id=ada")
    page.locator("#key").fill(READ)
    page.get_by_role("button", name="Use it").click()
    expect(page.locator(".user .note")).to_contain_text("there is no such user or visitor")
    erase(page, "ada")
    expect(page.locator(".held .note")).to_contain_text("a key with the scope “admin”")
    page.get_by_role("button", name="Give another key").click()
    page.locator("#key").fill(ADMIN)
    page.get_by_role("button", name="Use it").click()
    erase(page, "ada")
    expect(page.locator(".receipt h2")).to_have_text("Nothing was held", timeout=ERASED_MS)
    windows.close()
    assert all(re.search("401|403|404|503", error) for error in windows.watched.errors), windows.watched.errors


def test_why_leads_to_whose_list_it_was(visit: Visit) -> None:
    lived(visit, "u-why")
    asked = {"recipe": "for-you", "user_id": "u-why", "k": 3}
    answer = visit.page.request.post(f"{visit.address}/v1/recommend", data=asked).json()
    item = answer["items"][0]["item_id"]
    page = visit.console(f"#/why?request_id={answer['request_id']}&item_id={item}")
    page.get_by_role("link", name="u-why").click()
    expect(page.locator(".user h2").first).to_have_text("User u-why")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_small_screen_nothing_is_cut_off_or_faint(visit: Visit, windows: Windows, scheme: str) -> None:
    lived(visit, f"u-small-{scheme}")
    page = windows.open(width=360, scheme=scheme, language="zh-CN", still=True).console(f"#/users?id=u-small-{scheme}")
    expect(page.locator("h1")).to_have_text(re.compile("这位顾客是谁"))
    expect(page.locator(".moment").first).to_contain_text("购买")
    assert page.evaluate(NO_SCROLL)
    assert too_faint(page) == []
    page.get_by_role("button", name="删除……").click()
    page.locator("#erase-id").fill(f"u-small-{scheme}")
    assert page.locator("dialog").evaluate("node => node.scrollWidth <= node.clientWidth")
    assert too_faint(page) == []
    page.keyboard.press("Enter")
    expect(page.locator(".receipt")).to_contain_text("回执", timeout=ERASED_MS)
    assert page.evaluate(NO_SCROLL)
    assert too_faint(page) == []

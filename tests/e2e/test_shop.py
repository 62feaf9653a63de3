"""The storefront in a real browser, on a real server with real orders."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from tests.e2e.browser import NO_SCROLL, Visit, Windows
from tests.e2e.contrast import too_faint

pytestmark = pytest.mark.browser

SHOUTING = re.compile(r"[A-Z]{3,} [A-Z]{3,}")


def open_first(visit: Visit, row: str = "for-you") -> str:
    """Clicks the first card of a row; gives its item id, once the page of the product is complete."""
    first = visit.page.locator(f"[data-row={row}] .card").first
    item_id = first.get_attribute("data-id")
    first.locator(".card-link").click()
    visit.page.wait_for_selector("[data-row=together][data-ready]")
    assert item_id is not None
    return item_id


def test_home_shows_rows_that_say_why_and_how_fast(visit: Visit) -> None:
    page = visit.shop()
    page.wait_for_selector("[data-row=trending][data-ready]")
    for row in ("for-you", "trending"):
        section = page.locator(f"[data-row={row}]")
        assert section.locator(".card").count() == 12
        assert len(section.locator(".row-why").inner_text()) > 20
        assert re.search(r"\d ms on the server", section.locator(".row-time").inner_text())
    expect(page.locator("[data-row=because], [data-row=with-cart]")).to_have_count(0)


def test_a_card_is_set_to_be_read(visit: Visit) -> None:
    page = visit.shop()
    for card in page.locator("[data-row=for-you] .card").all():
        assert not SHOUTING.search(card.inner_text())
        assert re.search(r"£\d+\.\d\d", card.inner_text())
        assert card.locator(".reason-text").inner_text() != ""
    hues = page.eval_on_selector_all(".tile", "tiles => tiles.map(tile => getComputedStyle(tile).backgroundColor)")
    assert len(set(hues)) > 3


def test_a_click_changes_for_you_through_the_stream(visit: Visit) -> None:
    page = visit.shop()
    before = visit.order()
    opened = open_first(visit)
    page.wait_for_selector("[data-row=for-you] [data-mark=new]")
    assert visit.order() != before
    assert opened not in visit.order()
    expect(page.locator("#strip-event")).to_have_text(re.compile(r"View → changed list in [\d.,]+ ms"))
    page.go_back()
    page.wait_for_selector(".intro")
    page.wait_for_selector("[data-row=for-you] [data-mark]")
    assert visit.order() != before
    expect(page.locator("[data-row=because] h2")).to_contain_text("Because you looked at")
    assert opened not in visit.order("because")


def test_an_event_from_elsewhere_moves_the_row_too(visit: Visit) -> None:
    page = visit.shop()
    before = visit.order()
    event = {"type": "view", "visitor_id": visit.visitor(), "item_id": before[3]}
    assert page.request.post(f"{visit.address}/v1/events", data=event).status == 202
    page.wait_for_selector("[data-row=for-you] [data-mark]")
    assert visit.order() != before


def test_the_order_is_there_at_once_for_who_wants_no_motion(windows: Windows) -> None:
    visit = windows.open(still=True)
    page = visit.shop()
    page.locator("[data-row=for-you] .away").first.click(force=True)
    page.wait_for_selector("[data-row=for-you] [data-mark]")
    assert page.evaluate("document.getAnimations().length") == 0


def test_a_product_page_has_its_neighbours_and_is_a_view(visit: Visit) -> None:
    page = visit.shop()
    opened = open_first(visit)
    page.wait_for_selector("[data-row=similar][data-ready]")
    assert opened not in visit.order("similar") + visit.order("together")
    assert len(visit.order("similar")) == 12
    title = page.locator("h1").inner_text()
    assert page.title() == f"{title} · Endcap"
    assert visit.known() == {"view": 1}


def test_a_product_that_is_gone_says_so(visit: Visit) -> None:
    page = visit.page
    page.goto(f"{visit.address}/shop#/item/no-such-thing")
    expect(page.locator(".note")).to_contain_text("no longer has this product")


def test_search_forgives_a_typo(visit: Visit) -> None:
    page = visit.shop()
    page.keyboard.press("/")
    for typed, word in (("lunhc bag", "lunch bag"), ("chrismas", "christmas"), ("tea cpu", "tea")):
        page.locator("#query").fill("")
        page.keyboard.type(typed, delay=10)
        expect(page.locator("[data-row=search] h2")).to_have_text(f"Results for “{typed}”")
        expect(page.locator("[data-row=search] .card").first).to_contain_text(re.compile(word, re.IGNORECASE))
        expect(page.locator("#query")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#strip-event")).to_have_text("Search → this list stays as it is")


def test_the_cart_posts_its_events(visit: Visit) -> None:
    page = visit.shop()
    added = visit.order()[1]
    page.locator(f"[data-row=for-you] [data-id='{added}'] .add").click()
    expect(page.locator("#cart-count")).to_have_text("1")
    page.wait_for_selector("[data-row=with-cart][data-ready]")
    assert added not in visit.order("with-cart")
    page.locator("#cart").click()
    drawer = page.locator("dialog")
    drawer.get_by_role("button", name="Add to cart").click()
    expect(drawer.locator(".quantity")).to_have_text("2")
    drawer.get_by_role("button", name="One less").click()
    expect(drawer.locator(".quantity")).to_have_text("1")
    drawer.get_by_role("button", name="Buy").click()
    expect(page.locator(".cart-content")).to_contain_text("The cart is empty")
    expect(page.locator("#cart-count")).to_be_hidden()
    assert visit.known() == {"cart": 2, "uncart": 1, "purchase": 1}


def test_a_new_item_with_a_photo_is_found_at_once(visit: Visit) -> None:
    page = visit.shop()
    item = {
        "item_id": "zebra-1",
        "title": "Zebra <b>umbrella</b> stand",
        "image": "/static/icon.svg",
        "price": 20,
        "sale_price": 12.5,
        "currency": "EUR",
    }
    assert page.request.put(f"{visit.address}/v1/items", data=item).ok
    page.locator("#query").fill("zebra umbrella stand")
    card = page.locator("[data-row=search] [data-id=zebra-1]")
    expect(card).to_contain_text("Zebra <b>umbrella</b> stand")
    expect(card.locator(".price")).to_have_text("€12.50€20.00")
    assert card.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    card.locator(".card-link").click()
    expect(page.locator(".product img")).to_be_visible()


def test_not_interested_takes_it_away(visit: Visit) -> None:
    page = visit.shop()
    unwanted = visit.order()[0]
    page.locator(f"[data-row=for-you] [data-id='{unwanted}']").hover()
    page.locator(f"[data-row=for-you] [data-id='{unwanted}'] .away").click()
    expect(page.locator(f"[data-row=for-you] [data-id='{unwanted}']")).to_have_count(0)
    assert visit.known() == {"dismiss": 1}


def test_why_shows_parts_that_add_up_to_the_score(visit: Visit) -> None:
    page = visit.shop()
    opened = page.locator("[data-row=for-you] .card .tile-title").first.inner_text()
    open_first(visit)
    page.wait_for_selector("[data-row=for-you] [data-mark]")
    page.locator("[data-row=for-you] .reason .link").first.click()
    page.wait_for_selector("dialog .parts")
    parts = [float(text) for text in page.locator(".part:not(.total) .part-value").all_inner_texts()]
    score = float(page.locator(".total .part-value").inner_text())
    assert len(parts) >= 1
    assert sum(parts) == pytest.approx(score, abs=0.0006 * (len(parts) + 1))
    ends: list[float] = page.eval_on_selector_all(
        ".bar i",
        """bars => bars.map(({ style }) =>
            Number(style.getPropertyValue("--from")) + Number(style.getPropertyValue("--width")))""",
    )
    assert ends[-2] == pytest.approx(ends[-1], abs=1e-3)
    assert len(page.locator(".why-sentence").inner_text()) > 8
    expect(page.locator(".evidence-card b")).to_have_text(opened)  # the one thing that was looked at
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)


def test_a_known_customer_brings_their_past(visit: Visit) -> None:
    page = visit.shop()
    before = visit.order()
    page.locator("#strip-switch").click()
    page.get_by_role("button", name="17841").click()
    expect(page.locator("#strip-who")).to_have_text("You: customer 17841")
    page.wait_for_selector("[data-row=for-you][data-ready]")
    assert visit.order() != before


def tab_to(page: Page, selector: str, limit: int = 40) -> None:
    """Presses Tab until ``selector`` has the focus."""
    for _ in range(limit):
        page.keyboard.press("Tab")
        if page.evaluate(f"document.activeElement.matches('{selector}')"):
            return
    raise AssertionError(f"{limit} times Tab did not reach {selector}")


def test_everything_works_with_the_keyboard_alone(visit: Visit) -> None:
    page = visit.shop()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    tab_to(page, ".card-link", limit=2)
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_be_focused()
    tab_to(page, "#add", limit=2)
    page.keyboard.press("Enter")
    expect(page.locator("#cart-count")).to_have_text("1")
    assert visit.known()["cart"] == 1
    page.locator("#cart").focus()
    page.keyboard.press("Enter")
    expect(page.locator("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#cart")).to_be_focused()


@pytest.mark.parametrize("width", [360, 1600])
def test_nothing_is_cut_off_at_any_width(windows: Windows, width: int) -> None:
    visit = windows.open(width=width)
    page = visit.shop()
    page.wait_for_selector("[data-row=trending][data-ready]")
    assert page.evaluate(NO_SCROLL)
    page.locator("[data-row=for-you] .add").first.click()
    page.wait_for_selector("[data-row=with-cart][data-ready]")
    assert page.evaluate(NO_SCROLL)
    open_first(visit)
    assert page.evaluate(NO_SCROLL)
    page.locator("#cart").click()
    assert page.evaluate(NO_SCROLL)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_enough(windows: Windows, scheme: str) -> None:
    visit = windows.open(scheme=scheme, still=True)  # a card that fades in is faint for a moment
    page = visit.shop()
    page.wait_for_selector("[data-row=trending][data-ready]")
    assert too_faint(page) == []
    open_first(visit)
    assert too_faint(page) == []


def test_it_speaks_chinese_and_switches(windows: Windows) -> None:
    visit = windows.open(language="zh-CN")
    page = visit.shop()
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    expect(page.locator("[data-row=for-you] h2")).to_have_text("为您推荐")
    assert re.search("[\u4e00-\u9fff]", page.locator(".reason-text").first.inner_text())
    page.locator("#language").click()
    expect(page.locator("[data-row=for-you] h2")).to_have_text("For you")


def test_a_row_that_cannot_be_had_says_what_to_do(visit: Visit) -> None:
    page = visit.page
    page.route("**/v1/recommend", lambda route: route.abort())
    visit.shop()
    note = page.locator("[data-row=trending] .note")
    expect(note).to_contain_text("endcap serve")
    page.unroute("**/v1/recommend")
    note.get_by_role("button").click()
    page.wait_for_selector("[data-row=trending][data-ready]")
    visit.watched.errors.clear()  # Chromium itself writes down the request that was broken


TITLES = [
    ("WHITE HANGING HEART T-LIGHT HOLDER", "White hanging heart T-light holder"),
    ("SET OF 3  CAKE TINS PANTRY DESIGN ", "Set of 3 cake tins pantry design"),
    ("LUNCH BAG  BLACK SKULL.", "Lunch bag black skull"),
    ("PAPER CHAIN KIT 50'S CHRISTMAS ", "Paper chain kit 50's Christmas"),
    ("RED TOADSTOOL LED NIGHT LIGHT", "Red toadstool LED night light"),
    ("ROSES REGENCY TEACUP AND SAUCER ", "Roses Regency teacup and saucer"),
    ("REX CASH+CARRY JUMBO SHOPPER", "Rex cash + carry jumbo shopper"),
    ("GARDENERS KNEELING PAD,KEEP CALM", "Gardeners kneeling pad, keep calm"),
    ("Already well set, by hand", "Already well set, by hand"),
    ("复古红色午餐袋", "复古红色午餐袋"),
]
HUES = [
    ("LUNCH BAG RED RETROSPOT", "JUMBO BAG PINK POLKADOT", True),
    ("GREEN REGENCY TEACUP AND SAUCER", "ROSES REGENCY TEACUP AND SAUCER", True),
    ("ALARM CLOCK BAKELIKE RED", "ALARM CLOCK BAKELIKE GREEN", True),
    ("WHITE HANGING HEART T-LIGHT HOLDER", "GLASS T-LIGHT HOLDER", True),
    ("LUNCH BAG RED RETROSPOT", "ALARM CLOCK BAKELIKE RED", False),
    ("PARTY BUNTING", "SET OF 3 CAKE TINS PANTRY DESIGN", False),
]


def _module(page: Page, name: str, call: str, value: Any) -> Any:
    return page.evaluate(f"value => import('/static/js/{name}.js').then(({{ {call} }}) => {call}(value))", value)


def test_titles_are_set_in_sentence_case(visit: Visit) -> None:
    page = visit.shop()
    assert [_module(page, "title", "setTitle", raw) for raw, _ in TITLES] == [title for _, title in TITLES]


def test_alike_things_have_near_hues(visit: Visit) -> None:
    page = visit.shop()
    for first, second, near in HUES:
        apart = abs(_module(page, "title", "hueOf", first) - _module(page, "title", "hueOf", second)) % 360
        assert (min(apart, 360 - apart) <= 20) == near, (first, second, apart)


def test_a_reason_quotes_titles_as_the_cards_do(visit: Visit) -> None:
    page = visit.shop()
    told = _module(page, "card", "setSentence", "Similar to “JUMBO BAG RED RETROSPOT”")
    assert told == "Similar to “Jumbo bag red retrospot”"
    assert _module(page, "card", "setSentence", "Matches “tea for two”") == "Matches “tea for two”"
    told = _module(page, "card", "setSentence", "Similar to “Hanging t-light holder”")
    assert told == "Similar to “Hanging T-light holder”"

"""Search by photo and by voice in a real browser, on a server that sees and hears; a real order is spoken."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright
from tests.docs.running import endcap, serving
from tests.e2e.browser import CHROMIUM, FLAGS, NO_SCROLL, Visit, Windows
from tests.e2e.contrast import too_faint
from tests.unit.encoders.files import DATA, wav

pytestmark = pytest.mark.browser

PICTURES = ("asparagus", "banana", "carrots", "lime", "shoes-1", "shoes-2", "hat-1")
DRINKS = ("Iced mocha", "Latte", "Double shot", "Brown sugar")
NOT_A_PICTURE = DATA / "iced-mocha.wav"


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory, image_folder: Path) -> Iterator[str]:
    """The address of a small shop whose items have pictures, but for the drinks and one whose file is gone."""
    home = tmp_path_factory.mktemp("seeing") / "home"
    shutil.copytree(image_folder, home / "encoders" / image_folder.name)
    lines = (f'image = "{image_folder.name}"', 'speech = "pocketsphinx"', f'image_folder = "{DATA / "pictures"}"')
    (home / "config.toml").write_text("\n".join(("[encode]", *lines)))
    items = [{"item_id": one, "title": one.partition("-")[0].capitalize(), "image": f"{one}.jpg"} for one in PICTURES]
    items += [{"item_id": one.lower(), "title": one} for one in DRINKS]
    items.append({"item_id": "gone", "title": "Lemon", "image": "gone.jpg"})
    file = home.parent / "items.jsonl"
    file.write_text("\n".join(json.dumps({**one, "price": 2, "currency": "EUR"}) for one in items))
    events = home.parent / "events.jsonl"
    bought = [{"type": "purchase", "user_id": str(user), "item_id": PICTURES[user % 4]} for user in range(12)]
    events.write_text("\n".join(json.dumps({**one, "time": "2026-01-01T12:00:00Z"}) for one in bought))
    endcap("import", "items", file, "--home", home)
    endcap("import", "events", events, "--home", home)
    endcap("train", "--home", home)
    with serving(home) as base:
        yield base


@pytest.fixture(scope="module")
def listening() -> Iterator[Browser]:
    """A browser that may use its microphone, which plays the order again and again."""
    devices = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    plays = f"--use-file-for-fake-audio-capture={DATA / 'iced-mocha.wav'}"
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=(*FLAGS, *devices, plays))
        yield browser
        browser.close()


@pytest.fixture
def visit(listening: Browser, seeing: str) -> Iterator[Visit]:
    opened = Windows(listening, seeing)
    yield opened.open()
    close(opened)


def close(opened: Windows) -> None:
    """Nothing may have gone wrong but what the server refused: a file that is gone, a recording of silence."""
    opened.close()
    assert opened.watched.elsewhere == []
    assert [error for error in opened.watched.errors if "Failed to load resource" not in error] == []


def show(page: Page, file: Path) -> None:
    """Choose the file as the photo to search with."""
    with page.expect_file_chooser() as asked:
        page.get_by_role("button", name="Search with a photo").click()
    asked.value.set_files(file)


def test_a_photo_is_searched_with_and_shown_beside_what_was_found(visit: Visit) -> None:
    page = visit.shop()
    show(page, DATA / "pictures" / "shoes-3.jpg")
    page.wait_for_selector("[data-row=search][data-ready]")
    assert visit.order("search")[0] in ("shoes-1", "shoes-2")
    expect(page.get_by_role("img", name="Your photo")).to_be_visible()
    expect(page.locator("[data-row=search] .reason-text").first).to_have_text("Looks like your photo")
    page.locator("[data-row=search] .card-link").first.click()
    page.wait_for_selector(".product img")
    page.go_back()
    page.wait_for_selector("[data-row=search][data-ready]")  # the page still has the photo


def test_a_large_photo_is_made_small_before_it_is_sent(visit: Visit, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (1_500, 3_000, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.png")
    assert (tmp_path / "large.png").stat().st_size > 2_000_000
    page = visit.shop()
    with page.expect_response("**/v1/recommend") as answered:
        show(page, tmp_path / "large.png")
    assert answered.value.status == 200
    sent = page.locator(".sought").evaluate(
        "image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])"
    )
    assert sent == [640, 320]


def test_what_is_no_picture_is_said_in_plain_words(visit: Visit) -> None:
    page = visit.shop()
    show(page, NOT_A_PICTURE)
    expect(page.locator("#toast")).to_have_text("This is no picture that can be read here. Choose a JPEG or PNG.")
    expect(page.locator("[data-row=for-you]")).to_be_visible()


def test_what_is_said_stands_in_the_search_field_over_what_was_found(visit: Visit) -> None:
    page = visit.shop()
    button = page.get_by_role("button", name="Search by voice")
    button.press("Enter")
    stop = page.get_by_role("button", name="Stop, and search")
    expect(stop).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#query")).to_have_attribute("placeholder", re.compile("Listening"))
    page.wait_for_timeout(6_500)  # as long as the order takes
    stop.press("Enter")
    page.wait_for_selector("[data-row=search][data-ready]")
    expect(page.locator("#query")).to_have_value(re.compile("mocha"))
    assert "iced mocha" in visit.order("search")
    expect(button).to_have_attribute("aria-pressed", "false")


def test_escape_ends_the_recording_and_nothing_is_searched(visit: Visit) -> None:
    page = visit.shop()
    page.get_by_role("button", name="Search by voice").click()
    expect(page.get_by_role("button", name="Stop, and search")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Search by voice")).to_be_visible()
    assert page.url.endswith("/shop")


def test_without_a_microphone_a_recording_can_be_chosen_and_silence_is_said(visit: Visit, tmp_path: Path) -> None:
    (tmp_path / "silence.wav").write_bytes(wav(np.zeros(16_000)))
    visit.page.add_init_script("delete globalThis.MediaRecorder")
    page = visit.shop()
    for name, said in ((NOT_A_PICTURE, None), (tmp_path / "silence.wav", "No words were heard.")):
        with page.expect_file_chooser() as asked:
            page.get_by_role("button", name="Search by voice").click()
        asked.value.set_files(name)
        if said is None:
            expect(page.locator("#query")).to_have_value(re.compile("mocha"))
        else:
            expect(page.locator("#toast")).to_contain_text(said)


def test_a_microphone_that_may_not_be_used_leads_to_a_recording(visit: Visit) -> None:
    visit.page.add_init_script("navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException())")
    page = visit.shop()
    page.get_by_role("button", name="Search by voice").click()
    expect(page.locator("#toast")).to_contain_text("press again to choose a recording")
    with page.expect_file_chooser():
        page.get_by_role("button", name="Search by voice").click()


def test_cards_show_the_shops_pictures_and_a_tile_where_one_is_gone(visit: Visit) -> None:
    page = visit.page
    page.goto(f"{visit.address}/shop#/search/lemon")
    expect(page.locator("[data-id=gone] .tile")).to_have_text(re.compile("Lemon"))
    page.goto(f"{visit.address}/shop#/item/banana")
    shown = page.locator(".product img")
    expect(shown).to_be_visible()
    assert shown.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100


def test_where_the_server_asks_for_a_key_the_pictures_come_with_it(visit: Visit) -> None:
    visit.page.add_init_script("sessionStorage.setItem('endcap.key', 'of-a-server-with-keys')")
    visit.page.goto(f"{visit.address}/shop#/item/banana")
    shown = visit.page.locator(".product img")
    expect(shown).to_have_attribute("src", re.compile("^blob:"))
    assert shown.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100


@pytest.mark.parametrize(("language", "scheme"), [("en-GB", "light"), ("zh-CN", "dark")])
def test_the_buttons_fit_a_narrow_phone(listening: Browser, seeing: str, language: str, scheme: str) -> None:
    opened = Windows(listening, seeing)
    page = opened.open(360, language, scheme).shop()
    field = page.locator("#query").bounding_box()
    assert field is not None
    for name in ("#voice", "#photo"):
        box = page.locator(name).bounding_box()
        assert box is not None
        assert box["width"] >= 38
        assert field["x"] + 200 < box["x"] < box["x"] + box["width"] <= field["x"] + field["width"]
    assert page.evaluate(NO_SCROLL)
    assert too_faint(page) == []
    close(opened)


def test_a_shop_that_sees_and_hears_nothing_has_no_such_buttons(listening: Browser, address: str) -> None:
    opened = Windows(listening, address)
    page = opened.open().shop()
    page.wait_for_selector("#search[data-tools='0']")
    expect(page.locator("#voice, #photo").filter(visible=True)).to_have_count(0)
    close(opened)

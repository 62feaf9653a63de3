"""The launch report on a catalogue small enough to judge by hand."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from endcap.catalog.items import Item
from endcap.evaluation.launch import UNSORTED, LaunchReport, launch_report
from endcap.evaluation.launch_page import MOST, as_html, as_text
from endcap.types import FloatArray

ITEMS = (
    Item("m1", "red retrospot mug", categories=("Kitchen > Mugs",), price=4.0, image="m1.jpg", description="A mug."),
    Item("m2", "red retrospot mugs", categories=("Kitchen > Mugs",), price=4.0),
    Item("m3", "green mug", categories=("Kitchen > Cups",), price=4.0),
    Item("l1", "desk lamp", categories=("Light",), price=30.0),
    Item("l2", "desk lamp", categories=("Light",), group_id="g"),
    Item("l3", "desk lamp tall", categories=("Light",), group_id="g"),
    Item("x", "thing"),
)


def vectors() -> FloatArray:
    """Mugs point one way, lamps another; the thing has no vector. m1 and m2 mean the same, m3 something near."""
    rows = np.array([[1, 0.0], [1, 0.01], [1, 0.5], [0, 1], [0, 1], [0, 1], [0, 0]], np.float32)
    units: FloatArray = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return units


def report(depth: int = 1) -> LaunchReport:
    return launch_report(ITEMS, vectors(), "hand", depth)


def test_counts_what_is_missing_by_category() -> None:
    kitchen, light, unsorted = report().categories
    assert (kitchen.name, light.name, unsorted.name) == ("Kitchen", "Light", UNSORTED)
    assert (kitchen.items, kitchen.without_image, kitchen.without_description, kitchen.without_price) == (3, 2, 2, 0)
    assert (light.items, light.without_price, light.without_text) == (3, 2, 0)
    assert (unsorted.items, unsorted.without_text) == (1, 1)
    assert (report().total.items, report().total.without_text, report().total.without_image) == (7, 1, 6)


def test_near_duplicates_mean_the_same_and_are_written_almost_the_same_and_are_no_variants() -> None:
    kitchen, light, _ = report().categories
    assert kitchen.duplicates == 2  # a plural; "green mug" is written otherwise
    assert kitchen.examples == (("m1", "m2"),)
    assert light.duplicates == 2  # l1 and l2; l2 and l3 are variants of one product
    assert report().titles["l2"] == "desk lamp"


def test_placed_looks_at_the_nearest_and_expected_at_how_near_they_are() -> None:
    """Six others are looked at. Mean cosines: m1, m2 .32, the lamps .41, m3, which is near to both kinds, .52."""
    kitchen, light, unsorted = report().categories
    assert kitchen.placed == light.placed == 1.0  # two others of each kind are there, and among the nearest
    assert kitchen.expected == pytest.approx(1 / 3)
    assert light.expected == 1.0
    assert math.isnan(unsorted.placed)
    assert unsorted.expected == 0.0
    assert math.isnan(report().total.expected)  # half of the catalogue is the better half
    assert (kitchen.apart, light.apart, unsorted.apart) == (1, 1, 0)


def test_an_item_among_strangers_is_not_placed() -> None:
    rows = np.eye(26, 12, dtype=np.float32)
    rows[:, 0] = 1.0  # ten of the others are as near as the own kind
    items = [Item(str(row), f"text number {row}", categories=("A" if row < 3 else "B",)) for row in range(26)]
    rows[:3] = [[1.0, -9.0, *[0.0] * 10], [1.0, 9.0, *[0.0] * 10], [1.0, 0.0, -9.0, *[0.0] * 9]]
    found = launch_report(items, rows / np.linalg.norm(rows, axis=1, keepdims=True), "hand")
    assert {part.name: part.placed for part in found.categories} == {"B": 1.0, "A": 0.0}


def test_depth_chooses_the_step_of_the_path() -> None:
    assert {part.name for part in report(2).categories} == {"Kitchen > Mugs", "Kitchen > Cups", "Light", UNSORTED}


def test_one_category_is_not_placed_among_others() -> None:
    found = launch_report(ITEMS[:2], vectors()[:2], "hand")
    assert found.categories == ()
    assert math.isnan(found.total.placed)
    assert math.isnan(found.total.expected)
    assert found.total.apart == 0  # each reads like the other


def test_advice_says_what_to_do_about_each() -> None:
    kitchen, light, unsorted = (part.advice() for part in report().categories)
    assert kitchen[0].startswith("Give variants one group_id")
    assert "Add images to 2 items." in kitchen
    assert "Add prices to 2 items." in light
    assert unsorted[0].startswith("Write titles that say what it is for 1 item")
    assert unsorted[1].startswith("Name a category")
    assert unsorted[2].startswith("Little reads like it")


def test_the_page_stands_alone_and_says_what_was_found() -> None:
    odd = (*ITEMS, Item("<i>", "<b>desk lamp</b>", categories=("A & B <u",)))
    page = as_html(launch_report(odd, np.vstack([vectors(), [[0, 1]]]).astype(np.float32), "hand"))
    assert "<u" not in page.split("<body>")[1].replace("<ul", "")
    assert "<b>desk" not in page
    assert "A &amp; B &lt;u" in page
    assert not re.search(r"(src|href)=", page)
    assert "red retrospot mugs" in page
    assert page.count("<tr>") >= 6


def test_the_terminal_has_a_line_for_each_category() -> None:
    lines = as_text(report()).splitlines()
    assert lines[0] == "2 of 7 items have a text that tells them apart."
    assert [line.split()[0] for line in lines[3:]] == ["Kitchen", "Light", "(no", "all"]


def test_nothing_missing_needs_nothing() -> None:
    full = [
        Item(title, title, description="Good.", price=1.0, image="i", categories=("A",))
        for title in ("red mug", "desk lamp")
    ]
    page = as_html(launch_report(full, np.eye(2, dtype=np.float32), "hand"))
    assert "Nothing: every item has text, image and price" in page


def test_what_to_do_is_said_of_the_largest_categories() -> None:
    many = [Item(str(n), f"red mug {n}", categories=(f"C{n}",)) for n in range(MOST + 3)]
    page = as_html(launch_report(many, np.ones((MOST + 3, 1), np.float32), "hand"))
    assert page.count("<ul>") == MOST
    assert "<p>And in 3 smaller categories.</p>" in page

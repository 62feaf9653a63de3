"""The page about other systems' events names each event that is understood, in the row of what it becomes."""

from __future__ import annotations

import re
from pathlib import Path

from endcap.events.dialects import ga4, retail, segment, shopify

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "dialects.md").read_text(encoding="utf-8")


def rows() -> list[list[str]]:
    """The cells of the table of names."""
    table = PAGE.partition("## What becomes of a name\n")[2].partition("\n\nSegment's names")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()[2:]]


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def test_each_name_of_ga4_stands_in_the_row_of_its_type() -> None:
    assert {name: quoted(cells[0])[0] for cells in rows() for name in quoted(cells[1])} == ga4.TYPES


def test_each_name_of_google_retail_stands_in_the_row_of_its_type() -> None:
    written = {(name, quoted(cells[0])[0]) for cells in rows() for name in quoted(cells[3])}
    assert written == {*retail.TYPES.items(), ("search", "impression")}


def test_each_name_of_segments_second_version_stands_in_the_row_of_its_type() -> None:
    names = [(name.strip(), quoted(cells[0])[0]) for cells in rows() for name in cells[2].split(",") if name.strip()]
    written = {name.lower(): ours for name, ours in names if "`" not in name}
    first_version = {name for name in segment.TYPES if re.match(r"(viewed|clicked|added|removed|completed) ", name)}
    assert written == {name: ours for name, ours in segment.TYPES.items() if name not in first_version}


def test_each_topic_of_shopify_that_is_understood_is_named() -> None:
    topics = {*shopify.ORDERS, *shopify.CARTS, *shopify.PRODUCTS, *shopify.PRIVACY, shopify.REFUND, shopify.PRODUCT_END}
    assert topics - set(quoted(PAGE.partition("behind these topics:")[2])) == set()

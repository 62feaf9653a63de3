"""Every documented message in tests/golden/dialects gives the events that were written down for it by hand.

Each file is a message in the shape of the page named in it, with values of our own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from endcap.catalog.items import parse_change
from endcap.events.dialects import shopify
from endcap.events.dialects.message import Translated, as_object
from endcap.events.dialects.registry import DIALECTS
from endcap.events.schema import parse_event

FOLDER = Path(__file__).parents[3] / "golden" / "dialects"
CASES = {path.stem: msgspec.json.decode(path.read_bytes()) for path in sorted(FOLDER.glob("*.json"))}
NOW = 1_795_600_000_000


def translated(case: Any) -> Sequence[Translated]:
    if case["dialect"] == "shopify":
        delivery = shopify.Delivery(case["topic"], case["body"], f"shopify-{case['webhook_id']}")
        return shopify.events(delivery, shopify.Buyer(**case["buyer"]) if "buyer" in case else None)
    dialect = DIALECTS[case["dialect"]]
    return [one for record in dialect.records(case["body"]) for one in dialect.events(as_object(record))]


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "events" in case])
def test_the_message_gives_the_events(name: str) -> None:
    case = CASES[name]
    found = translated(case)
    assert [parse_event(one.fields, NOW) for one in found] == [parse_event(one, NOW) for one in case["events"]]
    assert Counter(one.unknown for one in found if one.unknown is not None) == case["unknown"]


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "item" in case])
def test_the_message_gives_the_item(name: str) -> None:
    case = CASES[name]
    assert parse_change("put", shopify.product(case["body"])) == parse_change("put", case["item"])


def test_every_dialect_has_its_documented_messages() -> None:
    assert {case["dialect"] for case in CASES.values()} == {*DIALECTS, "shopify"}
    assert all(page.startswith("https://") for case in CASES.values() for page in case["source"])

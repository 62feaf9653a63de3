"""Whatever JSON object comes in, a dialect gives events that pass the checks, or a refusal that says why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endcap.catalog.items import parse_change
from endcap.errors import EndcapError
from endcap.events.dialects import ga4, retail, segment, shopify
from endcap.events.dialects.message import as_object
from endcap.events.dialects.registry import DIALECTS
from endcap.events.schema import parse_event

NOW = 1_795_600_000_000
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["a", "7", "1e999", "nan", "(not set)", "2026-11-24T09:30:00Z", "x" * 300, 10**15, "10" * 8])
)
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner), max_leaves=5
)
NAMES = {
    "ga4": [*ga4.TYPES, "scroll"],
    "segment": ["track", "identify", "alias", "page", *segment.TYPES],
    "retail": [*retail.TYPES, "completion"],
    "shopify": ["draft", "active"],
}
SHAPES: dict[str, Callable[[str, Any], dict[str, Any]]] = {
    "ga4": lambda name, wild: {"client_id": "c", "events": [{"name": name, "params": wild}]},
    "segment": lambda name, wild: {"type": "track", "event": name, "userId": "u", "properties": wild},
    "retail": lambda name, wild: {"visitorId": "v", **wild, "eventType": name},
    "shopify": lambda name, wild: {"id": 1, "token": "c", "order_id": 2, "title": name, **wild},
}
"""Messages that are right so far: what is wrong lies deeper."""
KEYS = {
    "ga4": (
        "events event_name name params items event_params key value string_value int_value client_id user_id "
        "timestamp_micros event_timestamp user_pseudo_id item_id price quantity promotion_id transaction_id "
        "search_term ecommerce privacy_info consent session_id event_bundle_sequence_id currency"
    ),
    "segment": (
        "type event properties products product_id sku price quantity userId anonymousId messageId timestamp batch "
        "context consent categoryPreferences previousId promotion_id rating review_body revenue sentAt"
    ),
    "retail": (
        "eventType visitorId userInfo userId productDetails product id priceInfo price quantity searchQuery userEvents "
        "inputConfig userEventInlineSource attributionToken purchaseTransaction revenue currencyCode eventTime"
    ),
    "shopify": (
        "id token order_id customer line_items product_id quantity price refund_line_items line_item variants "
        "compare_at_price inventory_quantity inventory_policy inventory_management status tags body_html title image "
        "src category full_name created_at test cart_token total_price key"
    ),
}


def messages(dialect: str) -> st.SearchStrategy[Any]:
    """Objects that are built of the names that the dialect looks for, with right and wrong things under them."""
    keys = st.sampled_from(KEYS[dialect].split())
    leaves = LEAVES | st.sampled_from(NAMES[dialect]) | st.sampled_from(["a", 1_795_512_600_000_000])
    inner = st.recursive(
        leaves,
        lambda one: st.lists(one, max_size=3) | st.dictionaries(keys | st.text(max_size=3), one, max_size=6),
        max_leaves=15,
    )
    wild = st.dictionaries(keys, inner, max_size=8)
    return st.builds(SHAPES[dialect], st.sampled_from(NAMES[dialect]), wild) | wild


@pytest.mark.parametrize("name", DIALECTS)
@settings(max_examples=100, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_dialect_gives_events_or_a_named_refusal(name: str, data: st.DataObject) -> None:
    dialect = DIALECTS[name]
    try:
        for record in dialect.records(data.draw(messages(name))):
            for one in dialect.events(as_object(record)):
                parse_event(one.fields, NOW)
    except EndcapError as error:
        assert str(error)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    topic=st.sampled_from(["orders/create", "refunds/create", "carts/update", "customers/create", "checkouts/update"]),
    message=messages("shopify"),
)
def test_a_webhook_gives_events_or_a_named_refusal(topic: str, message: dict[str, Any]) -> None:
    try:
        for one in shopify.events(shopify.Delivery(topic, message, "w")):
            parse_event(one.fields, NOW)
    except EndcapError as error:
        assert str(error)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(message=messages("shopify"))
def test_a_product_gives_an_item_or_a_named_refusal(message: dict[str, Any]) -> None:
    try:
        parse_change("put", shopify.product(message))
    except EndcapError as error:
        assert str(error)


@pytest.mark.parametrize("name", DIALECTS)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(tree=st.dictionaries(st.text(max_size=5), TREES))
def test_an_object_of_anything_else_is_refused_or_kept(name: str, tree: dict[str, Any]) -> None:
    dialect = DIALECTS[name]
    try:
        found = [one for record in dialect.records(tree) for one in dialect.events(as_object(record))]
    except EndcapError as error:
        assert str(error)
    else:
        assert found

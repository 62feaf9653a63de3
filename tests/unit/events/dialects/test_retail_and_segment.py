"""Google Retail and Segment beyond their documented examples."""

from __future__ import annotations

import pytest

from endcap.errors import InvalidFieldError
from endcap.events.dialects.message import number
from endcap.events.dialects.retail import RETAIL
from endcap.events.dialects.segment import SEGMENT

VIEW = {"eventType": "detail-page-view", "visitorId": "v", "productDetails": [{"product": {"id": "a"}}]}


def test_a_token_of_google_that_is_longer_than_our_ids_is_left_out() -> None:
    assert RETAIL.events({**VIEW, "attributionToken": "t" * 257})[0].fields["request_id"] is None
    assert RETAIL.events({**VIEW, "attributionToken": "t" * 256})[0].fields["request_id"] == "t" * 256


def test_a_body_is_one_user_event_or_several() -> None:
    assert RETAIL.records(VIEW) == [VIEW]
    assert RETAIL.records({"userEvents": [VIEW, VIEW]}) == [VIEW, VIEW]
    with pytest.raises(InvalidFieldError, match="userEvents is 'all': it must be a list of events"):
        RETAIL.records({"userEvents": "all"})


def test_a_user_event_without_a_type_or_an_item_is_refused() -> None:
    with pytest.raises(InvalidFieldError, match="eventType is None: give the kind of user event as a text"):
        RETAIL.events({"visitorId": "v"})
    with pytest.raises(InvalidFieldError, match="add-to-cart names no item"):
        RETAIL.events({"eventType": "add-to-cart", "visitorId": "v"})


@pytest.mark.parametrize("name", ["Order Completed", "order completed", "order_completed", "Completed Order"])
def test_names_of_either_version_and_of_any_case_are_known(name: str) -> None:
    message = {"type": "track", "event": name, "userId": "u", "properties": {"products": [{"sku": "a"}]}}
    assert SEGMENT.events(message)[0].fields["type"] == "purchase"


def test_an_identify_that_names_one_id_only_joins_nothing() -> None:
    (one,) = SEGMENT.events({"type": "identify", "userId": "u"})
    assert (one.fields["type"], one.unknown) == ("custom", "identify")


def test_a_message_keeps_its_own_context_in_a_batch() -> None:
    batch = {"context": {"sessionId": 1}, "batch": [{"type": "page"}, {"type": "page", "context": {"sessionId": 2}}]}
    records = SEGMENT.records(batch)
    assert records == [{"context": {"sessionId": 1}, "type": "page"}, {"type": "page", "context": {"sessionId": 2}}]


def test_a_batch_that_is_no_list_and_a_track_without_a_name_are_refused() -> None:
    with pytest.raises(InvalidFieldError, match="batch is 7: it must be a list of events"):
        SEGMENT.records({"batch": 7})
    with pytest.raises(InvalidFieldError, match="event is None: give the name of the event as a text"):
        SEGMENT.events({"type": "track", "userId": "u"})


def test_numbers_may_be_texts() -> None:
    assert [number(value) for value in ("1.50", "dear", 2, None)] == [1.5, "dear", 2, None]

"""GA4 beyond its documented examples: what is refused, and what one purchase has in common live and exported."""

from __future__ import annotations

from typing import Any

import pytest

from endcap.errors import EndcapError, InvalidFieldError, MalformedError
from endcap.events.dialects.ga4 import GA4
from endcap.events.dialects.message import Message, as_object

MICROS = 1_795_512_600_000_000


def fields(name: str, **params: object) -> dict[str, object]:
    body = {"client_id": "c", "timestamp_micros": MICROS, "events": [{"name": name, "params": params}]}
    (one,) = GA4.events(as_object(GA4.records(body)[0]))
    return one.fields


@pytest.mark.parametrize("micros", [1_795_512_600_000, 1_795_512_600, True, "soon", 1.5e15])
def test_a_time_that_is_not_in_microseconds_is_refused(micros: object) -> None:
    body = {"client_id": "c", "timestamp_micros": micros, "events": [{"name": "login"}]}
    with pytest.raises(InvalidFieldError, match="give microseconds since 1970, which has 16 digits"):
        GA4.events(body)


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        ({"client_id": "c"}, InvalidFieldError, "events is missing: send a Measurement Protocol body, or a row"),
        ({"events": {"name": "login"}}, InvalidFieldError, "it must be a list of events"),
        ({"events": [7]}, MalformedError, "this is 7: it must be a JSON object"),
        ({"events": [{"params": {}}]}, InvalidFieldError, "name is None: give the name of the event as a text"),
        ({"events": [{"name": "view_item"}]}, InvalidFieldError, "view_item names no item: say which one"),
        ({"events": [{"name": "view_item", "params": {"items": "a"}}]}, InvalidFieldError, "it must be a list of obj"),
        (
            {"events": [{"name": "view_item", "params": {"items": [{"item_name": "Tee"}]}}]},
            InvalidFieldError,
            "view_item has an item without an id: give it",
        ),
    ],
)
def test_what_cannot_be_read_is_named(body: Message, error: type[EndcapError], message: str) -> None:
    with pytest.raises(error, match=message):
        [GA4.events(as_object(record)) for record in GA4.records(body)]


def test_a_login_of_somebody_unknown_and_a_list_of_nothing_are_kept_as_custom() -> None:
    assert (fields("login")["type"], fields("login")["text"]) == ("custom", "login")
    assert (fields("view_item_list")["type"], fields("view_item_list")["text"]) == ("custom", "view_item_list")


def test_exported_rows_may_stand_in_a_batch() -> None:
    row: dict[str, Any] = {"event_name": "scroll", "event_timestamp": MICROS, "user_pseudo_id": "c"}
    assert GA4.records({"events": [row, row]}) == [row, row]


def test_the_shop_may_give_an_event_id_of_its_own() -> None:
    assert fields("view_item", event_id="e-1", items=[{"item_id": "a"}])["event_id"] == "e-1"
    params = [{"key": "event_id", "value": {"string_value": "e-1"}}, {"key": ["no", "name"]}]
    row = {"event_name": "scroll", "event_timestamp": MICROS, "event_params": params}
    assert GA4.events(row)[0].fields["event_id"] == "e-1"


def test_ids_that_are_too_long_are_made_short_and_stay_different() -> None:
    long = [fields("purchase", transaction_id=letter * 300)["event_id"] for letter in "aab"]
    assert long[0] == long[1] != long[2]
    assert all(isinstance(one, str) and len(one) < 60 and one.startswith("ga4-purchase-") for one in long)


def test_an_id_that_is_an_object_is_refused() -> None:
    with pytest.raises(InvalidFieldError, match=r"a part of an id is .*: give a text or a whole number"):
        fields("purchase", transaction_id={"a": 1})


def test_an_exported_row_without_consent_is_marked() -> None:
    row = {"event_name": "scroll", "event_timestamp": MICROS, "privacy_info": {"analytics_storage": "No"}}
    assert GA4.events(row)[0].fields["consent"] is False

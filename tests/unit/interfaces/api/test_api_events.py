"""POST /v1/events over a real log and state."""

from __future__ import annotations

from typing import Any

import pytest

EVENT = {"type": "view", "visitor_id": "anna", "item_id": "pot"}


def test_one_event_is_in_the_state_when_it_is_answered(shop: Any) -> None:
    before = shop.call("GET", "/v1/stats").json()["offset"]
    reply = shop.call("POST", "/v1/events", json=EVENT)
    assert reply.status_code == 202
    assert reply.json() == {"accepted": 1, "duplicates": 0, "offset": before + 1}
    user = shop.call("GET", "/v1/users/anna").json()
    assert (user["kind"], user["session"], user["counts"]) == ("visitor", ["pot"], {"view": 1})
    assert [(event["item_id"], event["type"], event["quantity"]) for event in user["events"]] == [("pot", "view", 1.0)]


def test_a_repeated_event_id_is_a_duplicate(shop: Any) -> None:
    batch = {"events": [{**EVENT, "event_id": "once"}, {**EVENT, "event_id": "twice"}]}
    assert shop.call("POST", "/v1/events", json=batch).json()["accepted"] == 2
    again = shop.call("POST", "/v1/events", json={"events": [*batch["events"], {**EVENT, "event_id": "new"}]}).json()
    assert (again["accepted"], again["duplicates"]) == (1, 2)


def test_the_good_ones_are_kept_and_the_others_refused_by_index(shop: Any) -> None:
    events = [EVENT, {"type": "wink", "visitor_id": "anna"}, 7, {**EVENT, "time": "2999-01-01T00:00:00Z"}, EVENT]
    reply = shop.call("POST", "/v1/events", json={"events": events})
    assert (reply.status_code, reply.json()["accepted"]) == (202, 2)
    refused = reply.json()["errors"]
    assert [(one["index"], one.get("field")) for one in refused] == [(1, "type"), (2, None), (3, "time")]
    assert "type is 'wink': use one of impression, click" in refused[0]["message"]
    assert "this is 7: it must be a JSON object" in refused[1]["message"]


def test_nothing_good_is_an_error(shop: Any) -> None:
    reply = shop.call("POST", "/v1/events", json={"events": [{"type": "wink"}, {"type": "view", "colour": 1}]})
    assert reply.status_code == 400
    assert reply.json()["error"]["field"] == "type"
    assert "none of the 2 was kept; the first: type is 'wink'" in reply.json()["error"]["message"]
    assert [one["index"] for one in reply.json()["errors"]] == [0, 1]


@pytest.mark.parametrize(
    ("event", "field"),
    [
        ({"type": "view", "item_id": "pot"}, "user_id"),
        ({**EVENT, "colour": "red"}, "colour"),
        ({**EVENT, "visitor_id": "v" * 257}, "visitor_id"),
        ({**EVENT, "time": 10**40}, "time"),
        ({**EVENT, "value": 10**400}, "value"),
        ({"visitor_id": "anna"}, "type"),
    ],
)
def test_one_bad_event_is_an_error_that_names_the_field(shop: Any, event: dict[str, object], field: str) -> None:
    reply = shop.call("POST", "/v1/events", json=event)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_field")
    assert reply.json()["error"]["field"] == field
    assert "errors" not in reply.json()


def test_more_than_a_thousand_are_refused_and_none_is_nothing(shop: Any) -> None:
    assert shop.call("POST", "/v1/events", json={"events": [{}] * 1001}).json()["error"]["field"] == "events"
    assert shop.call("POST", "/v1/events", json={"events": []}).json()["accepted"] == 0


def test_events_are_counted(shop: Any) -> None:
    def counted() -> dict[str, float]:
        lines = shop.call("GET", "/metrics").text.splitlines()
        return {line.split('"')[1]: float(line.split()[-1]) for line in lines if line.startswith("endcap_events_total")}

    before = counted()
    sent = [{**EVENT, "event_id": "c"}, {**EVENT, "event_id": "c"}, {"type": "wink"}]
    shop.call("POST", "/v1/events", json={"events": sent})
    after = counted()
    assert {name: after[name] - before[name] for name in after} == {"accepted": 1, "duplicate": 1, "refused": 1}

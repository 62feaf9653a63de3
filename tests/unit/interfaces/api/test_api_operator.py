"""What operators see: users, models, reports, figures, health, pages."""

from __future__ import annotations

import os
from typing import Any

import pytest

from endcap.checks import CANARY
from endcap.serving.canary import TARGET_SECONDS


def test_an_unknown_user(shop: Any) -> None:
    reply = shop.call("GET", "/v1/users/nobody")
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "not_found")


def test_a_user_s_events_newest_first_and_bounded(shop: Any) -> None:
    events = [
        {"type": "view", "user_id": "many", "item_id": f"i{place}", "time": 1_700_000_000_000 + place}
        for place in range(60)
    ]
    assert shop.call("POST", "/v1/events", json={"events": events}).json()["accepted"] == 60
    user = shop.call("GET", "/v1/users/many").json()
    assert (user["id"], user["kind"], user["counts"]) == ("many", "user", {"view": 60})
    assert [event["item_id"] for event in user["events"]] == [f"i{place}" for place in range(59, 9, -1)]
    assert user["last_time"] == user["events"][0]["time"] == 1_700_000_000_059
    assert (user["session"], user["interests"]) == ([], {"category": [], "brand": [], "price": [], "theme": []})


def test_a_user_s_open_visit_and_interests(shop: Any) -> None:
    item = {"item_id": "kettle", "title": "Kettle", "brand": "Aga", "categories": ["Tea > Pots"], "price": 20}
    shop.call("PUT", "/v1/items/kettle", json=item)
    for kind in ("view", "view", "impression"):
        shop.call("POST", "/v1/events", json={"type": kind, "user_id": "keen", "item_id": "kettle"})
    user = shop.call("GET", "/v1/users/keen").json()
    assert user["session"] == ["kettle"]
    assert {kind: [one["name"] for one in found] for kind, found in user["interests"].items()} == {
        "category": ["Tea > Pots"],
        "brand": ["Aga"],
        "price": ["16-32"],
        "theme": [],
    }
    assert user["interests"]["brand"][0]["weight"] == pytest.approx(2.0, rel=1e-3)


def test_a_visitor_who_was_identified_answers_with_the_user(shop: Any) -> None:
    for event in (
        {"type": "view", "visitor_id": "phone", "item_id": "pot"},
        {"type": "identify", "visitor_id": "phone", "user_id": "ada"},
        {"type": "dismiss", "user_id": "ada", "item_id": "cup"},
        {"type": "dismiss", "visitor_id": "phone", "item_id": "lamp"},
    ):
        assert shop.call("POST", "/v1/events", json=event).status_code == 202
    visitor, user = (shop.call("GET", f"/v1/users/{name}").json() for name in ("phone", "ada"))
    assert (visitor["kind"], visitor["user_id"], user["kind"], user["user_id"]) == ("visitor", "ada", "user", "ada")
    assert visitor["counts"] == user["counts"] == {"view": 1, "identify": 1, "dismiss": 2}
    assert (user["dismissed"], user["remembered"], user["without_consent"]) == (["lamp", "cup"], 1, False)


def test_the_kind_says_which_of_two_with_one_name(shop: Any) -> None:
    for who in ("user_id", "visitor_id", "visitor_id"):
        shop.call("POST", "/v1/events", json={"type": "view", who: "twin", "item_id": "pot"})
    found = {kind: shop.call("GET", f"/v1/users/twin?kind={kind}").json() for kind in ("user", "visitor")}
    assert {kind: (one["kind"], one["counts"]["view"]) for kind, one in found.items()} == {
        "user": ("user", 1),
        "visitor": ("visitor", 2),
    }
    assert found["visitor"]["user_id"] is None
    assert shop.call("GET", "/v1/users/twin").json()["kind"] == "user"
    assert "no user 'phone2'" in shop.call("GET", "/v1/users/phone2?kind=user").json()["error"]["message"]
    assert shop.call("GET", "/v1/users/twin?kind=cat").json()["error"]["field"] == "kind"


def test_who_gave_no_consent_is_known_as_long_as_the_visit(shop: Any) -> None:
    event = {"type": "view", "visitor_id": "shy", "item_id": "pot", "consent": False}
    shop.call("POST", "/v1/events", json=event)
    shy = shop.call("GET", "/v1/users/shy").json()
    assert (shy["without_consent"], shy["session"], shy["counts"], shy["events"]) == (True, ["pot"], {}, [])
    assert shy["interests"] == {"category": [], "brand": [], "price": [], "theme": []}
    old = {**event, "visitor_id": "gone", "time": shy["last_time"] - 24 * 3_600_000}
    shop.call("POST", "/v1/events", json=old)
    assert shop.call("GET", "/v1/users/gone").status_code == 404


def test_models_of_an_empty_home(shop: Any) -> None:
    answer = shop.call("GET", "/v1/models").json()
    assert (answer["models"], answer["problem"]) == ([], None)


@pytest.mark.parametrize("version", ["20260101-000000-abcd", "..", "%2e%2e"])
def test_a_version_that_does_not_exist(shop: Any, version: str) -> None:
    reply = shop.call("POST", f"/v1/models/{version}/activate")
    assert reply.status_code in {404, 409}
    assert "version" in reply.json()["error"]["message"] or "there is nothing" in reply.json()["error"]["message"]


def test_reports_newest_first_without_the_broken_ones(shop: Any) -> None:
    folder = shop.context.home / "reports"
    folder.mkdir(exist_ok=True)
    for place, (name, text) in enumerate(
        [
            ("old", '{"rows": 1}'),
            ("new", '{"rows": 2}'),
            ("broken", '{"rows"'),
            ("latin", '"\xe9"'),
            ("big", " " * 1_000_001),
        ]
    ):
        path = folder / f"{name}.json"
        path.write_bytes(text.encode("latin-1"))
        os.utime(path, (1_000 + place, 1_000 + place))
    reports = shop.call("GET", "/v1/reports").json()["reports"]
    assert reports == [{"name": "new", "report": {"rows": 2}}, {"name": "old", "report": {"rows": 1}}]


def test_figures_of_the_last_minute(shop: Any) -> None:
    event = {"type": "view", "visitor_id": "figures", "item_id": "pot"}
    shop.call("POST", "/v1/events", json=event)
    shop.call("GET", "/v1/recommend/popular")
    stats = shop.call("GET", "/v1/stats").json()
    assert stats["window_seconds"] == len(stats["series"]["requests"]) == 60
    assert stats["recommend_ms"]["p99"] >= stats["recommend_ms"]["p50"] > 0
    assert stats["offset"] == shop.context.state.offset > 0
    assert stats["items"] >= 4
    assert stats["streams"] == 0


def test_the_canary_measures_freshness_against_a_target(shop: Any) -> None:
    shop.runner.run(shop.context.canary.read())
    stats = shop.call("GET", "/v1/stats").json()
    assert stats["freshness_ms"]["p99"] >= stats["freshness_ms"]["p50"] > 0
    assert stats["freshness_target_ms"] == TARGET_SECONDS * 1000
    said = shop.call("GET", "/metrics").text.splitlines()
    assert "endcap_freshness_seconds_count 1.0" in said
    assert f"endcap_freshness_target_seconds {TARGET_SECONDS}" in said
    assert 'endcap_canary_readings_total{outcome="ok"} 1.0' in said
    assert f'endcap_freshness_seconds_bucket{{le="{TARGET_SECONDS}"}}' in "".join(said)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/events", {"type": "view", "visitor_id": CANARY, "item_id": "pot"}),
        ("/v1/recommend", {"recipe": "for-you", "visitor_id": CANARY}),
        ("/v1/visitor-tokens", {"visitor_id": CANARY}),
    ],
)
def test_nobody_else_may_be_the_canary(shop: Any, path: str, body: dict[str, str]) -> None:
    reply = shop.call("POST", path, json=body)
    assert (reply.status_code, reply.json()["error"]["field"]) == (400, "visitor_id")
    assert "the server itself is that visitor" in reply.json()["error"]["message"]


def test_health(shop: Any) -> None:
    assert shop.call("GET", "/health/live").json() == {"status": "live", "senses": []}
    reply = shop.call("GET", "/health/ready")
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "not_ready")
    assert "nothing has been learnt yet" in reply.json()["error"]["message"]
    assert shop.call("GET", "/v1/stats").json()["model"] is None


def test_metrics_name_routes_not_addresses(shop: Any) -> None:
    shop.call("GET", "/v1/items/one-of-many")
    shop.call("GET", "/one-of-many-mistakes")
    reply = shop.call("GET", "/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=")
    assert "one-of-many" not in reply.text
    assert 'endcap_requests_total{route="GET /v1/items/{item_id}",status="404"}' in reply.text
    assert 'endcap_requests_total{route="none",status="404"}' in reply.text
    assert f"endcap_offset {shop.context.state.offset:.1f}" in reply.text
    assert "endcap_fsync_seconds_count" in reply.text


PAGES = {"/": "text/html", "/shop": "text/html", "/docs": "text/html", "/static/docs/docs.js": "text/javascript"}


@pytest.mark.parametrize("path", PAGES)
def test_pages_are_typed_tagged_and_locked_down(shop: Any, path: str) -> None:
    reply = shop.call("GET", path)
    assert reply.status_code == 200
    assert reply.headers["content-type"] == f"{PAGES[path]}; charset=utf-8"
    assert reply.headers["x-content-type-options"] == "nosniff"
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    again = shop.call("GET", path, headers={"if-none-match": f'"other", W/{reply.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert shop.call("GET", path, headers={"if-none-match": '"other"'}).status_code == 200


def test_the_reference_pages_load_nothing_from_elsewhere(shop: Any) -> None:
    page = shop.call("GET", "/docs").text
    addresses = [part.split('"')[0] for name in ("src=", "href=") for part in page.split(f'{name}"')[1:]]
    assert len(addresses) == 4
    for address in addresses:
        assert address.startswith("/static/")
        assert shop.call("GET", address).status_code == 200


def test_a_head_request_is_answered(shop: Any) -> None:
    assert shop.call("HEAD", "/shop").status_code == 200

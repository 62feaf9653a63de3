"""/v1/rules over a real log and state: a rule is honoured by the very next list, on the stream too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from tests.unit.interfaces.api.test_api_stream import Reader, run


def shown(shop: Any, **more: object) -> list[str]:
    answer = shop.call("POST", "/v1/recommend", json={"recipe": "popular", "k": 100, **more}).json()
    return [item["item_id"] for item in answer["items"]]


@pytest.fixture(autouse=True)
def no_rules_left(shop: Any) -> Iterator[None]:
    yield
    for status in shop.call("GET", "/v1/rules").json()["rules"]:
        shop.call("DELETE", f"/v1/rules/{quote(status['rule']['id'], safe='')}")


def test_a_rule_is_honoured_by_the_very_next_list_and_so_is_its_end(shop: Any) -> None:
    assert "pot" in shown(shop)
    reply = shop.call("PUT", "/v1/rules/no-pots", json={"action": "exclude", "where": "title LIKE '%pot%'"})
    assert (reply.status_code, reply.json()["id"]) == (200, "no-pots")
    assert "pot" not in shown(shop)
    shop.call("PUT", "/v1/rules/no-pots", json={"action": "exclude", "where": "price = 5"})
    assert ("pot" in shown(shop), "cup" in shown(shop)) == (True, False)
    shop.call("PATCH", "/v1/items/cup", json={"price": 6})
    assert "cup" in shown(shop)
    shop.call("PATCH", "/v1/items/cup", json={"price": 5})
    assert "cup" not in shown(shop)
    assert shop.call("DELETE", "/v1/rules/no-pots").status_code == 200
    assert "cup" in shown(shop)
    assert shop.call("GET", "/v1/rules/no-pots").status_code == 404


def test_a_rule_as_it_was_put_and_how_it_does(shop: Any) -> None:
    name = quote("sommer/märz 1", safe="")
    rule = {"action": "cap", "where": "price > 4", "value": 2, "per": "brand", "kind": "product", "recipe": "popular"}
    shop.call("PUT", f"/v1/rules/{name}", json={**rule, "from": "2020-01-01T00:00:00Z", "until": 1_600_000_000_000})
    kept = {**rule, "id": "sommer/märz 1", "value": 2.0, "from": 1_577_836_800_000, "until": 1_600_000_000_000}
    found = shop.call("GET", f"/v1/rules/{name}").json()
    assert found.pop("changed") > kept["until"]
    expected = {"rule": kept, "in_force": False, "matches": 2, "problem": None, "changed_by": None}
    assert found == expected
    expected = shop.call("GET", f"/v1/rules/{name}").json()
    assert shop.call("GET", "/v1/rules").json() == {"rules": [expected]}
    assert shop.call("PUT", f"/v1/rules/{name}", json=kept).status_code == 200, "what was read may be put again"


def test_a_rule_that_the_catalogue_has_left_behind_says_so(shop: Any) -> None:
    shop.call("PUT", "/v1/items/mug", json={"title": "Mug", "attributes": {"size": 3}})
    shop.call("PUT", "/v1/rules/big", json={"action": "exclude", "where": "size > 2"})
    assert "mug" not in shown(shop)
    shop.call("PUT", "/v1/items/mug", json={"title": "Mug", "attributes": {"size": "XL"}})
    assert "mug" in shown(shop)
    status = shop.call("GET", "/v1/rules/big").json()
    assert (status["matches"], status["problem"]) == (0, None), "as text it is not greater than 2: no item has a number"
    shop.call("DELETE", "/v1/items/mug")
    assert shop.call("GET", "/v1/rules/big").json()["matches"] == 0


def test_the_stream_follows_a_rule(shop: Any) -> None:
    async def story() -> None:
        reader = Reader(shop)
        await reader.until(lambda items: "lamp" in items)
        await shop.client.put("/v1/rules/r", json={"action": "exclude", "where": "item_id = 'lamp'"})
        await reader.until(lambda items: "lamp" not in items)
        await shop.client.delete("/v1/rules/r")
        await reader.until(lambda items: "lamp" in items)
        await reader.leave()

    run(shop, story)


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({}, "action", "action is None: use one of include, exclude, boost, pin, cap"),
        ({"action": "exclude"}, "where", "where must be a string"),
        ({"action": "exclude", "where": "price >"}, "where", "Expected: an expression, found: EOF at character 8;"),
        ({"action": "exclude", "where": "price > 1 AND prize > 2"}, "where", "no column 'prize' at character 15;"),
        ({"action": "exclude", "where": "price = 1\nOR OR price = 2"}, "where", "found: price at character 17;"),
        ({"action": "exclude", "where": "sum(price) > 1"}, "where", "there is no function 'sum'"),
        ({"action": "exclude", "where": "price > 'a'"}, "where", "cannot compare string with numeric type"),
        ({"action": "exclude", "where": "true", "value": 1}, "value", "exclude takes none, leave it out"),
        ({"action": "boost", "where": "true"}, "value", "value is missing: boost needs a number above 0"),
        ({"action": "exclude", "where": "true", "recipe": "all"}, "recipe", "use one of for-you, similar"),
        ({"action": "exclude", "where": "true", "id": "other"}, "id", "but the address says 'r'"),
        (
            {"action": "exclude", "where": "true", "colour": 1},
            "colour",
            "unknown field 'colour': a rule has id, action",
        ),
    ],
)
def test_a_wrong_rule_is_refused_with_the_field_and_the_position(
    shop: Any, body: dict[str, object], field: str, message: str
) -> None:
    reply = shop.call("PUT", "/v1/rules/r", json=body)
    assert (reply.status_code, reply.json()["error"]["field"]) == (400, field)
    assert message in reply.json()["error"]["message"]
    assert shop.call("GET", "/v1/rules").json() == {"rules": []}


def test_only_so_many_rules(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("endcap.interfaces.api.rules.MAX_RULES", 1)
    one = {"action": "exclude", "where": "false"}
    assert shop.call("PUT", "/v1/rules/a", json=one).status_code == 200
    reply = shop.call("PUT", "/v1/rules/b", json=one)
    assert reply.status_code == 400
    assert reply.json()["error"]["message"] == "there are 1 rules, which is the limit: delete one first"
    assert shop.call("PUT", "/v1/rules/a", json=one).status_code == 200


def test_the_preview_counts_before_anything_is_told(shop: Any) -> None:
    shop.call("PUT", "/v1/items/gone", json={"title": "Gone", "price": 7, "in_stock": False, "kind": "content"})
    preview = shop.call("GET", "/v1/rule-preview", params={"where": "price > 4"}).json()
    assert (preview["matches"], preview["shown"]) == (3, 2)
    assert preview["samples"][0] == {"item_id": "pot", "title": "Tea pot"}
    assert shop.call("GET", "/v1/rule-preview", params={"where": "price > 4", "kind": "content"}).json()["matches"] == 1
    shop.call("DELETE", "/v1/items/gone")


def test_who_put_a_rule_is_kept(keyed: Any) -> None:
    headers = {"Authorization": "Bearer admin-key-0123456789"}
    keyed.call("PUT", "/v1/rules/mine", json={"action": "exclude", "where": "true"}, headers=headers)
    status = keyed.call("GET", "/v1/rules/mine", headers=headers).json()
    keyed.call("DELETE", "/v1/rules/mine", headers=headers)
    assert status["changed_by"] == "admin"


def test_a_trial_shows_lists_with_a_rule_that_nobody_else_sees(shop: Any) -> None:
    before = shown(shop)
    rule = {"action": "exclude", "where": "item_id = 'pot'", "from": "2999-01-01T00:00:00Z"}
    wanted = {"rule": rule, "recipes": ["popular"], "k": 20}
    (found,) = shop.call("POST", "/v1/rule-preview", json=wanted).json()["lists"]
    assert found["recipe"] == "popular"
    assert [one["item_id"] for one in found["before"]] == before
    assert [one["item_id"] for one in found["after"]] == [name for name in before if name != "pot"]
    assert shown(shop) == before
    assert shop.call("GET", "/v1/rules").json() == {"rules": []}


def test_a_trial_of_a_rule_that_is_in_force_replaces_it(shop: Any) -> None:
    shop.call("PUT", "/v1/rules/r", json={"action": "exclude", "where": "item_id = 'pot'"})
    wanted = {"rule": {"id": "r", "action": "exclude", "where": "item_id = 'cup'"}, "recipes": ["popular"]}
    (found,) = shop.call("POST", "/v1/rule-preview", json=wanted).json()["lists"]
    before, after = ([one["item_id"] for one in found[side]] for side in ("before", "after"))
    assert ("pot" in before, "cup" in before) == (False, True)
    assert ("pot" in after, "cup" in after) == (True, False)
    assert "pot" not in shown(shop)


@pytest.mark.parametrize(
    ("more", "field", "message"),
    [
        ({"rule": {"action": "exclude", "where": "prize > 2"}}, "where", "no column 'prize' at character 1;"),
        ({"rule": {"action": "boost", "where": "true"}}, "value", "value is missing: boost needs"),
        ({"recipes": ["all"]}, "recipe", "recipe is 'all': use one of for-you"),
        ({"k": 21}, "k", "k is 21: expected `int` <= 20"),
    ],
)
def test_a_wrong_trial(shop: Any, more: dict[str, object], field: str, message: str) -> None:
    body = {"rule": {"action": "exclude", "where": "true"}, **more}
    reply = shop.call("POST", "/v1/rule-preview", json=body)
    assert (reply.status_code, reply.json()["error"]["field"]) == (400, field)
    assert message in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({}, "where"),
        ({"where": "price >"}, "where"),
        ({"where": "true", "kind": "toy"}, "kind"),
        ({"where": "true", "k": "3"}, "k"),
    ],
)
def test_a_wrong_preview(shop: Any, asked: dict[str, str], field: str) -> None:
    reply = shop.call("GET", "/v1/rule-preview", params=asked)
    assert (reply.status_code, reply.json()["error"]["field"]) == (400, field)


def test_what_broke_a_rule_is_counted_from_0(shop: Any) -> None:
    lines = shop.call("GET", "/metrics").text.splitlines()
    assert 'endcap_rule_violations_total{rule="out_of_stock"} 0.0' in lines
    shop.context.live.engine.violations["rule:x"] += 2
    lines = shop.call("GET", "/metrics").text.splitlines()
    assert 'endcap_rule_violations_total{rule="rule:x"} 2.0' in lines
    assert shop.call("GET", "/v1/stats").json()["rule_violations"] == 2
    del shop.context.live.engine.violations["rule:x"]

"""The fields of a shop rule."""

from __future__ import annotations

import pytest

from endcap.catalog.rules import MAX_WHERE_LENGTH, Rule, parse_rule, stored_rule
from endcap.errors import InvalidFieldError

RECIPES = ("for-you", "popular")
BARE = {"id": "r", "action": "exclude", "where": "true"}


def test_a_whole_rule() -> None:
    fields = {
        "id": 7,
        "action": "cap",
        "where": "price > 1",
        "recipe": "popular",
        "kind": "review",
        "value": 3,
        "per": "brand",
        "from": "1970-01-01T00:00:01Z",
        "until": 2_000,
    }
    rule = parse_rule(fields, RECIPES)
    assert rule == Rule("7", "cap", "price > 1", "popular", "review", 3.0, "brand", 1_000, 2_000)
    assert rule.fields() == {**fields, "id": "7", "from": 1_000, "value": 3.0}
    assert stored_rule(rule.fields()) == rule


def test_what_is_not_given_is_not_said() -> None:
    rule = parse_rule({**BARE, "recipe": None, "value": None}, RECIPES)
    assert rule.fields() == BARE
    assert parse_rule({**BARE, "action": "pin"}, RECIPES).value == 1.0


@pytest.mark.parametrize(
    ("given", "field", "message"),
    [
        ({"id": None}, "id", "id must be a string of 1 to 256 characters, not None"),
        ({"action": "hide"}, "action", "action is 'hide': use one of include, exclude, boost, pin, cap"),
        ({"where": " "}, "where", "where is empty: give a SQL condition"),
        ({"where": "1" * (MAX_WHERE_LENGTH + 1)}, "where", "where has 2001 characters: at most 2000 are read"),
        ({"recipe": "x"}, "recipe", "recipe is 'x': use one of for-you, popular"),
        ({"kind": 3}, "kind", "kind is 3: use one of product, campaign, review, content"),
        ({"value": 1}, "value", "value is 1: exclude takes none"),
        ({"per": "brand"}, "per", "per is 'brand': only a cap counts by something"),
        ({"action": "boost", "value": 0}, "value", "value is 0: boost needs a number above 0, at most 10"),
        ({"action": "boost", "value": 11}, "value", "value is 11: boost needs a number above 0, at most 10"),
        ({"action": "boost"}, "value", "value is missing: boost needs"),
        ({"action": "cap", "value": 0}, "value", "value is 0: cap needs how many may be in a list, a whole number"),
        ({"action": "cap", "value": 1.5}, "value", "value is 1.5: cap needs"),
        ({"action": "pin", "value": 1_001}, "value", "value is 1001: pin needs the first place to take"),
        ({"action": "cap", "value": 1, "per": "size"}, "per", "per is 'size': use one of brand, category, kind"),
        ({"from": "soon"}, "from", "from is 'soon': give RFC 3339"),
        ({"from": 5, "until": 5}, "until", "until is 5: it must be after from"),
        ({"begins": 5}, "begins", "unknown field 'begins': a rule has id, action, where"),
    ],
)
def test_a_wrong_field_is_named(given: dict[str, object], field: str, message: str) -> None:
    with pytest.raises(InvalidFieldError, match=message) as caught:
        parse_rule({**BARE, **given}, RECIPES)
    assert caught.value.field == field


def test_the_dates_hold_to_the_millisecond() -> None:
    rule = Rule("r", "exclude", "true", begins=10, until=20)
    assert [rule.in_force("popular", now) for now in (9, 10, 19, 20)] == [False, True, True, False]
    assert Rule("r", "exclude", "true").in_force(None, 0)
    assert not Rule("r", "exclude", "true", recipe="popular").in_force("search", 0)

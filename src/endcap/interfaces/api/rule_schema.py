"""What /v1/rules and /v1/rule-preview read and answer."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from endcap.catalog.rules import ACTIONS, MAX_WHERE_LENGTH, PER
from endcap.interfaces.api.schema import Id, Kind, Moment, Recipe


class RuleBody(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What the shop tells the lists to do with the items that ``where`` is true for."""

    action: Annotated[str, Meta(extra_json_schema={"enum": list(ACTIONS)})]
    where: Annotated[str, Meta(max_length=MAX_WHERE_LENGTH)]
    id: Id | None = None
    recipe: Recipe | None = None
    kind: Kind | None = None
    value: float | None = None
    per: Annotated[str, Meta(extra_json_schema={"enum": list(PER)})] | None = None
    from_: Moment | None = msgspec.field(default=None, name="from")
    until: Moment | None = None


class RuleStatus(Struct):
    """A rule as it was put, and how it does now."""

    rule: RuleBody
    in_force: bool
    """Whether its dates hold now."""
    matches: int
    """Items of the catalogue that it concerns."""
    problem: str | None
    """Why it concerns none: the catalogue has become such that it cannot be evaluated; null where it can."""
    changed: int
    """When it was put last, in milliseconds since 1970."""
    changed_by: str | None
    """The scope of the key that was used; null where the server asked for none."""


class RulesAnswer(Struct):
    """The rules, in the order in which they were first put."""

    rules: list[RuleStatus]


class RuleReceipt(Struct):
    """The change is durable, and every list from ``offset`` on honours it."""

    id: str
    offset: int


class RuleSample(Struct):
    """An item that a condition is true for."""

    item_id: str
    title: str


class RulePreview(Struct):
    """What a condition is true for: of ``items`` in the catalogue; ``shown`` of them may be in a list now."""

    matches: int
    shown: int
    items: int
    samples: list[RuleSample]


class TrialRequest(Struct, forbid_unknown_fields=True):
    """A rule that is not in force yet, and for whom to look what it would change."""

    rule: RuleBody
    recipes: Annotated[tuple[Recipe, ...], Meta(min_length=1, max_length=5)] = ("for-you", "trending", "popular")
    user_id: Id | None = None
    visitor_id: Id | None = None
    item_ids: tuple[Id, ...] = ()
    k: Annotated[int, Meta(ge=1, le=20)] = 6


class TrialList(Struct):
    """One list, without the rule and with it."""

    recipe: str
    before: list[RuleSample]
    after: list[RuleSample]


class TrialAnswer(Struct):
    """What a rule would do if it were put now."""

    lists: list[TrialList]

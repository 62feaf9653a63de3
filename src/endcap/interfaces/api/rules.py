"""/v1/rules: what the shop has told the lists to do. A change is honoured by the very next list."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
from starlette.responses import Response

from endcap.catalog.items import KINDS
from endcap.catalog.rules import MAX_RULES, Rule, RuleChange, parse_rule
from endcap.checks import parse_id
from endcap.errors import InvalidFieldError, NotFoundError
from endcap.interfaces.api.context import Context
from endcap.interfaces.api.decoding import decode, decode_object
from endcap.interfaces.api.operation import Incoming, Parameter
from endcap.interfaces.api.replies import json_reply
from endcap.interfaces.api.rule_schema import (
    RuleBody,
    RulePreview,
    RuleReceipt,
    RuleSample,
    RulesAnswer,
    RuleStatus,
    TrialAnswer,
    TrialList,
    TrialRequest,
)
from endcap.serving.engine import RECIPES, Engine, Request

SAMPLES = 10
_decode_trial = msgspec.json.Decoder(TrialRequest).decode
PREVIEW_PARAMETERS = (
    Parameter("where", "The condition.", required=True),
    Parameter("kind", "Only items of this kind."),
)


def get_rules(context: Context, incoming: Incoming) -> Response:  # noqa: ARG001  # every handler takes both
    """Every rule, in the order in which they were first put."""
    return json_reply(RulesAnswer([_status(context, rule) for rule in context.state.shop.rules.values()]))


def get_rule(context: Context, incoming: Incoming) -> Response:
    """One rule and how it does."""
    return json_reply(_status(context, _find(context, incoming.path("id"))))


async def put_rule(context: Context, incoming: Incoming) -> Response:
    """The whole rule. A condition that cannot be read is refused with the position."""
    fields, name = decode_object(incoming.body), incoming.path("id")
    if parse_id("id", fields.get("id", name)) != name:
        raise InvalidFieldError("id", f"id is {fields['id']!r:.80} but the address says {name!r:.80}")
    rule = parse_rule({**fields, "id": name}, RECIPES)
    rules = context.state.shop.rules
    if name not in rules and len(rules) >= MAX_RULES:
        raise InvalidFieldError("id", f"there are {len(rules)} rules, which is the limit: delete one first")
    context.live.engine.visibility.matching(rule.where)
    return await _receipt(context, RuleChange(name, rule, _who(context, incoming)))


async def delete_rule(context: Context, incoming: Incoming) -> Response:
    """The end of a rule."""
    return await _receipt(context, RuleChange(_find(context, incoming.path("id")).id, None, _who(context, incoming)))


def post_preview(context: Context, incoming: Incoming) -> Response:
    """Lists without and with a rule that is not put: nothing is stored, and no visitor sees it."""
    wanted = decode(_decode_trial, incoming.body)
    fields = msgspec.to_builtins(wanted.rule)
    rule = parse_rule({**fields, "id": fields.get("id", "preview")}, RECIPES)
    engine, now = context.live.engine, context.now_ms()
    engine.visibility.matching(rule.where)
    trial = engine.with_rule(RuleChange(rule.id, replace(rule, begins=None, until=None)))
    user, visitor = (None if one is None else str(one) for one in (wanted.user_id, wanted.visitor_id))
    lists = []
    for recipe in wanted.recipes:
        asked = Request(recipe, user, visitor, item_ids=tuple(map(str, wanted.item_ids)), k=wanted.k)
        lists.append(TrialList(recipe, *(_samples(one, asked, now) for one in (engine, trial))))
    return json_reply(TrialAnswer(lists))


def _samples(engine: Engine, asked: Request, now: int) -> list[RuleSample]:
    ids = [one.item_id for one in engine.recommend(asked, now).items]
    items = [engine.state.shop.get(item_id) for item_id in ids]
    return [RuleSample(item.item_id, item.title) for item in items if item is not None]


def _who(context: Context, incoming: Incoming) -> str | None:
    """The scope of the caller's key; None where the server asks for none."""
    return None if context.keys.open else incoming.caller.scope


def get_preview(context: Context, incoming: Incoming) -> Response:
    """How many items a condition is true for, and which are the first."""
    asked = dict(incoming.parameters())
    unknown = asked.keys() - {"where", "kind"}
    if unknown or "where" not in asked:
        raise InvalidFieldError(min(unknown, default="where"), "give ?where=... and, if you like, &kind=...")
    kind = asked.get("kind")
    if kind is not None and kind not in KINDS:
        raise InvalidFieldError("kind", f"kind is {kind!r:.80}: use one of {', '.join(KINDS)}")
    shop, visibility = context.state.shop, context.live.engine.visibility
    matches = visibility.matching(asked["where"])
    if kind is not None:
        matches = matches & (shop.kinds == KINDS.index(kind))
    first = [shop.item(row) for row in np.flatnonzero(matches)[:SAMPLES].tolist()]
    shown = int((matches & visibility.mask(context.now_ms())).sum())
    samples = [RuleSample(item.item_id, item.title) for item in first if item is not None]
    return json_reply(RulePreview(int(matches.sum()), shown, shop.size, samples))


def _status(context: Context, rule: Rule) -> RuleStatus:
    now, visibility = context.now_ms(), context.live.engine.visibility
    fields = {{"from": "from_"}.get(name, name): value for name, value in rule.fields().items()}
    body = RuleBody(**fields)  # type: ignore[arg-type]  # parse_rule checked them
    return RuleStatus(
        body,
        rule.in_force(rule.recipe, now),
        visibility.count(rule.id, now),
        visibility.problem(rule.id, now),
        *context.state.shop.rule_changed(rule.id),
    )


def _find(context: Context, name: str) -> Rule:
    rule = context.state.shop.rules.get(name)
    if rule is None:
        raise NotFoundError(f"there is no rule {name!r:.80}: put it first")
    return rule


async def _receipt(context: Context, change: RuleChange) -> Response:
    receipt = await context.live.append([change])
    return json_reply(RuleReceipt(change.rule_id, receipt.offset))

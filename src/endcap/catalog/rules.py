"""A shop rule, a change to it, and the one place that checks its fields: what the shop has told the lists to do.

Standard library only: it runs inside Flink too. The condition is text here; ranking/where.py reads it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from endcap.catalog.items import KINDS
from endcap.checks import parse_id, parse_moment, parse_number, parse_text, shown
from endcap.errors import InvalidFieldError

ACTIONS = ("include", "exclude", "boost", "pin", "cap")
PER = ("brand", "category", "kind")
"""What a cap may count by; ``category`` is the first path of an item's categories."""
MAX_RULES = 1_000
MAX_WHERE_LENGTH = 2_000
MAX_BOOST = 10.0
MAX_PLACES = 1_000
"""Of a list: the last place that a pin may ask for, the largest number that a cap may allow."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. It concerns the items that ``where`` is true for, and with ``kind`` only those of that kind."""

    id: str
    action: str
    """One of ACTIONS."""
    where: str
    """A SQL condition over the catalogue's columns."""
    recipe: str | None = None
    """Only lists of this recipe; None: all lists."""
    kind: str | None = None
    """Only items of this kind; the others are as if the rule were not there."""
    value: float | None = None
    """``boost``: share of the list's best score that is added; ``pin``: first place; ``cap``: how many at most."""
    per: str | None = None
    """``cap`` only, one of PER: the number holds for each brand, category or kind by itself."""
    begins: int | None = None
    """Milliseconds since 1970; not in force before. ``from`` in JSON."""
    until: int | None = None
    """Milliseconds since 1970; not in force from then on."""

    def in_force(self, recipe: str | None, now: int) -> bool:
        """Whether it concerns a list of ``recipe`` at ``now`` (milliseconds since 1970)."""
        return (
            (self.recipe is None or self.recipe == recipe)
            and (self.begins is None or self.begins <= now)
            and (self.until is None or now < self.until)
        )

    def fields(self) -> dict[str, object]:
        """As JSON: what is set, by the names of the API."""
        values = {name: getattr(self, own) for name, own in _NAMES.items()}
        return {name: value for name, value in values.items() if value is not None}


_NAMES = {
    "id": "id",
    "action": "action",
    "where": "where",
    "recipe": "recipe",
    "kind": "kind",
    "value": "value",
    "per": "per",
    "from": "begins",
    "until": "until",
}
"""The API's names, and the fields they are."""


@dataclass(frozen=True, slots=True)
class RuleChange:
    """The whole rule as it is from now on, or its end (``rule`` is None)."""

    rule_id: str
    rule: Rule | None
    by: str | None = None
    """Who changed it, as the scope of the key that was used; None: nobody was asked for a key."""


def stored_rule(fields: Mapping[str, Any]) -> Rule:
    """What ``Rule.fields`` gave."""
    return Rule(**{_NAMES[name]: value for name, value in fields.items()})


def parse_rule(fields: Mapping[str, object], recipes: Collection[str]) -> Rule:
    """The rule that ``fields`` describe; ``recipes`` are those there are. Its ``where`` is not read here.

    Raises InvalidFieldError, naming the field, its value and what is expected.
    """
    unknown = fields.keys() - _NAMES.keys()
    if unknown:
        name = min(unknown)
        raise InvalidFieldError(name, f"unknown field {name!r:.80}: a rule has {', '.join(_NAMES)}")
    given = {name: value for name, value in fields.items() if value is not None}
    action = _one_of("action", given.get("action"), ACTIONS)
    rule = Rule(
        id=parse_id("id", given.get("id")),
        action=action,
        where=_condition(given.get("where")),
        recipe=_one_of("recipe", given["recipe"], recipes) if "recipe" in given else None,
        kind=_one_of("kind", given["kind"], KINDS) if "kind" in given else None,
        value=_value(action, given.get("value")),
        per=_per(action, given["per"]) if "per" in given else None,
        begins=parse_moment("from", given["from"]) if "from" in given else None,
        until=parse_moment("until", given["until"]) if "until" in given else None,
    )
    if rule.begins is not None and rule.until is not None and rule.begins >= rule.until:
        raise InvalidFieldError("until", f"until is {shown(fields['until'])}: it must be after from")
    return rule


def _one_of(name: str, value: object, known: Collection[str]) -> str:
    if not isinstance(value, str) or value not in known:
        raise InvalidFieldError(name, f"{name} is {shown(value)}: use one of {', '.join(known)}")
    return value


def _condition(value: object) -> str:
    where = parse_text("where", value)
    if not where.strip():
        raise InvalidFieldError("where", "where is empty: give a SQL condition, true for the items that are meant")
    if len(where) > MAX_WHERE_LENGTH:
        raise InvalidFieldError("where", f"where has {len(where)} characters: at most {MAX_WHERE_LENGTH} are read")
    return where


def _value(action: str, value: object) -> float | None:
    if action in ("include", "exclude"):
        if value is not None:
            raise InvalidFieldError("value", f"value is {shown(value)}: {action} takes none, leave it out")
        return None
    if value is None and action == "pin":
        return 1.0
    if value is None:
        raise InvalidFieldError("value", f"value is missing: {action} needs {_MEANING[action]}")
    number = parse_number("value", value)
    whole = number == int(number) and 1 <= number <= MAX_PLACES
    if not (0 < number <= MAX_BOOST if action == "boost" else whole):
        raise InvalidFieldError("value", f"value is {shown(value)}: {action} needs {_MEANING[action]}")
    return number


_MEANING = {
    "boost": f"a number above 0, at most {MAX_BOOST:g}: the share of the list's best score that is added",
    "pin": f"the first place to take, a whole number from 1 to {MAX_PLACES:,}",
    "cap": f"how many may be in a list, a whole number from 1 to {MAX_PLACES:,}",
}


def _per(action: str, value: object) -> str:
    if action != "cap":
        raise InvalidFieldError("per", f"per is {shown(value)}: only a cap counts by something, leave it out")
    return _one_of("per", value, PER)

"""The last look at a list before it goes out: each item against each rule, one by one, without the masks.

It shares no mask with what made the list. A condition's answer for an item is remembered as long as that
very item is in the catalogue, so that a list of items that were shown before costs some microseconds each.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from endcap.catalog.items import KINDS, Item
from endcap.catalog.rules import Rule
from endcap.ranking.rules import label, standing
from endcap.ranking.where import Condition, evaluate
from endcap.state.shop import NEVER, ShopState, described
from endcap.types import IntArray

MAX_REMEMBERED = 200_000
"""Items whose answers are kept for the rules; a tenth of it for each ``where`` of a caller."""
AHEAD = 500
"""Items that the rules are asked about beside one that is new to the judge: it costs little more."""
MAX_WHERES = 64
_HIDING = ("include", "exclude", "cap")
"""Actions that a list can break; what is boosted or pinned may be shown anyhow."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a list was asked to be."""

    recipe: str
    now: int
    """Milliseconds since 1970."""
    kind: str | None
    where: str | None
    hidden: Mapping[str, IntArray]
    """Rows that must not be in it, by reason."""
    among: IntArray | None = None
    """The only rows that may be in it; None: all."""


@dataclass(frozen=True, slots=True)
class _Force:
    """The rules in force for one recipe, until the next of them begins or ends."""

    begins: int
    until: int
    excludes: frozenset[str]
    includes: Mapping[str, frozenset[str]]
    """By kind of item, those that concern it."""
    caps: Mapping[str, Rule]


class Judge:
    """Finds the items of a list that break a rule."""

    def __init__(self, shop: ShopState) -> None:
        self._shop = shop
        self._rules_version = -1
        self._rules = _Answers({}, shop)
        self._force: dict[str, _Force] = {}
        self._wheres: OrderedDict[str, _Answers] = OrderedDict()

    def violations(self, rows: Sequence[int], asked: Asked) -> dict[int, str]:
        """By place in ``rows`` (from 0), the name of the first rule that the item there breaks.

        The names of ``Visibility.reasons``, those of ``asked.hidden``, ``not_in_the_given_list``, and ``variant``.
        """
        force = self._in_force(asked.recipe, asked.now)
        hidden = {row: name for name, gone in asked.hidden.items() for row in gone.tolist()}
        among = None if asked.among is None else frozenset(asked.among.tolist())
        known = self._rules.of(rows)
        wanted = self._wanted(rows, asked.where)
        broken: dict[int, str] = {}
        for place, row in enumerate(rows):
            item = self._shop.item(row)
            name = "unlisted" if item is None else next(_broken(item, asked, force, known[row].true), None)
            if name is None and row in hidden:
                name = hidden[row]
            elif name is None and among is not None and row not in among:
                name = "not_in_the_given_list"
            elif name is None and not wanted[row]:
                name = "where"
            if name is not None:
                broken[place] = name
        return broken | _together({at: known[row] for at, row in enumerate(rows) if at not in broken}, force)

    def _in_force(self, recipe: str, now: int) -> _Force:
        if self._rules_version != self._shop.rules_version:
            self._rules_version = self._shop.rules_version
            hiding = {name: rule for name, rule in self._shop.rules.items() if rule.action in _HIDING}
            self._rules, self._force = _Answers(hiding, self._shop, AHEAD if hiding else 0), {}
        force = self._force.get(recipe)
        if force is None or not force.begins <= now < force.until:
            force = self._force[recipe] = _force(list(self._shop.rules.values()), recipe, now)
        return force

    def _wanted(self, rows: Sequence[int], where: str | None) -> Mapping[int, object]:
        """By row of a listed item: true or empty."""
        if where is None:
            return dict.fromkeys(rows, True)
        answers = self._wheres.pop(where, None) or _Answers({"where": Rule("where", "", where)}, self._shop)
        self._wheres[where] = answers
        if len(self._wheres) > MAX_WHERES:
            self._wheres.popitem(last=False)
        return {row: known.true for row, known in answers.of(rows).items()}


@dataclass(frozen=True, slots=True)
class _Known:
    """What the rules say of one item."""

    item: Item
    true: frozenset[str]
    """The rules that concern it."""
    counted: tuple[tuple[str, str], ...]
    """The caps among them, each with what it counts the item under."""


class _Answers:
    """Which of some rules concern an item: their condition is true, and it is of their kind."""

    def __init__(self, rules: Mapping[str, Rule], shop: ShopState, ahead: int = 0) -> None:
        self._ahead = ahead
        self._most = MAX_REMEMBERED if ahead else MAX_REMEMBERED // 10
        self._cursor = 0
        self._same: dict[tuple[frozenset[str], tuple[tuple[str, str], ...]], tuple[Any, Any]] = {}
        self._shop = shop
        self._rules = dict(rules)
        self._version = shop.version
        self._conditions = {name: Condition(rule.where, shop, strict=False) for name, rule in rules.items()}
        self._known: dict[int, _Known] = {}

    def of(self, rows: Sequence[int]) -> dict[int, _Known]:
        """What is known, by row of a listed item."""
        self._renew()
        items = {row: item for row in rows if (item := self._shop.item(row)) is not None}
        new = {row: item for row, item in items.items() if not self._is_known(row, item)}
        if new:
            self._ask(new | self._next())
        return {row: self._known[row] for row in items}

    def _next(self) -> dict[int, Item]:
        """Some items that nothing is known of yet."""
        found: dict[int, Item] = {}
        end = self._shop.listed.size
        while len(found) < self._ahead and self._cursor < end and len(self._known) < self._most // 2:
            item = self._shop.item(self._cursor)
            if item is not None and self._cursor not in self._known:
                found[self._cursor] = item
            self._cursor += 1
        return found

    def _ask(self, items: Mapping[int, Item]) -> None:
        rules = list(self._rules.values())
        found = evaluate(list(self._conditions.values()), list(items.values()), {})
        table = np.array(found, np.bool_).reshape(len(rules), len(items)).T
        for (row, item), answers in zip(items.items(), table, strict=True):
            true = [rules[at] for at in np.flatnonzero(answers).tolist() if rules[at].kind in (None, item.kind)]
            counted = [_key(item, rule) for rule in true if rule.action == "cap"]
            ids, keys = frozenset(rule.id for rule in true), tuple(key for key in counted if key is not None)
            same = self._same.setdefault((ids, keys), (ids, keys))  # few combinations, many items
            self._known[row] = _Known(item, *same)

    def _is_known(self, row: int, item: Item) -> bool:
        """Whether what is known of ``row`` was said of ``item``, or of one that no condition can tell from it."""
        known = self._known.get(row)
        return known is not None and (known.item is item or described(known.item) == described(item))

    def _renew(self) -> None:
        if len(self._known) > self._most:
            self._forget()
        if self._version == self._shop.version:
            return
        self._version = self._shop.version
        before = [(one.types, one.problem) for one in self._conditions.values()]
        for condition in self._conditions.values():
            condition.retype(self._shop)
        if before != [(one.types, one.problem) for one in self._conditions.values()]:
            self._forget()

    def _forget(self) -> None:
        self._known.clear()
        self._same.clear()
        self._cursor = 0


def _force(rules: Sequence[Rule], recipe: str, now: int) -> _Force:
    active = [rule for rule in rules if rule.in_force(recipe, now)]
    dates = [at for rule in rules for at in (rule.begins, rule.until) if at is not None]
    includes = [rule for rule in active if rule.action == "include"]
    return _Force(
        begins=max((at for at in dates if at <= now), default=0),
        until=min((at for at in dates if at > now), default=NEVER),
        excludes=frozenset(rule.id for rule in active if rule.action == "exclude"),
        includes={kind: frozenset(r.id for r in includes if r.kind in (None, kind)) for kind in KINDS},
        caps={rule.id: rule for rule in active if rule.action == "cap"},
    )


def _broken(item: Item, asked: Asked, force: _Force, true: frozenset[str]) -> Iterator[str]:
    """What keeps ``item`` out by itself."""
    yield from standing(item, asked.now)
    if asked.kind is not None and item.kind != asked.kind:
        yield "kind"
    for name in force.excludes & true:
        yield f"rule:{name}"
    includes = force.includes[item.kind]
    if includes and true.isdisjoint(includes):
        yield f"rule:{min(includes)}"


def _together(shown: Mapping[int, _Known], force: _Force) -> dict[int, str]:
    """By place: what is too much of a group or of what a cap counts, of the items that break no rule alone."""
    most = {name: int(rule.value or 0) for name, rule in force.caps.items()}
    totals: Counter[tuple[str, str]] = Counter()
    for known in shown.values():
        totals.update(known.counted)
    groups = [group for known in shown.values() if (group := known.item.group_id) is not None]
    if len(set(groups)) == len(groups) and all(count <= most.get(name, count) for (name, _), count in totals.items()):
        return {}
    broken: dict[int, str] = {}
    counts: Counter[tuple[str, str]] = Counter()
    for place, known in shown.items():
        keys = [key for key in known.counted if key[0] in most]
        group = known.item.group_id
        over = [name for name, label in keys if counts[name, label] >= most[name]] if keys else []
        if group is not None and counts["", group]:
            broken[place] = "variant"
        elif over:
            broken[place] = f"rule:{over[0]}"
        else:
            counts.update(keys)
            counts["", group or ""] += 1
    return broken


def _key(item: Item, cap: Rule) -> tuple[str, str] | None:
    """Under what ``cap`` counts ``item``."""
    name = "" if cap.per is None else label(item, cap.per)
    return None if name is None else (cap.id, name)

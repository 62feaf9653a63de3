"""What may be shown: standing rules, the shop's own rules and the caller's ``where``, as masks over the catalogue.

The one place that hides an item. A mask is computed once a catalogue version and version of the rules, and
again when an item's availability or a rule begins or ends; a request reads it. A change of one item costs
each condition one look at that item.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import is_not

import numpy as np

from endcap.catalog.items import KINDS, Item
from endcap.catalog.rules import ACTIONS, PER, Rule
from endcap.errors import InvalidFieldError
from endcap.ranking.moves import Boost, Limit, Moves, Pin
from endcap.ranking.where import Columns, Condition, bring_up_to_date
from endcap.state.shop import NEVER, ShopState
from endcap.types import BoolArray, FloatArray, IntArray, TimeArray, Vocabulary

MAX_MASKS = 256
"""Different ``where`` expressions of callers whose masks are kept."""


STANDING = ("unlisted", "out_of_stock", "not_yet_available", "expired", "kind", "where", "variant")
"""Rules that hold for every list, by the names under which ``Visibility.reasons`` and the judge speak of them."""


class Visibility:
    """Which items may be shown now, and what the shop's rules do with those that may."""

    def __init__(self, shop: ShopState) -> None:
        self._shop = shop
        self._seen = (-1, -1, -1)
        self._valid_from = 0
        self._valid_until = 0
        self._columns: Columns = {}
        self._columns_of = -1
        self._conditions: dict[str, Condition] = {}
        self._where: OrderedDict[str, Condition] = OrderedDict()
        self._labels = {per: _Labels(per) for per in PER}
        self._standing: BoolArray = np.zeros(0, np.bool_)
        self._rules: list[Rule] = []
        self._scoped: frozenset[str | None] = frozenset()
        self._basis: list[BoolArray | IntArray] = []
        """What ``_moves`` was made of, so that it is made again only when that has changed."""
        self._moves: dict[str | None, Moves] = {}
        self._masks: dict[tuple[str | None, str | None], BoolArray] = {}

    def over(self, shop: ShopState) -> Visibility:
        """The same over ``shop``, which differs in its rules alone: conditions that are known stay known."""
        other = Visibility(shop)
        other._conditions, other._labels = dict(self._conditions), self._labels
        other._columns, other._columns_of, other._where = self._columns, self._columns_of, self._where
        return other

    def warm(self, now: int) -> None:
        """Do before anybody asks what would else take the first request long: every condition, over all items."""
        for recipe in self._scoped | {rule.recipe for rule in self._shop.rules.values()} | {None}:
            self.mask(now, recipe=recipe)

    def mask(self, now: int, kind: str | None = None, where: str | None = None, recipe: str | None = None) -> BoolArray:
        """(items,) True where the item may be in a list of ``recipe`` at ``now`` (milliseconds since 1970).

        ``where`` is a SQL boolean expression over the catalogue's columns. Raises InvalidFieldError for an
        expression that cannot be read or that names a column which is not there.
        """
        self._refresh(now)
        key = self._scope(recipe), kind
        mask = self._masks.get(key)
        if mask is None:
            shown = self.moves(now, recipe).shown
            mask = self._standing if shown is None else self._standing & shown
            if kind is not None:
                mask = mask & (self._shop.kinds == KINDS.index(kind))
            self._masks[key] = mask
        return mask if where is None else mask & self.matching(where)

    def moves(self, now: int, recipe: str | None = None) -> Moves:
        """What the rules in force do with a list of ``recipe`` at ``now``."""
        self._refresh(now)
        scope = self._scope(recipe)
        moves = self._moves.get(scope)
        if moves is None:
            moves = self._moves[scope] = self._compile([rule for rule in self._rules if rule.recipe in (None, scope)])
        return moves

    def matching(self, where: str) -> BoolArray:
        """(items,) the listed items that ``where`` is true for. Raises InvalidFieldError, with the position."""
        condition = self._where.get(where)
        if condition is None or not condition.is_known(self._shop):
            condition = self._where[where] = Condition(where, self._shop)
            if len(self._where) > MAX_MASKS:
                self._where.popitem(last=False)
        self._bring_up_to_date([condition])
        if condition.problem is not None:
            raise InvalidFieldError("where", condition.problem)
        return condition.matches

    def reasons(
        self, row: int, now: int, recipe: str | None = None, kind: str | None = None, where: str | None = None
    ) -> tuple[str, ...]:
        """Everything that keeps the item at ``row`` out of such a list: empty where it may be shown.

        ``unlisted``, ``out_of_stock``, ``not_yet_available``, ``expired``, ``kind``, ``where``, ``rule:<id>``.
        """
        self._refresh(now)
        item = self._shop.item(row)
        if item is None:
            return ("unlisted",)
        found = list(standing(item, now))
        if kind is not None and item.kind != kind:
            found.append("kind")
        if where is not None and not self.matching(where)[row]:
            found.append("where")
        concerned = [rule for rule in self._rules if rule.recipe in (None, recipe) and rule.kind in (None, item.kind)]
        true = {rule.id for rule in concerned if self._conditions[rule.id].matches[row]}
        found += [f"rule:{rule.id}" for rule in concerned if rule.action == "exclude" and rule.id in true]
        includes = [rule.id for rule in concerned if rule.action == "include"]
        return (*found, *(f"rule:{name}" for name in includes if true.isdisjoint(includes)))

    def count(self, rule_id: str, now: int) -> int:
        """How many listed items a rule concerns."""
        self._refresh(now)
        return int(self._concerned(self._shop.rules[rule_id]).sum())

    def problem(self, rule_id: str, now: int) -> str | None:
        """Why a rule concerns no item any more: the catalogue has become such that it cannot be evaluated."""
        self._refresh(now)
        return self._conditions[rule_id].problem

    def _scope(self, recipe: str | None) -> str | None:
        """``recipe`` if some rule in force speaks of it; None for all the others, which have the same rules."""
        return recipe if recipe in self._scoped else None

    def _refresh(self, now: int) -> None:
        shop = self._shop
        seen = (shop.version, shop.rules_version, shop.listed.size)
        if seen == self._seen and self._valid_from <= now < self._valid_until:
            return
        if seen[1] != self._seen[1]:
            self._read_rules()
        self._bring_up_to_date(self._conditions.values())
        self._seen = seen
        begun, ended = shop.available_from <= now, shop.expires <= now
        self._standing = shop.listed & shop.in_stock & begun & ~ended
        self._masks = {}
        rules = [rule for rule in shop.rules.values() if rule.in_force(rule.recipe, now)]
        basis: list[BoolArray | IntArray] = [*(one.matches for one in self._conditions.values()), *self._named()]
        if rules != self._rules or len(basis) != len(self._basis) or any(map(is_not, basis, self._basis)):
            self._rules, self._basis, self._moves = rules, basis, {}
            self._scoped = frozenset(rule.recipe for rule in rules)
        self._valid_from, self._valid_until = self._window(now)

    def _named(self) -> list[IntArray]:
        """The numbers of the items' kinds, brands and categories, as far as rules ask for them."""
        rules = self._shop.rules.values()
        asked = {rule.per for rule in rules} | {"kind" for rule in rules if rule.kind is not None}
        return [labels.of(self._shop) for per, labels in self._labels.items() if per in asked]

    def _window(self, now: int) -> tuple[int, int]:
        """From the last moment at which something began or ended to the next."""
        dates = [at for rule in self._shop.rules.values() for at in (rule.begins, rule.until) if at is not None]
        moments: list[TimeArray] = [self._shop.available_from, self._shop.expires, np.array(dates, np.int64)]
        last = max(int(times[times <= now].max(initial=0)) for times in moments)
        return last, min(int(times[times > now].min(initial=NEVER)) for times in moments)

    def _read_rules(self) -> None:
        """A condition for each rule; those whose text stays are kept."""
        known = {one.text: one for one in (*self._where.values(), *self._conditions.values())}
        self._conditions = {}
        for name, rule in self._shop.rules.items():
            condition = known.get(rule.where)
            if condition is None:
                condition = known[rule.where] = Condition(rule.where, self._shop, strict=False)
            self._conditions[name] = condition

    def _bring_up_to_date(self, conditions: Iterable[Condition]) -> None:
        if self._columns_of != self._shop.version:
            self._columns, self._columns_of = {}, self._shop.version
        bring_up_to_date(conditions, self._shop, self._columns)

    def _compile(self, rules: Sequence[Rule]) -> Moves:
        """The rules of one scope, all in force, as arrays."""
        masks = {rule.id: self._concerned(rule) for rule in rules}
        of = {action: [rule for rule in rules if rule.action == action] for action in ACTIONS}
        boosts = tuple(Boost(f"rule:{one.id}", masks[one.id], np.float32(one.value or 0.0)) for one in of["boost"])
        pins = sorted(of["pin"], key=lambda rule: (rule.value or 1.0, rule.id))
        return Moves(
            shown=self._shown(of["include"], of["exclude"], masks),
            lift=_lift(boosts),
            boosts=boosts,
            pins=tuple(Pin(int(one.value or 1), np.flatnonzero(masks[one.id]).astype(np.int32)) for one in pins),
            limits=tuple(self._limit(rule, masks[rule.id]) for rule in of["cap"]),
        )

    def _concerned(self, rule: Rule) -> BoolArray:
        matches = self._conditions[rule.id].matches
        return matches if rule.kind is None else matches & (self._shop.kinds == KINDS.index(rule.kind))

    def _shown(
        self, includes: Sequence[Rule], excludes: Sequence[Rule], masks: Mapping[str, BoolArray]
    ) -> BoolArray | None:
        """(items,) what the rules let through; None where they hide nothing."""
        if not includes and not excludes:
            return None
        shown = np.ones(self._shop.listed.size, np.bool_)
        if includes:
            kinds = {rule.kind for rule in includes}
            concerned = shown if None in kinds else np.isin(self._shop.kinds, [KINDS.index(str(one)) for one in kinds])
            shown = ~concerned | np.logical_or.reduce([masks[rule.id] for rule in includes])
        for rule in excludes:
            shown &= ~masks[rule.id]
        return shown

    def _limit(self, rule: Rule, mask: BoolArray) -> Limit:
        labels = None if rule.per is None else self._labels[rule.per].of(self._shop)
        return Limit(mask, int(rule.value or 1), labels)


def _lift(boosts: Sequence[Boost]) -> FloatArray | None:
    """(items,) the sum of the boosts."""
    if not boosts:
        return None
    found = [np.flatnonzero(boost.items) for boost in boosts]
    values = np.repeat([boost.value for boost in boosts], [rows.size for rows in found])
    return np.bincount(np.concatenate(found), values, boosts[0].items.size).astype(np.float32)


class _Labels:
    """The brand, the category or the kind of each item as a number; -1 for none."""

    def __init__(self, per: str) -> None:
        self._per = per
        self._names = Vocabulary()
        self._version = -1
        self._labels: IntArray = np.zeros(0, np.int32)

    def of(self, shop: ShopState) -> IntArray:
        """(items,) as the catalogue is."""
        changed = None if self._version < 0 else shop.changed_since(self._version)
        self._version = shop.version
        if changed is not None and not changed and self._labels.size == shop.listed.size:
            return self._labels
        rows = range(shop.listed.size) if changed is None else sorted(changed)
        labels = np.full(shop.listed.size, -1, np.int32)
        labels[: self._labels.size] = self._labels
        for row in rows:
            item = shop.item(row)
            name = None if item is None else label(item, self._per)
            labels[row] = -1 if name is None else self._names.add(name)
        if not np.array_equal(labels, self._labels):
            self._labels = labels
        return self._labels


def label(item: Item, per: str) -> str | None:
    """What a cap counts ``item`` under; None: it is not counted."""
    if per == "category":
        return item.categories[0] if item.categories else None
    return item.brand if per == "brand" else item.kind


def standing(item: Item, now: int) -> Iterator[str]:
    """Why ``item`` may be in no list at ``now``, by itself."""
    if not item.in_stock:
        yield "out_of_stock"
    if item.available_from is not None and now < item.available_from:
        yield "not_yet_available"
    if item.expires is not None and item.expires <= now:
        yield "expired"

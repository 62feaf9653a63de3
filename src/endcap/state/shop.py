"""The shop's own state: the catalogue as columns, the rules, and the model version that is to serve."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from copy import copy
from dataclasses import fields, replace
from typing import Literal

import numpy as np

from endcap.catalog.items import KINDS, Item, ItemChange
from endcap.catalog.rules import Rule, RuleChange, stored_rule
from endcap.state.column import Column
from endcap.state.packing import Packed, pack_json, unpack_json
from endcap.types import BoolArray, FloatArray, IntArray, TimeArray, Vocabulary

NEVER = np.iinfo(np.int64).max
MAX_JOURNAL = 1_000
"""Changes whose rows are remembered, so that what was derived from the columns is brought up to date row by row."""

Scalar = Literal["text", "number", "flag"]


class ShopState:
    """The catalogue, by item row, and the active model version.

    An item that only events have named has a row but is not listed. ``version`` counts the changes, so that
    what was derived from the columns is known to be current by one comparison.
    """

    def __init__(self, items: Vocabulary) -> None:
        self._vocabulary = items
        self._items: list[Item | None] = []
        self._listed = Column(np.bool_)
        self._in_stock = Column(np.bool_)
        self._price = Column(np.float32, np.nan)
        self._kind = Column(np.int32)
        self._available_from = Column(np.int64)
        self._expires = Column(np.int64, NEVER)
        self._group = Column(np.int32, -1)
        self._groups = Vocabulary()
        self._journal: deque[int] = deque(maxlen=MAX_JOURNAL)
        self._scalars: Counter[tuple[str, Scalar]] = Counter()
        self._rules: dict[str, Rule] = {}
        self._rule_changes: dict[str, tuple[int, str | None]] = {}
        """When each was put last, and by whom."""
        self.version = 0
        self.rules_version = 0
        """Counts the changes of the rules."""
        self.size = 0
        """Listed items."""
        self.active_version: str | None = None

    def grow(self, items: int) -> None:
        """Make room for ``items`` rows."""
        self._items.extend([None] * (items - len(self._items)))
        for column in self._columns():
            column.grow(items)

    def _columns(self) -> tuple[Column[np.bool_] | Column[np.float32] | Column[np.int32] | Column[np.int64], ...]:
        return (
            self._listed,
            self._in_stock,
            self._price,
            self._kind,
            self._available_from,
            self._expires,
            self._group,
        )

    def change(self, row: int, change: ItemChange) -> None:
        """Apply one change of the item at ``row``."""
        before = self._items[row]
        item = change.applied_to(before)
        self.version += 1
        had, has = _scalars(before), _scalars(item)
        same = described(before) == described(item) and had == has  # 1 equals True
        self._journal.append(-1 if same else row)
        self.size += (item is not None) - (before is not None)
        self._scalars.subtract(had)
        self._scalars.update(has)
        self._items[row] = item
        self._listed[row] = item is not None
        if item is not None:
            self._in_stock[row] = item.in_stock
            price = item.price if item.sale_price is None else item.sale_price
            self._price[row] = np.nan if price is None else price
            self._kind[row] = KINDS.index(item.kind)
            self._available_from[row] = item.available_from or 0
            self._expires[row] = NEVER if item.expires is None else item.expires
            self._group[row] = -1 if item.group_id is None else self._groups.add(item.group_id)

    def change_rule(self, change: RuleChange, time: int) -> None:
        """Apply one change of a rule, which was made at ``time`` (milliseconds since 1970)."""
        self.rules_version += 1
        if change.rule is None:
            self._rules.pop(change.rule_id, None)
            self._rule_changes.pop(change.rule_id, None)
        else:
            self._rules[change.rule_id] = change.rule
            self._rule_changes[change.rule_id] = time, change.by

    def with_rule(self, change: RuleChange) -> ShopState:
        """The shop as it would be after ``change``, to look at: it shares everything else, and must not be changed."""
        other = copy(self)
        other._rules, other._rule_changes = dict(self._rules), dict(self._rule_changes)
        other.change_rule(change, 0)
        return other

    def rule_changed(self, rule_id: str) -> tuple[int, str | None]:
        """When the rule was put last (milliseconds since 1970), and by whom, where that is known."""
        return self._rule_changes[rule_id]

    @property
    def rules(self) -> Mapping[str, Rule]:
        """The rules by id, in the order in which they were first put."""
        return self._rules

    def changed_since(self, version: int) -> set[int] | None:
        """The rows that have changed after ``version``, in more than whether they may be shown now.

        None where that is too long ago to say.
        """
        count = self.version - version
        if not 0 <= count <= len(self._journal):
            return None
        return {self._journal[-at] for at in range(1, count + 1)} - {-1}

    def scalar(self, name: str, kind: Scalar) -> int:
        """How many listed items have an attribute ``name`` that is a text, a number, or true or false."""
        return self._scalars[name, kind]

    def attribute_names(self) -> list[str]:
        """The attributes that some listed item has as a text, a number, or true or false, sorted."""
        return sorted({name for (name, _), count in self._scalars.items() if count > 0})

    def pack(self) -> Packed:
        """Everything, as arrays. The columns are left out: they follow from the items."""
        items = [[row, _fields(item)] for row, item in self.listed_items()]
        rules = [[rule.fields(), *self._rule_changes[name]] for name, rule in self._rules.items()]
        return {
            "items": pack_json(items),
            "meta": pack_json([len(self._items), self.version, self.active_version]),
            "rules": pack_json([self.rules_version, rules]),
        }

    def unpack(self, arrays: Packed) -> None:
        """Take over what ``pack`` gave."""
        rows, version, self.active_version = unpack_json(arrays["meta"])
        self.grow(rows)
        for row, values in unpack_json(arrays["items"]):
            categories = tuple(values.pop("categories", ()))
            change = ItemChange(self._vocabulary.name(row), "put", {**values, "categories": categories})
            self.change(row, change)
        self.version = version
        self._journal.clear()  # its rows were counted from another version
        self.rules_version, rules = unpack_json(arrays["rules"])
        self._rules = {fields["id"]: stored_rule(fields) for fields, _, _ in rules}
        self._rule_changes = {fields["id"]: (time, by) for fields, time, by in rules}

    def get(self, item_id: str) -> Item | None:
        """The listed item with that id."""
        row = self._vocabulary.row(item_id)
        return self.item(row) if row >= 0 else None

    def item(self, row: int) -> Item | None:
        """The listed item at ``row``."""
        return self._items[row]

    def listed_items(self) -> list[tuple[int, Item]]:
        """Every listed item with its row, in row order."""
        return [(row, item) for row, item in enumerate(self._items) if item is not None]

    @property
    def listed(self) -> BoolArray:
        """(items,) whether the row is in the catalogue."""
        return self._listed.values

    @property
    def in_stock(self) -> BoolArray:
        """(items,) whether it can be sold now."""
        return self._in_stock.values

    @property
    def price(self) -> FloatArray:
        """(items,) what it costs now, the sale price where there is one; NaN without a price."""
        return self._price.values

    @property
    def kinds(self) -> IntArray:
        """(items,) index into KINDS."""
        return self._kind.values

    @property
    def available_from(self) -> TimeArray:
        """(items,) milliseconds since 1970; 0 without."""
        return self._available_from.values

    @property
    def expires(self) -> TimeArray:
        """(items,) milliseconds since 1970; the largest number without."""
        return self._expires.values

    @property
    def groups(self) -> IntArray:
        """(items,) the number of the item's group; -1 without."""
        return self._group.values


_FIELDS = {field.name: field.default for field in fields(Item) if field.name != "item_id"}


def _fields(item: Item) -> dict[str, object]:
    """The fields of ``item`` that are set, without its id."""
    values = {name: getattr(item, name) for name in _FIELDS}
    return {name: value for name, value in values.items() if value != _FIELDS[name]}


def described(item: Item | None) -> Item | None:
    """``item`` without what only says whether it may be shown now."""
    return None if item is None else replace(item, in_stock=True, available_from=None, expires=None)


def scalar_kind(value: object) -> Scalar | None:
    """What ``value`` can be compared as; None for nothing, lists and objects."""
    if isinstance(value, bool):
        return "flag"
    if isinstance(value, str):
        return "text"
    return "number" if isinstance(value, (int, float)) else None


def _scalars(item: Item | None) -> list[tuple[str, Scalar]]:
    found = () if item is None else item.attributes.items()
    kinds = ((name, scalar_kind(value)) for name, value in found)
    return [(name, kind) for name, kind in kinds if kind is not None]

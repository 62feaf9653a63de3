"""A SQL condition over the catalogue's columns: checked word by word, evaluated by Polars, renewed item by item.

Whether a condition is true for an item depends on that item alone. An attribute is compared as text, as a
number, or as true or false, whichever the condition can be read with (the most frequent in the catalogue
first); an item that has it as something else counts as not having it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, product

import numpy as np
import polars as pl
from polars.exceptions import PanicException, PolarsError

from endcap.catalog.items import Item
from endcap.catalog.rules import MAX_WHERE_LENGTH
from endcap.errors import InvalidFieldError
from endcap.state.shop import Scalar, ShopState, scalar_kind
from endcap.types import BoolArray

MAX_TYPINGS = 243
"""Ways to read the attributes of one condition that are tried: all of them for five attributes."""

_Type = pl.DataType | type[pl.DataType]
_COLUMNS: dict[str, _Type] = {
    "item_id": pl.String,
    "title": pl.String,
    "kind": pl.String,
    "brand": pl.String,
    "categories": pl.List(pl.String),
    "category": pl.String,
    "price": pl.Float64,
    "sale_price": pl.Float64,
    "currency": pl.String,
    "group_id": pl.String,
    "about": pl.String,
}
_SCALARS: dict[Scalar, _Type] = {"text": pl.String, "number": pl.Float64, "flag": pl.Boolean}
_SAMPLES: dict[_Type, object] = {pl.String: "a", pl.Float64: 1.0, pl.Boolean: True, pl.List(pl.String): ["a"]}
"""A value of each type, to try a condition on."""

_SQL = "and or not in is null like ilike between true false case when then else end distinct from"
_WORDS = frozenset(_SQL.split())
_CALLS = (
    "lower upper length trim ltrim rtrim left right substr starts_with ends_with strpos array_contains "
    "abs round floor ceil coalesce nullif greatest least"
)
_FUNCTIONS = frozenset(_CALLS.split())
"""Each gives one value for each item, no longer than what it was given."""
_TOKEN = re.compile(
    r"(?P<space>\s+)|(?P<text>'(?:[^']|'')*')|(?P<name>\"(?:[^\"]|\"\")+\")|(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)"
    r"|(?P<word>[^\W\d]\w*)|(?P<sign><>|!=|<=|>=|[=<>(),+\-*/%])"
)
_PATTERN = re.compile(r"\^.*\$|.*\*.*", re.DOTALL)
"""Names that Polars takes for a pattern of names."""
_PREFIX = "SELECT * FROM items WHERE\n"
_PLACE = re.compile(r"^(?:sql parser error: )?(.*?)(?: at Line: (\d+), Column: (\d+))?$", re.DOTALL)
_HIDDEN = "\x00"
"""The column of the answers: no attribute can be called that and be named in a condition."""

_Types = tuple[tuple[str, _Type], ...]
"""How the columns of a condition are read."""
_FAILURES = (PolarsError, PanicException, ValueError, TypeError)
Columns = dict[tuple[str, _Type], pl.Series]
"""What was read of the items, by name and type."""


class Condition:
    """One condition, with the items that it is true for as of ``version`` of the catalogue."""

    def __init__(self, text: str, shop: ShopState, strict: bool = True) -> None:
        """Raises InvalidFieldError, with the position, for what is not such a condition or names no column.

        With ``strict`` off that is a ``problem``, and a name of no column is an attribute that no item has now.
        """
        self.text = text
        self.version = -1
        self.types: _Types = ()
        self.problem: str | None = None
        """Why it is true for nothing: the catalogue has changed so that it cannot be read any more."""
        self._ways: list[list[_Type]] | None = None
        self._matches: BoolArray = np.zeros(0, np.bool_)
        self.names: tuple[str, ...] = ()
        self.expression = pl.lit(False)
        try:
            self.names = tuple(dict.fromkeys(_names(text, shop, strict)))
            self.expression = _parsed(text, shop)
        except InvalidFieldError as error:
            if strict:
                raise
            self.problem, self.names, self._ways = str(error), (), []  # no way to read it will be looked for
            return
        self.retype(shop)
        if self.problem is not None and strict:
            raise InvalidFieldError("where", self.problem)

    @property
    def matches(self) -> BoolArray:
        """(items,) where it is true, as of ``version``."""
        return self._matches

    def holds(self, item: Item) -> bool:
        """Whether it is true for ``item``, looked at by itself."""
        return bool(evaluate([self], [item], {})[0][0])

    def is_known(self, shop: ShopState) -> bool:
        """Whether every name in it is a column still."""
        return all(_is_column(name, shop) for name in self.names)

    def retype(self, shop: ShopState) -> None:
        """Choose how the attributes are read. Another way than before means that nothing is known any more."""
        ways = _ways(self.names, shop)
        if ways == self._ways:
            return
        self._ways, before = ways, (self.types, self.problem)
        for kinds in islice(product(*ways), MAX_TYPINGS):
            types = tuple(zip(self.names, kinds, strict=True))
            found = _tried(self.expression, types)
            if not isinstance(found, str):
                self.types, self.problem = types, None
                break
            reason = found
        else:
            self.problem = _message(self.text, reason, None, shop)
        if before != (self.types, self.problem):
            self.version = -1

    def amend(self, shop: ShopState, rows: Sequence[int], values: BoolArray) -> None:
        """Take over the ``values`` at ``rows``, and room for rows that are new. Without a version all else is false.

        ``matches`` stays the same array where nothing changes.
        """
        known, size = self.version >= 0, shop.listed.size
        self.version = shop.version
        if known and size == self._matches.size and (self._matches[list(rows)] == values).all():
            return
        matches = np.zeros(size, np.bool_)
        if known:
            matches[: self._matches.size] = self._matches
        matches[list(rows)] = values
        self._matches = matches


def bring_up_to_date(conditions: Iterable[Condition], shop: ShopState, columns: Columns) -> None:
    """Make every condition true for the catalogue as it is. What has changed is looked at alone where possible.

    ``columns`` is for one ``shop.version``: empty when that has changed.
    """
    behind: dict[int, list[Condition]] = {}
    for condition in conditions:
        if condition.version == shop.version and condition.matches.size == shop.listed.size:
            continue
        if condition.version != shop.version:
            condition.retype(shop)
        behind.setdefault(condition.version, []).append(condition)
    for version, group in behind.items():
        changed = None if version < 0 else shop.changed_since(version)
        if changed is None:
            for condition in group:
                condition.version = -1
            _amend(group, shop, [row for row, _ in shop.listed_items()], columns)
        else:
            _amend(group, shop, sorted(changed), {})


def _amend(group: Sequence[Condition], shop: ShopState, rows: Sequence[int], columns: Columns) -> None:
    """Evaluate the conditions of ``group`` at ``rows``."""
    items = {at: item for at, row in enumerate(rows) if (item := shop.item(row)) is not None}
    values = np.zeros(len(rows), np.bool_)
    for condition, answer in zip(group, evaluate(group, list(items.values()), columns), strict=True):
        values[list(items)] = answer
        condition.amend(shop, rows, values)


def evaluate(conditions: Sequence[Condition], items: Sequence[Item], columns: Columns) -> list[BoolArray]:
    """For each condition, (items,) whether it is true. ``columns`` is filled with what was read of ``items``."""
    answers = [np.zeros(len(items), np.bool_) for _ in conditions]
    batch: list[int] = []
    types: dict[str, _Type] = {}
    for at, condition in enumerate(conditions if items else ()):
        if condition.problem is not None:
            continue
        wanted = dict(condition.types)
        if any(types.get(name, kind) != kind for name, kind in wanted.items()):
            answers[at] = _evaluated([condition], items, wanted, columns)[0]
        else:
            types |= wanted
            batch.append(at)
    if batch:
        found = _evaluated([conditions[at] for at in batch], items, types, columns)
        for at, answer in zip(batch, found, strict=True):
            answers[at] = answer
    return answers


def _evaluated(
    conditions: Sequence[Condition], items: Sequence[Item], types: dict[str, _Type], columns: Columns
) -> list[BoolArray]:
    for name, kind in types.items():
        if (name, kind) not in columns:
            columns[name, kind] = _column(name, kind, items)
    frame = pl.DataFrame([pl.repeat(None, len(items), dtype=pl.Null, eager=True).alias(_HIDDEN)]).with_columns(
        [columns[name, kind].alias(name) for name, kind in types.items()]
    )
    marks = [condition.expression.fill_null(False).alias(f"{_HIDDEN}{at}") for at, condition in enumerate(conditions)]
    try:
        table = frame.with_columns(marks)
    except _FAILURES:
        if len(conditions) > 1:  # one of them: the others must not suffer for it
            return [_evaluated([condition], items, types, columns)[0] for condition in conditions]
        conditions[0].problem = f"where is {conditions[0].text!r}: it cannot be evaluated; put the rule in other words"
        return [np.zeros(len(items), np.bool_)]
    return [table[f"{_HIDDEN}{at}"].to_numpy() for at in range(len(conditions))]


def _column(name: str, kind: _Type, items: Sequence[Item]) -> pl.Series:
    if name == "categories":
        return pl.Series(name, [list(item.categories) for item in items], kind)
    if name == "category":
        return pl.Series(name, [item.categories[0] if item.categories else None for item in items], kind)
    if name in _COLUMNS:
        return pl.Series(name, [getattr(item, name) for item in items], kind)
    wanted = next(scalar for scalar, its in _SCALARS.items() if its == kind)
    values = (item.attributes.get(name) for item in items)
    fitting = [value if scalar_kind(value) == wanted else None for value in values]
    return pl.Series(name, fitting, kind, strict=False)


def _ways(names: Sequence[str], shop: ShopState) -> list[list[_Type]]:
    """For each column the types that it may be read as, the one that fits most items first.

    Truth values come last of those that some item has: ``size >= 2`` can be asked of them too, and would mean nothing.
    """
    ways: list[list[_Type]] = []
    for name in names:
        if name in _COLUMNS:
            ways.append([_COLUMNS[name]])
        else:
            counts = {kind: shop.scalar(name, scalar) for scalar, kind in _SCALARS.items()}
            ways.append(sorted(counts, key=lambda kind: (counts[kind] == 0, kind == pl.Boolean, -counts[kind])))
    return ways


def _tried(expression: pl.Expr, types: _Types) -> str | None:
    """Why the condition cannot be read so; None if it can."""
    frame = pl.DataFrame([pl.Series(name, [None, _SAMPLES[kind]], kind) for name, kind in types] or {_HIDDEN: [None]})
    try:
        mark = frame.with_columns(expression.alias(_HIDDEN))[_HIDDEN]
    except _FAILURES as error:
        return str(error).strip().splitlines()[0]
    return None if mark.dtype == pl.Boolean else f"it gives {mark.dtype}, not true or false"


def _parsed(text: str, shop: ShopState) -> pl.Expr:
    try:
        # The whole statement first: its errors say where, and it takes no alias for a condition.
        pl.SQLContext(items=pl.LazyFrame({_HIDDEN: [0]}), eager=False).execute(_PREFIX + text)
        return pl.sql_expr(text)
    except _FAILURES as error:
        found = _PLACE.match(str(error).strip())
        reason, line, column = found.groups() if found else (str(error), None, None)
        if line is None or column is None:
            place = len(text) if "EOF" in reason else None
        else:
            lines = text.split("\n")
            place = sum(len(one) + 1 for one in lines[: int(line) - 2]) + int(column) - 1
        raise InvalidFieldError("where", _message(text, reason.splitlines()[0], place, shop)) from error


def _names(text: str, shop: ShopState, strict: bool) -> Iterator[str]:
    """The columns that are named. Raises InvalidFieldError at the first word or sign that a condition may not have."""
    if len(text) > MAX_WHERE_LENGTH:
        raise InvalidFieldError("where", f"where has {len(text)} characters: at most {MAX_WHERE_LENGTH} are read")
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise InvalidFieldError("where", _message(text, f"{text[at : at + 20]!r} is not expected", at, shop))
        name = _named(found, text, shop, strict)
        if name is not None:
            yield name
        at = found.end()


def _named(found: re.Match[str], text: str, shop: ShopState, strict: bool) -> str | None:
    kind, word = found.lastgroup, found[0]
    if kind not in ("name", "word"):
        return None
    called = text[found.end() :].lstrip().startswith("(")
    if kind == "word" and word.lower() in (_FUNCTIONS if called and word.lower() not in _WORDS else _WORDS):
        return None
    name = word[1:-1].replace('""', '"') if kind == "name" else word
    if called:
        reason = f"there is no function {name!r:.80} (there are {', '.join(sorted(_FUNCTIONS))})"
    elif _is_column(name, shop) or (not strict and not _PATTERN.fullmatch(name)):
        return name
    else:
        reason = f"there is no column {name!r:.80}"
    raise InvalidFieldError("where", _message(text, reason, found.start(), shop))


def _is_column(name: str, shop: ShopState) -> bool:
    known = name in _COLUMNS or any(shop.scalar(name, one) > 0 for one in _SCALARS)
    return known and not _PATTERN.fullmatch(name)


def _message(text: str, reason: str, place: int | None, shop: ShopState) -> str:
    columns = ", ".join([*_COLUMNS, *(name for name in shop.attribute_names() if name not in _COLUMNS)])
    where = "" if place is None else f" at character {place + 1}"
    return f"where is {text!r}: {reason}{where}; it must be a SQL condition over {columns}"

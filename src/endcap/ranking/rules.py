"""What may be shown: standing rules and the caller's ``where``, as masks over catalogue columns.

The one place that hides an item. A mask is computed once a catalogue version, and again when an item's
availability begins or ends; a request reads it.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from endcap.catalog.items import KINDS, Item
from endcap.errors import InvalidFieldError
from endcap.state.shop import NEVER, ShopState
from endcap.types import BoolArray

MAX_WHERE_LENGTH = 2_000
MAX_MASKS = 256
"""Different ``where`` expressions whose masks are kept."""

_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "item_id": pl.String,
    "title": pl.String,
    "kind": pl.String,
    "brand": pl.String,
    "categories": pl.List(pl.String),
    "price": pl.Float64,
    "sale_price": pl.Float64,
    "currency": pl.String,
    "group_id": pl.String,
    "about": pl.String,
}


class Visibility:
    """Which items may be shown now: listed, in stock, already available, not expired, of the kind asked for."""

    def __init__(self, shop: ShopState) -> None:
        self._shop = shop
        self._version = -1
        self._valid_from = 0
        self._valid_until = 0
        self._masks: dict[str | None, BoolArray] = {}
        self._where: OrderedDict[str, BoolArray] = OrderedDict()
        self._frame: pl.DataFrame | None = None

    def mask(self, now: int, kind: str | None = None, where: str | None = None) -> BoolArray:
        """(items,) True where the item may be shown at ``now`` (milliseconds since 1970).

        ``where`` is a SQL boolean expression over the catalogue's columns. Raises InvalidFieldError for an
        expression that cannot be read or that names a column which is not there.
        """
        if self._version != self._shop.version:
            self._forget()
        if not self._valid_from <= now < self._valid_until or self._size() != self._shop.listed.size:
            self._renew(now)
        mask = self._masks.get(kind)
        if mask is None:
            mask = self._masks[kind] = self._masks[None] & (self._shop.kinds == KINDS.index(str(kind)))
        return mask if where is None else mask & self._matching(where)

    def _size(self) -> int:
        return self._masks[None].size if self._masks else -1

    def _forget(self) -> None:
        self._version = self._shop.version
        self._valid_until = 0  # whatever else was derived is renewed with the masks
        self._frame = None

    def _renew(self, now: int) -> None:
        shop = self._shop
        begun, ended = shop.available_from <= now, shop.expires <= now
        self._masks = {None: shop.listed & shop.in_stock & begun & ~ended}
        self._where.clear()  # rows that only events have named may have been added
        self._valid_from = int(max(shop.available_from[begun].max(initial=0), shop.expires[ended].max(initial=0)))
        self._valid_until = int(
            min(shop.available_from[~begun].min(initial=NEVER), shop.expires[~ended].min(initial=NEVER))
        )

    def _matching(self, where: str) -> BoolArray:
        mask = self._where.get(where)
        if mask is None:
            mask = self._evaluate(where)
            self._where[where] = mask
            if len(self._where) > MAX_MASKS:
                self._where.popitem(last=False)
        return mask

    def _evaluate(self, where: str) -> BoolArray:
        if len(where) > MAX_WHERE_LENGTH:
            raise InvalidFieldError("where", f"where has {len(where)} characters: at most {MAX_WHERE_LENGTH} are read")
        if self._frame is None:
            self._frame = _frame(self._shop.listed_items())
        frame = self._frame
        try:
            rows = frame.filter(pl.sql_expr(where))["row"].to_numpy()
        except (PolarsError, ValueError, TypeError) as error:
            reason = str(error).strip().splitlines()[0]
            columns = ", ".join(name for name in frame.columns if name != "row")
            raise InvalidFieldError(
                "where", f"where is {where!r}: {reason}; it must be a SQL condition over {columns}"
            ) from error
        mask = np.zeros(self._shop.listed.size, np.bool_)
        mask[rows] = True
        return mask


def _frame(items: list[tuple[int, Item]]) -> pl.DataFrame:
    """The listed items as a table; scalar attributes are columns of their own name."""
    columns: dict[str, pl.Series] = {"row": pl.Series("row", [row for row, _ in items], pl.Int64)}
    for name, kind in _COLUMNS.items():
        values = [list(item.categories) if name == "categories" else getattr(item, name) for _, item in items]
        columns[name] = pl.Series(name, values, kind)
    for name in sorted({key for _, item in items for key in item.attributes} - columns.keys()):
        values = [item.attributes.get(name) for _, item in items]
        if all(isinstance(value, (str, int, float, bool, type(None))) for value in values):
            columns[name] = pl.Series(name, values, strict=False)
    return pl.DataFrame(columns)

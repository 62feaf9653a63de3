"""Endcap inside a Python program: ``endcap.open(home)`` without a server. Frames in, frames out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import polars as pl
from polars.exceptions import PolarsError

from endcap import wiring
from endcap.catalog.items import parse_change
from endcap.checks import parse_id
from endcap.config import load_config
from endcap.errors import DataError, InvalidFieldError
from endcap.events.log import Body, entries, to_record
from endcap.events.schema import parse_event
from endcap.models.persistence import Manifest
from endcap.serving.engine import Request

BATCH = 10_000

T = TypeVar("T")


class Shop:
    """One home folder, opened in this process. Close it, or use it in a ``with``; one thread at a time."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._config = load_config(home / "config.toml")
        self._log = wiring.open_log(home)
        try:
            self._engine, _ = wiring.open_engine(home, self._config, self._log)
        except BaseException:
            self._log.close()
            raise

    def add_items(self, frame: Any) -> int:
        """Take in items: polars, pandas (needs pyarrow), any Arrow table, or a list of dicts. How many were stored.

        Raises InvalidFieldError for the first row that is wrong, with its number from 0, and DataError for what is no
        table; then none of them is stored.
        """
        return self._append(_checked(_rows(frame), partial(parse_change, "put")))

    def add_events(self, frame: Any) -> int:
        """Take in events, in the order of the rows. How many were new.

        A ``quantity`` or ``price`` column belongs to the row's ``item_id``. Raises as ``add_items`` does.
        """
        now = wiring.clock()
        return self._append(_checked(_rows(frame), lambda row: parse_event(_with_line(row), now)))

    def train(self, seed: int | None = None) -> Manifest:
        """Learn from all that was added, and serve it. Raises DataError without events."""
        chosen = self._config.train.seed if seed is None else seed
        manifest = wiring.train(self._home, self._config, chosen, wiring.clock(), lambda done, total: None)  # noqa: ARG005
        self._engine, _ = wiring.open_engine(self._home, self._config, self._log)
        return manifest

    def recommend(
        self,
        recipe: str = "for-you",
        *,
        user_id: str | int | None = None,
        item_ids: str | int | Sequence[str | int] = (),
        **asked: Any,
    ) -> pl.DataFrame:
        """One list: item_id, score, rank (from 1), reason. ``asked``: the other fields of a Request, such as ``k``."""
        about = [item_ids] if isinstance(item_ids, (str, int)) else item_ids
        request = Request(
            recipe,
            user_id=None if user_id is None else parse_id("user_id", user_id),
            item_ids=tuple(parse_id("item_ids", one) for one in about),
            **asked,
        )
        items = self._engine.recommend(request, wiring.clock()).items
        columns = {
            "item_id": [item.item_id for item in items],
            "score": [item.score for item in items],
            "rank": list(range(1, len(items) + 1)),
            "reason": [item.reason for item in items],
        }
        schema = {"item_id": pl.String, "score": pl.Float64, "rank": pl.Int64, "reason": pl.String}
        return pl.DataFrame(columns, schema=schema)

    def close(self) -> None:
        """Give the home back. Closing twice is harmless."""
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _append(self, bodies: Sequence[Body]) -> int:
        now, stored = wiring.clock(), 0
        for start in range(0, len(bodies), BATCH):
            batch = [to_record(body, now) for body in bodies[start : start + BATCH]]
            stored += sum(offset is not None for offset in self._log.append(batch))
        for entry in entries(self._log, self._engine.state.offset):
            self._engine.apply(entry)
        if self._engine.state.outdated:  # somebody was erased beside it
            self._engine, _ = wiring.open_engine(self._home, self._config, self._log)
        contents = self._engine.contents
        while contents.waiting:
            rows, texts = contents.take(BATCH)
            contents.put(rows, contents.encode(texts))
        return stored


def _rows(frame: Any) -> list[dict[str, object]]:
    """The rows of any table as mappings, in JSON's words; empty cells are left out."""
    rows: Sequence[Mapping[str, object]]
    if isinstance(frame, (list, tuple)) and all(isinstance(row, Mapping) for row in frame):
        rows = frame  # a frame would drop what only later rows have
    else:
        try:
            rows = (frame if isinstance(frame, pl.DataFrame) else pl.DataFrame(frame)).to_dicts()
        except (TypeError, ValueError, ImportError, PolarsError) as error:
            name = type(frame).__name__
            raise DataError(f"a {name} is no table ({error}): give polars, pandas or an Arrow table") from error
    return [{name: _plain(value) for name, value in row.items() if value is not None} for row in rows]


def _plain(value: object) -> object:
    """``value`` as JSON has it: a moment (UTC where it has no zone) or a date as RFC 3339, a decimal as a number.

    Of a struct the empty cells are left out: a column of structs has the fields of all its rows in every one.
    """
    if isinstance(value, date):  # a datetime is one
        return value.isoformat()
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items() if part is not None}
    return float(value) if isinstance(value, Decimal) else value


def _checked(rows: Sequence[Mapping[str, object]], parse: Callable[[Mapping[str, object]], T]) -> list[T]:
    bodies = []
    for number, row in enumerate(rows):
        try:
            bodies.append(parse(row))
        except InvalidFieldError as error:
            raise InvalidFieldError(error.field, f"row {number}: {error}") from error
    return bodies


def _with_line(row: Mapping[str, object]) -> Mapping[str, object]:
    """A flat row with a quantity or a price as an event with one line."""
    line = {name: row[name] for name in ("item_id", "quantity", "price") if name in row}
    if "item_id" not in line or len(line) == 1 or "items" in row:
        return row
    return {name: value for name, value in row.items() if name not in line} | {"items": [line]}

"""Endcap inside a Python program: ``endcap.open(home)`` without a server. Frames in, frames out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import polars as pl

from endcap import wiring
from endcap.catalog.items import parse_change
from endcap.config import load_config
from endcap.errors import DataError
from endcap.events.log import Body, entries, to_record
from endcap.events.schema import parse_event
from endcap.models.persistence import Manifest
from endcap.serving.engine import Request

BATCH = 10_000


class Shop:
    """One home folder, opened in this process. Close it, or use it in a ``with``; one thread at a time."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._config = load_config(home / "config.toml")
        self._log = wiring.open_log(home)
        self._engine, _ = wiring.open_engine(home, self._config, self._log)

    def add_items(self, frame: Any) -> int:
        """Take in items: polars, pandas or any Arrow table with the columns of an item. How many were new or changed.

        Raises InvalidFieldError for the first row that is wrong; then none of them is stored.
        """
        return self._append([parse_change("put", row) for row in _rows(frame)])

    def add_events(self, frame: Any) -> int:
        """Take in events, in the order of the rows. How many were new.

        Raises InvalidFieldError for the first row that is wrong; then none of them is stored.
        """
        now = wiring.clock()
        return self._append([parse_event(_with_line(row), now) for row in _rows(frame)])

    def train(self, seed: int | None = None) -> Manifest:
        """Learn from all that was added, and serve it. Raises DataError without events."""
        chosen = self._config.train.seed if seed is None else seed
        manifest = wiring.train(self._home, self._config, chosen, wiring.clock(), lambda done, total: None)  # noqa: ARG005
        self._engine, _ = wiring.open_engine(self._home, self._config, self._log)
        return manifest

    def recommend(
        self, recipe: str = "for-you", *, user_id: str | None = None, item_ids: Sequence[str] = (), **asked: Any
    ) -> pl.DataFrame:
        """One list: item_id, score, rank (from 1), reason. ``asked``: the other fields of a Request, such as ``k``."""
        request = Request(recipe, user_id=user_id, item_ids=tuple(item_ids), **asked)
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
        contents = self._engine.contents
        while contents.waiting:
            rows, texts = contents.take(BATCH)
            contents.put(rows, contents.encode(texts))
        return stored


def _rows(frame: Any) -> list[dict[str, object]]:
    """The rows of any table as mappings; empty cells are left out."""
    try:
        table = frame if isinstance(frame, pl.DataFrame) else pl.DataFrame(frame)
    except (TypeError, ValueError) as error:
        raise DataError(f"a {type(frame).__name__} is no table: give polars, pandas or an Arrow table") from error
    return [{name: value for name, value in row.items() if value is not None} for row in table.to_dicts()]


def _with_line(row: Mapping[str, object]) -> dict[str, object]:
    """A flat row with a quantity or a price as an event with one line."""
    fields = dict(row)
    line = {name: fields.pop(name) for name in ("quantity", "price") if name in fields}
    if line and "item_id" in fields:
        fields["items"] = [{"item_id": fields.pop("item_id"), **line}]
    return fields

"""The files of an evaluation: interactions, sessions and prefixes in, predictions out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from endcap.errors import DataError
from endcap.evaluation.offline import Table
from endcap.evaluation.problems import STEP_MS, Prefixes, Touches
from endcap.pipelines.sources import open_source
from endcap.types import Vocabulary

_LINES = (".jsonl", ".ndjson")


@dataclass(frozen=True, slots=True)
class IdTypes:
    """What the ids were in the file, so that predictions can be joined with it."""

    user: pl.DataType
    item: pl.DataType


def read_table(path: Path) -> pl.DataFrame:
    """The whole file: ``.parquet``, ``.jsonl``, ``.tsv``, else CSV.

    Raises DataError for a file that is missing, empty, packed or broken.
    """
    open_source(path)
    suffix = path.suffix.lower()
    try:
        if suffix in (".parquet", ".pq"):
            return pl.read_parquet(path)
        if suffix in _LINES:
            return pl.read_ndjson(path, infer_schema_length=None)
        return pl.read_csv(path, separator="\t" if suffix == ".tsv" else ",", infer_schema_length=None)
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({_first_line(error)}): mend it or write it again") from error


def read_touches(path: Path) -> tuple[Touches, IdTypes]:
    """Columns ``user_id``, ``item_id`` and ``time`` or ``pos``: rows in the order of time, ties as in the file.

    ``time`` is RFC 3339, a date, or whole milliseconds since 1970; where only ``pos`` is given, the place within the
    user's own order, there is an order but no clock. Raises DataError.
    """
    frame = read_table(path)
    _need(path, frame, "user_id", "item_id")
    has_clock = "time" in frame.columns
    if not has_clock and "pos" not in frame.columns:
        raise DataError(f"{path} has neither time nor pos among its columns {_names(frame)}: one of them is needed")
    order = ["time", "pos"] if has_clock and "pos" in frame.columns else ["time" if has_clock else "pos"]
    used = frame.select("user_id", "item_id", *order)
    _no_gaps(path, used)
    if has_clock:
        used = used.with_columns(_moments(path, used["time"])).sort(order, maintain_order=True)
    else:
        place = pl.int_range(pl.len()).over("user_id") * STEP_MS
        used = used.sort("pos", maintain_order=True).with_columns(place.alias("time")).sort("time", maintain_order=True)
    touches = Touches(_ids(used["user_id"]), _ids(used["item_id"]), used["time"].to_numpy().astype(np.int64), has_clock)
    return touches, IdTypes(frame.schema["user_id"], frame.schema["item_id"])


def read_sessions(path: Path) -> tuple[list[list[str]], IdTypes]:
    """Column ``session``: the item ids of a session, oldest first; sessions in the order of time."""
    frame = read_table(path)
    _need(path, frame, "session")
    lists = _lists(path, frame["session"])
    kind = lists.dtype.inner if isinstance(lists.dtype, pl.List) else pl.String()
    return lists.cast(pl.List(pl.String)).to_list(), IdTypes(
        pl.Int64(), pl.Int64() if kind.is_integer() else pl.String()
    )


def read_prefixes(path: Path) -> Prefixes:
    """Columns ``prefix``, the item ids of the beginning of a session, and ``target``, what came next."""
    frame = read_table(path)
    _need(path, frame, "prefix", "target")
    _no_gaps(path, frame.select("prefix", "target"))
    prefixes = _lists(path, frame["prefix"]).cast(pl.List(pl.String)).to_list()
    return Prefixes(prefixes, _ids(frame["target"]))


def has_columns(path: Path, *names: str) -> bool:
    """Whether the file has all of ``names``."""
    return set(names) <= set(open_source(path).columns)


def write_predictions(path: Path, table: Table, people: Sequence[str], items: Vocabulary, ids: IdTypes) -> None:
    """One row for each place of each list: ``user_id, item_id, rank`` (from 1), ``score``, ``model``.

    The ids have the type that they had in the data. ``.parquet``, ``.jsonl``, else CSV.
    """
    names = pl.Series(list(items), dtype=pl.String).cast(ids.item, strict=False)
    asking = pl.Series(list(people), dtype=pl.String).cast(ids.user, strict=False)
    frames = []
    for row in table.rows:
        case, place = np.nonzero(row.lists.items >= 0)
        columns = {
            "user_id": asking.gather(case),
            "item_id": names.gather(row.lists.items[case, place]),
            "rank": pl.Series(place + 1, dtype=pl.Int32),
            "score": pl.Series(row.lists.scores[case, place]),
        }
        frames.append(pl.DataFrame(columns).with_columns(model=pl.lit(row.model)))
    _write(path, pl.concat(frames))


def _write(path: Path, frame: pl.DataFrame) -> None:
    suffix = path.suffix.lower()
    try:
        if suffix in (".parquet", ".pq"):
            frame.write_parquet(path)
        elif suffix in _LINES:
            frame.write_ndjson(path)
        else:
            frame.write_csv(path)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({_first_line(error)}): name another place") from error


def _need(path: Path, frame: pl.DataFrame, *names: str) -> None:
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise DataError(f"{path} has no column {' and no column '.join(missing)}: it has {_names(frame)}")
    if not frame.height:
        raise DataError(f"{path} has no rows: there is nothing to evaluate")


def _names(frame: pl.DataFrame) -> str:
    return ", ".join(frame.columns)[:200]


def _no_gaps(path: Path, frame: pl.DataFrame) -> None:
    for name in frame.columns:
        gaps = frame[name].is_null()
        if gaps.any():
            raise DataError(
                f"{path}: {gaps.sum()} rows have no {name}, the first is row {gaps.arg_true()[0] + 1}: mend them"
            )


def _ids(column: pl.Series) -> list[str]:
    return column.cast(pl.String).to_list()


def _moments(path: Path, column: pl.Series) -> pl.Series:
    """``time`` as milliseconds since 1970."""
    try:
        if column.dtype == pl.String:
            column = column.str.to_datetime(time_zone="UTC", time_unit="ms")
        if column.dtype.is_temporal():
            return column.cast(pl.Datetime("ms")).dt.epoch("ms").alias("time")
        return column.cast(pl.Int64).alias("time")
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"{path}: time is not readable, such as {column[0]!r:.60}: give RFC 3339 or whole milliseconds since 1970"
        ) from error


def _lists(path: Path, column: pl.Series) -> pl.Series:
    """Lists as they are, or written as JSON in text, as a CSV must."""
    if isinstance(column.dtype, pl.List):
        return column
    try:
        values = [json.loads(text) for text in column]
        if all(isinstance(value, list) for value in values):
            return pl.Series(column.name, values, dtype=None if any(values) else pl.List(pl.String))
    except (TypeError, ValueError, pl.exceptions.PolarsError):
        pass  # said below, with the value
    raise DataError(f"{path}: {column.name} is {column[0]!r:.60}: it must be a list of item ids, such as [3, 17, 4]")


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:160]

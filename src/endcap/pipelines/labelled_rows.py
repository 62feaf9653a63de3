"""A labelled table: its rows with their labels, and which are learnt from, which validate and which test."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from hashlib import blake2b
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from endcap.errors import DataError, InvalidFieldError
from endcap.events.times import time_reader
from endcap.pipelines.report import RefusalCounter, Refused
from endcap.pipelines.rows import Refusal, Row, Source, column
from endcap.pipelines.sources import open_source
from endcap.types import FloatArray, IntArray, TimeArray

USER, ITEM, TIME = "user_id", "item_id", "time"
VALIDATION_SHARE = TEST_SHARE = 0.1
FEWEST = 20
"""Rows from which two tenths can be held out."""
WRONG_SHARE = 0.5
"""Of the rows with a label: where more are neither 0 nor 1, it is no label."""
How = Literal["auto", "hash", "time"]


@dataclass(frozen=True, slots=True)
class Columns:
    """What the columns of the table are; all others are features."""

    label: str
    user: str | None = None
    """None: ``user_id`` where there is one. The same of ``item`` and ``time``."""
    item: str | None = None
    time: str | None = None
    """Says which rows came later; no feature."""
    categorical: tuple[str, ...] = ()
    """Categories, also where they are written as numbers."""
    ignored: tuple[str, ...] = ()
    positive_from: float | None = None
    """Labels are numbers, and from this one on they count as 1."""


@dataclass(frozen=True, slots=True)
class LabelledRows:
    """n rows that can be learnt from."""

    frame: pl.DataFrame
    """(n, columns) ids and features, as text."""
    labels: FloatArray
    """(n,) 0 or 1."""
    times: TimeArray | None
    """(n,) milliseconds since 1970."""
    ids: tuple[str, ...]
    """The columns of ``frame`` that are ids: of the user, of the item, as far as there are any."""
    refused: tuple[Refused, ...] = field(default=())
    """What was not taken, by reason."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Row numbers, each part ascending."""

    training: IntArray
    validation: IntArray
    test: IntArray
    how: Literal["hash", "time"]


def read_labelled(path: Path, columns: Columns) -> LabelledRows:
    """The rows of ``path`` that have a label, ids and, where there is such a column, a time; the others are counted.

    Raises DataError for a file that cannot be read, a column that is not there, and labels that are none.
    """
    source = open_source(path)
    ids = tuple(name for name in (_column(source, columns.user, USER), _column(source, columns.item, ITEM)) if name)
    time = _column(source, columns.time, TIME)
    for name in (columns.label, *columns.categorical, *columns.ignored):
        _there(source, name)
    reader = _Reader(source, columns, ids, time)
    counter = RefusalCounter()
    for batch in source.batches():
        counter.add(path, batch.refused)
        counter.add(path, [refusal for row in batch.rows if (refusal := reader.take(row))])
    return reader.rows(counter)


def _column(source: Source, named: str | None, usual: str) -> str | None:
    if named is not None:
        _there(source, named)
        return named
    return usual if usual in source.columns else None


def _there(source: Source, name: str) -> None:
    if name not in source.columns:
        raise DataError(f"{source.path} has no column {name!r:.80}: it has {', '.join(source.columns)[:300]}")


class _Reader:
    """Gathers the rows of a source, column by column."""

    def __init__(self, source: Source, columns: Columns, ids: tuple[str, ...], time: str | None) -> None:
        self._path, self._columns, self._ids = source.path, columns, ids
        beside = {columns.label, time, *columns.ignored} - set(ids)
        self._names = [*ids, *(name for name in source.columns if name not in beside and name not in ids)]
        if not self._names:
            raise DataError(f"{source.path} has nothing but the label to learn from: add ids or features")
        self._places = [source.columns.index(name) for name in self._names]
        self._label = source.columns.index(columns.label)
        self._time = None if time is None else source.columns.index(time)
        self._read_time = None if self._time is None else time_reader(column(source, self._time))
        self._values: list[list[str | None]] = [[] for _ in self._names]
        self._labels: list[float] = []
        self._times: list[int] = []
        self._wrong: list[str] = []

    def take(self, row: Row) -> Refusal | None:
        """Keeps ``row``, or says why not."""
        try:
            label = self._label_of(_text(self._columns.label, row.values[self._label]))
            values = [_text(name, row.values[at]) for name, at in zip(self._names, self._places, strict=True)]
            for name, value in zip(self._ids, values, strict=False):
                if value is None:
                    raise InvalidFieldError(name, f"{name} is missing")
            if self._time is not None and self._read_time is not None:
                self._times.append(self._read_time(row.values[self._time]))
        except InvalidFieldError as error:
            return Refusal(row.line, error.field, str(error))
        self._labels.append(label)
        for gathered, value in zip(self._values, values, strict=True):
            gathered.append(value)
        return None

    def _label_of(self, text: str | None) -> float:
        name, least = self._columns.label, self._columns.positive_from
        if text is None:
            raise InvalidFieldError(name, f"{name} is missing")
        number = _WORDS.get(text.lower(), _number(text))
        if least is not None and not math.isnan(number):
            return float(number >= least)
        if number in (0.0, 1.0):
            return number
        self._wrong.append(text)
        wanted = "0 or 1" if least is None else "a number"
        raise InvalidFieldError(name, f"{name} is {text!r:.60}: it must be {wanted}")

    def rows(self, counter: RefusalCounter) -> LabelledRows:
        """Everything that was kept."""
        name = self._columns.label
        if len(self._wrong) > WRONG_SHARE * (len(self._wrong) + len(self._labels)):
            examples = ", ".join(dict.fromkeys(self._wrong[:100]))
            wanted = (
                "0 or 1; to count a number and all above it as 1, give --positive-from NUMBER"
                if self._columns.positive_from is None
                else "a number"
            )
            raise DataError(f"{self._path}: the label {name!r:.80} is {examples[:60]}: it must be {wanted}")
        frame = pl.DataFrame(
            dict(zip(self._names, self._values, strict=True)), schema=dict.fromkeys(self._names, pl.String)
        )
        times = None if self._time is None else np.array(self._times, np.int64)
        found = LabelledRows(frame, np.array(self._labels, np.float32), times, self._ids, counter.refused())
        _check(self._path, name, found)
        return found


_WORDS = {"true": 1.0, "false": 0.0}


def _text(name: str, value: object) -> str | None:
    """``value`` as the text of a category: 5.0 is 5; None for nothing, and for what is no number."""
    if value is None or isinstance(value, str):
        return (value.strip() or None) if value else None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    if isinstance(value, date):  # a datetime is one
        return value.isoformat()
    if isinstance(value, (list, tuple, dict)):
        raise InvalidFieldError(name, f"{name} holds a list or an object: leave the column out with --ignore {name}")
    return str(value)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _check(path: Path, label: str, rows: LabelledRows) -> None:
    n, ones = len(rows.labels), int(rows.labels.sum())
    why = f"; {rows.refused[0].rows} were refused, such as {rows.refused[0].examples[0]}" if rows.refused else ""
    if n < FEWEST:
        raise DataError(f"{path} has {n} rows that can be learnt from: {FEWEST} are needed, a tenth tests{why}")
    if ones in (0, n):
        raise DataError(f"{path}: {label} is {int(ones > 0)} in all {n:,} rows: there is nothing to tell apart{why}")


def split_rows(rows: LabelledRows, how: How = "auto", seed: int = 0) -> Parts:
    """Eight tenths are learnt from, one validates, one tests.

    By ``time`` the last tenth tests and the one before validates; rows of one moment stay together. By ``hash`` rows
    are drawn by ``seed``, what they say beside the label, and how often it was said before: the order of the file does
    not matter. ``auto``: by time where there are times. Raises DataError where a part would be empty or cannot teach.
    """
    if how == "time" and rows.times is None:
        raise DataError("a split by time needs a column of times: name it with --time, or give --split hash")
    by_time = how != "hash" and rows.times is not None
    part = _by_time(rows.times) if by_time and rows.times is not None else _by_hash(rows.frame, seed)
    found = [np.flatnonzero(part == number).astype(np.int32) for number in range(3)]
    names = ("learnt from", "that validate", "that test")
    for name, chosen in zip(names, found, strict=True):
        ones = int(rows.labels[chosen].sum())
        if not chosen.size or (name == names[0] and ones in (0, chosen.size)):
            other = "--split hash" if by_time else "another --seed, or more rows"
            what = f"all have the label {int(ones > 0)}" if chosen.size else "are none"
            raise DataError(f"the split by {'time' if by_time else 'hash'} fails, the rows {name} {what}: give {other}")
    return Parts(found[0], found[1], found[2], "time" if by_time else "hash")


def _by_time(times: TimeArray) -> NDArray[np.int8]:
    ordered = np.sort(times)
    n = len(times)
    first = [ordered[min(n - 1, round(n * (1 - share)))] for share in (VALIDATION_SHARE + TEST_SHARE, TEST_SHARE)]
    part: NDArray[np.int8] = (times >= first[0]).astype(np.int8) + (times >= first[1]).astype(np.int8)
    return part


def _by_hash(frame: pl.DataFrame, seed: int) -> NDArray[np.int8]:
    salt = seed.to_bytes(8, "little")

    before: Counter[str] = Counter()

    def draw(row: Sequence[str | None]) -> int:
        said = "\x1f".join(value or "" for value in row)
        before[said] += 1
        return int.from_bytes(blake2b(f"{said}\x1f{before[said]}".encode(), digest_size=8, salt=salt).digest())

    place = np.fromiter(map(draw, frame.iter_rows()), np.uint64, frame.height) / 2.0**64
    edges = 1 - VALIDATION_SHARE - TEST_SHARE, 1 - TEST_SHARE
    part: NDArray[np.int8] = (place >= edges[0]).astype(np.int8) + (place >= edges[1]).astype(np.int8)
    return part

"""What the readers of files give: rows, and the lines that they could not read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Protocol

BATCH_ROWS = 10_000


class Row(NamedTuple):
    """One row of a file."""

    line: int
    """From 1, the header included."""
    values: Sequence[object]
    """Beside the source's ``columns``; None or an empty text is nothing."""


class Refusal(NamedTuple):
    """A line that was not taken, and why."""

    line: int
    field: str
    """The field that is wrong, empty where the whole line is."""
    reason: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows in the order of the file, and what was refused among them."""

    rows: list[Row]
    refused: list[Refusal]
    done: int
    """How far the file is read, in the units of the source's ``size``."""


class Source(Protocol):
    """An open file of rows."""

    @property
    def path(self) -> Path: ...

    @property
    def columns(self) -> Sequence[str]:
        """The names of a row's values, as the file gives them."""
        ...

    @property
    def size(self) -> int:
        """What ``Batch.done`` counts up to."""
        ...

    def batches(self) -> Iterator[Batch]:
        """All rows from the start, a few thousand at a time."""
        ...


def column(source: Source, place: int) -> Iterator[object]:
    """The values at ``place`` of every row, from the start."""
    return (row.values[place] for batch in source.batches() for row in batch.rows)


def batched(rows: Iterator[Row | Refusal], done: Callable[[], int]) -> Iterator[Batch]:
    """``rows`` in batches; ``done`` says how far the file is read."""
    while some := list(islice(rows, BATCH_ROWS)):
        good = [row for row in some if isinstance(row, Row)]
        bad = [row for row in some if isinstance(row, Refusal)] if len(good) < len(some) else []
        yield Batch(good, bad, done())

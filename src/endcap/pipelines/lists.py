"""Lists for everybody into one file, a row an item: what a newsletter is filled from."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from endcap.errors import DataError
from endcap.types import Progress

FORMATS = (".parquet", ".csv", ".jsonl")
BATCH_ROWS = 50_000
"""Rows that memory holds, and a list more: about 10 MB."""
SCHEMA = {"user_id": pl.String, "item_id": pl.String, "rank": pl.Int32, "score": pl.Float64, "reason": pl.String}


class Row(NamedTuple):
    """One item of one user's list; ``rank`` counts from 1."""

    user_id: str
    item_id: str
    rank: int
    score: float
    reason: str


def check_format(path: Path) -> None:
    """Raises DataError for a file name whose ending names none of FORMATS."""
    if path.suffix.lower() not in FORMATS:
        raise DataError(f"{path} ends in none of {', '.join(FORMATS)}: name the format by the file's ending")


def write_lists(
    path: Path, users: Sequence[str], make: Callable[[str], Iterable[Row]], progress: Progress
) -> tuple[int, int]:
    """Write what ``make`` gives for each of ``users`` to ``path``, whole or not at all; users with a list, and rows.

    ``progress`` gets users done and users in all. Raises DataError for a format that is not known or a file that
    cannot be written.
    """
    check_format(path)
    counts = _Counts()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as work:
            part = Path(work) / "part"
            frames = _frames(users, make, progress, counts)
            if path.suffix.lower() == ".parquet":
                _write_parquet(part, frames, Path(work))
            else:
                _write_text(part, frames, path.suffix.lower())
            part.replace(path)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror or error}): name another place") from error
    return counts.users, counts.rows


class _Counts:
    users = 0
    rows = 0


def _frames(
    users: Sequence[str], make: Callable[[str], Iterable[Row]], progress: Progress, counts: _Counts
) -> Iterator[pl.DataFrame]:
    """The rows in batches; at least one, so that an empty file has its columns."""
    held: list[Row] = []
    for done, user in enumerate(users, 1):
        before = len(held)
        held += make(user)
        counts.users += len(held) > before
        counts.rows += len(held) - before
        progress(done, len(users))
        if len(held) >= BATCH_ROWS:
            yield pl.DataFrame(held, SCHEMA, orient="row")
            held = []
    if held or not counts.rows:
        yield pl.DataFrame(held, SCHEMA, orient="row")


def _write_parquet(part: Path, frames: Iterable[pl.DataFrame], work: Path) -> None:
    for number, frame in enumerate(frames):
        frame.write_parquet(work / f"{number:08d}.parquet")
    pl.scan_parquet(work / "*.parquet").sink_parquet(part)  # streams: memory holds a part of them


def _write_text(part: Path, frames: Iterable[pl.DataFrame], suffix: str) -> None:
    with part.open("wb") as file:
        for number, frame in enumerate(frames):
            if suffix == ".csv":
                frame.write_csv(file, include_header=number == 0)
            else:
                frame.write_ndjson(file)

"""Files of rows: opens CSV, JSON lines and Parquet, and gives their rows in batches within bounded memory.

A file that cannot be used at all raises DataError when it is opened, before anything of it is stored. A row that
cannot be read is refused alone, with its line and the reason, and the rows around it are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from endcap.errors import DataError
from endcap.events.dialects.registry import DIALECTS
from endcap.pipelines.delimited import open_csv
from endcap.pipelines.jsonlines import open_jsonl, open_messages
from endcap.pipelines.lines import check_text
from endcap.pipelines.rows import BATCH_ROWS, Batch, Row, Source

Format = Literal["auto", "csv", "jsonl", "parquet", "ga4", "segment", "retail"]
"""How a file is written. The last three are other systems' events, one JSON object a line."""

_BY_SUFFIX: dict[str, Literal["csv", "jsonl", "parquet"]] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_PACKED = {
    b"PK\x03\x04": "a zip archive or an Excel book",
    b"\x1f\x8b": "packed with gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
}


def open_source(path: Path, format: Format = "auto") -> Source:
    """The file at ``path``, ready to be read. By ``auto`` its content decides, then its name.

    Raises DataError for what is not a file, is empty, is packed, is of another encoding, or is broken.
    """
    head = _head(path)
    openers: dict[str, Callable[[Path], Source]] = {"csv": open_csv, "jsonl": open_jsonl, "parquet": ParquetSource}
    openers |= dict.fromkeys(DIALECTS, open_messages)
    found = _detect(path, head) if format == "auto" else format
    if found != "parquet":
        check_text(path)
    return openers[found](path)


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist: check the name") from error
    except IsADirectoryError as error:
        raise DataError(f"{path} is a folder: name the files in it, for example {path}/*.csv") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): check who may read it") from error
    if not head.strip():
        raise DataError(f"{path} is empty: there is nothing to import")
    for magic, what in _PACKED.items():
        if head.startswith(magic):
            raise DataError(f"{path} is {what}: unpack it, or save it as CSV, and import that")
    return head


def _detect(path: Path, head: bytes) -> Literal["csv", "jsonl", "parquet"]:
    if head.startswith(b"PAR1"):
        return "parquet"
    if path.suffix.lower() in _BY_SUFFIX:
        return _BY_SUFFIX[path.suffix.lower()]
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith((b"{", b"[")):
        return "jsonl"
    return "csv"


@dataclass(frozen=True, slots=True)
class _ParquetShape:
    columns: tuple[str, ...]
    rows: int


class ParquetSource:
    """A Parquet file, read row group by row group. Its lines are row numbers, from 1."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._shape = _parquet_shape(path)

    @property
    def columns(self) -> Sequence[str]:
        return self._shape.columns

    @property
    def size(self) -> int:
        return self._shape.rows

    def batches(self) -> Iterator[Batch]:
        done = 0
        while done < self.size:
            frame = self._read(pl.scan_parquet(self.path).slice(done, BATCH_ROWS))
            rows = [Row(number, values) for number, values in enumerate(frame.iter_rows(), done + 1)]
            done += frame.height
            yield Batch(rows, [], done)

    def _read(self, frame: pl.LazyFrame) -> pl.DataFrame:
        try:
            return frame.collect()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DataError(_broken_parquet(self.path, error)) from error


def _parquet_shape(path: Path) -> _ParquetShape:
    try:
        frame = pl.scan_parquet(path)
        columns = tuple(frame.collect_schema().names())
        rows = int(frame.select(pl.len()).collect().item())
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(_broken_parquet(path, error)) from error
    if rows == 0:
        raise DataError(f"{path} has no rows: there is nothing to import")
    return _ParquetShape(columns, rows)


def _broken_parquet(path: Path, error: Exception) -> str:
    first = str(error).splitlines()[0][:120]
    return f"{path} cannot be read as Parquet ({first}): it is broken or cut short; copy or write it again"

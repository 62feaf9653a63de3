"""CSV: rows by the rules of RFC 4180, each checked against the header, a stray quote mark costing one line."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from endcap.errors import DataError
from endcap.pipelines.lines import LineReader
from endcap.pipelines.rows import Batch, Refusal, Row, batched

_DELIMITERS = (",", ";", "\t", "|")
MAX_RECORD_LINES = 100
"""A quoted value may go over this many lines; after that its opening quote is taken for a mistake."""


Text = tuple[int, str] | Refusal


def open_csv(path: Path) -> CsvSource:
    """The CSV file at ``path``. Raises DataError for a header that cannot be used, or no rows."""
    first = next(iter(LineReader(path)), None)
    if first is None or isinstance(first, Refusal):
        why = f" ({first.reason})" if first else ""
        raise DataError(f"{path}: the first line must name the columns, and cannot be read{why}")
    delimiter = max(_DELIMITERS, key=first[1].count)
    columns = tuple(name.strip() for name in _split(first[1], delimiter))
    twice = [name for i, name in enumerate(columns) if name in columns[:i]]
    if twice:
        raise DataError(f"{path}: two columns are called {twice[0]!r}; give each its own name")
    source = CsvSource(path, columns, delimiter)
    if next(source.batches(), None) is None:
        raise DataError(f"{path} has a header and no rows: there is nothing to import")
    return source


class CsvSource:
    """A CSV file; ``size`` is in bytes."""

    def __init__(self, path: Path, columns: Sequence[str], delimiter: str) -> None:
        self.path = path
        self.columns = columns
        self.size = path.stat().st_size
        self._delimiter = delimiter

    def batches(self) -> Iterator[Batch]:
        lines = LineReader(self.path)
        return batched(self._rows(lines), lambda: lines.done)

    def _rows(self, lines: LineReader) -> Iterator[Row | Refusal]:
        waiting: deque[Text] = deque()
        coming = iter(lines)
        next(coming, None)  # the header
        width, delimiter = len(self.columns), self._delimiter
        while True:
            line = waiting.popleft() if waiting else next(coming, None)
            if line is None:
                return
            if isinstance(line, Refusal):
                yield line
                continue
            number, text = line
            if '"' not in text:
                values = text.split(delimiter)
            elif text.count('"') % 2 == 0 or not _opens(text, delimiter):
                values = _split(text, delimiter)
            else:
                values = self._over_lines(line, coming, waiting)
            yield Row(number, values) if len(values) == width else _ragged(number, len(values), width)

    def _over_lines(self, first: tuple[int, str], coming: Iterator[Text], waiting: deque[Text]) -> list[str]:
        """The values of a record whose quoted value goes on over the next lines; none if that does not work out.

        Then the lines that were looked at wait to be read by themselves, so that one stray quote costs one line.
        """
        taken: list[Text] = []
        whole = [first[1]]
        while len(taken) < MAX_RECORD_LINES:
            line = waiting.popleft() if waiting else next(coming, None)
            if line is None:
                break
            taken.append(line)
            if isinstance(line, Refusal):
                break
            whole.append(line[1])
            if line[1].count('"') % 2:
                values = _split("\n".join(whole), self._delimiter, strict=True)
                if len(values) == len(self.columns):
                    return values
                break
        waiting.extendleft(reversed(taken))
        return []


def _ragged(number: int, found: int, width: int) -> Refusal:
    if not found:
        return Refusal(number, "", "a quote mark opens a value that does not end: double it or take it out")
    return Refusal(number, "", f"the line has {found} values, the header has {width}: is a value quoted wrongly?")


def _opens(text: str, delimiter: str) -> bool:
    """Whether a value starts with a quote mark; elsewhere it is a character like any other (a 12" plate)."""
    return text.startswith('"') or f'{delimiter}"' in text


def _split(record: str, delimiter: str, strict: bool = False) -> list[str]:
    """The values of one record, however many lines it has; none if it cannot be read."""
    try:
        return next(csv.reader([record], delimiter=delimiter, strict=strict), [])
    except csv.Error:  # a value of more than 128 KB, or in strict reading something after a closing quote
        return []

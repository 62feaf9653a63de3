"""JSON lines: one object a line, each line read alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from endcap.errors import DataError
from endcap.pipelines.lines import LineReader
from endcap.pipelines.rows import BATCH_ROWS, Batch, Refusal, Row, batched

MAX_COLUMNS = 10_000
BATCH_CHARACTERS = 4_000_000
"""Of the messages of one batch: a message is larger than a row, and takes ten times as much when it is read."""
_decode = msgspec.json.Decoder(dict[str, object]).decode


def open_jsonl(path: Path) -> JsonLinesSource:
    """The JSON lines at ``path``; all of it is read once, for the names in it.

    Raises DataError if no line is a JSON object, or if there are more than 10,000 names.
    """
    columns: dict[str, None] = {}
    first: Refusal | None = None
    for line in LineReader(path):
        found = _object(line)
        if isinstance(found, Refusal):
            first = first or found
        elif not columns.keys() >= found.keys():
            columns |= dict.fromkeys(found)
            if len(columns) > MAX_COLUMNS:
                raise DataError(f"{path} has more than {MAX_COLUMNS:,} names: put what is free under `attributes`")
    if not columns:
        why = f"line {first.line}: {first.reason}" if first else "it has no lines"
        raise DataError(f"{path} holds no JSON lines ({why}): write one object a line, as jq -c '.[]' does")
    return JsonLinesSource(path, tuple(columns))


def open_messages(path: Path) -> MessageSource:
    """The messages at ``path``, one JSON object a line. Raises DataError if no line is one."""
    first: Refusal | None = None
    for line in LineReader(path):
        found = _object(line)
        if not isinstance(found, Refusal):
            return MessageSource(path)
        first = first or found
    why = f"line {first.line}: {first.reason}" if first else "it has no lines"
    raise DataError(f"{path} holds no JSON lines ({why}): write one message a line, as jq -c '.[]' does")


class MessageSource:
    """A file of JSON lines, each line one value; ``size`` is in bytes."""

    columns: Sequence[str] = ("message",)

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size

    def batches(self) -> Iterator[Batch]:
        lines = LineReader(self.path)
        rows: list[Row] = []
        refused: list[Refusal] = []
        held = 0
        for line in lines:
            found = _object(line)
            if isinstance(found, Refusal):
                refused.append(found)
            else:
                rows.append(Row(line[0], (found,)))
                held += len(line[1])
            if held >= BATCH_CHARACTERS or len(rows) + len(refused) >= BATCH_ROWS:
                yield Batch(rows, refused, lines.done)
                rows, refused, held = [], [], 0
        yield Batch(rows, refused, lines.done)


class JsonLinesSource:
    """A file of JSON lines; ``size`` is in bytes. Its columns are all the names in it."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self.columns = columns
        self.size = path.stat().st_size

    def batches(self) -> Iterator[Batch]:
        lines = LineReader(self.path)
        return batched(self._rows(lines), lambda: lines.done)

    def _rows(self, lines: LineReader) -> Iterator[Row | Refusal]:
        for line in lines:
            found = _object(line)
            if isinstance(found, Refusal):
                yield found
            else:
                yield Row(line[0], [found.get(name) for name in self.columns])


def _object(line: tuple[int, str] | Refusal) -> dict[str, object] | Refusal:
    if isinstance(line, Refusal):
        return line
    try:
        return _decode(line[1])
    except (msgspec.MsgspecError, RecursionError) as error:
        return Refusal(line[0], "", f"the line is not a JSON object ({error})")

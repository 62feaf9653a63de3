"""Open files as log records: a table of events, a table of items, and invoice lines, which are cleaned first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from itertools import islice
from typing import Protocol

from endcap.catalog.demo import goods_changes
from endcap.catalog.items import ItemChange, parse_change
from endcap.catalog.loaders import item_fields
from endcap.checks import parse_past
from endcap.errors import InvalidFieldError
from endcap.events.cleaning import CleanLines, RuleResult, clean
from endcap.events.dialects.invoices import event_count, invoice_events
from endcap.events.loaders import event_fields
from endcap.events.log import to_record
from endcap.events.schema import Event, parse_event
from endcap.events.times import time_reader
from endcap.pipelines.invoices import read_invoices
from endcap.pipelines.mapping import Columns, need
from endcap.pipelines.report import RefusalCounter
from endcap.pipelines.rows import BATCH_ROWS, Refusal, Row, Source, column
from endcap.types import Record

Step = tuple[list[Record], int, int]
"""Some records, the rows that were read for them, and how far the file is read."""


class Table(Protocol):
    """A file that gives records."""

    source: Source
    rules: tuple[RuleResult, ...]
    """What the cleaning rules did; there once all steps are taken."""
    unknown: Mapping[str, int]
    """Names of another system's events that say nothing here, and how many were kept as ``custom``."""

    def batches(self, counter: RefusalCounter) -> Iterator[Step]:
        """Records in the order of the file; what is refused goes to ``counter``."""
        ...

    def notes(self) -> tuple[str, ...]:
        """What else the user should know, once all steps are taken."""
        ...


class TimeOrder:
    """Notes how many events of a file are older than the one before them."""

    def __init__(self) -> None:
        self._late = 0
        self._latest = 0

    def see(self, time: int) -> None:
        """The next event of the file, with its time."""
        self._late += time < self._latest
        self._latest = time

    def notes(self, source: Source) -> tuple[str, ...]:
        """What the user should know about it."""
        if not self._late:
            return ()
        return (
            f"{source.path}: {self._late:,} events are older than the one before them; "
            "sort the file by time, so that recent means recent",
        )


class EventTable:
    """A row is an event. Raises DataError if a column that is needed is not there."""

    rules: tuple[RuleResult, ...] = ()
    unknown: Mapping[str, int] = {}

    def __init__(self, source: Source, columns: Columns, default_type: str | None, now_ms: int) -> None:
        needed = [("type",)] if default_type is None else []
        where = str(source.path)
        hint = "; or --type view gives every event one type" if default_type is None else ""
        need(columns, source.columns, [*needed, ("time",), ("user_id", "visitor_id")], where, hint)
        self.source = source
        self._places = _places(source, columns)
        self._default_type = default_type
        self._now_ms = now_ms
        when = source.columns.index(columns.found["time"])
        self._read_time = time_reader(column(source, when))
        self._order = TimeOrder()

    def batches(self, counter: RefusalCounter) -> Iterator[Step]:
        return _row_by_row(self.source, self._record, counter)

    def notes(self) -> tuple[str, ...]:
        return self._order.notes(self.source)

    def _record(self, row: Row) -> Record:
        given = _values(row, self._places)
        fields = event_fields(given, self._read_time, self._default_type)
        _check_time(given["time"], fields["time"], self._now_ms)
        event = parse_event(fields, self._now_ms)
        self._order.see(event.time)
        return keyed(to_record(event))


class ItemTable:
    """A row is an item, whole; columns that are none of its fields become attributes."""

    rules: tuple[RuleResult, ...] = ()
    unknown: Mapping[str, int] = {}

    def __init__(self, source: Source, columns: Columns, now_ms: int) -> None:
        need(columns, source.columns, [("item_id",), ("title",)], str(source.path))
        self.source = source
        self._places = _places(source, columns)
        self._others = tuple((name, source.columns.index(name)) for name in columns.others)
        self._now_ms = now_ms
        self._seen: set[str] = set()
        self._again: list[str] = []

    def batches(self, counter: RefusalCounter) -> Iterator[Step]:
        return _row_by_row(self.source, self._record, counter)

    def notes(self) -> tuple[str, ...]:
        if not self._again:
            return ()
        examples = ", ".join(dict.fromkeys(self._again[:2]))
        return (f"{self.source.path}: {len(self._again):,} rows repeat an item_id; the last one wins ({examples})",)

    def _record(self, row: Row) -> Record:
        change = parse_change("put", item_fields(_values(row, self._places), _values(row, self._others)))
        if change.item_id in self._seen:
            self._again.append(change.item_id)
        self._seen.add(change.item_id)
        return to_record(change, self._now_ms)


class InvoiceTable:
    """Raw invoice lines, through the cleaning rules, as events or as items."""

    unknown: Mapping[str, int] = {}

    def __init__(self, source: Source, kind: str, now_ms: int) -> None:
        self.source = source
        self.rules: tuple[RuleResult, ...] = ()
        self._kind = kind
        self._now_ms = now_ms

    def batches(self, counter: RefusalCounter) -> Iterator[Step]:
        refused_before = counter.rows
        frame = read_invoices(self.source, self._now_ms, lambda refused: counter.add(self.source.path, refused))
        lines = clean(frame)
        self.rules = lines.rules
        yield [], frame.height + counter.rows - refused_before, 0
        bodies, count = self._bodies(lines)
        for records, made in in_batches(to_record(body, self._now_ms) for body in bodies):
            yield records, 0, self.source.size * made // count

    def _bodies(self, lines: CleanLines) -> tuple[Iterator[Event | ItemChange], int]:
        if self._kind == "items":
            return iter(goods_changes(lines.goods)), lines.goods.height
        return invoice_events(lines), event_count(lines)

    def notes(self) -> tuple[str, ...]:
        return ()


def in_batches(records: Iterator[Record]) -> Iterator[tuple[list[Record], int]]:
    """``records`` some thousands at a time, each batch with how many there were so far."""
    made = 0
    while some := list(islice(records, BATCH_ROWS)):
        made += len(some)
        yield some, made


def _row_by_row(source: Source, record: Callable[[Row], Record], counter: RefusalCounter) -> Iterator[Step]:
    for batch in source.batches():
        records: list[Record] = []
        refused = batch.refused
        for row in batch.rows:
            try:
                records.append(record(row))
            except InvalidFieldError as error:
                refused.append(Refusal(row.line, error.field, str(error)))
        counter.add(source.path, refused)
        yield records, len(records) + len(refused), batch.done


def keyed(record: Record) -> Record:
    """``record`` with its content as its key, where it has none: imported again, it is a duplicate."""
    if record.key is not None:
        return record
    content = b"%d %b" % (record.time, record.data)
    return Record(record.kind, record.time, record.data, blake2b(content, digest_size=16).hexdigest())


def _check_time(given: object, moment: object, now_ms: int) -> None:
    """Raises InvalidFieldError for a time to come, as the file has it."""
    try:
        parse_past("time", moment, now_ms)
    except InvalidFieldError as error:
        raise InvalidFieldError("time", str(error).replace(repr(moment), repr(given))) from error


def _places(source: Source, columns: Columns) -> tuple[tuple[str, int], ...]:
    """Each of our fields, and where a row has it."""
    return tuple((ours, source.columns.index(theirs)) for ours, theirs in columns.found.items())


def _values(row: Row, places: tuple[tuple[str, int], ...]) -> dict[str, object]:
    """What a row says, under the given names; nothing that is empty."""
    values = row.values
    return {name: value for name, place in places if (value := values[place]) is not None and value != ""}

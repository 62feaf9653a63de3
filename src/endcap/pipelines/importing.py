"""Import: rows of files become checked records in the log; what is wrong is refused alone, counted and shown.

A file that cannot be used at all is found before anything is stored. Events are known by their ids, so an import
that was broken off, or run twice, stores nothing twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from endcap.catalog.loaders import ITEM_COLUMNS
from endcap.errors import DataError
from endcap.events.cleaning import RAW_COLUMNS
from endcap.events.dialects.invoices import holds_invoices
from endcap.events.dialects.registry import DIALECTS
from endcap.events.loaders import EVENT_COLUMNS
from endcap.events.schema import EVENT_TYPES
from endcap.pipelines.dialects import DialectTable
from endcap.pipelines.invoices import INVOICE_COLUMNS
from endcap.pipelines.mapping import Columns, match_columns
from endcap.pipelines.report import ImportReport, RefusalCounter
from endcap.pipelines.sources import Format, open_source
from endcap.pipelines.tables import EventTable, InvoiceTable, ItemTable, Table
from endcap.protocols import Log
from endcap.types import Progress, Record

COMMIT_RECORDS = 2_000
"""Records of one commit. A server on the same log waits for one at most: about 30 ms, where 10,000 took 100 ms."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How the files are to be read."""

    format: Format = "auto"
    given: Mapping[str, str] = field(default_factory=dict)
    """Our field: their column. It comes before what is found by name."""
    default_type: str | None = None
    """The type of every event, where no column says it."""
    show: Callable[[Path, Columns], None] = lambda path, columns: None  # noqa: ARG005  # nobody looks
    """Called with the columns of each file before anything is stored."""


def import_events(
    log: Log | None, files: Sequence[Path], options: ImportOptions, now_ms: int, progress: Progress
) -> ImportReport:
    """Appends the events in ``files`` to ``log``; with None it only checks them.

    Raises DataError, before anything is stored, if a file cannot be used at all.
    """
    if options.default_type is not None and options.default_type not in EVENT_TYPES:
        raise DataError(f"--type {options.default_type}: use one of {', '.join(EVENT_TYPES)}")
    return _Import("events", files, options, now_ms).run(log, progress)


def import_items(
    log: Log | None, files: Sequence[Path], options: ImportOptions, now_ms: int, progress: Progress
) -> ImportReport:
    """Appends the items in ``files`` to ``log``, each one whole; with None it only checks them.

    An id that comes more than once is stored each time: the last one wins. Raises DataError, before anything is
    stored, if a file cannot be used at all.
    """
    return _Import("items", files, options, now_ms).run(log, progress)


def append_all(log: Log | None, records: list[Record]) -> tuple[int, int]:
    """Appends ``records``: how many are new, and how many the log had."""
    if log is None:
        return len(records), 0
    new = 0
    for start in range(0, len(records), COMMIT_RECORDS):
        new += sum(offset is not None for offset in log.append(records[start : start + COMMIT_RECORDS]))
    return new, len(records) - new


class _Import:
    """One run over some files of one kind."""

    def __init__(self, kind: str, files: Sequence[Path], options: ImportOptions, now_ms: int) -> None:
        self._kind = kind
        self._files = files
        self._options = options
        self._now_ms = now_ms
        self._counter = RefusalCounter()
        self._report = ImportReport(kind, tuple(str(path) for path in files), now_ms)

    def run(self, log: Log | None, progress: Progress) -> ImportReport:
        if self._options.format in DIALECTS:
            self._check_dialect()
        # Every file is opened, and its columns found, before the first row of any is stored.
        tables = [self._open(path) for path in self._files]
        total, before = sum(table.source.size for table in tables), 0
        for table in tables:
            for records, rows, done in table.batches(self._counter):
                new, known = append_all(log, records)
                self._add(rows=rows, stored=new, duplicates=known)
                progress(before + done, total)
            before += table.source.size
            self._report = replace(
                self._report,
                rules=(*self._report.rules, *table.rules),
                notes=(*self._report.notes, *table.notes()),
                unknown=dict(Counter(self._report.unknown) + Counter(table.unknown)),
            )
        return replace(self._report, refused=self._counter.refused(), dry_run=log is None)

    def _check_dialect(self) -> None:
        """Raises DataError for what does not go with a dialect."""
        name = self._options.format
        if self._kind != "events":
            raise DataError(f"--format {name}: these are events; items come as CSV, JSON lines or Parquet")
        if self._options.given or self._options.default_type is not None:
            raise DataError(f"--format {name}: it says the fields and the types itself; leave --map and --type out")

    def _add(self, rows: int, stored: int, duplicates: int) -> None:
        report = self._report
        self._report = replace(
            report,
            rows=report.rows + rows,
            stored=report.stored + stored,
            duplicates=report.duplicates + duplicates,
        )

    def _open(self, path: Path) -> Table:
        source = open_source(path, self._options.format)
        dialect = DIALECTS.get(self._options.format)
        if dialect is not None:
            columns = Columns({"event": f"messages of {self._options.format}"}, ())
            table: Table = DialectTable(source, dialect, self._now_ms)
        elif holds_invoices(source.columns) and not self._options.given:
            others = tuple(name for name in source.columns if name not in RAW_COLUMNS)
            columns = Columns(INVOICE_COLUMNS, others)
            table = InvoiceTable(source, self._kind, self._now_ms)
        elif self._kind == "events":
            columns = match_columns(source.columns, EVENT_COLUMNS, self._options.given, str(path))
            table = EventTable(source, columns, self._options.default_type, self._now_ms)
        else:
            columns = match_columns(source.columns, ITEM_COLUMNS, self._options.given, str(path))
            table = ItemTable(source, columns, self._now_ms)
        self._options.show(path, columns)
        self._report = replace(
            self._report,
            columns={**self._report.columns, str(path): columns.found},
            ignored={**self._report.ignored, str(path): columns.others},
        )
        return table

"""The demo shop into the log: real invoices, cleaned, and moved by whole weeks to end less than a week ago."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from endcap.catalog.demo import demo_lines, goods_changes
from endcap.events.cleaning import CleanLines, clean
from endcap.events.dialects.invoices import event_count, invoice_events
from endcap.events.log import to_record
from endcap.events.schema import Event
from endcap.pipelines.importing import append_all
from endcap.pipelines.report import ImportReport, write_file
from endcap.pipelines.tables import in_batches
from endcap.protocols import Log
from endcap.types import MS_PER_DAY, Progress, Record

MS_PER_WEEK = 7 * MS_PER_DAY
DEMO_FILE = "online_retail.parquet"


@dataclass(frozen=True, slots=True)
class DemoMarker:
    """What ``home/reports/demo.json`` says about the demo shop in the log."""

    shift_weeks: int
    """Whole weeks by which all times were moved."""
    last_offset: int = 0
    """The log's last offset when all of it was in; 0 while it is not."""


def demo_events(shift_weeks: int = 0) -> Iterator[Event]:
    """The demo shop's purchases and returns in time order; without a shift, at their original times (2010-2011)."""
    return invoice_events(clean(demo_lines()), shift_weeks * MS_PER_WEEK)


def read_marker(home: Path) -> DemoMarker | None:
    """What was loaded of the demo shop into ``home``; None if nothing was, or the marker cannot be read."""
    try:
        return msgspec.json.decode((home / "reports" / "demo.json").read_bytes(), type=DemoMarker)
    except (OSError, msgspec.MsgspecError):
        return None


def is_loaded(log: Log, home: Path) -> bool:
    """Whether the log holds the whole demo shop already. Costs one small file and one look at the log's end."""
    marker = read_marker(home)
    return marker is not None and 0 < marker.last_offset <= log.last_offset()


def demo_import(log: Log, now_ms: int, home: Path, progress: Progress) -> ImportReport:
    """Loads the demo shop into ``log``; what is there already is not stored again.

    If it is all there, nothing is read, and the report has 0 rows. A run that was broken off goes on with the shift
    of the first one, so that the log stays in time order. Raises HomeError if ``home`` cannot be written.
    """
    report = ImportReport("demo", (DEMO_FILE,), now_ms)
    marker = read_marker(home)
    if marker is not None and is_loaded(log, home):
        note = f"The demo shop is in the log already; its times were moved by {marker.shift_weeks} weeks."
        return replace(report, shift_weeks=marker.shift_weeks, notes=(note,))
    lines = clean(demo_lines())
    if marker is None or log.last_offset() == 0:  # of a log that is gone, the old shift says nothing
        marker = DemoMarker(weeks_until(int(lines.sales["time"][-1]), now_ms))
        _write_marker(marker, home)
    stored = known = 0
    total = lines.goods.height + event_count(lines)
    for records, made in in_batches(_records(lines, marker.shift_weeks)):
        new, old = append_all(log, records)
        stored, known = stored + new, known + old
        progress(made, total)
    _write_marker(replace(marker, last_offset=log.last_offset()), home)
    return replace(
        report,
        rows=lines.rows,
        stored=stored,
        duplicates=known,
        rules=lines.rules,
        shift_weeks=marker.shift_weeks,
        notes=(
            f"All times were moved {marker.shift_weeks} weeks later, so that the last order is less than a week old; "
            "evaluation uses the original times.",
        ),
    )


def weeks_until(last_ms: int, now_ms: int) -> int:
    """The whole weeks after which ``last_ms`` is less than a week before ``now_ms``."""
    return (now_ms - last_ms) // MS_PER_WEEK


def _records(lines: CleanLines, shift_weeks: int) -> Iterator[Record]:
    shift_ms = shift_weeks * MS_PER_WEEK
    opened = int(lines.sales["time"][0]) + shift_ms  # the catalogue is there before the first order
    for change in goods_changes(lines.goods):
        # One entry per item and demo: loading on after a crash stores no item twice.
        yield replace(to_record(change, opened), key=f"retail-item-{change.item_id}")
    for event in invoice_events(lines, shift_ms):
        yield to_record(event)


def _write_marker(marker: DemoMarker, home: Path) -> None:
    write_file(home / "reports" / "demo.json", msgspec.json.encode(marker))

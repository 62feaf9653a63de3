"""The demo shop into a log. The shipped lines are cut short here, so that each test is quick."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from endcap.backends.log.sqlite import SqliteLog
from endcap.catalog.demo import demo_lines
from endcap.events.log import entries
from endcap.events.schema import Event
from endcap.pipelines import demo
from endcap.pipelines.demo import MS_PER_WEEK, demo_events, demo_import, is_loaded, read_marker, weeks_until
from endcap.pipelines.report import ImportReport
from endcap.protocols import Log
from endcap.types import Record

NOW = 1_795_512_600_000


@pytest.fixture(autouse=True)
def short_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = demo_lines().head(25_000)
    monkeypatch.setattr(demo, "demo_lines", lambda: lines)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    opened = SqliteLog(tmp_path / "log" / "endcap.db")
    yield opened
    opened.close()


def load(log: Log, home: Path, now_ms: int = NOW) -> ImportReport:
    return demo_import(log, now_ms, home, lambda done, total: None)  # noqa: ARG005  # nobody looks


def test_the_log_is_in_time_order_and_ends_less_than_a_week_ago(tmp_path: Path, log: SqliteLog) -> None:
    report = load(log, tmp_path)
    times = [record.time for _, record in log.read()]
    assert times == sorted(times)
    assert 0 <= NOW - times[-1] < MS_PER_WEEK
    assert report.rows == 25_000
    assert report.stored == len(times)
    assert f"{report.shift_weeks} weeks later" in report.notes[0]


def test_the_catalogue_comes_before_the_first_order(tmp_path: Path, log: SqliteLog) -> None:
    load(log, tmp_path)
    kinds = [record.kind for _, record in log.read()]
    assert kinds == sorted(kinds, reverse=True)  # item, then event


def test_original_times_come_back_by_the_shift_in_the_report(tmp_path: Path, log: SqliteLog) -> None:
    report = load(log, tmp_path)
    shifted = [entry.body for entry in entries(log) if isinstance(entry.body, Event)]
    assert shifted == list(demo_events(report.shift_weeks))
    first = next(demo_events())
    assert first.time == 1_291_191_960_000  # 2010-12-01 08:26, as it was published
    assert shifted[0].time - first.time == report.shift_weeks * MS_PER_WEEK


def test_a_second_start_reads_and_stores_nothing(
    tmp_path: Path, log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load(log, tmp_path)
    before = log.last_offset()
    monkeypatch.setattr(demo, "demo_lines", lambda: pytest.fail("the lines were read again"))
    second = load(log, tmp_path, NOW + 9 * MS_PER_WEEK)
    assert (second.rows, second.stored, second.shift_weeks) == (0, 0, first.shift_weeks)
    assert "is in the log already" in second.notes[0]
    assert log.last_offset() == before
    assert is_loaded(log, tmp_path)


class Failing:
    """A log whose disk fills up after a batch."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.batches = 1

    def append(self, records: list[Record]) -> list[int | None]:
        if self.batches == 0:
            raise OSError("no space left")
        self.batches -= 1
        return self._log.append(records)

    def last_offset(self) -> int:
        return self._log.last_offset()

    def read(self, after: int = 0, limit: int | None = None) -> Iterator[tuple[int, Record]]:
        return self._log.read(after, limit)

    def close(self) -> None:
        self._log.close()


def test_a_broken_run_goes_on_with_its_shift(tmp_path: Path, log: SqliteLog) -> None:
    with pytest.raises(OSError, match="no space"):
        load(Failing(log), tmp_path)  # type: ignore[arg-type]  # a list is a sequence
    assert not is_loaded(log, tmp_path)
    there = log.last_offset()
    report = load(log, tmp_path, NOW + 5 * MS_PER_WEEK)
    assert report.duplicates == there > 0
    assert report.shift_weeks == weeks_until(next(reversed(list(demo_events()))).time, NOW)
    keys = [record.key for _, record in log.read()]
    assert len(keys) == len(set(keys))
    times = [record.time for _, record in log.read()]
    assert times == sorted(times)


def test_a_new_log_in_an_old_home_gets_a_new_shift(tmp_path: Path, log: SqliteLog) -> None:
    first = load(log, tmp_path)
    other = SqliteLog(tmp_path / "other" / "endcap.db")
    second = load(other, tmp_path, NOW + 5 * MS_PER_WEEK)
    other.close()
    assert second.shift_weeks == first.shift_weeks + 5


def test_an_unreadable_marker_is_no_marker(tmp_path: Path) -> None:
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "demo.json").write_text("{", encoding="utf-8")
    assert read_marker(tmp_path) is None


@pytest.mark.parametrize(("last", "weeks"), [(NOW, 0), (NOW - MS_PER_WEEK + 1, 0), (NOW - MS_PER_WEEK, 1)])
def test_weeks_are_whole(last: int, weeks: int) -> None:
    assert weeks_until(last, NOW) == weeks


def test_events_can_be_taken_a_few_at_a_time() -> None:
    assert [event.event_id for event in islice(demo_events(), 2)] == ["retail-536365-1", "retail-536365-2"]

"""Exports of GA4, Segment and Google Retail into a real log."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from endcap.backends.log.sqlite import SqliteLog
from endcap.errors import DataError
from endcap.events.dialects.registry import DIALECTS
from endcap.events.log import entries
from endcap.events.schema import Event
from endcap.pipelines import dialects, jsonlines
from endcap.pipelines.importing import ImportOptions, import_events, import_items
from endcap.pipelines.report import ImportReport, report_lines
from endcap.pipelines.sources import Format

NOW = 1_795_512_600_000


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    opened = SqliteLog(tmp_path / "log" / "endcap.db")
    yield opened
    opened.close()


def write(folder: Path, *messages: object) -> Path:
    path = folder / "export.jsonl"
    path.write_text("".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in messages))
    return path


def load(log: SqliteLog | None, path: Path, format: Format, steps: list[int] | None = None) -> ImportReport:
    def progress(done: int, total: int) -> None:  # noqa: ARG001  # only how far it is
        if steps is not None:
            steps.append(done)

    return import_events(log, [path], ImportOptions(format), NOW, progress)


def stored(log: SqliteLog) -> list[Event]:
    return [entry.body for entry in entries(log) if isinstance(entry.body, Event)]


def row(name: str, at: int, **more: object) -> dict[str, object]:
    return {"event_name": name, "event_timestamp": str(at * 1000), "user_pseudo_id": "c", **more}


def types(events: Sequence[Event]) -> list[str]:
    return [event.type for event in events]


def test_rows_of_the_bigquery_export_are_stored_once(tmp_path: Path, log: SqliteLog) -> None:
    path = write(tmp_path, row("view_item", NOW - 2, items=[{"item_id": "a"}]), row("scroll", NOW - 1))
    report = load(log, path, "ga4")
    assert (report.rows, report.stored, report.refused_rows, report.unknown) == (2, 2, 0, {"scroll": 1})
    assert types(stored(log)) == ["view", "custom"]
    again = load(log, path, "ga4")
    assert (again.stored, again.duplicates) == (0, 2)


def test_an_event_without_an_id_is_known_by_its_content(tmp_path: Path, log: SqliteLog) -> None:
    view = {"eventType": "detail-page-view", "visitorId": "v", "eventTime": "2026-11-01T00:00:00Z"}
    view["productDetails"] = [{"product": {"id": "a"}}]  # type: ignore[assignment]
    path = write(tmp_path, view)
    assert (load(log, path, "retail").stored, load(log, path, "retail").duplicates) == (1, 1)


def test_bad_events_are_refused_alone_with_their_line(tmp_path: Path, log: SqliteLog) -> None:
    at = "2026-11-01T00:00:00Z"
    page = {"type": "page", "anonymousId": "v", "timestamp": at}
    path = write(
        tmp_path, page, "{", {"batch": [page, 7, {**page, "type": "group"}]}, {**page, "timestamp": None}, "[]"
    )
    report = load(log, path, "segment")
    assert (report.stored, report.rows) == (2, 7)  # the two pages are one and the same: known by their content
    examples = [example.removeprefix(f"{path}, ") for one in report.refused for example in one.examples]
    assert [one.partition(":")[0] for one in examples] == ["line 2", "line 5", "line 3", "line 4"]
    assert examples[3] == "line 4: the event has no time: an imported event needs the moment it happened"
    assert report.unknown == {"page": 2, "group": 1}


def test_unknown_names_are_in_the_report_for_a_person(tmp_path: Path) -> None:
    names = [f"name {n:02}" for n in range(12)]
    path = write(tmp_path, *(row(name, NOW - 50 + n) for n, name in enumerate([*names, "name 05"])))
    report = load(None, path, "ga4")
    (note,) = [one for one in report_lines(report) if "kept as custom" in one]
    assert note.startswith(f"{path}: 13 events were kept as custom, because their names say nothing here: name 05 2, ")
    assert note.endswith(" and 2 more")


def test_names_without_end_are_counted_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialects, "MAX_UNKNOWN", 2)
    report = load(None, write(tmp_path, *(row(name, NOW - 9) for name in "abcadd")), "ga4")
    assert report.unknown == {"a": 2, "b": 1, dialects.OTHERS: 3}


def test_rows_out_of_order_are_noted(tmp_path: Path) -> None:
    report = load(None, write(tmp_path, row("scroll", NOW - 1), row("scroll", NOW - 2)), "ga4")
    assert any("1 events are older than the one before them" in note for note in report.notes)


def test_a_batch_ends_where_its_messages_get_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonlines, "BATCH_CHARACTERS", 1_000)
    padding = [{"key": "x", "value": {"string_value": "y" * 600}}]
    rows = [row("scroll", NOW - 9 + n, event_params=padding) for n in range(5)]
    steps: list[int] = []
    assert load(None, write(tmp_path, *rows), "ga4", steps).stored == 5
    assert len(steps) == 3  # two and two and one


@pytest.mark.parametrize("format", DIALECTS)
def test_a_file_without_a_message_is_found_before_anything_is_stored(tmp_path: Path, format: Format) -> None:
    with pytest.raises(DataError, match=r"holds no JSON lines \(line 1: .*write one message a line"):
        load(None, write(tmp_path, "a,b"), format)


def test_what_does_not_go_with_a_dialect_is_said(tmp_path: Path) -> None:
    path = write(tmp_path, {})
    with pytest.raises(DataError, match="--format ga4: these are events; items come as CSV, JSON lines or Parquet"):
        import_items(None, [path], ImportOptions("ga4"), NOW, lambda done, total: None)  # noqa: ARG005
    for options in (ImportOptions("ga4", {"user_id": "x"}), ImportOptions("ga4", default_type="view")):
        with pytest.raises(DataError, match=r"--format ga4: .* leave --map and --type out"):
            import_events(None, [path], options, NOW, lambda done, total: None)  # noqa: ARG005

"""Import into a real log: good rows are stored, bad ones counted with their reasons, nothing twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec
import polars as pl
import pytest

from endcap.backends.log.sqlite import SqliteLog
from endcap.catalog.items import ItemChange
from endcap.errors import DataError, HomeError
from endcap.events.log import entries
from endcap.events.schema import Event, Line
from endcap.pipelines.importing import ImportOptions, import_events, import_items
from endcap.pipelines.report import (
    MAX_REASONS,
    ImportReport,
    RefusalCounter,
    mapping_lines,
    report_lines,
    write_report,
)
from endcap.pipelines.rows import Refusal

NOW = 1_795_512_600_000
EVENTS = "user_id,item_id,type,time\n7,a,view,2011-01-01\n8,b,cart,2011-01-02\n"


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    opened = SqliteLog(tmp_path / "log" / "endcap.db")
    yield opened
    opened.close()


def ignore(done: int, total: int) -> None:
    """Nobody looks at the progress."""


def events_from(log: SqliteLog | None, *files: Path, options: ImportOptions | None = None) -> ImportReport:
    return import_events(log, files, options or ImportOptions(), NOW, ignore)


def items_from(log: SqliteLog | None, *files: Path) -> ImportReport:
    return import_items(log, files, ImportOptions(), NOW, ignore)


def stored(log: SqliteLog) -> list[object]:
    return [entry.body for entry in entries(log)]


def write(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


def test_events_are_stored_as_they_are(tmp_path: Path, log: SqliteLog) -> None:
    content = {"type": "purchase", "visitor_id": "v", "time": 5_000_000_000_00, "event_id": "e1", "query": None}
    content["items"] = [{"item_id": "a", "quantity": 2, "price": 1.5}]
    report = events_from(log, write(tmp_path, "a.jsonl", json.dumps(content)))
    assert stored(log) == [Event("purchase", 500_000_000_000, "e1", visitor_id="v", items=(Line("a", 2.0, 1.5),))]
    assert (report.rows, report.stored, report.refused_rows) == (1, 1, 0)


def test_importing_twice_stores_once(tmp_path: Path, log: SqliteLog) -> None:
    path = write(tmp_path, "a.csv", EVENTS)
    assert (events_from(log, path).stored, log.last_offset()) == (2, 2)
    again = events_from(log, path)
    assert (again.stored, again.duplicates, log.last_offset()) == (0, 2, 2)


def test_an_id_of_content_differs_where_the_content_does(tmp_path: Path, log: SqliteLog) -> None:
    events_from(log, write(tmp_path, "a.csv", EVENTS + "7,a,view,2011-01-01T00:00:00.001\n7,a,click,2011-01-01\n"))
    assert len({event.event_id for event in stored(log) if isinstance(event, Event)}) == 4


def test_the_same_rows_in_three_formats_are_the_same_events(tmp_path: Path, log: SqliteLog) -> None:
    frame = pl.read_csv(write(tmp_path, "a.csv", EVENTS), try_parse_dates=True)
    frame.write_parquet(tmp_path / "a.parquet")
    frame.write_ndjson(tmp_path / "a.jsonl")
    report = events_from(log, *(tmp_path / f"a.{suffix}" for suffix in ("csv", "parquet", "jsonl")))
    assert (report.rows, report.stored, report.duplicates) == (6, 2, 4)


def test_bad_rows_are_counted_by_reason_and_the_good_are_kept(tmp_path: Path, log: SqliteLog) -> None:
    bad = ["9,a,view,2099-01-01", "9,a,view,2098-01-01", "9,a,view,2097-01-01", "9,a,zap,2011-01-01", "9,a"]
    report = events_from(log, write(tmp_path, "a.csv", EVENTS + "\n".join([*bad, "9,c,view,2011-01-03"])))
    assert (report.rows, report.stored, report.refused_rows) == (8, 3, 5)
    worst = report.refused[0]
    assert (worst.rows, worst.field) == (3, "time")
    assert worst.examples == tuple(
        f"{tmp_path}/a.csv, line {line}: time is '{year}-01-01': that is more than a day in the future; check the clock"
        for line, year in ((4, 2099), (5, 2098))
    )
    assert {reason.field for reason in report.refused} == {"time", "type", ""}


def test_nothing_is_stored_if_one_of_the_files_cannot_be_used(tmp_path: Path, log: SqliteLog) -> None:
    good = write(tmp_path, "a.csv", EVENTS)
    with pytest.raises(DataError, match=r"nope\.csv does not exist"):
        events_from(log, good, tmp_path / "nope.csv")
    assert log.last_offset() == 0


def test_a_missing_type_column_can_be_made_up_for(tmp_path: Path, log: SqliteLog) -> None:
    path = write(tmp_path, "a.csv", "user_id,item_id,time\n7,a,2011-01-01\n")
    with pytest.raises(DataError, match=r"no column for type; .* --map type=COLUMN; or --type view"):
        events_from(log, path)
    events_from(log, path, options=ImportOptions(default_type="view"))
    assert [event.type for event in stored(log) if isinstance(event, Event)] == ["view"]
    with pytest.raises(DataError, match=r"--type zap: use one of impression"):
        events_from(log, path, options=ImportOptions(default_type="zap"))


def test_columns_can_be_given_and_are_shown_before_anything_is_stored(tmp_path: Path, log: SqliteLog) -> None:
    shown: list[object] = []
    options = ImportOptions(
        given={"user_id": "wer"}, show=lambda path, columns: shown.append((path.name, columns.found, log.last_offset()))
    )
    report = events_from(log, write(tmp_path, "a.csv", EVENTS.replace("user_id", "wer")), options=options)
    found = {"user_id": "wer", "type": "type", "item_id": "item_id", "time": "time"}
    assert shown == [("a.csv", found, 0)]
    assert report.columns == {str(tmp_path / "a.csv"): found}
    assert report.ignored == {str(tmp_path / "a.csv"): ()}


def test_events_out_of_order_are_noted(tmp_path: Path, log: SqliteLog) -> None:
    report = events_from(log, write(tmp_path, "a.csv", EVENTS + "7,a,view,2010-01-01\n"))
    assert report.notes == (
        f"{tmp_path}/a.csv: 1 events are older than the one before them; sort the file by time, so that recent means "
        "recent",
    )


def test_progress_goes_over_all_files(tmp_path: Path, log: SqliteLog) -> None:
    seen: list[tuple[int, int]] = []
    paths = [write(tmp_path, name, EVENTS) for name in ("a.csv", "b.csv")]
    import_events(log, paths, ImportOptions(), NOW, lambda done, total: seen.append((done, total)))
    assert seen == [(len(EVENTS), 2 * len(EVENTS)), (2 * len(EVENTS), 2 * len(EVENTS))]


def test_a_check_stores_nothing(tmp_path: Path) -> None:
    report = events_from(None, write(tmp_path, "a.csv", EVENTS))
    assert (report.stored, report.dry_run) == (2, True)
    assert "2 events good" in report_lines(report)[0]


def test_items_are_stored_and_the_last_of_an_id_wins(tmp_path: Path, log: SqliteLog) -> None:
    content = "id,title,price,color\na,Mug,2.50 GBP,red\nb,Cup,nan,\na,Big mug,3 GBP,blue\n"
    report = items_from(log, write(tmp_path, "a.csv", content))
    changes = [change for change in stored(log) if isinstance(change, ItemChange)]
    assert [change.fields for change in changes] == [
        {"title": "Mug", "price": 2.5, "currency": "GBP", "attributes": {"color": "red"}},
        {"title": "Big mug", "price": 3.0, "currency": "GBP", "attributes": {"color": "blue"}},
    ]
    assert report.notes == (f"{tmp_path}/a.csv: 1 rows repeat an item_id; the last one wins (a)",)
    assert report.refused[0].field == "price"
    assert [record.time for _, record in log.read()] == [NOW, NOW]


def test_items_need_an_id_and_a_title(tmp_path: Path, log: SqliteLog) -> None:
    with pytest.raises(DataError, match=r"has no column for title; it has id, price"):
        items_from(log, write(tmp_path, "a.csv", "id,price\na,1\n"))


INVOICES = (
    "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
    "1,10001a,MUG,5,3/25/2011 9:00,2.5,17850,France\n"
    "1,POST,POSTAGE,1,3/25/2011 9:00,18,17850,France\n"
    "C2,10001A,MUG,-2,3/25/2011 9:30,2.5,17850,France\n"
    "3,10001A,MUG,x,3/25/2011 9:40,2.5,17850,France\n"
    "4,10001A,MUG,1,3/25/2099 9:40,2.5,17850,France\n"
    "5,10001A,MUG,,3/25/2011 9:40,2.5,17850,France\n"
)


def test_invoice_lines_are_recognised_and_cleaned(tmp_path: Path, log: SqliteLog) -> None:
    report = events_from(log, write(tmp_path, "a.csv", INVOICES))
    assert stored(log) == [
        Event(
            "purchase", 1_301_043_600_000, "retail-1-1", "17850", session_id="1", items=(Line("10001A", 5.0, 2.5),),
            value=12.5, currency="GBP",
        ),
        Event(
            "return", 1_301_045_400_000, "retail-C2-1", "17850", session_id="C2", items=(Line("10001A", 2.0, 2.5),),
            value=5.0, currency="GBP",
        ),
    ]  # fmt: skip
    assert report.rows == 6
    assert {reason.field for reason in report.refused} == {"Quantity", "InvoiceDate"}
    assert report.refused_rows == 3
    assert next(rule.rows for rule in report.rules if rule.name == "not a product") == 1


def test_invoice_lines_hold_items_too(tmp_path: Path, log: SqliteLog) -> None:
    items_from(log, write(tmp_path, "a.csv", INVOICES))
    fields = {"title": "MUG", "price": 2.5, "currency": "GBP", "in_stock": True}
    assert stored(log) == [ItemChange("10001A", "put", fields)]


def test_typed_invoice_lines_are_checked_too(tmp_path: Path, log: SqliteLog) -> None:
    frame = pl.DataFrame(
        {
            "InvoiceNo": ["1", "2", None],
            "StockCode": ["10001"] * 3,
            "Description": ["MUG"] * 3,
            "Quantity": [1.0] * 3,
            "InvoiceDate": [datetime(2011, 1, 1), datetime(2099, 1, 1), datetime(2011, 1, 1)],
            "UnitPrice": [1.0] * 3,
            "CustomerID": [1.0] * 3,
        }
    )
    frame.write_parquet(tmp_path / "a.parquet")
    report = events_from(log, tmp_path / "a.parquet")
    assert (report.rows, report.stored) == (3, 1)
    assert sorted(reason.examples[0] for reason in report.refused) == [
        f"{tmp_path}/a.parquet, line 2: InvoiceDate is more than a day in the future, or before 1970: check the clock",
        f"{tmp_path}/a.parquet, line 3: InvoiceNo is empty: an invoice line needs it",
    ]


def test_given_columns_read_invoice_lines_as_plain_rows(tmp_path: Path, log: SqliteLog) -> None:
    options = ImportOptions(given={"item_id": "StockCode"}, default_type="purchase")
    report = events_from(log, write(tmp_path, "a.csv", INVOICES), options=options)
    assert report.rules == ()
    assert report.stored == 3  # the lines whose quantity and date can be read: POST too


def test_a_report_goes_through_json_to_the_home(tmp_path: Path) -> None:
    report = events_from(None, write(tmp_path, "a.csv", EVENTS + "9,a\n"))
    path = write_report(report, tmp_path / "home")
    assert path == tmp_path / "home" / "reports" / "import-20261124T093000000Z.json"
    assert msgspec.json.decode(path.read_bytes(), type=ImportReport) == report


def test_a_home_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    write(tmp_path, "reports", "a file where the folder should be")
    with pytest.raises(HomeError, match=r"reports/import-.*\.json cannot be written \(.*\): check who may write there"):
        write_report(ImportReport("events", (), NOW), tmp_path)


def test_reasons_without_end_stay_bounded() -> None:
    counter = RefusalCounter()
    for i in range(MAX_REASONS + 50):
        counter.add(Path("f"), [Refusal(i, f"field{i}", "wrong")])
    refused = counter.refused()
    assert len(refused) == MAX_REASONS + 1
    assert (refused[0].reason, refused[0].rows) == ("for other reasons", 50)
    assert counter.rows == MAX_REASONS + 50


def test_a_report_reads_well(tmp_path: Path) -> None:
    lines = report_lines(events_from(None, write(tmp_path, "a.csv", INVOICES)))
    assert lines[0] == "6 rows read, 2 events good, 3 refused"
    assert any("dropped  not a product: the code does not start" in line for line in lines)
    assert any(line.endswith("Quantity is 'x': it must be a number such as 12.50") for line in lines)
    assert mapping_lines({"user_id": "wer"}, ["color"], "f.csv", "not read") == [
        "f.csv:",
        "  user_id         from wer",
        "  not read:       color",
    ]

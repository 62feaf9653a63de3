"""Reading files: every kind of break costs what is broken and no more."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import polars as pl
import pytest

from endcap.errors import DataError
from endcap.pipelines import rows as row_module
from endcap.pipelines.lines import MAX_LINE_BYTES
from endcap.pipelines.rows import BATCH_ROWS, Refusal, Row, Source, column
from endcap.pipelines.sources import open_source


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(source: Source) -> tuple[list[Row], list[Refusal]]:
    batches = list(source.batches())
    return [row for batch in batches for row in batch.rows], [bad for batch in batches for bad in batch.refused]


def texts(rows: list[Row]) -> list[tuple[int, list[object]]]:
    return [(row.line, list(row.values)) for row in rows]


def test_csv_with_quotes_breaks_and_windows_line_ends(tmp_path: Path) -> None:
    source = open_source(write(tmp_path, "a.csv", 'a,b\r\n1,"x, ""y"""\r\n\r\n2,"two\nlines"\r\n3,last'))
    rows, refused = read(source)
    assert source.columns == ("a", "b")
    assert texts(rows) == [(2, ["1", 'x, "y"']), (4, ["2", "two\nlines"]), (6, ["3", "last"])]
    assert refused == []


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_the_header_says_what_parts_the_values(tmp_path: Path, mark: str) -> None:
    source = open_source(write(tmp_path, "a.csv", f"a{mark}b\n1{mark}2\n"))
    assert texts(read(source)[0]) == [(2, ["1", "2"])]


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    assert open_source(write(tmp_path, "a.csv", b"\xef\xbb\xbfa,b\n1,2\n")).columns == ("a", "b")


def test_ragged_lines_are_refused_alone(tmp_path: Path) -> None:
    rows, refused = read(open_source(write(tmp_path, "a.csv", "a,b\n1,2\n3\n4,5,6\n7,8\n")))
    assert texts(rows) == [(2, ["1", "2"]), (5, ["7", "8"])]
    assert [bad.line for bad in refused] == [3, 4]
    assert refused[0].reason == "the line has 1 values, the header has 2: is a value quoted wrongly?"


def test_a_stray_quote_costs_one_line(tmp_path: Path) -> None:
    lines = ["a,b", '1,"open', *(f"{i},x" for i in range(300)), '9,"also open', "10,x"]
    rows, refused = read(open_source(write(tmp_path, "a.csv", "\n".join(lines))))
    assert len(rows) == 301
    assert [(bad.line, bad.reason.split(":")[0]) for bad in refused] == [
        (2, "a quote mark opens a value that does not end"),
        (303, "a quote mark opens a value that does not end"),
    ]


@pytest.mark.parametrize("second", ['"z"w', 'z"w'])
def test_two_stray_quotes_do_not_swallow_what_is_between(tmp_path: Path, second: str) -> None:
    rows, refused = read(open_source(write(tmp_path, "a.csv", f'a,b\n1,"x\n2,y\n3,{second}\n4,v\n')))
    assert [row.line for row in rows] == [3, 4, 5]
    assert [bad.line for bad in refused] == [2]


def test_a_quote_inside_a_value_is_a_character(tmp_path: Path) -> None:
    rows, _ = read(open_source(write(tmp_path, "a.csv", 'a,b\n1,plate 12"\n2,y\n')))
    assert texts(rows) == [(2, ["1", 'plate 12"']), (3, ["2", "y"])]


def test_a_bad_byte_costs_one_line(tmp_path: Path) -> None:
    lines = [b"a,b", *(b"%d,x" % i for i in range(50)), b"50,caf\xe9", b"51,x"]
    rows, refused = read(open_source(write(tmp_path, "a.csv", b"\n".join(lines))))
    assert len(rows) == 51
    assert refused == [Refusal(52, "", "the line is not UTF-8: save the file as UTF-8")]


def test_a_line_that_is_too_long_is_skipped_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("wb") as file:
        file.write(b"a,b\n1,2\n")
        for _ in range(40):
            file.write(b"x" * 1_000_000)
        file.write(b"\n3,4\n")
    tracemalloc.start()
    rows, refused = read(open_source(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert texts(rows) == [(2, ["1", "2"]), (4, ["3", "4"])]
    reason = f"the line is longer than {MAX_LINE_BYTES:,} bytes: is a line break missing?"
    assert refused == [Refusal(3, "", reason)]
    assert peak < 8 * MAX_LINE_BYTES


def test_a_line_of_exactly_the_limit_is_read(tmp_path: Path) -> None:
    fits, too_long = "x" * (MAX_LINE_BYTES - 2), "y" * (MAX_LINE_BYTES - 1)
    rows, refused = read(open_source(write(tmp_path, "a.csv", f"a,b\n1,{fits}\n1,{too_long}\n2,z")))
    assert [row.line for row in rows] == [2, 4]
    assert [bad.line for bad in refused] == [3]


def test_json_lines_that_are_broken_are_refused_alone(tmp_path: Path) -> None:
    deep = "[" * 100_000
    content = f'{{"a": 1}}\n{{"a": 2\n\n[1]\n{{"a": NaN}}\n{deep}\n{{"b": {{"c": [1]}}}}\n'
    source = open_source(write(tmp_path, "a.jsonl", content))
    rows, refused = read(source)
    assert source.columns == ("a", "b")
    assert texts(rows) == [(1, [1, None]), (7, [None, {"c": [1]}])]
    assert [bad.line for bad in refused] == [2, 4, 5, 6]
    assert all(bad.reason.startswith("the line is not a JSON object (") for bad in refused)


def test_a_name_that_comes_late_is_a_column_too(tmp_path: Path) -> None:
    content = '{"a": 1}\n' * 5_000 + '{"late": 2}\n'
    assert open_source(write(tmp_path, "a.jsonl", content)).columns == ("a", "late")


def test_names_without_end_are_refused(tmp_path: Path) -> None:
    content = "".join(f'{{"{i}": 1}}\n' for i in range(10_001))
    with pytest.raises(DataError, match=r"more than 10,000 names: put what is free under `attributes`"):
        open_source(write(tmp_path, "a.jsonl", content))


def test_parquet_rows_are_numbered_through(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"a": range(BATCH_ROWS + 5), "b": ["x"] * (BATCH_ROWS + 5)}).write_parquet(path)
    source = open_source(path)
    assert source.columns == ("a", "b")
    assert [batch.done for batch in source.batches()] == [BATCH_ROWS, BATCH_ROWS + 5]
    rows, _ = read(source)
    assert [row.line for row in rows] == list(range(1, BATCH_ROWS + 6))
    assert list(column(source, 0)) == list(range(BATCH_ROWS + 5))


def test_batches_say_how_far_the_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_module, "BATCH_ROWS", 2)
    source = open_source(write(tmp_path, "a.csv", "a,b\n" + "1,2\n" * 5))
    batches = list(source.batches())
    assert [len(batch.rows) for batch in batches] == [2, 2, 1]
    assert batches[-1].done == source.size == 24


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.csv", "a,b\n1,2\n", "CsvSource"),
        ("a.tsv", "a\tb\n1\t2\n", "CsvSource"),
        ("a.ndjson", '{"a": 1}\n', "JsonLinesSource"),
        ("a", '\n{"a": 1}\n', "JsonLinesSource"),
        ("a.txt", "a,b\n1,2\n", "CsvSource"),
    ],
)
def test_the_format_is_found(tmp_path: Path, name: str, content: str, kind: str) -> None:
    assert type(open_source(write(tmp_path, name, content))).__name__ == kind


def test_parquet_is_known_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    pl.DataFrame({"a": [1]}).write_parquet(path)
    assert open_source(path).columns == ("a",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"a\.csv is empty: there is nothing to import"),
        (b" \n \n", r"a\.csv is empty"),
        (b"a,b\n", r"has a header and no rows: there is nothing to import"),
        (b"a,a\n1,2\n", r"two columns are called 'a'; give each its own name"),
        (b"a,caf\xe9\n1,2\n", r"the first line must name the columns.*not UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), r"is UTF-16, not UTF-8: convert it with iconv -f UTF-16 -t UTF-8 a\.csv"),
        ("a,b\n1,2\n".encode("utf-16-le"), r"is UTF-16, not UTF-8"),
        ("a,b\n1,é\n2,è\n".encode("latin-1"), r"probably Latin-1 or Windows-1252 \(2 of its first 3 lines\).*iconv"),
        (b"a,b\n\x00\x01\x02,1\n", r"is a binary file, not text"),
        (b"PK\x03\x04 and so on", r"is a zip archive or an Excel book: unpack it"),
        (b"\x1f\x8b and so on", r"is packed with gzip: unpack it"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_source(write(tmp_path, "a.csv", content))


def test_what_is_no_json_lines_says_why(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no JSON lines \(line 1: .*write one object a line"):
        open_source(write(tmp_path, "a.json", '[{"a": 1}]'))


def test_a_missing_file_and_a_folder_say_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nope\.csv does not exist: check the name"):
        open_source(tmp_path / "nope.csv")
    with pytest.raises(DataError, match=r"is a folder: name the files in it"):
        open_source(tmp_path)


def test_a_name_too_long_for_the_disk_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read \(File name too long\)"):
        open_source(tmp_path / ("x" * 300))


def test_a_parquet_file_cut_short_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"a": range(1000)}).write_parquet(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"cannot be read as Parquet \(.*it is broken or cut short"):
        open_source(path)


def test_a_parquet_file_broken_inside_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"a": [f"value {i}" for i in range(5_000)]}).write_parquet(path)
    data = bytearray(path.read_bytes())
    data[4:2_000] = b"\xff" * 1_996
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"cannot be read as Parquet"):
        read(open_source(path))


def test_an_empty_parquet_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"a": []}, schema={"a": pl.String}).write_parquet(path)
    with pytest.raises(DataError, match=r"has no rows: there is nothing to import"):
        open_source(path)

"""Files of an evaluation: every format in and out, and one clear line for each that cannot be used."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from endcap.errors import DataError
from endcap.evaluation.offline import Background, Case, Settings, Table, evaluate
from endcap.pipelines.evaluation_files import (
    IdTypes,
    has_columns,
    read_prefixes,
    read_sessions,
    read_touches,
    write_predictions,
)
from endcap.types import Query, Ranking, Vocabulary

TIMES = ["2026-01-01T00:00:02Z", "2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z"]
ROWS = pl.DataFrame({"user_id": [7, 7, 8], "item_id": ["b", "a", "c"], "time": TIMES, "price": [1.0, 2.0, 3.0]})
START = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000)


def write(frame: pl.DataFrame, path: Path) -> Path:
    match path.suffix:
        case ".parquet":
            frame.write_parquet(path)
        case ".jsonl":
            frame.write_ndjson(path)
        case ".tsv":
            frame.write_csv(path, separator="\t")
        case _:
            frame.write_csv(path)
    return path


@pytest.mark.parametrize("name", ["rows.parquet", "rows.jsonl", "rows.csv", "rows.tsv"])
def test_interactions_come_in_the_order_of_time(tmp_path: Path, name: str) -> None:
    touches, ids = read_touches(write(ROWS, tmp_path / name))
    assert list(touches.users) == ["7", "7", "8"]
    assert list(touches.items) == ["a", "b", "c"]  # at the same time in the order of the file
    assert touches.time.tolist() == [START + 1000, START + 2000, START + 2000]
    assert touches.has_clock
    assert (ids.user, ids.item) == (pl.Int64(), pl.String())


@pytest.mark.parametrize(
    "times",
    [
        pl.Series([START + 5, START]),
        pl.Series([START + 5, START]).cast(pl.Datetime("ms")),
        pl.Series([START + 5, START]).cast(pl.Datetime("ms")).dt.cast_time_unit("us").dt.replace_time_zone("UTC"),
        pl.Series(["2026-01-01T00:00:00.005Z", "2026-01-01T01:00:00+01:00"]),
    ],
)
def test_times_in_every_form_are_milliseconds(tmp_path: Path, times: pl.Series) -> None:
    frame = pl.DataFrame({"user_id": ["u", "u"], "item_id": ["b", "a"], "time": times})
    touches, _ = read_touches(write(frame, tmp_path / "rows.parquet"))
    assert touches.time.tolist() == [START, START + 5]


def test_pos_is_an_order_within_the_user_and_no_clock(tmp_path: Path) -> None:
    frame = pl.DataFrame({"user_id": [1, 2, 1, 2], "item_id": ["b", "d", "a", "c"], "pos": [900, 7, 3, 6]})
    touches, _ = read_touches(write(frame, tmp_path / "rows.parquet"))
    assert not touches.has_clock
    order = list(zip(touches.users, touches.items, touches.time.tolist(), strict=True))
    assert [row[:2] for row in order if row[0] == "1"] == [("1", "a"), ("1", "b")]
    assert [row[:2] for row in order if row[0] == "2"] == [("2", "c"), ("2", "d")]
    assert sorted(row[2] for row in order) == [0, 0, 100, 100]  # the size of the numbers says nothing


def test_pos_decides_where_times_are_equal(tmp_path: Path) -> None:
    frame = pl.DataFrame({"user_id": [1, 1], "item_id": ["b", "a"], "time": [5, 5], "pos": [2, 1]})
    assert list(read_touches(write(frame, tmp_path / "rows.parquet"))[0].items) == ["a", "b"]


@pytest.mark.parametrize("name", ["s.parquet", "s.jsonl"])
def test_sessions_are_lists(tmp_path: Path, name: str) -> None:
    sessions, ids = read_sessions(write(pl.DataFrame({"session": [[3, 1], [2]]}), tmp_path / name))
    assert sessions == [["3", "1"], ["2"]]
    assert (ids.user, ids.item) == (pl.Int64(), pl.Int64())


def test_lists_in_a_csv_are_written_as_json(tmp_path: Path) -> None:
    path = write(pl.DataFrame({"session": ["[3, 1]", "[]"], "x": [1, 2]}), tmp_path / "s.csv")
    assert read_sessions(path)[0] == [["3", "1"], []]
    path = write(pl.DataFrame({"prefix": ['["a", "b"]'], "target": ["c"]}), tmp_path / "t.csv")
    found = read_prefixes(path)
    assert (found.prefixes, found.targets) == ([["a", "b"]], ["c"])


def test_columns_are_looked_at_without_reading_rows(tmp_path: Path) -> None:
    path = write(ROWS, tmp_path / "rows.csv")
    assert has_columns(path, "time", "user_id")
    assert not has_columns(path, "session")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"user_id": [1], "time": [1]}, "rows.parquet has no column item_id: it has user_id, time"),
        ({"user_id": [1], "item_id": [1]}, "neither time nor pos among its columns user_id, item_id"),
        ({"user_id": [1, None], "item_id": [1, 2], "pos": [1, 2]}, "1 rows have no user_id, the first is row 2"),
        ({"user_id": [1], "item_id": [1], "time": ["noon"]}, "time is not readable, such as 'noon': give RFC 3339"),
    ],
)
def test_unusable_interactions(tmp_path: Path, columns: dict[str, list[object]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_touches(write(pl.DataFrame(columns), tmp_path / "rows.parquet"))


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv does not exist"):
        read_touches(tmp_path / "none.csv")
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(DataError, match=r"broken\.parquet cannot be read"):
        read_touches(broken)
    lines = tmp_path / "broken.jsonl"
    lines.write_text('{"user_id": 1, "item_id": 2, "pos": 1}\n{"user_id": 1, "ite')
    with pytest.raises(DataError, match=r"broken\.jsonl cannot be read"):
        read_touches(lines)


@pytest.mark.parametrize("values", [["b,c"], ["7"], [7]])
def test_sessions_that_are_no_lists(tmp_path: Path, values: list[object]) -> None:
    with pytest.raises(DataError, match=r"session is .*: it must be a list of item ids, such as \[3, 17, 4\]"):
        read_sessions(write(pl.DataFrame({"session": values, "x": [1]}), tmp_path / "s.parquet"))


class Echo:
    """Proposes the history."""

    def recommend(self, query: Query, k: int) -> Ranking:
        items = query.history[:k]
        return Ranking(items, np.arange(items.size, 0, -1, dtype=np.float32))


def table() -> Table:
    cases = [Case(Query(history=np.array(rows, np.int32)), np.array([0], np.int32)) for rows in ([2, 0], [1], [])]
    background = Background(3, np.ones(3, np.int32), np.eye(3, dtype=np.float32), "content")
    return evaluate({"echo": Echo(), "twin": Echo()}, cases, background, Settings(ks=(2,), samples=10))


@pytest.mark.parametrize("name", ["p.parquet", "p.jsonl", "p.csv"])
def test_predictions_have_the_ids_of_the_data(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    items = Vocabulary(["10", "11", "12"])
    write_predictions(path, table(), ["7", "8", "9"], items, IdTypes(pl.Int64(), pl.Int64()))
    match path.suffix:
        case ".parquet":
            found = pl.read_parquet(path)
        case ".jsonl":
            found = pl.read_ndjson(path)
        case _:
            found = pl.read_csv(path)
    assert found.columns == ["user_id", "item_id", "rank", "score", "model"]
    assert found.filter(pl.col("model") == "echo").rows() == [
        (7, 12, 1, 2.0, "echo"),
        (7, 10, 2, 1.0, "echo"),
        (8, 11, 1, 1.0, "echo"),
    ]
    assert found["model"].unique().sort().to_list() == ["echo", "twin"]


def test_predictions_keep_text_as_text(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    write_predictions(path, table(), ["u", "v", "w"], Vocabulary("abc"), IdTypes(pl.String(), pl.String()))
    assert pl.read_parquet(path)["user_id"].to_list() == ["u", "u", "v"] * 2


def test_predictions_need_a_place(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written"):
        write_predictions(
            tmp_path / "no" / "p.csv", table(), ["u", "v", "w"], Vocabulary("abc"), IdTypes(pl.String(), pl.String())
        )

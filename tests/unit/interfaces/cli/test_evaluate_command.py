"""``endcap evaluate`` as it is called: files in, table and files out, and one line for each mistake."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from endcap import wiring
from endcap.catalog.items import parse_change
from endcap.events.log import to_record
from endcap.events.schema import Event, Line
from endcap.interfaces.cli.main import main
from endcap.types import MS_PER_DAY

FAST = ["--models", "itemknn,session_knn,popular", "--k", "1,3"]


def write_rings(path: Path, column: str = "pos", users: int = 40, items: int = 9) -> pl.DataFrame:
    """Everybody walks the items in one ring from another start, five steps; a step a day."""
    rows = [
        (100 + user, 500 + (user + step) % items, step * 8 * MS_PER_DAY if column == "time" else step)
        for user in range(users)
        for step in range(5)
    ]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", column], orient="row")
    frame.write_parquet(path)
    return frame


def test_leave_last_out_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, predictions, figures, page = (tmp_path / name for name in ("d.parquet", "p.csv", "f.json", "r.html"))
    frame = write_rings(data)
    outputs = ["--predictions", str(predictions), "--json", str(figures), "--report", str(page)]
    assert main(["evaluate", "--data", str(data), *FAST, *outputs]) == 0
    out = capsys.readouterr().out
    assert "Protocol leave-last-out: 40 cases, 40 wanted items" in out
    assert "seen items are left out of the lists" in out
    assert "fitted without the validation part" in out
    assert page.read_text().startswith("<!doctype html>")
    found = json.loads(figures.read_text())
    assert set(found["models"]) == {"itemknn", "session_knn", "popular"}
    lists = pl.read_csv(predictions)
    assert lists["rank"].unique().sort().to_list() == [1, 2, 3]
    # The figures once more, from the file of lists and the data alone.
    last = frame.group_by("user_id", maintain_order=True).last().rename({"item_id": "target"})
    hits = lists.join(last, on="user_id").filter(pl.col("item_id") == pl.col("target"))
    for model, result in found["models"].items():
        share = hits.filter(pl.col("model") == model).height / 40
        assert result["metrics"]["recall@3"]["mean"] == pytest.approx(share)
    before = frame.join(last, on="user_id").filter(pl.col("item_id") != pl.col("target"))
    assert lists.join(before, on=["user_id", "item_id"], how="inner").is_empty()


def test_time_is_the_protocol_of_data_with_a_clock(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_rings(tmp_path / "d.parquet", "time")
    assert main(["evaluate", "--data", str(tmp_path / "d.parquet"), *FAST]) == 0
    out = capsys.readouterr().out
    assert "Protocol time, test 1970-01-03 to 1970-02-02: 40 cases, 160 wanted items" in out
    assert "seen items are kept" in out
    assert "fitted on everything before the test" in out


def test_time_with_a_test_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_rings(tmp_path / "d.parquet", "time")
    pl.DataFrame({"user_id": [100, 999], "item_id": [505, 505], "time": [9**12, 9**12]}).write_csv(tmp_path / "t.csv")
    arguments = ["--data", str(tmp_path / "d.parquet"), "--test", str(tmp_path / "t.csv"), "--seen", "hide"]
    assert main(["evaluate", *arguments, *FAST]) == 0
    out = capsys.readouterr().out
    assert "2 cases, 2 wanted items" in out
    assert "left out of the lists" in out
    assert "1 users without a history" in out


def test_sessions_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sessions = [[(start + step) % 9 for step in range(4)] for start in range(9)] * 4
    pl.DataFrame({"session": sessions}).write_parquet(tmp_path / "s.parquet")
    pl.DataFrame({"prefix": [[1, 2], [5]], "target": [3, 6]}).write_parquet(tmp_path / "t.parquet")
    arguments = ["--data", str(tmp_path / "s.parquet"), "--test", str(tmp_path / "t.parquet")]
    assert main(["evaluate", *arguments, *FAST, "--predictions", str(tmp_path / "p.jsonl")]) == 0
    assert "Protocol session: 2 cases" in capsys.readouterr().out
    lists = pl.read_ndjson(tmp_path / "p.jsonl").filter(pl.col("model") == "session_knn")
    assert lists["user_id"].unique().sort().to_list() == [0, 1]  # the rows of the test file
    assert lists["item_id"].dtype == pl.Int64


def make_shop(home: Path) -> None:
    """Two months of purchases in a log, as an import leaves it."""
    log = wiring.open_log(home)
    log.append([to_record(parse_change("put", {"item_id": f"i{n}", "title": f"thing {n}"}), 0) for n in range(6)])
    rng = np.random.default_rng(0)
    events = [
        Event("purchase", round(day * MS_PER_DAY) + 1, f"e{user}-{day}", f"u{user}", items=tuple(map(Line, bought)))
        for day in range(0, 60, 5)
        for user in range(8)
        for bought in [[f"i{n}" for n in rng.permutation(6)[:2]]]
    ]
    log.append([to_record(event) for event in events])
    log.close()


def test_a_home_is_evaluated_by_time_with_every_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_shop(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    assert main(["evaluate", "--home", str(tmp_path), "--k", "2"]) == 0
    out, err = capsys.readouterr()
    assert "Protocol time, test 1970-01-26 to 1970-02-25: 8 cases" in out
    assert "content vectors" in out
    for name in ("session_knn", "itemknn", "als", "trending", "popular", "content", "blend"):
        assert f"\n{name} " in out
    assert {path.name for path in tmp_path.iterdir()} - set(before) == {"reports", "vectors"}  # nothing else is touched
    page, figures = sorted((tmp_path / "reports").iterdir())
    assert re.fullmatch(r"evaluation-\d{8}T\d{6}Z\.html", page.name)
    assert figures.name == page.name.replace(".html", ".json")
    assert f"wrote {page}" in err
    assert page.read_text().startswith("<!doctype html>")
    assert json.loads(figures.read_bytes())["models"].keys() >= {"als", "blend"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--home", "nowhere"], "there is no shop in nowhere"),
        (["--data", "none.csv"], "none.csv does not exist"),
        (["--data", "d.parquet", "--models", "magic"], "no model 'magic': choose among"),
        (["--data", "d.parquet", "--k", "0,5"], "--k is '0,5': give list lengths from 1 to 1000"),
        (["--data", "d.parquet", "--k", "ten"], "--k is 'ten': give list lengths"),
        (["--data", "d.parquet", "--protocol", "time"], "d.parquet has no column time"),
        (["--data", "d.parquet", "--protocol", "session"], "--protocol session needs --test FILE"),
        (["--data", "d.parquet", "--test", "d.parquet"], "leave-last-out takes its test from --data"),
        (["--data", "d.parquet", "--json", "no/where.json"], "no/where.json cannot be written"),
        (["--protocol", "session"], "the home's log is evaluated with --protocol time"),
        (["--data", "d.parquet", "--fit", "never"], "'never' is not one of"),
        (["--data", "empty.csv"], "empty.csv"),
    ],
)
def test_mistakes_are_said_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_rings(tmp_path / "d.parquet")
    (tmp_path / "empty.csv").write_text("user_id,item_id,pos\n")
    assert main(["evaluate", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_a_stream_is_lived_through(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_shop(tmp_path)
    page, figures = tmp_path / "r.html", tmp_path / "f.json"
    arguments = ["--protocol", "prequential", "--k", "2", "--report", str(page), "--json", str(figures)]
    assert main(["evaluate", "--home", str(tmp_path), *arguments]) == 0
    assert "Protocol prequential, test 1970-01-26 to 1970-02-25: 56 cases" in capsys.readouterr().out
    assert "Along the stream" in page.read_text()
    spans = json.loads(figures.read_text())["over_time"]
    assert sum(span["cases"] for span in spans) == 56
    assert [span["from_ms"] for span in spans] == sorted(span["from_ms"] for span in spans)


def test_a_stream_needs_a_clock(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_rings(tmp_path / "d.parquet")
    arguments = ["--data", str(tmp_path / "d.parquet"), "--protocol", "prequential"]
    assert main(["evaluate", *arguments]) == 2
    assert "has no column time: --protocol prequential needs one" in capsys.readouterr().err
    write_rings(tmp_path / "t.parquet", "time")
    arguments = ["--data", str(tmp_path / "t.parquet"), "--test", str(tmp_path / "t.parquet")]
    assert main(["evaluate", *arguments, "--protocol", "prequential"]) == 2
    assert "--protocol prequential takes its test from --data: leave --test out" in capsys.readouterr().err

"""``endcap import`` and ``endcap validate`` from the outside: what they print, store and exit with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from endcap.backends.log.sqlite import SqliteLog
from endcap.interfaces.cli.main import main

GOOD = "user_id,item_id,type,time,color\n7,a,view,2011-01-01,red\n"
ITEMS = "id,title,color\na,Mug,red\n"


def write(folder: Path, name: str, content: str) -> str:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return str(path)


def offset(home: Path) -> int:
    log = SqliteLog(home / "log" / "endcap.db")
    try:
        return log.last_offset()
    finally:
        log.close()


def test_import_stores_reports_and_shows_the_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "home"
    assert main(["import", "events", write(tmp_path, "a.csv", GOOD), "--home", str(home)]) == 0
    out, err = capsys.readouterr()
    assert out == "1 rows read, 1 events stored\n"
    assert "  user_id         from user_id\n" in err
    assert "  not read:       color\n" in err
    assert offset(home) == 1
    (report,) = (home / "reports").glob("import-*.json")
    assert json.loads(report.read_bytes())["stored"] == 1


def test_items_keep_other_columns_as_attributes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "home"
    assert main(["import", "items", write(tmp_path, "a.csv", ITEMS), "--home", str(home)]) == 0
    assert "  attributes:     color\n" in capsys.readouterr().err


def test_refused_rows_exit_2_and_the_good_are_stored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "home"
    path = write(tmp_path, "a.csv", GOOD + "8,b,view,2099-01-01,red\n")
    assert main(["import", "events", path, "--home", str(home)]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"endcap: 1 of 2 rows were refused ({path}, line 3: time is '2099-01-01'")
    assert offset(home) == 1


def test_validate_reports_and_stores_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["validate", write(tmp_path, "a.csv", GOOD), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["rows"], report["stored"], report["dry_run"]) == (1, 1, True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
    assert main(["validate", "--as", "items", write(tmp_path, "b.csv", ITEMS)]) == 0
    assert main(["validate", write(tmp_path, "c.csv", GOOD + "8\n")]) == 2


def test_columns_and_types_can_be_given(tmp_path: Path) -> None:
    home, path = tmp_path / "home", write(tmp_path, "a.txt", "wer;was;time\n7;a;2011-01-01\n")
    given = ["--map", "user_id=wer", "--map", "item_id=was", "--type", "view", "--format", "csv"]
    assert main(["import", "events", path, *given, "--home", str(home)]) == 0
    assert offset(home) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope.csv"], "endcap: nope.csv does not exist: check the name"),
        (["a.csv", "--map", "zap=x"], "endcap: --map zap=x: there is no field 'zap'"),
        (["a.csv", "--type", "zap"], "endcap: Invalid value for '--type': 'zap' is not one of"),
        (["a.csv", "--format", "parquet"], "endcap: a.csv cannot be read as Parquet"),
        ([], "endcap: Missing argument 'FILES"),
    ],
)
def test_the_callers_mistake_is_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "a.csv", GOOD)
    assert main(["validate", *arguments]) == 2
    err = capsys.readouterr().err
    assert err.startswith(message)
    assert err.count("\n") == 1


def test_an_export_of_another_system_is_read_and_its_unknown_names_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = {"type": "page", "anonymousId": "v", "messageId": "m1", "timestamp": "2026-11-01T00:00:00Z"}
    path = write(tmp_path, "a.jsonl", json.dumps(page))
    home = tmp_path / "home"
    assert main(["import", "events", path, "--format", "segment", "--home", str(home)]) == 0
    assert "1 events were kept as custom, because their names say nothing here: page 1" in capsys.readouterr().out
    (report,) = (home / "reports").glob("import-*.json")
    assert json.loads(report.read_bytes())["unknown"] == {"page": 1}
    assert main(["import", "items", path, "--format", "segment", "--home", str(home)]) == 2
    assert "--format segment: these are events" in capsys.readouterr().err

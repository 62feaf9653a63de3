"""``endcap recommend --all-users``: everybody's list in a file, equal to the list that each would be given alone."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from endcap import wiring
from endcap.catalog.items import parse_change
from endcap.config import Config
from endcap.errors import DataError
from endcap.events.log import to_record
from endcap.events.schema import Event
from endcap.interfaces.cli.main import main
from endcap.pipelines import lists
from endcap.pipelines.lists import SCHEMA, Row, write_lists
from endcap.serving.engine import Request
from endcap.types import MS_PER_DAY

NOW = 20_000 * MS_PER_DAY


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six items; nine users with purchases, and a visitor without a name."""
    home = tmp_path_factory.mktemp("home")
    log = wiring.open_log(home)
    log.append([to_record(parse_change("put", {"item_id": f"i{n}", "title": f"tea cup, {n}"}), 0) for n in range(6)])
    log.append([to_record(Event("purchase", NOW, f"e{n}", f"u{n}", item_id=f"i{n % 5}")) for n in range(9)])
    log.append([to_record(Event("view", NOW, "e9", visitor_id="v1", item_id="i5"))])
    log.close()
    return home


def read(path: Path) -> pl.DataFrame:
    if path.suffix == ".parquet":
        frame = pl.read_parquet(path)
    else:
        frame = pl.read_csv(path) if path.suffix == ".csv" else pl.read_ndjson(path)
    return frame.cast({"rank": pl.Int32})


@pytest.mark.parametrize("name", ["lists.parquet", "lists.csv", "lists.jsonl"])
def test_every_known_user_has_the_list_that_is_made_for_it_alone(
    home: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / name
    assert main(["recommend", "--all-users", "--out", str(out), "--home", str(home), "-k", "3", "--json"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    frame = read(out)
    assert frame.schema == SCHEMA
    assert (told["users"], told["rows"]) == (9, 27)
    assert frame["user_id"].unique(maintain_order=True).to_list() == [f"u{n}" for n in range(9)]
    answer = wiring.recommend(home, Config(), Request("for-you", user_id="u3", k=3), wiring.clock())
    rows = frame.filter(pl.col("user_id") == "u3").drop("user_id", "score").rows()
    assert rows == [(item.item_id, rank, item.reason) for rank, item in enumerate(answer.items, 1)]
    assert frame.filter(pl.col("user_id") == "u3")["score"].to_list() == pytest.approx(
        [item.score for item in answer.items], rel=1e-3
    )
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_it_says_how_fast_it_was(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "recommend",
        "--all-users",
        "--out",
        str(tmp_path / "x.csv"),
        "--home",
        str(home),
        "--recipe",
        "popular",
    ]
    assert main(arguments) == 0
    assert "rows for 9 users" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--all-users"], "--all-users and --out FILE go together"),
        (["--out", "x.csv"], "--all-users and --out FILE go together"),
        (["--all-users", "--out", "x.csv", "--user-id", "u"], "leave --user-id and --visitor-id out"),
        (["--all-users", "--out", "x.xls"], "x.xls ends in none of .parquet, .csv, .jsonl"),
        (["--all-users", "--out", "x.csv", "--recipe", "similar"], "needs item_ids"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    home: Path,
    given: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["recommend", "--home", str(home), *given]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def numbered(user: str) -> list[Row]:
    return [Row(user, f"i{rank}", rank, 1 / rank, "because") for rank in range(1, int(user[1:]) % 4 + 1)]


@pytest.mark.parametrize("suffix", lists.FORMATS)
def test_batches_join_to_one_table(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "BATCH_ROWS", 7)
    users = [f"u{n}" for n in range(40)]
    seen: list[tuple[int, int]] = []
    held = write_lists(tmp_path / f"x{suffix}", users, numbered, lambda *step: seen.append(step))
    wanted = [row for user in users for row in numbered(user)]
    assert read(tmp_path / f"x{suffix}").rows() == [tuple(row) for row in wanted]
    assert held == (30, len(wanted))
    assert seen == [(n, 40) for n in range(1, 41)]


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_nobody_makes_an_empty_table_with_its_columns(tmp_path: Path, suffix: str) -> None:
    assert write_lists(tmp_path / f"x{suffix}", [], numbered, lambda *_: None) == (0, 0)
    assert read(tmp_path / f"x{suffix}").columns == [*SCHEMA]


def test_what_fails_in_the_middle_leaves_no_file(tmp_path: Path) -> None:
    def broken(user: str) -> Iterable[Row]:
        if user == "u2":
            raise ZeroDivisionError
        return numbered(user)

    with pytest.raises(ZeroDivisionError):
        write_lists(tmp_path / "x.csv", ["u1", "u2"], broken, lambda *_: None)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"x\.csv cannot be written .*: name another place"):
        write_lists(tmp_path / "file" / "x.csv", ["u1"], numbered, lambda *_: None)

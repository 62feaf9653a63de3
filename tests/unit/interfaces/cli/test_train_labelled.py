"""``endcap train --labelled``: from a file to a folder that predicts, after a kill too, and what is refused."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from endcap.errors import DataError, ModelError, NotFoundError
from endcap.interfaces.cli.main import main
from endcap.models.tabular import CARD, NETWORK, Tabular
from endcap.nn.checkpoints import LAST

QUICK = ["--epochs", "2", "--hidden", "4", "--factors", "2", "--learning-rate", "0.02"]


def clicks(n: int = 600) -> pl.DataFrame:
    """Who likes red clicks on red; the price does not matter."""
    rng = np.random.default_rng(0)
    user, item = rng.integers(0, 12, n), rng.integers(0, 9, n)
    likes = (user % 2 == item % 2) ^ (rng.random(n) < 0.1)
    return pl.DataFrame(
        {
            "user_id": [f"u{one}" for one in user],
            "item_id": [f"i{one}" for one in item],
            "colour": np.where(item % 2, "red", "blue"),
            "price": rng.random(n).round(3),
            "time": 1_700_000_000_000 + np.arange(n) * 1_000,
            "click": likes.astype(int),
        }
    )


def run(home: Path, table: Path, *options: str) -> int:
    return main(["train", "--home", str(home), "--labelled", str(table), "--label", "click", *QUICK, *options])


def written(tmp_path: Path, frame: pl.DataFrame, name: str = "clicks.csv") -> Path:
    path = tmp_path / name
    getattr(frame, {".csv": "write_csv", ".jsonl": "write_ndjson", ".parquet": "write_parquet"}[path.suffix])(path)
    return path


def test_a_table_becomes_a_folder_that_predicts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = clicks()
    table = written(tmp_path, frame)
    assert run(tmp_path, table, "--epochs", "12", "--json") == 0
    said = capsys.readouterr()
    figures = r"loss \d\.\d{4}, accuracy \d\.\d{4}, auc \d\.\d{4}"
    assert re.search(rf"^epoch 1: training {figures}; validation {figures}$", said.err, re.MULTILINE)
    card = json.loads(said.out)
    assert card["rows"] == {"training": 480, "validation": 60, "test": 60, "refused": 0}
    assert (card["split"], card["label"]) == ("time", "click")
    assert card["test"]["auc"] > 0.8
    assert card["test"]["loss"] < card["test"]["base_loss"]
    model = Tabular.open(tmp_path / "labelled" / "click")
    probability = model.predict(frame)
    late = frame["click"].to_numpy()[-60:]
    assert np.mean((probability[-60:] >= 0.5) == late) == pytest.approx(card["test"]["accuracy"])
    assert list((tmp_path / "reports" / "labelled" / "click").glob("events.*"))
    assert not (tmp_path / "cache" / "labelled" / "click").exists()


def test_the_three_kinds_of_files_teach_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for suffix in (".csv", ".jsonl", ".parquet"):
        table = written(tmp_path, clicks(200), f"clicks{suffix}")
        assert run(tmp_path, table, "--name", suffix[1:], "--json") == 0
        found.append(json.loads(capsys.readouterr().out)["test"])
    assert found[0] == found[1] == found[2]


def test_prediction_needs_no_torch(tmp_path: Path) -> None:
    frame = clicks(200)
    assert run(tmp_path, written(tmp_path, frame)) == 0
    folder, table = tmp_path / "labelled" / "click", tmp_path / "clicks.csv"
    code = (
        "import sys; sys.modules['torch'] = None; import polars as pl; from endcap.models.tabular import Tabular; "
        "print(Tabular.open(sys.argv[1]).predict(pl.read_csv(sys.argv[2])).sum())"
    )
    command = [sys.executable, "-c", code, str(folder), str(table)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert float(done.stdout) == pytest.approx(Tabular.open(folder).predict(frame).sum())


def test_what_is_unknown_at_prediction_is_answered_and_counted(tmp_path: Path) -> None:
    assert run(tmp_path, written(tmp_path, clicks(200))) == 0
    model = Tabular.open(tmp_path / "labelled" / "click")
    asked = pl.DataFrame(
        {"user_id": ["u1", "zebra", None], "item_id": ["i1"] * 3, "colour": ["red"] * 3, "price": [1.0, None, np.inf]}
    )
    found = model.judge(asked)
    assert np.all((found.probability > 0) & (found.probability < 1))
    assert found.probability[1] == found.probability[2]
    assert (found.unknown, found.missing) == ({"user_id": 2}, {"price": 2})
    assert model.predict(asked.clear()).shape == (0,)
    assert model.predict(asked.to_dict(as_series=False)).tolist() == found.probability.tolist()


def test_bad_rows_are_counted_and_the_others_learnt_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = written(tmp_path, clicks(100)).read_text().splitlines()
    bad = ["u1,i1,red,1.0,1700000000000,maybe", "u1,i1,red,1.0,1700000000000,nan", ",i1,red,1.0,1700000000000,1"]
    bad += ["u1,i1,red,1.0,yesterday,1", "u1,i1,red,1.0,1700000000000,", "u1,i1"]
    (tmp_path / "clicks.csv").write_text("\n".join([*lines, *bad]) + "\n")
    assert run(tmp_path, tmp_path / "clicks.csv", "--json") == 0
    card = json.loads(capsys.readouterr().out)
    assert (card["rows"]["refused"], sum(card["rows"].values())) == (6, 106)
    assert sum(card["refused"].values()) == 6
    assert card["refused"]["click is missing"] == 1
    assert card["refused"]["user_id is missing"] == 1
    assert run(tmp_path, tmp_path / "clicks.csv", "--name", "again") == 0
    assert "refused, 1 rows: user_id is missing" in capsys.readouterr().out


def table_of(**columns: Any) -> pl.DataFrame:
    return clicks(60).with_columns(**{name: pl.Series(values) for name, values in columns.items()})


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        (clicks(60).drop("click"), [], "has no column 'click': it has user_id, item_id, colour, price, time"),
        (table_of(click=list(range(60))), [], "the label 'click' is 2, 3, .* must be 0 or 1; .*--positive-from NUMBER"),
        (table_of(click=["yes"] * 60), ["--positive-from", "4"], "the label 'click' is yes: it must be a number"),
        (table_of(click=[1] * 60), [], "click is 1 in all 60 rows: there is nothing to tell apart"),
        (
            table_of(click=[None] * 60),
            [],
            "has 0 rows that can be learnt from: .*; 60 were refused, .*click is missing",
        ),
        (clicks(1), [], "has 1 rows that can be learnt from: 20 are needed, a tenth tests"),
        (clicks(60), ["--user", "who"], "has no column 'who'"),
        (clicks(60), ["--ignore", "size"], "has no column 'size'"),
        (clicks(60).drop("time"), ["--split", "time"], "a split by time needs a column of times: name it with --time"),
        (
            table_of(time=[1_700_000_000_000] * 60),
            [],
            "the split by time fails, the rows learnt from are none: give --split",
        ),
        (clicks(60).select("click"), [], "has nothing but the label to learn from"),
        (
            clicks(60).select("click", colour=pl.lit("red")),
            [],
            "has no column to learn from: colour: it is always the same",
        ),
        (clicks(60), ["--hidden", "4,x"], "--hidden is '4,x': give the sizes of layers"),
        (clicks(60), ["--name", "../x"], "the name '../x' is no name of a folder"),
        (clicks(60), ["--models", "als"], "--models names members of the blend, and --labelled trains none"),
    ],
)
def test_what_cannot_be_learnt_from_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], frame: pl.DataFrame, options: list[str], message: str
) -> None:
    assert run(tmp_path, written(tmp_path, frame), *options) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert re.search(message, line)
    assert not (tmp_path / "labelled").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--labelled", "x.csv"], "which column of x.csv is the label is not said: name it with --label"),
        (["--label", "click"], "--label goes with --labelled FILE: give both, or neither"),
        (["--batch-size", "8"], "--batch-size goes with --labelled FILE"),
        (["--labelled", "x.csv", "--label", "click"], "x.csv does not exist"),
    ],
)
def test_options_that_do_not_go_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(["train", "--home", str(tmp_path), *options]) == 2
    assert message in capsys.readouterr().err


def test_a_column_of_lists_names_the_way_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = written(tmp_path, clicks(60).with_columns(tags=pl.Series([["a"]] * 60)), "clicks.jsonl")
    assert run(tmp_path, table) == 2
    assert "tags holds a list or an object: leave the column out with --ignore tags" in capsys.readouterr().err
    assert run(tmp_path, table, "--ignore", "tags") == 0


def test_ratings_and_other_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = clicks(200).select(who="user_id", what="item_id", stars=pl.col("click") * 4 + 1)
    options = ["--label", "stars", "--positive-from", "4", "--user", "who", "--item", "what", "--json"]
    assert run(tmp_path, written(tmp_path, frame), *options) == 0
    card = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in card["coding"]["categories"]] == ["who", "what"]
    assert (card["split"], card["positive_from"]) == ("hash", 4.0)


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = written(tmp_path, clicks(60))
    assert run(tmp_path, table) == 0
    assert run(tmp_path, table) == 2
    assert "labelled/click already: give another --name, or delete the folder" in capsys.readouterr().err


def test_a_damaged_folder_is_refused(tmp_path: Path) -> None:
    assert run(tmp_path, written(tmp_path, clicks(60))) == 0
    folder = tmp_path / "labelled" / "click"
    with pytest.raises(DataError, match="the table has no column 'user_id'; the model click needs user_id, item_id"):
        Tabular.open(folder).predict({"price": [1.0]})
    with pytest.raises(DataError, match="a int is no table"):
        Tabular.open(folder).predict(7)
    (folder / NETWORK).write_bytes(b"not this")
    with pytest.raises(ModelError, match=r"model.onnx is damaged \(its SHA-256 differs\): train the model again"):
        Tabular.open(folder)
    (folder / NETWORK).unlink()
    with pytest.raises(ModelError, match=r"model\.onnx cannot be read"):
        Tabular.open(folder)
    (folder / CARD).write_text("{}")
    with pytest.raises(ModelError, match=r"model\.json is damaged"):
        Tabular.open(folder)
    with pytest.raises(NotFoundError, match=r"there is no trained table in .*: endcap train --labelled makes one"):
        Tabular.open(tmp_path)


def test_a_training_that_was_killed_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    table = written(tmp_path, clicks(3_000))
    options = ["--labelled", str(table), "--label", "click", *QUICK, "--epochs", "60", "--patience", "0"]
    checkpoint = tmp_path / "cut" / "cache" / "labelled" / "click" / LAST
    command = [sys.executable, "-m", "endcap.interfaces.cli.main", "train", "--home", str(tmp_path / "cut"), *options]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not checkpoint.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "cut" / "labelled").exists()
    for home in ("cut", "whole"):
        assert main(["train", "--home", str(tmp_path / home), *options]) == 0
    networks = [(tmp_path / home / "labelled" / "click" / NETWORK).read_bytes() for home in ("cut", "whole")]
    assert networks[0] == networks[1]

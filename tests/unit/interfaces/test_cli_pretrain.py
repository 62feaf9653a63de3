"""``endcap pretrain``: from a file and from a home to an encoder, and what is refused."""

from __future__ import annotations

import builtins
import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.unit.encoders.pretraining.wording import KINDS, TITLES

from endcap.encoders.onnx import OnnxTextEncoder
from endcap.interfaces.cli.main import main

QUICK = ["--max-tokens", "8", "--epochs", "1"]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "goods.csv"
    pl.DataFrame({"title": TITLES, "kind": KINDS}).write_csv(path)
    return path


def test_an_encoder_from_a_file(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["pretrain", "kinds", "--home", str(tmp_path), "--data", str(table), "--text", "title", *QUICK]
    assert main([*command, "--objective", "classify", "--label", "kind", "--json"]) == 0
    said = capsys.readouterr()
    assert "epoch 1: loss" in said.err
    assert "accuracy" in said.err
    made = json.loads(said.out)["made"]
    assert (made["by"], made["texts"]) == ("endcap pretrain --objective classify", len(TITLES))
    assert OnnxTextEncoder(tmp_path / "encoders" / "kinds").encode(["red cup"]).shape == (1, 128)
    assert list((tmp_path / "reports" / "pretrain" / "kinds").glob("events.*"))
    assert list((tmp_path / "reports" / "pretrain" / "kinds").rglob("tensors.tsv"))
    assert not (tmp_path / "cache" / "pretrain" / "kinds").exists()
    assert main([*command, "--objective", "classify", "--label", "kind"]) == 2
    assert "there is an encoder 'kinds' already" in capsys.readouterr().err


def test_an_encoder_of_a_home(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    items = tmp_path / "items.csv"
    pl.read_csv(table).with_row_index("item_id").select("item_id", "title").write_csv(items)
    assert main(["import", "items", str(items), "--home", str(tmp_path)]) == 0
    assert main(["pretrain", "words", "--home", str(tmp_path), *QUICK]) == 0
    assert '[encode] text = "words"' in capsys.readouterr().out
    assert (tmp_path / "encoders" / "words" / "model.onnx").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "the shop has no text to learn from: import items and reviews"),
        (["--objective", "classify"], "the shop has no text with a category"),
        (["--objective", "contrast"], "nobody took two items together yet"),
        (["--text", "title"], "--text is a column of a file: name the file with --data"),
        (["--data", "DATA"], "which columns of .* hold text is not said: name them with --text"),
        (["--data", "DATA", "--text", "name"], "has no column 'name'"),
        (["--data", "DATA", "--text", "kind", "--objective", "classify"], "there are no labels to learn"),
        (["--data", "DATA", "--text", "title", "--from", "nowhere"], "there is no encoder 'nowhere'"),
        (["--data", "DATA", "--text", "title", "--learning-rate", "0"], "learning_rate is 0.0: it must be above 0"),
    ],
)
def test_what_is_refused(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    given = [str(table) if option == "DATA" else option for option in options]
    assert main(["pretrain", "new", "--home", str(tmp_path), *QUICK, *given]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_without_torch_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name == "endcap.pipelines":
            raise ImportError("No module named 'torch'", name="torch")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    assert main(["pretrain", "new", "--home", str(tmp_path)]) == 2
    assert "training needs torch: pip install 'endcap[train]'" in capsys.readouterr().err

"""``endcap compress``: from a home to a table, and what is refused."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import polars as pl
import pytest
from tests.unit.encoders.pretraining.wording import TITLES
from tests.unit.nn.test_compression import two_layers

from endcap.interfaces.cli.main import main
from endcap.pipelines.pretrain import write_encoder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue without events, and an encoder "plain"."""
    folder = tmp_path_factory.mktemp("home")
    rows = pl.DataFrame({"item_id": [f"i{at}" for at in range(len(TITLES))], "title": TITLES})
    rows.write_csv(folder / "items.csv")
    assert main(["import", "items", str(folder / "items.csv"), "--home", str(folder)]) == 0
    write_encoder(two_layers(), folder / "encoders", "plain", {})
    return folder


def test_a_table_that_says_what_to_serve(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["compress", "plain", "--home", str(home), "--ways", "int8-dynamic, static-fitted", "--dim", "16"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert re.search(r"^plain-static-fitted +[\d.]+ +[\d.]+x +\d+ +[\d,]+ +[\d.]+x", said, re.MULTILINE)
    assert "ranking is not judged: there are no events to evaluate on" in said
    assert re.search(r'Serve plain-\S+: .*`\[encode\] text = "plain-\S+"` in config.toml|Stay with plain: none', said)
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found["found"]] == ["plain", "plain-int8-dynamic", "plain-static-fitted"]
    assert found["judged_on"]["texts"] > 0
    assert found["found"][0]["ndcg"] is None
    assert found["chosen"] in {one["name"] for one in found["found"]}
    assert found["ratios"]["plain-int8-dynamic"]["smaller"] > 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["plain", "--ways", "zip"], "there is no way 'zip' to make an encoder smaller: choose among int8-dynamic"),
        (["nowhere"], "there is no encoder 'nowhere' to make smaller: there are plain, .*minilm-l6-v2"),
        ([], "encode.text is 'use-multilingual-v3-lower', which is no folder of weights: name an ENCODER"),
        (["plain", "--heads", "1"], "heads_pruned is 1.0: it must be between 0 and 1"),
        (["plain", "--learning-rate", "0"], "learning_rate is 0.0: it must be above 0"),
    ],
)
def test_what_is_refused(home: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str) -> None:
    assert main(["compress", *options, "--home", str(home)]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_a_home_without_a_shop_or_a_catalogue(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["compress", "plain", "--ways", "static", "--home", str(tmp_path)]
    assert main(command) == 2
    assert "there is no shop in" in capsys.readouterr().err
    shutil.copytree(home / "encoders" / "plain", tmp_path / "encoders" / "plain")
    (tmp_path / "events.jsonl").write_text(
        '{"type": "view", "visitor_id": "v", "item_id": "i1", "time": "2026-01-01T00:00:00Z"}\n'
    )
    assert main(["import", "events", str(tmp_path / "events.jsonl"), "--home", str(tmp_path)]) == 0
    capsys.readouterr()
    assert main(command) == 2
    assert "the shop has no items with a text: import a catalogue first" in capsys.readouterr().err

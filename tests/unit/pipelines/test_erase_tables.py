"""An erasure and the models of labelled tables: they know the person no more, and say of others what they said."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from endcap.config import Home
from endcap.features.columns import learn_coding
from endcap.interfaces.cli.main import endcap
from endcap.models.tabular import CARD, Card, pack_card, read_card

TABLE = pl.DataFrame({"user_id": ["ann", "bob", "ann", "cem"], "item_id": ["cup", "cup", "pan", "ann"]})


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A shop with one event of ann, and a model of a table that names her, and an item of that name."""
    home = Home(tmp_path / "home")
    events = tmp_path / "events.jsonl"
    event = {"type": "view", "user_id": "ann", "item_id": "cup", "event_id": "1", "time": "2026-01-01T00:00:00Z"}
    events.write_text(json.dumps(event))
    done = CliRunner().invoke(endcap, ["import", "events", str(events), "--home", str(home.path)])
    assert done.exit_code == 0, done.output
    folder = home.labelled / "click"
    folder.mkdir(parents=True)
    coding = learn_coding(TABLE, ["user_id", "item_id"]).coding
    card = Card("click", "label", None, coding, {}, {}, "hash", {}, {}, [], 1, {}, "")
    (folder / CARD).write_bytes(pack_card(card))
    return home


def erase(home: Home, user: str) -> dict[str, object]:
    done = CliRunner().invoke(endcap, ["erase", "--home", str(home.path), "--user", user, "--yes", "--json"])
    assert done.exit_code == 0, done.output
    receipt: dict[str, object] = json.loads(done.stdout)
    return receipt


def test_who_is_erased_is_unknown_to_the_models_of_tables(home: Home) -> None:
    before = read_card(home.labelled / "click").coding.encode(TABLE)
    receipt = erase(home, "ann")
    assert receipt["tables"] == 1
    assert "ann" not in (home.labelled / "click" / CARD).read_text()
    after = read_card(home.labelled / "click").coding.encode(TABLE)
    assert after.unknown == {"user_id": 2, "item_id": 1}
    assert after.codes[1].tolist() == before.codes[1].tolist()


def test_somebody_whom_no_table_names_changes_none(home: Home) -> None:
    assert erase(home, "eve")["tables"] == 0
    assert "ann" in (home.labelled / "click" / CARD).read_text()


def test_a_model_that_cannot_be_read_is_named(home: Home) -> None:
    (home.labelled / "click" / CARD).write_text("{")
    receipt = erase(home, "ann")
    assert receipt["tables"] == 0
    assert str(home.labelled / "click" / CARD) in str(receipt["unreached"])

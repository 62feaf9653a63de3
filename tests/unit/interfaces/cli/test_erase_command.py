"""``endcap erase`` and ``endcap export``: who is asked for, what is said, and what a mistake is told."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from endcap import wiring
from endcap.config import Home
from endcap.events.log import to_record
from endcap.events.schema import Event
from endcap.interfaces.cli.main import endcap, main

NOW = 1_764_000_000_000


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Ann and Bo, and the visitors of each; ``v`` is Ann, ``w`` was sent with both, ``x`` is nobody."""
    with closing(wiring.open_log(tmp_path)) as log:
        events = [
            Event("view", NOW, "e1", "ann", item_id="cup"),
            Event("identify", NOW, "e2", "ann", "v"),
            Event("purchase", NOW, "e3", "bo", "w", item_id="pot"),
            Event("view", NOW, "e4", "ann", "w", item_id="pot"),
            Event("view", NOW, "e5", visitor_id="x", item_id="pot"),
        ]
        log.append([to_record(event) for event in events])
    return tmp_path


def run(*arguments: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(endcap, arguments, input=answer)


def keys(home: Path) -> list[str | None]:
    with closing(wiring.open_log(home)) as log:
        return [record.key for _, record in log.read() if record.kind == "event"]


def test_it_is_asked_before_anything_goes(home: Path) -> None:
    asked = run("erase", "--home", str(home), "--user", "ann", answer="n\n")
    assert f"Erase one person from {home} for ever? [y/N]" in asked.output
    assert asked.exit_code == 1
    assert len(keys(home)) == 5
    assert "Erasure 1, entry 6 of the log." in run("erase", "--home", str(home), "--user", "ann", answer="y\n").output
    assert keys(home) == ["e3", "e5"]


def test_the_receipt_is_told_without_a_name(home: Path) -> None:
    told = run("erase", "--home", str(home), "--user", "ann", "--visitor", "x", "--yes").output
    assert "Events: 1 identify, 3 view. Served lists: 0. Visitor ids: 2." in told
    assert "1 visitor ids of theirs were sent with other users' ids too: what those did without a user id" in told
    assert "Backups that were made before hold what was erased" in told
    assert told.count("Keyed hash: ") == 2
    assert "ann" not in told


def test_damaged_entries_are_told(home: Path) -> None:
    with closing(sqlite3.connect(Home(home).log, isolation_level=None)) as plain:
        plain.execute("UPDATE entries SET time = time + 1 WHERE offset IN (3, 5)")
    told = run("erase", "--home", str(home), "--user", "ann", "--yes").output
    assert "2 damaged entries, which nobody can read, may have been theirs: gone too. See that" in told
    assert keys(home) == []


def test_a_receipt_as_json(home: Path) -> None:
    receipt = json.loads(run("erase", "--home", str(home), "--visitor", "x", "--yes", "--json").output)
    assert (receipt["number"], receipt["events"], receipt["first"], receipt["visitors"]) == (1, {"view": 1}, 5, 1)


def test_an_unknown_person_is_an_answer(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["erase", "--home", str(home), "--user", "cy", "--yes"]) == 0
    assert capsys.readouterr().out == "Nothing is held of them: no entry of the log is theirs.\n"
    assert main(["erase", "--home", str(home), "--visitor", "v", "--yes"]) == 0
    assert "1 of the visitor ids are known as a user" in capsys.readouterr().out
    assert len(keys(home)) == 5


def test_compact_finishes_what_is_left(home: Path) -> None:
    assert "No byte of what was erased is left" in run("erase", "--home", str(home), "--compact").output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["erase"], "whom? Give --user or --visitor"),
        (["erase", "--user", "a", "--compact"], "--compact is for itself"),
        (["erase", "--user", "", "--yes"], "user_id must be a string of 1 to 256 characters"),
        (["export"], "whose data? Give one --user or one --visitor"),
        (["export", "--user", "a", "--visitor", "b"], "whose data? Give one --user or one --visitor"),
    ],
)
def test_a_mistake_is_told(home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert main([*arguments, "--home", str(home)]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("command", [["erase", "--yes"], ["export"]])
def test_a_home_without_a_log_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    assert main([*command, "--user", "ann", "--home", str(tmp_path / "nothing")]) == 2
    assert "there is no log in" in capsys.readouterr().err
    assert not (tmp_path / "nothing").exists()


def test_export_to_a_file_and_to_the_screen(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out" / "ann.json"
    assert main(["export", "--home", str(home), "--user", "ann", "--out", str(out)]) == 0
    assert capsys.readouterr().out == ""
    found = json.loads(out.read_text())
    assert [event["event_id"] for event in found["events"]] == ["e1", "e2", "e4"]
    assert main(["export", "--home", str(home), "--visitor", "x"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["events"] == [{"type": "view", "time": NOW, "event_id": "e5", "visitor_id": "x", "item_id": "pot"}]
    assert main(["export", "--home", str(home), "--user", "nobody"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["profiles"] == []
    assert "nothing is held of them" in said.err

"""``endcap launch-report`` as it is called: from a catalogue alone, with the real encoder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.shops import TEA

from endcap import wiring
from endcap.config import Config
from endcap.events.log import to_record
from endcap.interfaces.cli.main import main


@pytest.fixture
def home(tmp_path: Path) -> Path:
    log = wiring.open_log(tmp_path)
    log.append([to_record(change, 0) for change in TEA])
    log.close()
    return tmp_path


def test_a_catalogue_without_events_is_judged(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = home / "launch.html"
    assert main(["launch-report", "--home", str(home), "--out", str(page), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["total"]["items"] == 5
    assert said["total"]["without_image"] == 5
    assert said["total"]["placed"] is None  # one category: there is nothing to be placed in
    assert said["encoder"] == Config().encode.text
    assert "<h1>Launch report</h1>" in page.read_text(encoding="utf-8")
    assert main(["launch-report", "--home", str(home)]) == 0
    assert capsys.readouterr().out.startswith("5 of 5 items have a text that tells them apart.")


def test_an_empty_catalogue_is_the_callers_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wiring.open_log(tmp_path).close()
    assert main(["launch-report", "--home", str(tmp_path)]) == 2
    assert f"the catalogue of {tmp_path} is empty: run endcap import items FILE first" in capsys.readouterr().err

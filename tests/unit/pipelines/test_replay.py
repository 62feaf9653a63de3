"""Replay against the fold, and a check that can fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.shops import DAY, NOW, TEA, basket, did

from endcap import wiring
from endcap.config import Config, Home, StateConfig
from endcap.events.log import Body, entries, to_record
from endcap.interfaces.cli.main import main
from endcap.state.fold import State, apply
from endcap.state.snapshot import digest, save

EVENTS: list[Body] = [
    *TEA,
    basket("u1", "pot", "cup", time=NOW - 3 * DAY),
    did("view", "u2", "lamp", NOW - 2 * DAY),
    did("view", "u1", "scarf", NOW),
]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    log = wiring.open_log(path)
    log.append([to_record(body, NOW - 4 * DAY) for body in EVENTS])
    log.close()
    return path


def folded(home: Path, until: int) -> State:
    state = State(StateConfig())
    log = wiring.open_log(home)
    for entry in entries(log):
        if entry.offset <= until:
            apply(state, entry)
    log.close()
    return state


def replayed(capsys: pytest.CaptureFixture[str], home: Path, *options: str) -> tuple[int, dict[str, Any]]:
    status = main(["replay", "--home", str(home), "--json", *options])
    return status, json.loads(capsys.readouterr().out)


def test_up_to_an_offset_a_moment_or_the_end(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options, offset in (
        ((), 8),
        (("--offset", "6"), 6),
        (("--until", str(NOW - 2 * DAY)), 7),
        (("--until", "2000-01-01T00:00:00Z"), 0),
    ):
        status, found = replayed(capsys, home, *options)
        state = folded(home, offset)
        assert (status, found["offset"], found["digest"], found["events"]) == (0, offset, digest(state), state.events)


def test_a_restart_comes_to_the_same(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = wiring.open_log(home)
    wiring.keep_snapshot(home, folded(home, 6), log)
    log.close()
    status, found = replayed(capsys, home, "--check")
    (check,) = found["checks"]
    assert (status, check["same"], check["digest"]) == (0, True, found["digest"])
    assert check["way"] == "the snapshot of entry 6 and the log's tail"
    assert json.loads((home / "reports" / "replay.json").read_bytes()) == found


def test_a_snapshot_that_lies_is_found_out(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = folded(home, 6)
    state.popularity.add(0, 1.0, NOW)  # what no entry says
    log = wiring.open_log(home)
    save(state, Home(home).state, lambda offset: next(iter(log.read(offset - 1, 1)))[1].data)
    log.close()
    status, found = replayed(capsys, home, "--check")
    assert (status, [one["same"] for one in found["checks"]]) == (1, [False])


def test_one_end_at_a_time(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "--home", str(home), "--offset", "3", "--until", "5"]) == 2
    assert "--until and --offset are both given: give one of them" in capsys.readouterr().err
    assert Config().state == StateConfig()

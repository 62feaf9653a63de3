"""Replay against the fold, and a check that can fail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.shops import DAY, NOW, TEA, basket, did

from endcap import wiring
from endcap.backends.log.sqlite import SqliteLog
from endcap.config import Config, Home, StateConfig
from endcap.events.log import Body, entries, to_record
from endcap.events.served import Served
from endcap.interfaces.cli.main import main
from endcap.pipelines import restart
from endcap.pipelines.person import Person
from endcap.pipelines.replay import replay
from endcap.state.fold import State, apply
from endcap.state.snapshot import digest, save
from endcap.types import Record

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
    restart.keep_snapshot(home, folded(home, 6), log)
    log.close()
    status, found = replayed(capsys, home, "--check")
    (check,) = found["checks"]
    assert (check["name"], found["not_live"][:28]) == ("restart", "no server has kept a digest ")
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


def test_the_memory_of_a_server_is_compared_at_its_own_entry(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = wiring.open_log(home)
    restart.keep_live(home, folded(home, 6), lambda _: next(log.read(5, 1))[1].data, NOW)
    log.close()
    status, found = replayed(capsys, home, "--check")
    checks = {one["name"]: one for one in found["checks"]}
    assert (status, checks["live"]["offset"], checks["live"]["same"], found["not_live"]) == (0, 6, True, None)
    assert checks["live"]["digest"] == digest(folded(home, 6)) != found["digest"]
    _, early = replayed(capsys, home, "--check", "--offset", "5")
    assert early["not_live"] == "a server kept its digest at entry 6, which is later"
    assert replayed(capsys, home, "--check", "--offset", "6")[1]["checks"][1]["same"]


def test_a_server_whose_memory_differs_is_found_out(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = folded(home, 8)
    state.popularity.add(0, 1.0, NOW)
    restart.keep_live(home, state, lambda _: b"another log", NOW)
    status, found = replayed(capsys, home, "--check")
    assert (status, {one["name"]: one["same"] for one in found["checks"]}) == (1, {"restart": True, "live": False})
    assert main(["replay", "--home", str(home), "--check"]) == 1
    assert "DIFFERS from what the server held in memory at entry 8" in capsys.readouterr().out


def test_an_expired_entry_does_not_change_what_is_compared(home: Path) -> None:
    log = wiring.open_log(home)
    shown = Served("r1", NOW, 8, "m", (0,), {"recipe": "popular"}, True)
    log.append([to_record(shown)])
    restart.keep_live(home, folded(home, 9), lambda _: next(log.read(7, 1))[1].data, NOW)
    assert log.expire("served", NOW + 1, 10) == 1
    log.append([to_record(EVENTS[-1])])
    log.close()
    found, against = wiring.replay(home, Config(), (None, None), True, lambda *_: None)
    assert (found.offset, [(one.name, one.offset, one.same) for one in against.checks]) == (
        10,
        [("restart", 10, True), ("live", 9, True)],
    )


@pytest.mark.parametrize(
    ("change", "why_not"),
    [
        ("settings", "the last digest of a server's memory was made by other code or settings"),
        ("erased", "somebody was erased since a server kept the last digest of its memory"),
        ("broken", "no server has kept a digest of its memory yet"),
    ],
)
def test_a_digest_that_need_not_be_the_same_is_not_compared(home: Path, change: str, why_not: str) -> None:
    restart.keep_live(home, folded(home, 8), lambda _: b"", NOW)
    config = Config()
    if change == "settings":
        config = replace(config, state=replace(config.state, max_history=7))
    elif change == "erased":
        wiring.erase(home, config, [Person(user_id="u1")], NOW, lambda *_: None)
    else:
        Home(home).live_digest.write_text("{")
    _, against = wiring.replay(home, config, (None, None), True, lambda *_: None)
    assert [one.name for one in against.checks] == ["restart"]
    assert (against.not_live or "").startswith(why_not)


def test_one_end_at_a_time(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "--home", str(home), "--offset", "3", "--until", "5"]) == 2
    assert "--until and --offset are both given: give one of them" in capsys.readouterr().err
    assert Config().state == StateConfig()


class Overtaken(SqliteLog):
    """A log from which somebody is erased while it is read for the first time."""

    def __init__(self, home: Path) -> None:
        super().__init__(Home(home).log)
        self.readings = 0
        self._home = home

    def read(self, after: int = 0, limit: int | None = None) -> Iterator[tuple[int, Record]]:
        for at, found in enumerate(super().read(after, limit)):
            if at == 0 and limit is None:
                self.readings += 1
            if at == 0 and self.readings == 1:
                self.readings += 1
                wiring.erase(self._home, Config(), [Person(user_id="u1")], NOW, lambda *_: None)
            yield found


@pytest.mark.parametrize("way", ["from the first entry", "from the newest snapshot"])
def test_who_is_erased_while_it_is_folded_is_not_in_it(home: Path, way: str) -> None:
    log = Overtaken(home)
    if way == "from the first entry":
        found = replay(log, StateConfig(), lambda *_: False, lambda *_: None).digest
    else:
        found = digest(restart.replayed(home, Config(), log))
    log.close()
    assert log.readings > 1
    state = folded(home, 99)
    assert (found, state.user_row("u1", None)) == (digest(state), -1)

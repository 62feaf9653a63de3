"""Snapshots that must not stay, those that are waited for, and a fold that fails."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest

from endcap import wiring
from endcap.backends.log.sqlite import SqliteLog
from endcap.config import Config, Home, StateConfig
from endcap.errors import HomeError
from endcap.events.log import entries, to_record
from endcap.events.schema import Event
from endcap.pipelines.person import Person
from endcap.pipelines.restart import await_eraser, drop_outdated, fold_on, replayed_at, snapshot_of
from endcap.protocols import Log
from endcap.state import fold, snapshot
from endcap.state.fold import State, apply

NOBODY = 2**22 + 1
"""Above the greatest process id of Linux."""


def test_half_a_snapshot_goes_when_who_wrote_it_is_gone(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.state.mkdir()
    halves = [home.state / f"{7:020d}.{process}.part" for process in (NOBODY, os.getpid())]
    for half in halves:
        half.write_bytes(b"PK")
    with closing(SqliteLog(home.log)) as log:
        drop_outdated(tmp_path, log)
    assert [half.exists() for half in halves] == [False, True]


def test_nobody_waits_for_an_eraser_where_nobody_was_erased(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("endcap.pipelines.restart.time.sleep", None)
    with closing(SqliteLog(Home(tmp_path).log)) as log:
        await_eraser(tmp_path, log, 1)


def test_a_fold_that_fails_says_where_and_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fold._apply_event

    def faulty(state: State, event: Event) -> None:
        if event.item_id == "poison":
            raise RuntimeError("it cannot be added")
        whole(state, event)

    monkeypatch.setattr(fold, "_apply_event", faulty)
    views = [
        Event("view", 1, None, user, item_id=item) for user, item in (("ann", "cup"), ("bo", "poison"), ("cy", "cup"))
    ]
    with closing(SqliteLog(Home(tmp_path).log)) as log:
        log.append([to_record(one) for one in views])
        with pytest.raises(
            HomeError, match=r"beyond entry 1 \(RuntimeError\('it cannot be added'\)\): start the version"
        ):
            fold_on(State(StateConfig()), log)


def folded(log: Log, until: int) -> str:
    state = State(StateConfig())
    for entry in entries(log):
        if entry.offset <= until:
            apply(state, entry)
    return snapshot.digest(state)


def test_a_long_fold_leaves_snapshots_on_its_way_and_an_erasure_leaves_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "APART", 10)
    monkeypatch.setattr("endcap.pipelines.restart.SHOWN_EVERY", 5)
    monkeypatch.setattr("endcap.pipelines.erase._SEGMENT", 4)
    with closing(SqliteLog(Home(tmp_path).log)) as log:
        users = ["ann" if n in (14, 33) else f"u{n}" for n in range(60)]
        log.append([to_record(Event("view", 1, None, user, item_id=f"i{n % 7}")) for n, user in enumerate(users)])
        assert snapshot.digest(replayed_at(tmp_path, Config(), log, 55)) == folded(log, 55)
        assert [one.offset for one in snapshot.snapshots(Home(tmp_path).state)] == [50, 40, 30, 20, 10]
        wiring.erase(tmp_path, Config(), [Person("ann")], 5, lambda *_: None)
        kept = snapshot.snapshots(Home(tmp_path).state)
        assert [(one.offset, one.since) for one in kept if one.offset == 10] == [(10, 60)], "it is older than ann"
        assert len([one for one in kept if 10 < one.offset < 60 and one.since == 61]) >= 3, kept
        assert not [one for one in kept if 10 < one.offset < 60 and one.since != 61]
        for offset in (25, 38, 55):
            assert snapshot_of(tmp_path, Config(), log, offset).offset > offset - 20, "the next fold is short"
            assert snapshot.digest(replayed_at(tmp_path, Config(), log, offset)) == folded(log, offset)

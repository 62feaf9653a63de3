"""Snapshots that must not stay, those that are waited for, and a fold that fails."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest

from endcap.backends.log.sqlite import SqliteLog
from endcap.config import Home, StateConfig
from endcap.errors import HomeError
from endcap.events.log import to_record
from endcap.events.schema import Event
from endcap.pipelines.restart import await_eraser, drop_outdated, fold_on
from endcap.state import fold
from endcap.state.fold import State

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

"""Snapshots that must not stay: those that nobody finishes."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

from endcap.backends.log.sqlite import SqliteLog
from endcap.config import Home
from endcap.pipelines.restart import drop_outdated

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

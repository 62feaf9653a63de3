"""``endcap repair``: what it says, what becomes of the snapshots, and what a server is told of a torn write."""

from __future__ import annotations

import json
import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from endcap import wiring
from endcap.config import Config, Home
from endcap.errors import HomeError
from endcap.events.log import to_record
from endcap.events.schema import Event
from endcap.interfaces.cli.main import main
from endcap.pipelines.locking import lock
from endcap.pipelines.repair import look_at_write_ahead_log
from endcap.pipelines.restart import keep_snapshot, replayed


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Twenty events, and snapshots of 8, 15 and 20 of them."""
    log = wiring.open_log(tmp_path)
    for first, last in ((1, 9), (9, 16), (16, 21)):
        log.append([to_record(Event("view", n, f"e{n}", visitor_id="v", item_id="i")) for n in range(first, last)])
        keep_snapshot(tmp_path, replayed(tmp_path, Config(), log), log)
    log.close()
    return tmp_path


def damage(home: Path, *offsets: int) -> None:
    with closing(sqlite3.connect(Home(home).log, isolation_level=None)) as plain:
        for offset in offsets:
            plain.execute("UPDATE entries SET data = x'00' WHERE offset = ?", (offset,))


def snapshots(home: Path) -> list[int]:
    return sorted(int(path.stem) for path in Home(home).state.glob("*.npz"))


def test_a_sound_log(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = snapshots(home)
    for arguments in ([], ["--dry-run"]):
        assert main(["repair", "--home", str(home), *arguments]) == 0
        assert capsys.readouterr().out == "20 entries can be read.\nNothing is damaged.\n"
    assert snapshots(home) == before


def test_only_looking_changes_nothing_and_fails(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage(home, 17, 18)
    before = snapshots(home)
    assert main(["repair", "--home", str(home), "--dry-run"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["18 entries can be read.", "Damaged: entry 17.", "Damaged: entry 18."]
    assert lines[3].startswith("Stop the server and run endcap repair without --dry-run")
    assert main(["repair", "--home", str(home), "--dry-run", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "found": {"records": 18, "damaged": [17, 18], "gaps": []},
        "kept": None,
    }
    assert snapshots(home) == before


def test_snapshots_that_hold_what_is_lost_go(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert snapshots(home) == [15, 20]
    damage(home, 17)
    assert main(["repair", "--home", str(home)]) == 0
    said = capsys.readouterr().out
    assert f"The damaged file is kept: {Home(home).log}.damaged" in said
    assert "an erasure of people does not reach into it" in said
    assert snapshots(home) == [15]
    log = wiring.open_log(home)
    state = replayed(home, Config(), log)
    assert (state.events, state.unreadable, state.offset) == (19, 0, 20)
    assert log.append([to_record(Event("view", 1, "e17", visitor_id="v", item_id="i"))]) == [21]
    log.close()


def test_more_damage_than_is_listed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = wiring.open_log(home)
    log.append([to_record(Event("view", n, f"e{n}", visitor_id="v", item_id="i")) for n in range(21, 60)])
    log.close()
    damage(home, *range(1, 26))
    assert main(["repair", "--home", str(home), "--dry-run"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[20:22] == ["Damaged: entry 20.", "And 5 more."]


def test_a_home_that_is_served_is_not_repaired(home: Path) -> None:
    damage(home, 3)
    with closing(lock(home)), pytest.raises(HomeError, match="is served by another process: stop that"):
        wiring.repair(home)
    assert wiring.repair(home, look_only=True).found.damaged == (3,)


def test_a_home_without_a_log(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match=r"there is no log .*: name the home folder of a shop with --home"):
        wiring.repair(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_torn_write_ahead_log_is_kept_and_said(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = wiring.open_log(home)
    log.append([to_record(Event("view", 1, "late", visitor_id="v", item_id="i"))])
    wal = Home(home).log.with_name("endcap.db-wal")
    torn = bytearray(wal.read_bytes())
    log.close()
    look_at_write_ahead_log(Home(home).log)
    assert not caplog.records
    torn[-10] ^= 1
    wal.write_bytes(bytes(torn))
    with caplog.at_level(logging.ERROR):
        look_at_write_ahead_log(Home(home).log)
    assert "write-ahead log damaged" in caplog.text
    assert wal.with_name("endcap.db-wal.damaged").read_bytes() == bytes(torn)
    wal.with_name("endcap.db-wal.damaged").unlink()
    wal.with_name("endcap.db-wal.damaged").mkdir()
    with pytest.raises(HomeError, match=r"is damaged and cannot be kept .*: free space and start again"):
        look_at_write_ahead_log(Home(home).log)

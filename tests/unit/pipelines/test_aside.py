"""``endcap repair --fold``: what breaks the fold is set aside, keeps its bytes, and comes back when it can."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.serving.test_live_state import erase

from endcap import wiring
from endcap.config import Config, Home
from endcap.errors import HomeError
from endcap.events.erasure import Tombstone
from endcap.events.log import entries, to_record
from endcap.events.schema import Event
from endcap.interfaces.cli.main import main
from endcap.pipelines.aside import MOST
from endcap.pipelines.export import export
from endcap.pipelines.locking import lock
from endcap.pipelines.person import Person
from endcap.pipelines.restart import keep_snapshot, replayed
from endcap.protocols import Log
from endcap.state import fold
from endcap.state.fold import State
from endcap.state.snapshot import digest
from endcap.types import Entry, Unreadable


def view(user: str, item: str) -> Event:
    return Event("view", 1, f"{user}-{item}", user, item_id=item)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    opened = wiring.open_log(tmp_path)
    yield opened
    opened.close()


class Fault:
    """Makes the fold fail on events about some items, in the middle."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.items: set[str] = set()
        self.error: type[BaseException] = RuntimeError
        whole = fold._apply_event

        def faulty(state: State, event: Event) -> None:
            whole(state, event)
            if event.item_id in self.items:
                raise self.error(event.item_id)

        patch.setattr(fold, "_apply_event", faulty)


@pytest.fixture
def fault(monkeypatch: pytest.MonkeyPatch) -> Fault:
    return Fault(monkeypatch)


def repair(home: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, list[str]]:
    status = main(["repair", "--fold", "--home", str(home), *options])
    said = capsys.readouterr()
    return status, (said.out + said.err).splitlines()


def folded(home: Path, log: Log) -> str:
    return digest(replayed(home, Config(), log))


def test_a_sound_log(log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log.append([to_record(view("ann", "cup"))])
    assert repair(tmp_path, capsys) == (0, ["All entries that can be read can be folded."])


def test_what_breaks_the_fold_is_set_aside_and_taken_back(
    log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: Fault
) -> None:
    log.append([to_record(view(*one)) for one in (("ann", "cup"), ("bo", "ink"), ("ann", "pot"), ("cy", "jam"))])
    records = list(log.read())
    keep_snapshot(tmp_path, replayed(tmp_path, Config(), log), log)
    sound = folded(tmp_path, log)
    for snapshot in Home(tmp_path).state.glob("*"):
        snapshot.unlink()  # the code that makes the fault is another, and would refuse it
    fault.items = {"ink", "jam"}
    with pytest.raises(HomeError, match=r"run 'endcap repair --fold', which sets aside"):
        replayed(tmp_path, Config(), log)
    assert repair(tmp_path, capsys, "--dry-run") == (
        1,
        [
            "Breaks the fold: entry 2 (event: RuntimeError('ink')).",
            "Breaks the fold: entry 4 (event: RuntimeError('jam')).",
            "Stop the server and run endcap repair --fold without --dry-run.",
        ],
    )
    assert list(log.read()) == records
    assert repair(tmp_path, capsys)[1][0] == "Set aside: entry 2 (event: RuntimeError('ink'))."
    state = replayed(tmp_path, Config(), log)
    assert (state.events, state.unreadable, list(state.items)) == (2, 2, ["cup", "pot"])
    assert list(state.unreadable_first) == [2, 4]
    assert [(offset, one.data, one.key) for offset, one in log.read()] == [
        (at, one.data, one.key) for at, one in records
    ]
    assert log.append([records[1][1]]) == [None], "its event id is known"
    fault.items = {"ink"}
    assert repair(tmp_path, capsys, "--json")[0] == 0
    assert isinstance(next(entry for entry in entries(log, 1)).body, Unreadable)
    fault.items = set()
    assert repair(tmp_path, capsys)[1] == ["Taken back: entry 2.", "The server can be started."]
    assert list(log.read()) == records
    assert folded(tmp_path, log) == sound


def test_what_is_said_to_a_machine(log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: Fault) -> None:
    log.append([to_record(view("bo", "ink"))])
    fault.items = {"ink"}
    status, lines = repair(tmp_path, capsys, "--json", "--dry-run")
    assert (status, json.loads(lines[0])) == (1, {"broken": {"1": "event: RuntimeError('ink')"}, "taken_back": []})


def test_one_that_is_set_aside_is_still_somebodys(
    log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: Fault
) -> None:
    log.append([to_record(view("bo", "ink")), to_record(view("ann", "cup"))])
    fault.items = {"ink"}
    repair(tmp_path, capsys)
    state = replayed(tmp_path, Config(), log)
    assert [one["item_id"] for one in export(log, state, Person("bo"), 5).events] == ["ink"]
    erase(tmp_path, "bo")
    assert next(iter(log.read()))[0] == 2
    fault.items = set()
    repair(tmp_path, capsys)
    assert replayed(tmp_path, Config(), log).user_row("bo", None) == -1


def test_too_many_are_not_the_entries_fault(
    log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: Fault
) -> None:
    log.append([to_record(view(f"u{n}", "ink")) for n in range(MOST + 5)])
    records, fault.items = list(log.read()), {"ink"}
    status, lines = repair(tmp_path, capsys)
    assert status != 0
    assert (
        f"more than {MOST} entries break the fold, the last found is {MOST + 1} (event: RuntimeError('ink'))"
        in lines[0]
    )
    assert list(log.read()) == records


def test_what_keeps_the_erased_away_is_never_set_aside(
    log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fold._apply_rare

    def faulty(state: State, entry: Entry) -> None:
        whole(state, entry)
        if isinstance(entry.body, Tombstone):
            raise RuntimeError("tomb")

    monkeypatch.setattr(fold, "_apply_rare", faulty)
    log.append([to_record(Tombstone(("cup",)))])
    status, lines = repair(tmp_path, capsys)
    assert status != 0
    assert "entry 1 is part of an erasure and cannot be applied (erased: RuntimeError('tomb'))" in lines[0]


def test_memory_that_is_short_is_no_fault_of_an_entry(log: Log, tmp_path: Path, fault: Fault) -> None:
    log.append([to_record(view("bo", "ink"))])
    fault.items, fault.error = {"ink"}, MemoryError
    with pytest.raises(MemoryError):
        wiring.set_aside(tmp_path, Config(), lambda *_: None)


def test_beside_a_server_one_may_only_look(log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log.append([to_record(view("ann", "cup"))])
    with lock(tmp_path):
        assert repair(tmp_path, capsys, "--dry-run")[0] == 0
        assert repair(tmp_path, capsys)[0] != 0

"""Lists that were under way while somebody was erased: theirs do not come in, all others do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from endcap.backends.log.spool import Spool
from endcap.backends.log.sqlite import SqliteLog
from endcap.errors import HomeError
from endcap.events.erasure import Erasure
from endcap.events.log import entries, to_record
from endcap.events.schema import Event
from endcap.events.served import Served
from endcap.pipelines.underway import bring_in, note, noted, sweep

NOW = 1_764_000_000_000
KEY = bytes(range(32))
NAMES = ("u:ann", "v:her-phone", "s:her-visit")
HERS = ({"user_id": "ann", "visitor_id": "a-shop's-screen"}, {"visitor_id": "her-phone"}, {"session_id": "her-visit"})
OTHERS: tuple[dict[str, str], ...] = (
    {"user_id": "bo", "visitor_id": "her-phone"},
    {"visitor_id": "ann"},
    {"session_id": "her-phone"},
    {},
)


def lists(offset: int, *asked: dict[str, str]) -> list[Served]:
    return [Served(f"r{offset}-{n}", NOW, offset, "m", (0,), dict(one)) for n, one in enumerate(asked)]


def erasure(number: int) -> Erasure:
    return Erasure(number, NOW, ("aa",), {}, 0, 1, 1, "before", "after", 0)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    with closing(SqliteLog(tmp_path / "log.db")) as opened:
        opened.append([to_record(Event("view", NOW, None, "bo")), to_record(erasure(1))])
        yield opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "erasure.lists"
    note(path, 1, NAMES, KEY)
    return path


def served_in(log: SqliteLog) -> list[object]:
    return [entry.body for entry in entries(log) if isinstance(entry.body, Served)]


def test_a_list_of_hers_is_one_of_a_state_that_knew_her(log: SqliteLog, path: Path) -> None:
    ((found, entry),) = noted(path, log)
    assert entry == 2
    for one in lists(1, *HERS):
        assert found.is_theirs(to_record(one), entry)
    for one in [*lists(1, *OTHERS), *lists(2, *HERS)]:
        assert not found.is_theirs(to_record(one), entry)
    assert not found.is_theirs(to_record(Event("view", NOW, None, "ann")), entry)
    assert not [one for one in ("ann", "her-phone", "her-visit") if one.encode() in path.read_bytes()]


def test_what_a_server_that_died_has_left_and_brought_in(log: SqliteLog, path: Path, tmp_path: Path) -> None:
    waiting, stored = lists(1, *HERS, *OTHERS), lists(0, *HERS, *OTHERS)
    log.append([to_record(one) for one in stored])
    with closing(Spool(tmp_path / "spool")) as spool:
        for one in waiting:
            spool.append(to_record(one))
        bring_in(spool, path, log)
        assert spool.left() == []
    assert served_in(log) == [*stored[3:], *waiting[3:]]
    assert noted(path, log) == []


def test_an_erasure_that_did_not_happen_is_none(log: SqliteLog, path: Path, tmp_path: Path) -> None:
    note(path, 2, ["u:bo"], KEY)
    assert [one.erasure for one, _ in noted(path, log)] == [1]
    note(path, 2, ["u:cy"], KEY)  # that is the second one now
    log.append([to_record(erasure(2)), *map(to_record, lists(1, {"user_id": "bo"}, {"user_id": "cy"}, *HERS))])
    found = noted(path, log)
    assert sweep(path, log, found[1:]) == 1
    assert noted(path, log) == found[:1], "whose lists are still waited for"
    assert sweep(path, log, found) == 3
    assert served_in(log) == lists(1, {"user_id": "bo"})
    assert noted(tmp_path / "none", log) == []


def test_a_note_that_was_cut_short_is_none(log: SqliteLog, path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])
    assert noted(path, log) == []
    note(path, 1, NAMES, KEY)
    assert len(noted(path, log)) == 1


def test_a_note_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match=r"cannot be written .*: check its rights and the disk"):
        note(tmp_path, 1, NAMES, KEY)

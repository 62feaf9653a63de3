"""The erasures that a log has seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from endcap.backends.log.sqlite import SqliteLog
from endcap.errors import DamagedEntryError, HomeError
from endcap.events.erasing import erased_under, erasures, last_number
from endcap.events.erasure import Erasure, Tombstone
from endcap.events.log import Body, Named, entries, named, to_record
from endcap.events.schema import Event
from endcap.events.served import Served
from endcap.types import DAMAGED, Activation, Record

NOW = 1_764_000_000_000


def erasure(number: int, first: int = 1) -> Erasure:
    return Erasure(number, NOW + number, ("aa", "bb"), {"view": 2, "purchase": 1}, 3, first, 9, "before", "after", 4)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    opened = SqliteLog(tmp_path / "log.db")
    yield opened
    opened.close()


def test_an_erasure_and_a_tombstone_come_back_as_they_were(log: SqliteLog) -> None:
    bodies: list[Body] = [erasure(1, first=7), Tombstone(("cup", "茶壶")), replace(erasure(2), damaged=(3, 8))]
    log.append([to_record(body) for body in bodies])
    assert [entry.body for entry in entries(log)] == bodies
    assert [entry.time for entry in entries(log)] == [NOW + 1, 0, NOW + 2]
    assert [record.kind for _, record in log.read()] == ["erasure", "erased", "erasure"]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 7, 8, 9, 20])
def test_the_newest_number_and_all_of_them(log: SqliteLog, count: int) -> None:
    log.append([to_record(erasure(number)) for number in range(1, count + 1)])
    log.append([to_record(Activation("m"), NOW)])
    assert last_number(log) == count
    assert list(erasures(log)) == [(number, erasure(number)) for number in range(count, 0, -1)]


def test_what_an_erasure_took_away_from_under_an_entry(log: SqliteLog) -> None:
    view = to_record(Event("view", NOW, user_id="ann"))
    log.append([view] * 10)
    log.append([to_record(erasure(1, first=8))])  # entry 11
    log.append([view])
    log.append([to_record(erasure(2, first=3))])  # entry 13
    assert erased_under(log, 2) == []
    assert erased_under(log, 3) == [erasure(2, first=3)]
    assert erased_under(log, 8) == [erasure(1, first=8), erasure(2, first=3)]
    assert erased_under(log, 11) == [erasure(2, first=3)]
    assert erased_under(log, 13) == []


@pytest.mark.parametrize("lost", [1, 2, 3, 4])
def test_one_that_was_lost_hides_no_other(log: SqliteLog, lost: int) -> None:
    kept = [number for number in range(1, 6) if number != lost]
    log.append([to_record(erasure(number)) for number in kept])
    assert last_number(log) == 5
    assert [one.number for one in erased_under(log, 1, since=0)] == kept


def test_what_was_made_after_an_erasure_is_not_outdated_by_it(log: SqliteLog) -> None:
    log.append([to_record(erasure(1)), to_record(erasure(2))])
    assert erased_under(log, 1, since=1) == [erasure(2)]
    assert erased_under(log, 1, since=2) == []


def test_an_event_with_the_key_of_an_erasure_is_none(log: SqliteLog) -> None:
    log.append([to_record(Event("view", NOW, "erasure/1", "ann")), to_record(erasure(2))])
    assert last_number(log) == 2
    assert list(erasures(log)) == [(2, erasure(2))]


def test_whom_a_record_names() -> None:
    event = Event("identify", NOW, "e1", "ann", "v1", "s1", item_id="cup", consent=False, text="hello")
    assert named(to_record(event)) == Named("ann", "v1", "s1", "identify", False)
    asked: dict[str, object] = {"recipe": "next", "visitor_id": "v1", "k": 3}
    assert named(to_record(Served("r", NOW, 1, "m", (1,), asked))) == Named(visitor_id="v1")
    assert named(to_record(Activation("m"), NOW)) is None
    assert named(to_record(Tombstone(("cup",)))) is None


def test_a_record_that_cannot_be_read_is_said() -> None:
    with pytest.raises(HomeError, match="a log entry of kind 'event' cannot be read"):
        named(Record("event", NOW, b'{"user_id": 1}'))
    with pytest.raises(DamagedEntryError, match="a log entry is damaged and may name anybody: run endcap repair"):
        named(Record(DAMAGED, NOW, b""))


@pytest.mark.parametrize("data", [b"\x00\xff garbage", b"", b'{"user_id": 1}', b'{"user_id": "an\xff"}', b"[]"])
@pytest.mark.parametrize("kind", ["event", "served"])
def test_what_has_no_checksum_is_of_no_newer_version(kind: str, data: bytes) -> None:
    with pytest.raises(DamagedEntryError, match=f"a log entry of kind '{kind}' cannot be read"):
        named(Record(kind, NOW, data, checked=False))
    with pytest.raises(HomeError) as refused:
        named(Record(kind, NOW, data))
    assert not isinstance(refused.value, DamagedEntryError)


def test_an_erasure_that_cannot_be_read_is_not_passed_over(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "endcap.db")
    log.append([Record("erasure", NOW, b"{}", "erasure/1")])
    with pytest.raises(HomeError, match=r"log entry 1 \('erasure'\) cannot be read"):
        list(erasures(log))
    log.close()

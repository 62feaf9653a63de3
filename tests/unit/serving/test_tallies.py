"""Served lists are counted once each, whatever happens to the tally that counts them."""

from __future__ import annotations

from pathlib import Path

from endcap.backends.log.sqlite import SqliteLog
from endcap.events.log import to_record
from endcap.events.schema import Event
from endcap.events.served import Served, Shown, Tally
from endcap.serving.tallies import Tallies
from endcap.types import MS_PER_DAY

NOW = 1_764_000_000_000
DAY = NOW // MS_PER_DAY


def served(name: str, recipe: str = "similar", rows: int = 3, now: int = NOW, page_row: int = 0) -> Served:
    return Served(name, now, 1, "m1", tuple(range(rows)), {"recipe": recipe}, page_row=page_row)


def test_lists_and_their_items_by_kind_and_day() -> None:
    tallies = Tallies()
    for offset, one in enumerate(
        (served("a"), served("b", rows=0), served("c", now=NOW - MS_PER_DAY), served("d", page_row=2)), 5
    ):
        tallies.add(offset, one)
    expected = (
        Shown(DAY, "similar", "m1", 0, 2, 3),
        Shown(DAY - 1, "similar", "m1", 0, 1, 3),
        Shown(DAY, "similar", "m1", 2, 1, 3),
    )
    assert tallies.waiting() == list(expected)
    assert tallies.take() == Tally(8, expected)


def test_what_is_on_its_way_is_neither_lost_nor_counted_twice() -> None:
    tallies = Tallies()
    assert tallies.take() is None
    tallies.add(1, served("a"))
    assert tallies.take() == Tally(1, (Shown(DAY, "similar", "m1", 0, 1, 3),))
    tallies.add(2, served("b"))
    assert tallies.take() is None, "one at a time"
    assert sum(one.lists for one in tallies.waiting()) == 2
    tallies.give_back()
    assert tallies.take() == Tally(2, (Shown(DAY, "similar", "m1", 0, 2, 6),))
    tallies.add(3, served("c"))
    tallies.stored()
    assert tallies.waiting() == [Shown(DAY, "similar", "m1", 0, 1, 3)]
    assert tallies.take() == Tally(3, (Shown(DAY, "similar", "m1", 0, 1, 3),))


def test_a_start_counts_what_no_tally_has(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db")
    bodies = (served("a"), Event("view", NOW, "e", "ann"), served("b"), Tally(3, ()), served("c", "popular", 1))
    log.append([to_record(body, NOW) for body in bodies])
    tallies = Tallies()
    tallies.read(log, after=1)
    log.close()
    assert tallies.take() == Tally(5, (Shown(DAY, "similar", "m1", 0, 1, 3), Shown(DAY, "popular", "m1", 0, 1, 1)))

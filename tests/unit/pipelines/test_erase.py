"""An erasure leaves the log as if they had never been, and the state as a fold of that log."""

from __future__ import annotations

import hashlib
import hmac
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from tests.unit.pipelines.people import ASKED, LOGS, theirs
from tests.unit.state.folds import SMALL

from endcap.backends.log.sqlite import SqliteLog
from endcap.config import Home, StateConfig
from endcap.errors import HomeError
from endcap.events.erasing import erasures, last_number
from endcap.events.erasure import Erasure, Tombstone
from endcap.events.log import Body, entries, to_record
from endcap.events.schema import Event, Line
from endcap.events.served import Served
from endcap.pipelines import erase as erase_module
from endcap.pipelines import restart
from endcap.pipelines.erase import Job, Receipt, clean, erase, erasure_key, keyed_hashes
from endcap.pipelines.person import Person
from endcap.protocols import Log
from endcap.state import snapshot
from endcap.state.batch import apply_batch
from endcap.state.fold import State, apply
from endcap.state.snapshot import digest, save
from endcap.types import Entry, Record, Rewrite

NOW = 1_764_000_000_000
ANN = Person(user_id="ann")
KEY = bytes(range(32))


def did(user: str, *items: str, kind: str = "view", **more: Any) -> Event:
    return Event(kind, NOW, None, user, items=tuple(map(Line, items)), **more)


def folded(log: Log, config: StateConfig = SMALL) -> State:
    state = State(config)
    for entry in entries(log):
        apply(state, entry)
    return state


def quiet(done: int, total: int) -> None:
    assert 0 < done <= total


class Shop:
    """A home with a log, and no server."""

    def __init__(self, path: Path, *bodies: Body) -> None:
        self.home = Home(path)
        self.log = SqliteLog(self.home.log)
        self.log.append([to_record(body, NOW) for body in bodies])
        self.kept: list[State] = []

    def job(self, log: Log | None = None, wait: Callable[[], None] | None = None) -> Job:
        return Job(log or self.log, self.home, lambda _: State(SMALL), self.kept.append, lambda: KEY, wait)

    def erase(self, *people: Person, log: Log | None = None, wait: Callable[[], None] | None = None) -> Receipt:
        return erase(self.job(log, wait), people or [ANN], NOW, quiet)

    def bodies(self) -> list[object]:
        return [entry.body for entry in entries(self.log)]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path / "home")
    yield made
    made.log.close()


def test_events_and_lists_go_and_the_receipt_says_so(shop: Shop) -> None:
    shown = Served("r1", NOW, 2, "m", (0,), {"user_id": "ann"})
    bodies: list[Body] = [did("bo", "cup"), did("ann", "cup"), did("ann", "cup", kind="cart"), shown, did("bo", "pot")]
    shop.log.append([to_record(body, NOW) for body in bodies])
    before = digest(folded(shop.log))
    receipt = shop.erase()
    body = Erasure(1, NOW, receipt.people, {"cart": 1, "view": 1}, 1, 2, 5, before, receipt.after or "", 2)
    assert shop.bodies() == [bodies[0], bodies[4], body]
    assert [entry.offset for entry in entries(shop.log)] == [1, 5, 6]
    assert (receipt.number, receipt.entry, receipt.first, receipt.offset) == (1, 6, 2, 5)
    assert (receipt.events, receipt.lists, receipt.tombstones) == ({"cart": 1, "view": 1}, 1, 0)
    assert (receipt.compacted, receipt.problem) == (True, None)
    assert receipt.people == (hmac.new(KEY, b"u:ann", hashlib.sha256).hexdigest(),)
    never = State(SMALL)
    for entry in list(entries(shop.log))[:2]:
        apply(never, entry)
    assert receipt.after == digest(never)


def test_the_first_to_name_an_item_leaves_its_name(shop: Shop) -> None:
    bodies = [
        did("ann", "cup", "pot", "cup"),
        did("bo", "pot"),
        did("ann", "lamp", consent=False),
        did("ann", "lamp", "pot", kind="dismiss"),
        did("ann", "lamp", kind="purchase"),
        did("ann", "tray", consent=False),
    ]
    shop.log.append([to_record(body, NOW) for body in bodies])
    rows = list(folded(shop.log).items)
    assert shop.erase().tombstones == 2
    assert [(entry.offset, entry.body) for entry in entries(shop.log)][:-1] == [
        (1, Tombstone(("cup", "pot"))),
        (2, bodies[1]),
        (4, Tombstone(("lamp",))),
    ]
    assert [record.time for _, record in shop.log.read() if record.kind == "erased"] == [0, 0]
    assert list(folded(shop.log).items) == rows == ["cup", "pot", "lamp"]
    assert shop.erase(Person(user_id="bo")).tombstones == 0, "a tombstone has named it already"
    assert list(folded(shop.log).items) == rows


def test_who_is_unknown_changes_nothing(shop: Shop) -> None:
    shop.log.append([to_record(did("bo", "cup"))])
    receipt = shop.erase()
    assert (receipt.number, receipt.entry, receipt.first, receipt.events, receipt.lists) == (None, None, None, {}, 0)
    assert shop.bodies() == [did("bo", "cup")]
    assert shop.kept == []


def test_erasures_are_numbered_and_several_people_are_one(shop: Shop) -> None:
    shop.log.append([to_record(did(user, "cup")) for user in ("ann", "bo", "cy", "di")])
    assert shop.erase(ANN, Person(user_id="bo")).number == 1
    second = shop.erase(Person(user_id="di"))
    assert (second.number, len(second.people)) == (2, 1)
    assert [(offset, one.number, one.first) for offset, one in erasures(shop.log)] == [(6, 2, 4), (5, 1, 1)]


def test_the_number_of_an_erasure_that_was_lost_is_not_given_again(shop: Shop) -> None:
    """As a repair loses it, of a page that is damaged: the log is made anew without it."""
    shop.log.append([to_record(did(user, "cup")) for user in ("ann", "bo", "cy")])
    assert shop.erase().number == 1
    assert shop.erase(Person(user_id="bo")).number == 2
    newest = shop.log.last_offset()
    shop.log.rewrite(newest, lambda _: Rewrite({newest: None}))
    assert last_number(shop.log) == 1
    assert shop.erase(Person(user_id="cy")).number == 3
    assert [one.number for _, one in erasures(shop.log)] == [3, 1]


def test_its_own_fold_leaves_snapshots_on_its_way(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "APART", 10)
    events = [did("ann" if n % 7 == 3 else "bo", f"i{n % 5}") for n in range(95)]
    shop.log.append([to_record(one) for one in events])
    receipt = shop.erase()
    kept = snapshot.snapshots(shop.home.state)
    steps = np.diff([*(one.offset for one in kept), 0])
    assert len(kept) == 7
    assert all(-20 < step <= -10 for step in steps.tolist())
    assert {one.since for one in kept} == {receipt.entry}
    newest = partial(restart.entry_bytes, shop.log)
    for one in kept:
        state = snapshot.load(shop.home.state, SMALL, newest, one.offset, partial(restart.is_outdated, shop.log))
        expected = State(SMALL)
        apply_batch(expected, (entry for entry in entries(shop.log) if entry.offset <= one.offset))
        assert state.offset == one.offset
        assert digest(state) == digest(expected)
    assert not list(shop.home.state.glob("*.part"))
    shop.erase(Person(user_id="bo"))
    assert snapshot.snapshots(shop.home.state) == [], "they held what bo did"


def test_a_fold_that_comes_to_nothing_leaves_no_snapshots(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "APART", 10)
    shop.log.append([to_record(did("ann" if n % 7 == 3 else "bo", "cup")) for n in range(40)])

    class Full(SqliteLog):
        def rewrite(self, after: int, decide: object) -> list[int | None]:  # noqa: ARG002
            assert list(shop.home.state.glob("*.part")), "they are under way"
            raise HomeError("the disk is full")

    with closing(Full(shop.home.log)) as full, pytest.raises(HomeError, match="the disk is full"):
        shop.erase(log=full)
    assert not list(shop.home.state.glob("*"))


class Busy:
    """A log into which others write, once, between the last look and the change."""

    def __init__(self, log: Log, *bodies: Body, work: Callable[[], object] = lambda: None) -> None:
        self._log, self._late, self._work = log, [to_record(body, NOW) for body in bodies], work
        self.rewrites = 0

    def append(self, records: Sequence[Record]) -> list[int | None]:
        return self._log.append(records)

    def read(self, after: int = 0, limit: int | None = None) -> Iterator[tuple[int, Record]]:
        return self._log.read(after, limit)

    def find(self, key: str) -> tuple[int, Record] | None:
        return self._log.find(key)

    def keys(self, prefix: str) -> list[str]:
        return self._log.keys(prefix)

    def expire(self, kind: str, before: int, limit: int) -> int:
        return self._log.expire(kind, before, limit)

    def rewrite(self, after: int, decide: Callable[[Sequence[tuple[int, Record]]], Rewrite | None]) -> list[int | None]:
        self.rewrites += 1
        late, self._late = self._late, []
        self._log.append(late)
        if self.rewrites == 1:
            self._work()
        return self._log.rewrite(after, decide)

    def compact(self) -> None:
        self._log.compact()

    def last_offset(self) -> int:
        return self._log.last_offset()

    def close(self) -> None:
        self._log.close()


def test_what_came_in_meanwhile_goes_too(shop: Shop) -> None:
    shop.log.append([to_record(did("ann", "cup")), to_record(did("bo", "cup"))])
    busy = Busy(shop.log, did("bo", "pot"), did("ann", "lamp", kind="cart"), did("bo", "pot"))
    receipt = shop.erase(log=busy)
    assert (receipt.events, receipt.offset, receipt.entry, busy.rewrites) == ({"cart": 1, "view": 1}, 2, 6, 1)
    assert shop.bodies()[:-1] == [
        Tombstone(("cup",)),
        did("bo", "cup"),
        did("bo", "pot"),
        Tombstone(("lamp",)),
        did("bo", "pot"),
    ]
    assert digest(shop.kept[0]) == digest(folded(shop.log))


def test_a_login_meanwhile_takes_the_visitors_past_along(shop: Shop) -> None:
    guest = Event("view", NOW, visitor_id="v", item_id="cup")
    shop.log.append([to_record(one) for one in (did("ann", "cup"), guest, did("bo", "cup"))])
    busy = Busy(shop.log, Event("identify", NOW, user_id="ann", visitor_id="v"))
    receipt = shop.erase(log=busy)
    assert (receipt.events, busy.rewrites, receipt.visitors) == ({"identify": 1, "view": 2}, 2, 1)
    assert shop.bodies()[:-1] == [Tombstone(("cup",)), did("bo", "cup")]


def test_a_login_of_a_shared_visitor_meanwhile_takes_its_past_along(shop: Shop) -> None:
    beside = [Event("view", NOW, user_id=user, visitor_id="v", item_id="cup") for user in ("bo", "ann")]
    shop.log.append([to_record(one) for one in (*beside, Event("view", NOW, visitor_id="v", item_id="cup"))])
    busy = Busy(shop.log, Event("identify", NOW, user_id="ann", visitor_id="v"))
    receipt = shop.erase(log=busy)
    assert (receipt.events, busy.rewrites) == ({"identify": 1, "view": 2}, 2)
    assert shop.bodies()[:-1] == beside[:1]


def test_another_erasure_meanwhile_is_no_matter(shop: Shop) -> None:
    shop.log.append([to_record(did(user, item)) for user, item in (("bo", "cup"), ("ann", "pot"), ("cy", "pot"))])
    other = Busy(shop.log, work=lambda: shop.erase(Person(user_id="bo")))
    receipt = shop.erase(log=other)
    assert (receipt.number, receipt.entry, other.rewrites) == (2, 5, 2)
    assert shop.bodies()[:3] == [Tombstone(("cup",)), Tombstone(("pot",)), did("cy", "pot")]
    assert digest(shop.kept[-1]) == digest(folded(shop.log))
    assert receipt.before == digest(shop.kept[0])


def test_lists_that_a_server_brings_in_afterwards_go_too(shop: Shop) -> None:
    shop.log.append([to_record(did("ann", "cup")), to_record(did("bo", "cup"))])
    late = [Served("r1", NOW, 2, "m", (0,), {"user_id": "ann"}), Served("r2", NOW, 2, "m", (0,), {"user_id": "bo"})]

    def wait() -> None:
        shop.log.append([to_record(one) for one in late] + [to_record(did("ann", "new"))])

    receipt = shop.erase(wait=wait)
    assert (receipt.lists, receipt.events) == (1, {"view": 1})
    assert shop.bodies()[3:] == [late[1], did("ann", "new")], "what she does after the erasure is new"


def damage(shop: Shop, offset: int) -> None:
    """Flip a bit of its time."""
    with closing(sqlite3.connect(shop.home.log, isolation_level=None)) as plain:
        plain.execute("UPDATE entries SET time = time + 1 WHERE offset = ?", (offset,))


def test_damaged_entries_may_be_theirs_and_go(shop: Shop) -> None:
    shop.log.append([to_record(did(user, "cup")) for user in ("bo", "bo", "ann", "bo")])
    damage(shop, 1)
    old = Record("event", NOW, b'{"type":"view","user_id":"an\xff', checked=False)  # of before there were checksums
    shop.log.rewrite(0, lambda _: Rewrite({2: old}))
    served = folded(shop.log)
    assert served.unreadable == 2
    receipt = shop.erase()
    assert (receipt.damaged, receipt.events, receipt.first) == ((1, 2), {"view": 1}, 1)
    assert [entry.offset for entry in entries(shop.log)] == [3, 4, 5], "a tombstone, bo, the erasure"
    assert digest(shop.kept[0]) == digest(folded(shop.log))
    apply(served, list(entries(shop.log))[-1])
    assert served.outdated
    assert b'"an\xff' not in shop.home.log.read_bytes()


def test_damaged_entries_go_with_somebody_unknown_too(shop: Shop) -> None:
    shop.log.append([to_record(did("bo", "cup")), to_record(did("bo", "pot"))])
    damage(shop, 2)
    receipt = shop.erase()
    assert (receipt.number, receipt.events, receipt.damaged) == (1, {}, (2,))
    assert shop.bodies()[0] == did("bo", "cup")
    assert shop.erase(Person(user_id="cy")).number is None


def test_a_damaged_erasure_does_not_go_with_another(shop: Shop) -> None:
    shop.log.append([to_record(did("ann", "cup")), to_record(did("bo", "cup"))])
    assert shop.erase().entry == 3
    damage(shop, 3)
    with pytest.raises(HomeError, match="log entry 3 is damaged"):
        shop.erase(Person(user_id="bo"))
    assert [offset for offset, _ in shop.log.read()] == [1, 2, 3]


def test_what_a_newer_version_may_read_is_not_touched(shop: Shop) -> None:
    bodies = [
        to_record(did("ann", "cup")),
        Record("event", NOW, b'{"of":"a newer version"}'),
        Record("served", NOW, b"[]"),
    ]
    shop.log.append(bodies)
    with pytest.raises(HomeError, match=r"kind 'served' cannot be read .* start the version of Endcap that wrote it"):
        shop.erase()
    assert [record for _, record in shop.log.read()] == bodies


def test_a_large_log_is_not_made_anew_beside_a_server(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.log.append([to_record(did("ann", "cup"))])
    monkeypatch.setattr(erase_module, "MOST_BESIDE_BYTES", 100)
    receipt = shop.erase(wait=lambda: None)
    assert not receipt.compacted
    assert "run 'endcap erase --compact'" in (receipt.problem or "")
    assert shop.home.erasure_pending.exists()
    assert b'"ann"' in shop.home.log.with_name("endcap.db-wal").read_bytes()
    assert clean(shop.job(), Receipt(None, NOW, ()), quiet).compacted
    assert not shop.home.erasure_pending.exists()
    assert not shop.home.log.with_name("endcap.db-wal").read_bytes()


def test_an_unfinished_erasure_is_finished_by_the_next(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.log.append([to_record(did("ann", "cup"))])

    def fail() -> None:
        raise HomeError("the log is being read")

    with monkeypatch.context() as broken:
        broken.setattr(shop.log, "compact", fail)
        first = shop.erase()
    assert (first.compacted, first.problem) == (False, "the log is being read; then run 'endcap erase --compact'")
    again = shop.erase()
    assert (again.number, again.compacted, shop.home.erasure_pending.exists()) == (None, True, False)


def test_snapshots_that_hold_them_go(shop: Shop) -> None:
    shop.log.append([to_record(did("bo", "cup")), to_record(did("ann", "cup")), to_record(did("bo", "pot"))])
    for offset in (1, 2, 3):
        state = State(SMALL)
        apply_batch(state, (entry for entry in entries(shop.log) if entry.offset <= offset))
        save(state, shop.home.state, lambda _: None)
    kept = sorted(path.name for path in shop.home.state.glob("*.npz"))
    (shop.home.state / "00000000000000000003.77.part").write_bytes(b"ann")
    receipt = shop.erase()
    assert kept == ["00000000000000000002.npz", "00000000000000000003.npz"]
    assert receipt.snapshots == 2
    assert list(shop.home.state.iterdir()) == []


def test_examples_of_imports_and_the_cache_go(shop: Shop) -> None:
    shop.log.append([to_record(did("ann", "cup"))])
    shop.home.reports.mkdir()
    report = {"kind": "events", "refused": [{"reason": "r", "rows": 3, "examples": ["line 3: 'ann'"]}], "rules": []}
    path = shop.home.reports / "import-1.json"
    path.write_text(json.dumps(report))
    other = shop.home.reports / "replay.json"
    other.write_text('{"digest": "abc"}')
    (shop.home.reports / "torn.json").write_text("{")
    (shop.home.cache / "deep").mkdir(parents=True)
    (shop.home.cache / "deep" / "answer").write_text("ann")
    (shop.home.cache / "answer").write_text("ann")
    receipt = shop.erase()
    assert (receipt.reports, receipt.cache_files) == (1, 2)
    assert json.loads(path.read_text()) == report | {"refused": [{"reason": "r", "rows": 3, "examples": []}]}
    assert other.read_text() == '{"digest": "abc"}'
    assert list(shop.home.cache.iterdir()) == []


def test_files_that_are_not_reached_are_named(shop: Shop) -> None:
    shop.log.append([to_record(did("ann", "cup"))])
    kept = shop.home.log.with_name("endcap.db-wal.damaged")
    kept.write_bytes(b"ann")
    letter = shop.home.path / "newsletter.csv"
    letter.write_text("ann")
    (shop.home.encoders / "mine").mkdir(parents=True)
    (shop.home.encoders / "mine" / "encoder.json").write_text("of nobody")
    assert shop.erase().unreached == (str(kept), str(letter))
    kept.unlink()
    letter.unlink()
    assert shop.erase(Person(user_id="bo")).unreached == ()


def test_the_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "home" / "erasure.key"
    assert erasure_key(path, lambda: KEY) == KEY
    assert erasure_key(path, lambda: bytes(32)) == KEY
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["erasure.key"]
    path.write_bytes(b"short")
    with pytest.raises(HomeError, match="holds 5 bytes, not 32: delete it"):
        erasure_key(path, lambda: KEY)
    with pytest.raises(HomeError, match="cannot be used"):
        erasure_key(path / "below", lambda: KEY)


def test_a_user_and_a_visitor_of_one_id_have_two_hashes() -> None:
    assert len(set(keyed_hashes([Person(user_id="a"), Person(visitor_id="a")], KEY))) == 2


def seen(state: State) -> dict[str, Any]:
    """What a state says, by names: the same for two that differ in the rows of items and people alone."""
    names = list(state.items)
    people: dict[str, Any] = {}
    for row, who in enumerate(state.users):
        history = state.history(row)
        found = zip(
            history.items.tolist(), history.times.tolist(), history.types.tolist(), history.quantities, strict=True
        )
        interests = {kind: sorted(some) for kind, some in state.interests(row, NOW).items()}
        people[who] = (
            [(names[item], *rest) for item, *rest in found],
            history.counts,
            history.last_time,
            interests,
            [names[item] for item in state.dismissed(row).tolist()],
            [([names[item] for item in visit.items], visit.session_id) for visit in history.visits],
        )
    scores = {window: state.popularity.scores(window) for window in state.popularity.WINDOWS}
    sessions = {
        name: [
            sorted(names[item] for item in state.sessions.members(np.array([one], np.int32))[1].tolist())
            for one in state.sessions.recent(row).tolist()
        ]
        for row, name in enumerate(names)
    }
    return {
        "people": {who: what for who, what in people.items() if what[1]},
        "scores": {(window, names[row]): x for window, of in scores.items() for row, x in enumerate(of.tolist()) if x},
        "sessions": {name: some for name, some in sessions.items() if some},
        "listed": {names[row]: item for row, item in state.shop.listed_items()},
        "rules": dict(state.shop.rules),
        "active": state.shop.active_version,
        "events": state.events,
    }


@given(LOGS, ASKED)
@settings(max_examples=60, deadline=None)
def test_the_state_is_that_of_a_log_that_never_had_them(stream: list[Entry], people: list[Person]) -> None:
    gone = theirs(stream, people)
    with TemporaryDirectory() as folder:
        shop = Shop(Path(folder))
        shop.log.append([to_record(one.body, one.time) for one in stream])  # type: ignore[arg-type]  # bodies
        rows = list(folded(shop.log).items)
        receipt = shop.erase(*people)
        remaining = list(entries(shop.log))
        if not gone:
            assert (receipt.number, remaining) == (None, stream)
        else:
            again, never = State(SMALL), State(SMALL)
            apply_batch(again, remaining)
            for entry in stream:
                if entry.offset not in gone:
                    apply(never, entry)
            assert digest(shop.kept[0]) == digest(again) == digest(folded(shop.log))
            assert seen(again) == seen(never)
            assert not shop.kept[0].outdated | again.outdated
            assert list(again.items) == rows
            left = [one for one in remaining if not isinstance(one.body, (Tombstone, Erasure))]
            assert left == [one for one in stream if one.offset not in gone]
            counted = [one.body for one in stream if one.offset in gone]
            assert receipt.lists == sum(isinstance(body, Served) for body in counted)
            assert sum(receipt.events.values()) == sum(isinstance(body, Event) for body in counted)
        shop.log.close()

"""A snapshot equals the fold that it was taken of, and is refused when it may not be trusted."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from tests.unit.state.streams import START, STREAMS

from endcap.config import StateConfig
from endcap.events.schema import Event
from endcap.state import snapshot
from endcap.state.fold import State, apply
from endcap.state.snapshot import MOST, NEWEST, digest, load, name_since, save, snapshots, thin_out
from endcap.types import Entry

CONFIG = StateConfig(max_history=6, max_session_items=3, sessions_per_item=2)


def newest(offset: int) -> bytes | None:
    return b"entry %d" % offset if offset else None


def fold(stream: list[Entry], config: StateConfig = CONFIG) -> State:
    state = State(config)
    for entry in stream:
        apply(state, entry)
    return state


def views(*items: str) -> list[Entry]:
    """One view of each item, a minute apart."""
    return [
        Entry(at, START + at, Event("view", START + at * 60_000, None, "ann", item_id=item))
        for at, item in enumerate(items, 1)
    ]


@given(STREAMS, STREAMS)
@settings(max_examples=60, deadline=None)
def test_going_on_from_a_snapshot_equals_one_fold(
    tmp_path_factory: pytest.TempPathFactory, before: list[Entry], after: list[Entry]
) -> None:
    folder = tmp_path_factory.mktemp("state")
    after = [replace(entry, offset=entry.offset + len(before)) for entry in after]
    save(fold(before), folder, newest)
    resumed = load(folder, CONFIG, newest)
    assert digest(resumed) == digest(fold(before))
    for entry in after:
        apply(resumed, entry)
    assert resumed.offset == len(before) + len(after)
    assert digest(resumed) == digest(fold(before + after))
    for user in range(len(resumed.users)):
        asked, wanted = resumed.query(user, START), fold(before + after).query(user, START)
        np.testing.assert_array_equal(asked.history, wanted.history)
        np.testing.assert_array_equal(asked.session, wanted.session)


def test_the_digest_tells_states_apart() -> None:
    base = views("a", "b")
    assert digest(fold(base)) == digest(fold(views("a", "b")))
    for other in (views("b", "a"), views("a", "b", "b"), base[:1]):
        assert digest(fold(other)) != digest(fold(base))


def test_without_a_snapshot_the_state_is_empty(tmp_path: Path) -> None:
    assert load(tmp_path / "nothing", CONFIG, newest).offset == 0


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_a_torn_one_is_refused_and_the_older_one_used(tmp_path: Path, keep: float) -> None:
    save(fold(views("a")), tmp_path, newest)
    path = save(fold(views("a", "b")), tmp_path, newest)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    assert load(tmp_path, CONFIG, newest).offset == 1


def test_one_with_a_changed_byte_is_refused(tmp_path: Path) -> None:
    path = save(fold(views("a", "b", "c")), tmp_path, newest)
    data = bytearray(path.read_bytes())
    at = data.index(b'["a","b","c"]')
    data[at + 2] = ord("z")
    path.write_bytes(bytes(data))
    assert load(tmp_path, CONFIG, newest).offset == 0


def test_one_of_other_settings_is_refused(tmp_path: Path) -> None:
    save(fold(views("a")), tmp_path, newest)
    assert load(tmp_path, CONFIG, newest).offset == 1
    assert load(tmp_path, replace(CONFIG, max_history=7), newest).offset == 0


def test_one_of_another_log_is_refused(tmp_path: Path) -> None:
    save(fold(views("a")), tmp_path, newest)
    assert load(tmp_path, CONFIG, lambda _offset: b"another entry").offset == 0
    assert load(tmp_path, CONFIG, lambda _offset: None).offset == 0, "the log ends before the snapshot"


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    for count in range(1, 5):
        save(fold(views(*"abcd"[:count])), tmp_path, newest)
    assert len(list(tmp_path.iterdir())) == NEWEST
    assert load(tmp_path, CONFIG, newest).offset == 4


def test_one_from_under_which_something_was_erased_is_passed_over(tmp_path: Path) -> None:
    save(fold(views("a")), tmp_path, newest)
    save(fold(views("a", "b")), tmp_path, newest)
    assert load(tmp_path, CONFIG, newest, outdated=lambda offset, _: offset >= 2).offset == 1
    assert load(tmp_path, CONFIG, newest, outdated=lambda offset, _: offset >= 1).offset == 0


def test_one_that_was_made_after_an_erasure_says_so(tmp_path: Path) -> None:
    save(fold(views("a", "b")), tmp_path, newest)
    (tmp_path / name_since(1, 9)).write_bytes(save(fold(views("a")), tmp_path, newest).read_bytes())
    (tmp_path / "notes-x.npz").touch()
    assert [(one.offset, one.since) for one in snapshots(tmp_path)] == [(2, 2), (1, 9), (1, 1)]
    assert load(tmp_path, CONFIG, newest, outdated=lambda _, since: since < 9).offset == 1
    assert load(tmp_path, CONFIG, newest, outdated=lambda _, since: since <= 9).offset == 0


def test_of_the_older_ones_some_stay_and_are_the_same_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "APART", 10)
    stayed: set[int] = set()
    for offset in range(3, 301, 3):
        (tmp_path / f"{offset:020d}.npz").touch()
        thin_out(tmp_path)
        found = [one.offset for one in snapshots(tmp_path)]
        assert found[:2] == [offset, offset - 3][: len(found)]
        assert len(found) <= MOST
        older = found[2:]
        assert all(10 <= newer - old < 20 for newer, old in pairwise(older))
        assert not older[1:] or set(older[1:]) <= stayed, "only the newest of them is new"
        stayed = set(older)
    assert len(stayed) == MOST - NEWEST

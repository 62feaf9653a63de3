"""What an erasure leaves in the log: items keep their rows, and nothing else is known."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.state.folds import CONFIG, did, fold, history

from endcap.events.erasure import Erasure, Tombstone
from endcap.state.batch import apply_batch
from endcap.state.fold import State
from endcap.state.snapshot import digest
from endcap.types import Entry, Unreadable

ERASURE = Erasure(1, 0, ("aa",), {"view": 1}, 0, 1, 1, "before", "after", 1)


def test_a_tombstone_gives_rows_and_nothing_else() -> None:
    state = fold(Tombstone(("cup", "pot")), did("view", "u:bo", "lamp", "pot"))
    assert list(state.items) == ["cup", "pot", "lamp"]
    assert (state.events, list(state.users), history(state, "u:bo")) == (1, ["u:bo"], ["lamp", "pot"])
    assert state.popularity.scores("popular").tolist() == [0.0, 1.0, 1.0]
    assert (state.offset, state.anchor) == (2, 2)


def test_an_erasure_changes_nothing_but_the_place_in_the_log() -> None:
    state, without = fold(did("view", "u:bo", "cup"), ERASURE), fold(did("view", "u:bo", "cup"))
    assert (state.offset, state.anchor) == (2, 2)
    without.offset = without.anchor = 2
    assert digest(state) == digest(without)


def test_in_the_middle_of_what_somebody_does_in_one_go() -> None:
    bodies = [
        did("view", "u:bo", "pot"),
        Tombstone(("lamp", "cup")),
        did("view", "u:bo", "cup"),
        ERASURE,
        did("view", "u:bo", "lamp"),
    ]
    state = State(CONFIG)
    apply_batch(state, [Entry(offset, 0, body) for offset, body in enumerate(bodies, 1)])
    assert digest(state) == digest(fold(*bodies))
    assert list(state.items) == ["pot", "lamp", "cup"]


def test_a_state_that_still_holds_who_was_erased_says_so() -> None:
    ann, bo = did("view", "u:ann", "cup"), did("view", "u:bo", "cup")
    assert fold(ann, bo, ERASURE).outdated
    assert not fold(Tombstone(("cup",)), bo, ERASURE).outdated
    assert not fold(bo, ERASURE, ann).outdated


def test_a_state_that_has_set_aside_what_went_says_so() -> None:
    bo, erasure = did("view", "u:bo", "cup"), replace(ERASURE, damaged=(1,))
    assert fold(Unreadable("its checksum does not fit"), bo, erasure).outdated
    assert not fold(bo, Unreadable("of a newer version"), erasure).outdated

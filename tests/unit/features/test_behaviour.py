"""Behaviour augmentation: what each way may change, and what it must leave alone."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.models.pasts import past, random_past

from endcap.errors import ConfigError
from endcap.features.behaviour import MADE, Nearest, augmented
from endcap.types import IntArray, Interactions

PAST = random_past(2)


def nothing_similar(items: IntArray, _: np.random.Generator) -> IntArray:
    return items


def made(way: str, seed: int = 0, of: Interactions = PAST) -> Interactions:
    """The made visits alone."""
    whole = augmented(of, [way], seed, nothing_similar)
    return whole.where(np.arange(len(whole)) >= len(of))


def visits(of: Interactions) -> dict[int, list[tuple[int, int]]]:
    found: dict[int, list[tuple[int, int]]] = {}
    for session, item, time in zip(of.session.tolist(), of.item.tolist(), of.time.tolist(), strict=True):
        found.setdefault(session, []).append((item, time))
    return found


@settings(deadline=None, max_examples=25)
@given(st.lists(st.sampled_from(sorted(MADE)), min_size=1, max_size=4), st.integers(0, 99))
def test_what_was_there_stays_and_made_visits_are_parts_of_real_ones(ways: list[str], seed: int) -> None:
    whole = augmented(PAST, ways, seed, nothing_similar)
    size = len(PAST)
    for name in ("user", "item", "weight", "time", "session"):
        np.testing.assert_array_equal(getattr(whole, name)[:size], getattr(PAST, name))
    sessions = int(PAST.session.max()) + 1
    assert set((whole.session[size:] // sessions).tolist()) <= set(range(1, len(ways) + 1))
    for session, events in visits(whole.where(np.arange(len(whole)) >= size)).items():
        real = PAST.session == session % sessions
        assert not Counter(item for item, _ in events) - Counter(PAST.item[real].tolist())
        assert set(whole.user[whole.session == session].tolist()) == set(PAST.user[real].tolist())


def test_crop_keeps_one_piece() -> None:
    for session, events in visits(made("crop")).items():
        real = visits(PAST)[session % (int(PAST.session.max()) + 1)]
        assert len(events) == max(1, round(0.6 * len(real)))
        assert any(real[at : at + len(events)] == events for at in range(len(real)))


def test_mask_leaves_out_about_a_third() -> None:
    assert 0.6 < len(made("mask")) / len(PAST) < 0.8


def test_reorder_changes_what_was_when_and_nothing_else() -> None:
    again = made("reorder")
    assert len(again) == len(PAST)
    real = visits(PAST)
    changed = 0
    for session, events in visits(again).items():
        before = real[session % (int(PAST.session.max()) + 1)]
        assert [time for _, time in events] == [time for _, time in before]
        assert sorted(item for item, _ in events) == sorted(item for item, _ in before)
        changed += events != before
    assert changed > 0


def test_substitute_takes_similar_items() -> None:
    """0 and 1 point one way, 2 and 3 another; 4 has no vector."""
    near = Nearest(np.array([[1, 0], [1, 0], [0, 1], [0, 1], [0, 0]], np.float32), most=1)
    random = np.random.default_rng(0)
    assert near(np.array([0, 1, 2, 3, 4, 9], np.int32), random).tolist() == [1, 0, 3, 2, 4, 9]
    visits_ = past(*[(0, "abcde")] * 40, n_items=5)
    whole = augmented(visits_, ["substitute"], 0, near)
    before, after = visits_.item, whole.item[len(visits_) :]
    assert set(zip(before.tolist(), after.tolist(), strict=True)) == {
        (0, 0), (0, 1), (1, 0), (1, 1), (2, 2), (2, 3), (3, 2), (3, 3), (4, 4),
    }  # fmt: skip
    assert 0.15 < (before != after).mean() < 0.35  # 0.3 of the four that have a neighbour


def test_the_same_seed_makes_the_same_and_another_another() -> None:
    one, two, other = made("mask", 1), made("mask", 1), made("mask", 2)
    np.testing.assert_array_equal(one.item, two.item)
    assert len(one) != len(other) or (one.item != other.item).any()


def test_nothing_makes_nothing() -> None:
    empty = past(n_items=3)
    assert len(augmented(empty, ["crop", "mask"], 0)) == 0
    assert augmented(PAST, [], 0).item.tolist() == PAST.item.tolist()


def test_an_unknown_way_is_refused() -> None:
    with pytest.raises(
        ConfigError, match="there is no augmentation 'flip': choose among crop, mask, reorder, substitute"
    ):
        augmented(PAST, ["flip"], 0)
    with pytest.raises(ConfigError, match="substitute needs items to exchange for"):
        augmented(PAST, ["substitute"], 0)

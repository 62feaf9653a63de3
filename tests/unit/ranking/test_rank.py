"""Proposals to one order, against sorting by hand and a slow version."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from endcap.models.ensemble import Proposals
from endcap.ranking.rank import FILL_STEP, Ranked, fill, rank
from endcap.types import BoolArray, FloatArray, IntArray

NO_GROUPS: IntArray = np.full(10, -1, np.int32)
ALL: BoolArray = np.ones(10, np.bool_)
SILENT = Proposals(np.zeros((0, 0), np.float32), ())
NOTHING = Ranked(np.empty(0, np.int32), np.empty((0, 0), np.float32), ())


def proposed(rows: list[int], *parts: list[float]) -> Proposals:
    """Proposals with the given parts for ``rows``, and nothing for the others."""
    table = np.zeros((len(parts), max(rows, default=-1) + 1), np.float32)
    table[:, rows] = np.array(parts, np.float32).reshape(len(parts), len(rows))
    return Proposals(table, ("first", "second", "third")[: len(parts)])


def ranked(rows: list[int], *parts: list[float]) -> Ranked:
    """A list as it is given."""
    return Ranked(np.array(rows, np.int32), np.array(parts, np.float32), ("first", "second", "third")[: len(parts)])


def without(*rows: int) -> BoolArray:
    mask = ALL.copy()
    mask[list(rows)] = False
    return mask


def groups(**of: int) -> IntArray:
    """Group numbers of rows, given as r<row>=<group>."""
    numbers = NO_GROUPS.copy()
    for name, group in of.items():
        numbers[int(name[1:])] = group
    return numbers


# rank


def test_the_list_keeps_the_order_and_the_parts_of_the_proposals() -> None:
    found = rank(proposed([1, 2, 3], [0.5, 0.0, 0.25], [0.0, 0.75, 0.5]), ALL, NO_GROUPS, 3)
    assert found.rows.tolist() == [2, 3, 1]
    assert found.parts.tolist() == [[0.0, 0.25, 0.5], [0.75, 0.5, 0.0]]
    assert found.names == ("first", "second")


def test_equal_scores_stand_in_row_order() -> None:
    assert rank(proposed([7, 3, 5], [1.0, 1.0, 1.0]), ALL, NO_GROUPS, 3).rows.tolist() == [3, 5, 7]


def test_what_is_hidden_is_gone_before_the_list_is_cut() -> None:
    found = rank(proposed([1, 2, 3, 4], [4.0, 3.0, 2.0, 1.0]), without(1, 3), NO_GROUPS, 2)
    assert found.rows.tolist() == [2, 4]


def test_rows_that_the_mask_does_not_know_are_hidden() -> None:
    assert rank(proposed([1, 10, 11], [1.0, 2.0, 3.0]), ALL, NO_GROUPS, 5).rows.tolist() == [1]


def test_only_the_best_of_a_group_is_kept() -> None:
    found = rank(proposed([1, 2, 3, 4], [1.0, 4.0, 3.0, 2.0]), ALL, groups(r1=0, r2=1, r3=1, r4=0), 4)
    assert found.rows.tolist() == [2, 4]


def test_the_best_of_a_group_is_the_best_that_may_be_shown() -> None:
    found = rank(proposed([1, 2, 3], [1.0, 4.0, 3.0]), without(2), groups(r2=1, r3=1), 3)
    assert found.rows.tolist() == [3, 1]


def test_of_equals_in_a_group_the_first_row_is_kept() -> None:
    assert rank(proposed([4, 2], [1.0, 1.0]), ALL, groups(r2=0, r4=0), 3).rows.tolist() == [2]


def test_no_proposals_make_an_empty_list() -> None:
    assert rank(SILENT, ALL, NO_GROUPS, 3).rows.tolist() == []
    assert rank(proposed([1], [1.0]), without(1), NO_GROUPS, 3).rows.size == 0


# fill


def test_what_is_missing_is_filled_below_what_was_ranked() -> None:
    scores = np.arange(10, dtype=np.float32)
    found = fill(ranked([9, 4], [1.0, 0.5]), "trending", scores, without(8), NO_GROUPS, 4)
    assert found.rows.tolist() == [9, 4, 7, 6]
    assert found.rows.dtype == np.int32
    assert found.names == ("first", "trending")
    step = 0.5 * FILL_STEP
    np.testing.assert_allclose(found.parts, [[1.0, 0.5, 0.0, 0.0], [0.0, 0.0, step, step * 6 / 7]], rtol=1e-6)


def test_a_part_that_is_there_already_takes_what_is_filled() -> None:
    found = fill(ranked([1], [0.25], [0.5]), "second", np.ones(10, np.float32), ALL, NO_GROUPS, 2)
    assert found.names == ("first", "second")
    np.testing.assert_allclose(found.parts, [[0.25, 0.0], [0.5, 0.75 * FILL_STEP]], rtol=1e-6)


def test_a_list_of_nothing_but_filling_begins_at_the_step() -> None:
    found = fill(NOTHING, "trending", np.array([1, 4, 2], np.float32), ALL[:3], NO_GROUPS[:3], 5)
    assert found.rows.tolist() == [1, 2, 0]
    np.testing.assert_allclose(found.parts, [[FILL_STEP, FILL_STEP / 2, FILL_STEP / 4]], rtol=1e-6)


def test_nothing_in_demand_fills_in_row_order_at_nothing() -> None:
    found = fill(ranked([2], [1.0]), "trending", np.zeros(4, np.float32), ALL[:4], NO_GROUPS[:4], 3)
    assert (found.rows.tolist(), found.parts.tolist()) == ([2, 0, 1], [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])


def test_what_was_taken_back_to_below_nothing_counts_as_nothing() -> None:
    found = fill(NOTHING, "trending", np.array([-1e-15, 0.0, -1.0], np.float32), ALL[:3], NO_GROUPS[:3], 3)
    assert found.parts.tolist() == [[0.0, 0.0, 0.0]]


def test_counts_long_decayed_still_scale() -> None:
    tiny = np.array([1, 2], np.float32) * np.float32(1e-44)  # 145 half-lives of a count of 1
    found = fill(NOTHING, "trending", tiny, ALL[:2], NO_GROUPS[:2], 2)
    assert found.rows.tolist() == [1, 0]
    np.testing.assert_allclose(found.parts, [[FILL_STEP, FILL_STEP / 2]], rtol=0.1)


@pytest.mark.parametrize("k", [0, 1, 2])
def test_a_full_list_is_left_as_it_is(k: int) -> None:
    full = ranked([1, 2], [1.0, 0.5])
    assert fill(full, "trending", np.ones(10, np.float32), ALL, NO_GROUPS, k) is full


def test_with_nothing_left_to_show_the_list_stays_short() -> None:
    short = ranked([1], [1.0])
    assert fill(short, "trending", np.ones(10, np.float32), without(0, *range(2, 10)), NO_GROUPS, 5) is short


def test_a_variant_of_what_is_shown_is_not_filled_in() -> None:
    variants = groups(r1=0, r2=0, r3=1, r4=1, r5=0)
    scores = np.array([0, 0, 9, 7, 8, 6, 1, 0, 0, 0], np.float32)
    found = fill(ranked([1], [1.0]), "trending", scores, ALL, variants, 4)
    assert found.rows.tolist() == [1, 4, 6, 0]


def test_new_items_without_a_count_are_not_filled_in() -> None:
    assert fill(NOTHING, "trending", np.ones(3, np.float32), ALL, NO_GROUPS, 9).rows.tolist() == [0, 1, 2]


# Both


@st.composite
def asked(draw: st.DrawFn) -> tuple[Proposals, BoolArray, IntArray, FloatArray, int]:
    """Proposals, what may be shown, groups, what is in demand, and the length of the list."""
    n = draw(st.integers(1, 12))
    rows = draw(st.lists(st.integers(0, n + 1), unique=True, max_size=n))
    value = st.sampled_from([0.0, 0.25, 0.5, 1.0])  # sums are exact, so ties are ties
    parts = draw(st.lists(st.lists(value, min_size=len(rows), max_size=len(rows)), min_size=2, max_size=2))
    visible = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)), np.bool_)
    numbers = np.array(draw(st.lists(st.integers(-1, 2), min_size=n, max_size=n)), np.int32)
    scores = np.array(draw(st.lists(st.sampled_from([0.0, 0.5, 3.0]), min_size=n, max_size=n)), np.float32)
    return proposed(rows, *parts), visible, numbers, scores, draw(st.integers(1, n + 2))


def slowly(proposals: Proposals, visible: BoolArray, numbers: IntArray, scores: FloatArray, k: int) -> list[int]:
    """One item after the other, each asked every question."""
    said = {row: score for row, score in enumerate(proposals.scores().tolist()) if score > 0}
    shown: list[int] = []

    def offer(row: int) -> None:
        taken = {int(numbers[one]) for one in shown if numbers[one] >= 0}
        if len(shown) < k and row < visible.size and visible[row] and row not in shown and numbers[row] not in taken:
            shown.append(row)

    for row in sorted(said, key=lambda row: (-said[row], row)):
        offer(row)
    for row in sorted(range(scores.size), key=lambda row: (-scores[row], row)):
        offer(row)
    return shown


@given(asked())
def test_ranked_and_filled_equals_the_slow_version(
    case: tuple[Proposals, BoolArray, IntArray, FloatArray, int],
) -> None:
    proposals, visible, numbers, scores, k = case
    best = rank(proposals, visible, numbers, k)
    found = fill(best, "trending", scores, visible, numbers, k)
    assert found.rows.tolist() == slowly(*case)
    totals = found.parts.sum(axis=0)
    assert (np.diff(totals) <= 0).all()
    assert found.parts.shape == (len(found.names), found.rows.size)
    for place, row in enumerate(best.rows.tolist()):
        assert found.parts[: len(proposals.names), place].tolist() == proposals.parts[:, row].tolist()
    filled = found.parts[:, best.rows.size :]
    assert not filled[: len(proposals.names)].any(), "what is filled in rests on one part alone"

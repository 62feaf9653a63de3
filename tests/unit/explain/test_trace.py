"""The way of one item, by hand."""

from __future__ import annotations

import numpy as np

from endcap.explain.trace import Boosted, Proposed, Trace, trace
from endcap.models.ensemble import Proposals
from endcap.ranking.moves import Boost, Moves, Pin
from endcap.ranking.rank import fill, rank
from endcap.types import BoolArray, IntArray

PARTS = np.array([[0.5, 0.0, 0.25, 0.0, 0.125, 0.0], [0.0, 0.25, 0.5, 0.0, 0.125, 0.0]], np.float32)
"""Scores 0.5, 0.25, 0.75, 0, 0.25, 0."""
PROPOSALS = Proposals(PARTS, ("taste", "demand"))
GROUPS: IntArray = np.full(6, -1, np.int32)
ALL: BoolArray = np.ones(6, np.bool_)


def traced(
    row: int, k: int = 2, hidden_by: tuple[str, ...] = (), visible: BoolArray = ALL, groups: IntArray = GROUPS
) -> Trace:
    ranked = rank(PROPOSALS, visible, groups, k)
    ranked = fill(ranked, "demand", np.arange(6, dtype=np.float32), visible, groups, k)
    return trace(row, PROPOSALS, visible, hidden_by, groups, ranked)


def without(*rows: int) -> BoolArray:
    mask = ALL.copy()
    mask[list(rows)] = False
    return mask


def test_shown_with_who_proposed_it_and_at_what_rank() -> None:
    found = traced(0)
    assert (found.verdict, found.place, found.score) == ("shown", 2, 0.5)
    assert found.proposed == (Proposed("taste", 0.5, 1, 3),)
    assert (found.rank, found.rank_visible, found.hidden_by, found.variant_of, found.behind) == (2, 2, (), None, None)
    best = traced(2)
    assert (best.place, best.rank) == (1, 1)
    assert best.proposed == (Proposed("taste", 0.25, 2, 3), Proposed("demand", 0.5, 1, 3))


def test_outranked_says_by_how_much_and_equals_stand_in_row_order() -> None:
    first, second = traced(1), traced(4)
    assert (first.verdict, first.place, first.rank, first.behind) == ("outranked", None, 3, 0.25)
    assert (second.verdict, second.rank, second.rank_visible, second.behind) == ("outranked", 4, 4, 0.25)


def test_hidden_by_its_rules_wherever_it_would_have_stood() -> None:
    found = traced(2, hidden_by=("out_of_stock", "seen"), visible=without(2))
    assert (found.verdict, found.place, found.rank, found.rank_visible) == ("hidden", None, 1, None)
    assert (found.hidden_by, found.behind) == (("out_of_stock", "seen"), None)


def test_what_is_hidden_makes_room_in_the_rank_of_the_others() -> None:
    found = traced(0, visible=without(2))
    assert (found.place, found.rank, found.rank_visible) == (1, 2, 1)


def test_a_variant_names_the_one_in_its_place() -> None:
    groups = GROUPS.copy()
    groups[[0, 2]] = 7
    found = traced(0, groups=groups)
    assert (found.verdict, found.variant_of, found.behind) == ("variant", 2, None)


def test_nobody_proposed_it() -> None:
    found = traced(3)
    assert (found.verdict, found.proposed, found.rank, found.score) == ("not_proposed", (), None, 0.0)


def test_filled_in_below_what_was_proposed() -> None:
    found = traced(5, k=5)
    assert (found.verdict, found.place, found.proposed, found.rank) == ("filled", 5, (), None)
    assert 0 < found.score < 0.25


def test_newer_than_what_the_models_know() -> None:
    wider = np.append(GROUPS, np.int32(-1))
    ranked = rank(PROPOSALS, np.ones(7, np.bool_), wider, 2)
    found = trace(6, PROPOSALS, np.ones(7, np.bool_), (), wider, ranked)
    assert (found.verdict, found.proposed, found.score) == ("not_proposed", (), 0.0)


def test_who_scored_more_than_the_last_was_moved() -> None:
    ranked = rank(PROPOSALS, ALL, GROUPS, 3).only([0, 2])  # rows 2 and 1: row 0 gave way
    found = trace(0, PROPOSALS, ALL, (), GROUPS, ranked)
    assert (found.verdict, found.place, found.rank_visible, found.behind) == ("moved", None, 2, -0.25)


def boosted(row: int, *boosts: tuple[str, int, float]) -> Trace:
    """In a list of two, with boosts by rule, row and value."""
    lift = np.zeros(6, np.float32)
    made = []
    for name, of, value in boosts:
        lift[of] += np.float32(value)
        made.append(Boost(name, np.arange(6) == of, np.float32(value)))
    moves = Moves(lift=lift, boosts=tuple(made))
    return trace(row, PROPOSALS, ALL, (), GROUPS, rank(PROPOSALS, ALL, GROUPS, 2, moves))


def test_boosts_are_parts_of_the_score_of_what_is_shown_and_of_what_is_not() -> None:
    shown = boosted(4, ("rule:a", 4, 0.5), ("rule:b", 4, 0.5))  # 0.25 and twice 0.5 of the best, 0.75
    assert (shown.verdict, shown.place, shown.score, shown.rank, shown.rank_visible) == ("shown", 1, 1.0, 4, 1)
    assert shown.boosts == (Boosted("rule:a", 0.375), Boosted("rule:b", 0.375))
    assert sum(one.part for one in shown.proposed) + sum(one.part for one in shown.boosts) == shown.score
    left = boosted(1, ("rule:a", 1, 0.25), ("rule:b", 4, 1.0))  # the list is 4 (1.0) and 2 (0.75)
    assert (left.verdict, left.score, left.behind) == ("outranked", 0.4375, 0.3125)
    assert left.boosts == (Boosted("rule:a", 0.1875),)


def test_a_boost_adds_nothing_to_what_is_hidden_or_not_proposed() -> None:
    moves = Moves(lift=np.ones(6, np.float32), boosts=(Boost("rule:a", np.ones(6, np.bool_), np.float32(1.0)),))
    ranked = rank(PROPOSALS, without(2), GROUPS, 2, moves)
    hidden = trace(2, PROPOSALS, without(2), ("seen",), GROUPS, ranked)
    assert (hidden.score, hidden.boosts) == (0.75, ())
    unknown = trace(3, PROPOSALS, ALL, (), GROUPS, rank(PROPOSALS, ALL, GROUPS, 2, moves))
    assert (unknown.verdict, unknown.score, unknown.boosts) == ("not_proposed", 0.0, ())


def test_what_a_rule_pins_is_not_said_to_fill_the_list() -> None:
    moves = Moves(pins=(Pin(1, np.array([3], np.int32)),))
    ranked = rank(PROPOSALS, ALL, GROUPS, 2, moves).settled()
    found = trace(3, PROPOSALS, ALL, (), GROUPS, ranked)
    assert (found.verdict, found.place) == ("pinned", 1)
    assert trace(2, PROPOSALS, ALL, (), GROUPS, ranked).verdict == "shown"
    assert trace(0, PROPOSALS, ALL, (), GROUPS, ranked).verdict == "outranked"

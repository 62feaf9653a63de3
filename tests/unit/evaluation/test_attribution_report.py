"""The report on what lists bring: sums, shares with their intervals, and what it is asked for."""

from __future__ import annotations

from math import sqrt

import pytest
from tests.unit.state.folds import did, fold
from tests.unit.state.streams import START
from tests.unit.state.test_attribution import listed

from endcap.errors import InvalidFieldError
from endcap.evaluation.attribution import DAYS, Asked, Example, Report, Revenue, Row, asked, iso, report, wilson
from endcap.events.schema import UNKNOWN_LIST, Line
from endcap.events.served import Shown, Tally
from endcap.state.attribution import Key
from endcap.state.fold import State
from endcap.types import MS_PER_DAY

DAY = START // MS_PER_DAY
TODAY = Asked(DAY, DAY)
SIMILAR = Key("similar", "m1", 2)


@pytest.mark.parametrize(("successes", "trials"), [(0, 7), (7, 7), (1, 3), (50, 1_000), (1, 1)])
def test_an_end_of_the_interval_is_a_share_that_is_just_not_refuted(successes: int, trials: int) -> None:
    rate = wilson(successes, trials)
    assert rate is not None
    assert rate.value == successes / trials
    assert 0.0 <= rate.low <= rate.value <= rate.high <= 1.0
    for end, certain in ((rate.low, 0.0), (rate.high, 1.0)):
        if end != certain:  # the score test: so far from the share that was seen as 1.96 standard deviations
            assert abs(end - rate.value) / sqrt(end * (1 - end) / trials) == pytest.approx(1.959964, rel=1e-6)


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (3, 2)])
def test_no_share_where_there_is_none(successes: int, trials: int) -> None:
    assert wilson(successes, trials) is None


@pytest.fixture
def state() -> State:
    """Two lists of a day with what came of them, one of the day before."""
    return fold(
        listed(did("impression", "v:ann", "a", "b"), "r1", 1, 2),
        listed(did("click", "v:ann", "b"), "r1", 2),
        did("purchase", "v:ann", Line("b", 2, 4.5), currency="GBP"),
        listed(did("click", "v:bo", "a"), "r2", 1, key=SIMILAR, served_at=-24 * 60),
        did("purchase", "v:bo", Line("a", 1, 100.0), currency="EUR"),
        did("return", "v:bo", Line("a", 1)),
        did("click", "v:bo", "a", request_id="r9", listing=UNKNOWN_LIST),
        Tally(1, (Shown(DAY, "for-you", "m1", 0, 3, 30), Shown(DAY - 1, "similar", "m1", 2, 1, 8))),
    )


def made(state: State, wanted: Asked, *untallied: Shown) -> Report:
    return report(state.attribution, untallied, wanted, 7.0, state.items)


def by_name(found: Report) -> dict[str, Row]:
    return {row.name: row for row in found.rows}


def test_a_row_for_each_recipe_and_all_together(state: State) -> None:
    found = made(state, Asked(DAY - 1, DAY))
    assert (found.first, found.last, found.window_days, found.by) == (iso(DAY - 1), iso(DAY), 7.0, "recipe")
    own, similar = by_name(found)["for-you"], by_name(found)["similar"]
    assert (own.lists, own.items, own.rendered, own.clicked, own.clicks, own.purchases) == (3, 30, 1, 1, 1, 1)
    assert own.revenue == (Revenue("GBP", 9.0, 0.0, 9.0),)
    assert own.click_through == wilson(1, 3)
    assert own.click_through_rendered == wilson(1, 1)
    assert own.conversion == wilson(1, 3)
    assert similar.revenue == (Revenue("EUR", 100.0, 100.0, 0.0),)
    assert similar.click_through_rendered is None, "the shop said of none that it was rendered"
    assert (found.total.lists, found.total.items, found.total.clicked, found.total.returns) == (4, 38, 2, 1)
    assert [one.currency for one in found.total.revenue] == ["EUR", "GBP"]
    assert found.left_out == {"unknown_list": 1}
    assert own.examples == (Example("r1", "b"),)


def test_only_the_days_and_the_recipe_that_were_asked_for(state: State) -> None:
    assert set(by_name(made(state, TODAY))) == {"for-you"}
    yesterday = made(state, Asked(DAY - 1, DAY - 1))
    assert set(by_name(yesterday)) == {"similar"}
    assert yesterday.left_out == {}
    one = made(state, Asked(DAY - 1, DAY, recipe="similar"))
    assert (one.total.lists, one.total.clicks, len(one.total.revenue)) == (1, 1, 1)
    assert one.rows[0].examples == (Example("r2", "a"),)
    nothing = made(state, Asked(DAY + 1, DAY + 2))
    assert (nothing.rows, nothing.total.lists, nothing.total.click_through) == ((), 0, None)


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("day", [iso(DAY - 1), iso(DAY)]),
        ("model", ["m1"]),
        ("page_row", ["0", "2"]),
        ("recipe", ["for-you", "similar"]),
    ],
)
def test_what_a_row_stands_for(state: State, by: str, names: list[str]) -> None:
    found = made(state, Asked(DAY - 1, DAY, by))
    assert [row.name for row in found.rows] == names
    assert sum(row.lists for row in found.rows) == found.total.lists == 4


def test_what_no_tally_has_yet_counts_too(state: State) -> None:
    found = made(state, TODAY, Shown(DAY, "for-you", "m1", 0, 2, 5), Shown(DAY, "popular", "m2", 0, 1, 1))
    assert by_name(found)["for-you"].lists == 5
    assert (by_name(found)["popular"].lists, found.total.items) == (1, 36)


def test_the_days_that_are_meant() -> None:
    assert asked(None, None, "recipe", None, START) == Asked(DAY - DAYS + 1, DAY)
    assert asked(START, START + MS_PER_DAY, "day", "similar", 0) == Asked(DAY, DAY + 1, "day", "similar")
    assert iso(0) == "1970-01-01"
    with pytest.raises(InvalidFieldError, match="by is 'hour': use one of recipe, day, model, page_row"):
        asked(None, None, "hour", None, START)
    with pytest.raises(InvalidFieldError, match=f"from is {iso(DAY + 1)}, after until, {iso(DAY)}: exchange them"):
        asked(START + MS_PER_DAY, START, "recipe", None, START)

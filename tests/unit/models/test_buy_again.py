"""Buying again: rates, intervals and due dates against their definitions, worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from endcap.models.buy_again import PRIOR, STRENGTH, BuyAgain, not_due, seen_before
from endcap.state.shop import NEVER
from endcap.types import MS_PER_DAY, Interactions, Query, Vocabulary

MILK, SOAP, LAMP = 0, 1, 2


def bought(*lines: tuple[int, int, float], views: tuple[tuple[int, int, float], ...] = ()) -> Interactions:
    """Lines of user, item and day; ``views`` are no purchases."""
    users, items = Vocabulary(("u:a", "u:b", "u:c")), Vocabulary(("milk", "soap", "lamp"))
    user, item, day = np.array([*lines, *views]).T
    return Interactions(
        users,
        items,
        user.astype(np.int32),
        item.astype(np.int32),
        np.ones(day.size, np.float32),
        (day * MS_PER_DAY).astype(np.int64),
        np.arange(day.size, dtype=np.int32),
        np.arange(day.size) < len(lines),
    )


SHOP = bought(
    *((0, MILK, day) for day in (0, 4, 8)),
    *((1, MILK, day) for day in (1, 1.2, 9)),  # two lines of one day are one purchase
    (0, SOAP, 0),
    (0, SOAP, 32),
    (1, SOAP, 2),
    (2, LAMP, 3),
    views=((2, LAMP, 9), (1, SOAP, 30)),
)


def who(*lines: tuple[int, float], now: float, views: tuple[tuple[int, float], ...] = ()) -> Query:
    items, days = zip(*lines, *views, strict=True)
    return Query(
        np.array(items, np.int32),
        times=(np.array(days) * MS_PER_DAY).astype(np.int64),
        now=int(now * MS_PER_DAY),
        bought=np.arange(len(items)) < len(lines),
    )


# Of five pairs of a user and an item that was bought, three were repeated.
SHARE = 3 / 5
GAPS = {MILK: (4.0, 4.0, 7.8), SOAP: (32.0,), LAMP: ()}
TYPICAL = sum(math.log(gap) for gaps in GAPS.values() for gap in gaps) / 4


def rate(back: int, buyers: int) -> float:
    return (back + STRENGTH * SHARE) / (buyers + STRENGTH)


def interval(item: int) -> float:
    gaps = GAPS[item]
    return math.exp((sum(map(math.log, gaps)) + STRENGTH * TYPICAL) / (len(gaps) + STRENGTH))


def test_rates_and_intervals_are_shrunk_towards_the_shop() -> None:
    arrays = {name: values.astype(np.float64) for name, values in BuyAgain().fit(SHOP).to_arrays().items()}
    assert_allclose(arrays["rate"], [rate(2, 2), rate(1, 2), rate(0, 1)], rtol=1e-6)
    assert_allclose(arrays["interval"], [interval(item) for item in (MILK, SOAP, LAMP)], rtol=1e-6)
    assert_allclose(arrays["typical"], [math.exp(TYPICAL)], rtol=1e-6)


def test_the_score_rises_towards_the_interval_and_falls_after_it() -> None:
    model, usual = BuyAgain().fit(SHOP), interval(MILK)
    found = [float(model.scores(who((MILK, 0), (MILK, 10), now=10 + wait))[MILK]) for wait in (0.0, usual, 3 * usual)]
    expected = [rate(2, 2) * (2 + PRIOR) / (waited + PRIOR * usual) for waited in (usual, 0.0, 3 * usual)]
    assert_allclose(found, expected, rtol=1e-4)


def test_two_lines_of_one_day_are_one_purchase() -> None:
    model = BuyAgain().fit(SHOP)
    once, twice = who((MILK, 10), now=12), who((MILK, 9.9), (MILK, 10), now=12)
    assert model.scores(once).tolist() == model.scores(twice).tolist()


def test_what_was_only_looked_at_is_not_proposed_and_never_due() -> None:
    query = who((SOAP, 1), now=90, views=((MILK, 2),))
    model = BuyAgain().fit(SHOP)
    assert model.recommend(query, 9).items.tolist() == [SOAP]
    assert model.due(query)[0].tolist() == [SOAP]


def test_due_a_share_of_the_interval_after_the_last_purchase() -> None:
    model = BuyAgain(due_after=0.5).fit(SHOP)
    query = who((SOAP, 1), (MILK, 2), (SOAP, 5), now=5 + interval(SOAP) / 2)
    rows, due = model.due(query)
    assert rows.tolist() == [MILK, SOAP]
    assert_allclose(due / MS_PER_DAY, [2 + interval(MILK) / 2, 5 + interval(SOAP) / 2], rtol=1e-6)
    assert SOAP not in not_due(model, who((SOAP, 5), now=5.01 + interval(SOAP) / 2))
    assert SOAP in not_due(model, who((SOAP, 5), now=4.99 + interval(SOAP) / 2))


def test_what_was_seen_without_what_is_due() -> None:
    model = BuyAgain(due_after=0.5).fit(SHOP)
    query = who((MILK, 0), (SOAP, 39), now=40, views=((LAMP, 1), (MILK, 39)))
    assert seen_before(model, query).tolist() == [SOAP, LAMP]


def test_an_item_newer_than_the_model_is_a_typical_one() -> None:
    rows, due = BuyAgain(due_after=1.0).fit(SHOP).due(who((7, 3), now=4))
    assert rows.tolist() == [7]
    assert_allclose(due / MS_PER_DAY, [3 + math.exp(TYPICAL)], rtol=1e-6)


def test_where_nobody_buys_again_nothing_is_due_or_proposed() -> None:
    model = BuyAgain().fit(bought((0, MILK, 0), (1, SOAP, 1)))
    query = who((MILK, 0), now=10_000)
    assert model.due(query)[1].tolist() == [NEVER]
    assert not model.scores(query).any()
    assert not_due(model, query).tolist() == [MILK]


@pytest.mark.parametrize("named", ["rate", "typical"])
def test_the_interval_is_kept_with_the_version(named: str) -> None:
    fitted = BuyAgain().fit(SHOP)
    again = BuyAgain().from_arrays(fitted.to_arrays())
    assert again.to_arrays()[named].tolist() == fitted.to_arrays()[named].tolist()
    query = who((MILK, 1), (SOAP, 3), now=9)
    assert again.due(query)[1].tolist() == fitted.due(query)[1].tolist()

"""Decayed counts against their closed form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from endcap.config import StateConfig
from endcap.events.schema import TYPE_CODES
from endcap.state import item as item_state
from endcap.state.item import MAX_EXPONENT, Popularity
from endcap.types import MS_PER_DAY

T0 = 1_764_000_000_000
ITEMS = 4
HALF_LIVES = {"trending": 0.5, "popular": 3.0}
CONFIG = StateConfig(trending_half_life_days=0.5, popular_half_life_days=3.0)

Added = tuple[int, float, int]


def counted(events: list[Added], config: StateConfig = CONFIG) -> Popularity:
    popularity = Popularity(config)
    popularity.grow(ITEMS)
    for item, weight, time in events:
        popularity.add(item, weight, time)
    return popularity


def closed_form(events: list[Added], half_life_days: float) -> list[float]:
    """Each event's weight, halved once a half-life until the newest event."""
    newest = max(time for *_, time in events)
    scores = [0.0] * ITEMS
    for item, weight, time in events:
        scores[item] += weight * 2.0 ** (-(newest - time) / (half_life_days * MS_PER_DAY))
    return scores


def test_a_week_halves_trending_and_hardly_touches_popular() -> None:
    popularity = counted([(0, 4.0, T0), (1, 3.0, T0 + 7 * MS_PER_DAY)], StateConfig())
    np.testing.assert_allclose(popularity.scores("trending"), [2.0, 3.0, 0.0, 0.0], rtol=1e-6)
    np.testing.assert_allclose(popularity.scores("popular"), [4.0 * 2 ** (-7 / 90), 3.0, 0.0, 0.0], rtol=1e-6)
    assert popularity.scores("popular").dtype == np.float32


def test_nothing_counted_is_zero_for_every_item() -> None:
    assert counted([]).scores("trending").tolist() == [0.0] * ITEMS
    assert counted([]).last_time == 0


def test_each_change_is_another_version() -> None:
    popularity = counted([])
    versions = [popularity.version]
    for weight in (1.0, 1.0, -1.0):
        popularity.add(0, weight, T0)
        versions.append(popularity.version)
    assert len(set(versions)) == 4


def test_the_newest_time_is_not_the_last_that_came() -> None:
    assert counted([(0, 1.0, T0 + 5), (0, 1.0, T0)]).last_time == T0 + 5


_DAYS = st.integers(0, 4_000)  # up to 8,000 half-lives of trending: far beyond what a float64 holds unscaled
_EVENTS = st.lists(
    st.tuples(st.integers(0, ITEMS - 1), st.floats(0.5, 8.0), _DAYS.map(lambda days: T0 + days * MS_PER_DAY)),
    min_size=1,
    max_size=30,
)


@given(_EVENTS)
def test_any_order_of_events_equals_the_closed_form(events: list[Added]) -> None:
    popularity = counted(events)
    for window, half_life in HALF_LIVES.items():
        expected = closed_form(events, half_life)
        np.testing.assert_allclose(popularity.scores(window), expected, rtol=1e-5, atol=1e-37)


@given(st.integers(1, 20), st.integers(0, 40), st.integers(1, 20))
def test_a_late_event_counts_as_if_it_had_come_in_time(before: int, late: int, after: int) -> None:
    step = MS_PER_DAY // 10
    in_time = [(0, 1.0, T0 + at * step) for at in range(before + after)]
    event = (1, 2.0, T0 - late * step)
    first, last = counted([event, *in_time]), counted([*in_time, event])
    for window in Popularity.WINDOWS:
        np.testing.assert_allclose(first.scores(window), last.scores(window), rtol=1e-5)


def test_centuries_of_silence_do_not_overflow() -> None:
    far = T0 + int(3 * MAX_EXPONENT * 0.5 * MS_PER_DAY)
    popularity = counted([(0, 5.0, T0), (1, 5.0, far), (1, 1.0, far)])
    assert popularity.scores("trending").tolist() == [0.0, 6.0, 0.0, 0.0]


@pytest.mark.parametrize("half_lives", [1, 3 * int(MAX_EXPONENT)])
def test_what_is_taken_back_is_as_if_it_had_never_been(half_lives: int) -> None:
    later = T0 + half_lives * MS_PER_DAY // 2
    popularity = counted([(0, 5.0, T0), (1, 2.0, later), (0, -5.0, T0)])
    for window in Popularity.WINDOWS:
        np.testing.assert_allclose(popularity.scores(window), [0.0, 2.0, 0.0, 0.0], atol=1e-9)
    assert popularity.last_time == later


# Counts by type, and trend


def test_what_happened_is_counted_by_type_and_fades() -> None:
    popularity = counted([(0, 1.0, T0)])
    for _ in range(3):
        popularity.happened(1, TYPE_CODES["impression"], T0)
    popularity.happened(1, TYPE_CODES["return"], T0 - MS_PER_DAY // 2)
    assert popularity.counts("impression", "trending").tolist() == [0.0, 3.0, 0.0, 0.0]
    assert popularity.counts("return", "trending").tolist() == [0.0, 0.5, 0.0, 0.0]
    assert popularity.counts("view", "popular").tolist() == [0.0] * ITEMS
    popularity.add(0, 1.0, T0 + 3 * MS_PER_DAY)
    assert popularity.counts("impression", "popular").tolist() == [0.0, 1.5, 0.0, 0.0]


def test_rows_that_came_after_a_count_are_zero() -> None:
    popularity = counted([])
    popularity.happened(1, TYPE_CODES["view"], T0)
    popularity.counts("view", "trending")
    popularity.grow(ITEMS + 2)
    assert popularity.counts("view", "trending").size == popularity.scores("popular").size == ITEMS + 2


def test_the_trend_is_one_for_what_is_steady_above_for_what_rises_and_zero_for_nothing() -> None:
    hour = MS_PER_DAY // 24
    steady = [(0, 1.0, T0 + at * hour) for at in range(24 * 40)]
    rising = [(1, 1.0, T0 + at * hour) for at in range(24 * 36, 24 * 40)]
    falling = [(2, 1.0, T0 + at * hour) for at in range(24 * 36)]
    popularity = counted([*falling, *steady, *rising])
    trend = popularity.trend()
    assert trend[0] == pytest.approx(1.0, rel=0.03)
    assert (trend[1] > 1.3, trend[2] < 0.02, trend[3]) == (True, True, 0.0)
    assert trend.dtype == np.float32


@given(_EVENTS, st.integers(1, 5), st.lists(st.booleans(), min_size=30, max_size=30))
def test_the_sums_are_the_same_to_the_last_bit_however_they_are_cut(
    events: list[Added], waiting: int, reads: list[bool]
) -> None:
    whole = counted(events)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(item_state, "MAX_WAITING", waiting)
        cut = counted([])
        for event, read in zip(events, reads, strict=False):
            cut.add(*event)
            if read:
                cut.scores("popular")
    expected, packed = whole.pack(), cut.pack()
    assert expected.keys() == packed.keys()
    for name, values in expected.items():
        assert values.tobytes() == packed[name].tobytes()

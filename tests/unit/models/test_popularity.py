"""Popularity against a sum of powers of two."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.models.pasts import past, random_past

from endcap.config import StateConfig
from endcap.models.popularity import Popularity, Window
from endcap.state.item import Popularity as Counts
from endcap.types import MS_PER_DAY, Query


@pytest.mark.parametrize(("window", "half_life"), [("trending", 7.0), ("popular", 90.0)])
def test_an_event_loses_half_its_weight_every_half_life(window: Window, half_life: float) -> None:
    events = random_past(2)
    newest = int(events.time.max())
    expected = np.zeros(20)
    for item, weight, time in zip(events.item.tolist(), events.weight.tolist(), events.time.tolist(), strict=True):
        expected[item] += weight * 0.5 ** ((newest - time) / MS_PER_DAY / half_life)
    ranking = Popularity(window=window).fit(events).recommend(Query(), 20)
    np.testing.assert_allclose(ranking.scores, expected[ranking.items], rtol=1e-5)
    assert ranking.items.tolist() == np.argsort(-expected, kind="stable")[: len(ranking)].tolist()


def test_what_nobody_wanted_is_not_proposed() -> None:
    assert Popularity().fit(past((0, "ca"), (1, "c"))).recommend(Query(), 26).items.tolist() == [2, 0]


def test_live_counts_are_read_at_every_question() -> None:
    counts = Counts(StateConfig())
    counts.grow(3)
    trending, popular = Popularity(counts, "trending"), Popularity(counts, "popular")
    assert len(trending.recommend(Query(), 3)) == 0
    for _ in range(3):
        counts.add(0, 1.0, 0)
    counts.add(2, 1.0, 60 * MS_PER_DAY)
    assert trending.recommend(Query(), 3).items.tolist() == [2, 0]
    assert popular.recommend(Query(), 3).items.tolist() == [0, 2]
    counts.add(1, 9.0, 60 * MS_PER_DAY)
    assert trending.recommend(Query(), 1).items.tolist() == [1]

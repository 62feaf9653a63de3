"""What is cited is what is missing without it: against taking every item away, one by one."""

from __future__ import annotations

import random

import numpy as np
import pytest

from endcap.config import StateConfig
from endcap.explain import evidence
from endcap.explain.evidence import Witnesses, without
from endcap.models.ensemble import Blend
from endcap.models.session_knn import SessionKNN
from endcap.state.pairs import SessionIndex
from endcap.types import IntArray, Query

ITEMS = 12


def index(seed: int) -> SessionIndex:
    draw, made = random.Random(seed), SessionIndex(StateConfig())
    made.grow(ITEMS)
    for user in range(60):
        session = -1
        for item in draw.sample(range(ITEMS), draw.randint(2, 5)):
            session = made.add(user, session, item, user * 1_000)
    return made


def asked(*history: int) -> Query:
    rows = np.array(history, np.int32)
    return Query(rows, np.ones(rows.size, np.float32), np.arange(rows.size), rows, user=1_000, now=100_000)


def every(rows: int = ITEMS) -> IntArray:
    return np.arange(rows, dtype=np.int32)


@pytest.mark.parametrize("seed", range(20))
def test_without_the_cited_item_part_and_score_are_less(seed: int) -> None:
    knn = SessionKNN(index(seed))
    blend = Blend({"session_knn": knn}, {"session_knn": 1.0})
    query = asked(*random.Random(seed).sample(range(ITEMS), 4))
    cited = Witnesses(blend, query).cited("session_knn", knn, every(), every())
    before = blend.scores(query)
    for place in range(ITEMS):
        lower = [one for one in query.history.tolist() if blend.scores(without(query, one))[place] < before[place]]
        said = knn.contributions(query, every())[:, place]
        assert cited.get(place) in ([one for one in lower if said[query.history == one] > 0] or [None])


def test_what_says_most_and_is_not_missed_is_not_cited() -> None:
    cited = 0
    for seed in range(40):
        knn = SessionKNN(index(seed))
        blend = Blend({"session_knn": knn}, {"session_knn": 1.0})
        query = asked(*random.Random(seed).sample(range(ITEMS), 4))
        most = query.history[knn.contributions(query, every()).argmax(axis=0)]
        found = Witnesses(blend, query).cited("session_knn", knn, every(), every())
        cited += sum(found[place] != most[place] for place in found)
    assert cited > 0  # it happens: that is why items are taken away


def test_no_history_no_part_and_no_place_cite_nothing() -> None:
    knn = SessionKNN(index(0))
    blend = Blend({"session_knn": knn}, {"session_knn": 1.0})
    assert Witnesses(blend, Query(now=1)).cited("session_knn", knn, every(), every()) == {}
    assert Witnesses(blend, asked(0, 1)).cited("another", knn, every(), every()) == {}
    assert Witnesses(blend, asked(0, 1)).cited("session_knn", knn, every(), every(0)) == {}


def test_no_more_items_are_taken_away_than_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    knn, asks = SessionKNN(index(1)), 0

    class Counting(Blend):
        def propose(self, query: Query) -> object:  # type: ignore[override]
            nonlocal asks
            asks += 1
            return super().propose(query)

    monkeypatch.setattr(evidence, "MOST", 2)
    blend = Counting({"session_knn": knn}, {"session_knn": 1.0})
    Witnesses(blend, asked(0, 1, 2, 3, 4)).cited("session_knn", knn, every(), every())
    assert asks == 1 + 2


def test_a_query_without_an_item_is_that_of_somebody_who_never_touched_it() -> None:
    query = Query(
        np.array([3, 5, 3, 7], np.int32),
        np.array([1, 2, 3, 4], np.float32),
        np.array([10, 20, 30, 40]),
        np.array([3, 7], np.int32),
        user=2,
        now=50,
    )
    left = without(query, 3)
    assert (left.history.tolist(), left.weights.tolist(), left.times.tolist()) == ([5, 7], [2.0, 4.0], [20, 40])
    assert (left.session.tolist(), left.user, left.now) == ([7], 2, 50)
    assert without(Query(np.array([3], np.int32)), 3).history.size == 0

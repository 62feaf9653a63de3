"""VMIS-kNN against a plain loop over the sessions."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from tests.unit.models.pasts import follow, past, random_past

from endcap.config import StateConfig
from endcap.errors import ConfigError
from endcap.models.session_knn import BOUGHT_TOGETHER, SessionKNN, SessionKNNSettings
from endcap.state.pairs import SessionIndex
from endcap.types import MS_PER_DAY, Interactions, Query

PLAIN = SessionKNNSettings(half_life_days=None, idf=False, match_step=0.0)
SETTINGS = {
    "default": SessionKNNSettings(),
    "few neighbours": SessionKNNSettings(neighbours=4, half_life_days=None),
    "few sessions": SessionKNNSettings(sessions=3, items=3),
    "decayed places": SessionKNNSettings(decay=0.7, half_life_days=20.0),
    "far matches are silent": SessionKNNSettings(match_step=0.5),
    "bought together": BOUGHT_TOGETHER,
    "lift": replace(BOUGHT_TOGETHER, items=5, lift=1.0, shrink=2.0),
}


def slow_scores(events: Interactions, items: list[int], own: int | None, s: SessionKNNSettings) -> dict[int, float]:
    """The definition. ``items`` newest first; ``own``: the session left out."""
    sessions: dict[int, list[int]] = {}
    newest: dict[int, int] = {}
    linked: dict[int, list[int]] = {}
    for session, item, time in zip(events.session.tolist(), events.item.tolist(), events.time.tolist(), strict=True):
        newest[session] = max(newest.get(session, 0), time)
        if item not in sessions.setdefault(session, []):
            sessions[session].append(item)
            linked.setdefault(item, []).append(session)
    looked_at = {item: linked.get(item, [])[-s.sessions :] for item in items}
    n = len(items)
    weight = [n - place if s.decay is None else s.decay**place for place in range(n)]
    similar: list[tuple[float, int, int]] = []
    for session in sessions:
        shared = [place for place, item in enumerate(items) if session in looked_at[item]]
        if shared and session != own:
            similar.append((sum(weight[place] for place in shared), session, shared[0]))
    similar = sorted(similar, reverse=True)[: s.neighbours]
    latest = max((newest[session] for _, session, _ in similar), default=0)
    scores: dict[int, float] = {}
    for similarity, session, place in similar:
        age = (latest - newest[session]) / MS_PER_DAY
        fresh = 0.5 ** (age / s.half_life_days) if s.half_life_days else 1.0
        for item in sessions[session]:
            voice = similarity * max(1.0 - s.match_step * place, 0.0) * fresh
            voice *= 1.0 + math.log(len(sessions) / len(linked[item])) if s.idf else 1.0
            scores[item] = scores.get(item, 0.0) + voice / (len(linked[item]) + s.shrink) ** s.lift
    return {item: score for item, score in scores.items() if score > 0}


@pytest.mark.parametrize("name", SETTINGS)
def test_scores_equal_the_plain_loop(name: str) -> None:
    settings = SETTINGS[name]
    events = random_past(5, users=8, items=15, size=600)
    model = SessionKNN(settings=settings).fit(events)
    random = np.random.default_rng(0)
    compared = 0
    for _ in range(30):
        touched = random.integers(17, size=int(random.integers(1, 14))).astype(np.int32)  # 15 and 16 are unknown
        user = int(random.integers(-1, 8))
        newest_first = [item for item in dict.fromkeys(touched[::-1].tolist()) if item < 15][: settings.items]
        own = int(events.session[events.user == user].max()) if user >= 0 else None
        expected = slow_scores(events, newest_first, own, settings)
        ranking = model.recommend(Query(history=touched, session=touched, user=user), 99)
        assert set(ranking.items.tolist()) == set(expected)
        np.testing.assert_allclose(ranking.scores, [expected[item] for item in ranking.items.tolist()], rtol=1e-5)
        compared += len(ranking)
    assert compared > 100


@pytest.mark.parametrize("name", SETTINGS)
def test_contributions_add_up_to_the_score_and_fall_to_items_that_the_neighbours_hold(name: str) -> None:
    model = SessionKNN(settings=SETTINGS[name]).fit(random_past(5, users=8, items=15, size=600))
    random = np.random.default_rng(1)
    for _ in range(10):
        touched = random.integers(17, size=int(random.integers(1, 14))).astype(np.int32)  # 15 and 16 are unknown
        query = Query(history=touched, session=touched, user=int(random.integers(-1, 8)))
        ranking = model.recommend(query, 99)
        parts = model.contributions(query, ranking.items)
        assert parts.shape == (touched.size, len(ranking))
        np.testing.assert_allclose(parts.sum(axis=0), ranking.scores, rtol=1e-5)
        assert not parts[touched >= 15].any()


def test_a_contribution_follows_the_place_weights() -> None:
    model = SessionKNN(settings=PLAIN).fit(past((0, "abc"), (1, "bc")))
    query = follow(0, 1)  # the newest, b, counts 2 and a counts 1; session 0 shares both, session 1 only b
    assert model.recommend(query, 9).scores.tolist() == [5.0, 5.0, 3.0]  # b and c of both sessions, a of session 0
    np.testing.assert_allclose(
        model.contributions(query, np.array([2, 0, -1, 99], np.int32)), [[1, 1, 0, 0], [4, 2, 0, 0]]
    )
    assert model.contributions(follow(25), np.array([2], np.int32)).tolist() == [[0.0]]


def test_the_session_comes_first_and_the_history_stands_in() -> None:
    model = SessionKNN(settings=PLAIN).fit(past((0, "ab"), (1, "yz")))
    both = Query(history=np.array([0], np.int32), session=np.array([24], np.int32))
    assert model.recommend(both, 9).items.tolist() == [24, 25]
    assert model.recommend(follow(0), 9).items.tolist() == [0, 1]
    of_history = SessionKNN(settings=replace(PLAIN, follow="history")).fit(past((0, "ab"), (1, "yz")))
    assert of_history.recommend(both, 9).items.tolist() == [0, 1]


def test_ones_own_session_does_not_speak() -> None:
    model = SessionKNN(settings=PLAIN).fit(past((0, "ab"), (1, "ac")))
    assert model.recommend(follow(0, user=0), 9).items.tolist() == [0, 2]
    assert model.recommend(follow(0, user=1), 9).items.tolist() == [0, 1]
    assert model.recommend(follow(0), 9).items.tolist() == [0, 1, 2]


def test_of_equally_similar_sessions_the_later_speak() -> None:
    model = SessionKNN(settings=replace(PLAIN, neighbours=1)).fit(past((0, "ab"), (1, "ac"), (2, "x")))
    assert model.recommend(follow(0), 9).items.tolist() == [0, 2]


def test_a_live_index_is_read_at_every_question() -> None:
    index = SessionIndex(StateConfig())
    model = SessionKNN(index, PLAIN)
    assert len(model.recommend(follow(0), 9)) == 0
    index.grow(3)
    session = index.add(user=0, session=-1, item=0, time=0)
    index.add(user=0, session=session, item=2, time=1)
    assert model.recommend(follow(0), 9).items.tolist() == [0, 2]
    assert len(model.recommend(follow(0, user=0), 9)) == 0


def test_only_the_newest_sessions_of_an_item_are_looked_at() -> None:
    index = SessionIndex(StateConfig())
    index.grow(4)
    for user, other in enumerate((1, 2, 3)):
        session = index.add(user=user, session=-1, item=0, time=user)
        index.add(user=user, session=session, item=other, time=user)
    assert SessionKNN(index, replace(PLAIN, sessions=2)).recommend(follow(0), 9).items.tolist() == [0, 2, 3]


def test_lift_prefers_what_sells_here_to_what_sells_anyway() -> None:
    baskets = [(0, "ax"), (1, "ab"), (2, "ax"), (3, "ab"), (4, "ax"), *((user, "x") for user in range(5, 30))]
    plain = SessionKNN(settings=replace(BOUGHT_TOGETHER, lift=0.0, half_life_days=None)).fit(past(*baskets))
    lifted = SessionKNN(settings=replace(BOUGHT_TOGETHER, lift=1.0, half_life_days=None)).fit(past(*baskets))
    order = [item for item in plain.recommend(follow(0), 9).items.tolist() if item]
    assert order == [23, 1]
    assert [item for item in lifted.recommend(follow(0), 9).items.tolist() if item] == [1, 23]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"follow": "user"}, "follow is 'user': use 'session' or 'history'"),
        ({"items": 0}, "items is 0: it must be at least 1"),
        ({"sessions": 0}, "sessions is 0: it must be at least 1"),
        ({"neighbours": 0}, "neighbours is 0: it must be at least 1"),
    ],
)
def test_settings_out_of_range(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SessionKNN(settings=SessionKNNSettings(**wrong))  # type: ignore[arg-type]  # that is what is tested

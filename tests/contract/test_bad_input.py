"""Pasts and questions that no shop should have and some shop has: every recommender has a defined answer to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
from tests.contract.test_recommender import LEARNT, N_ITEMS, PAST, QUERIES, RECOMMENDERS, SMALL
from tests.unit.models.pasts import follow, past

from endcap.encoders.cache import ItemVectors
from endcap.features.text import NgramIndex
from endcap.models.buy_again import BuyAgain
from endcap.models.photo import Photo
from endcap.models.search import Search
from endcap.models.sequence import SequenceModel
from endcap.models.two_tower import TwoTower
from endcap.protocols import Recommender, TrainableRecommender
from endcap.types import MS_PER_DAY, Interactions, Query, Ranking, Vocabulary

MAKE: Mapping[str, Callable[[], TrainableRecommender]] = {
    **LEARNT,
    "LSTM": lambda: SequenceModel(replace(SMALL, body="lstm")),
    "two towers without features": lambda: TwoTower(SMALL),
}
DESCRIBED = (
    "structured MF",
    "projection",
    "GRU4Rec with features and profile",
    "two towers",
    "neural collaborative filtering",
)
"""Those that are told of every item by its vector, so that one without events has a place."""
HISTORY = follow(3, 8, 3, 0)


@pytest.fixture(params=list(MAKE))
def name(request: pytest.FixtureRequest) -> str:
    made: str = request.param
    return made


def defined(ranking: Ranking, n_items: int) -> None:
    """What any list is: items of the catalogue, each once, with numbers."""
    items = ranking.items.tolist()
    assert len(set(items)) == len(items)
    assert all(0 <= item < n_items for item in items)
    assert np.isfinite(ranking.scores).all()


def joined(one: Interactions, user: int, items: np.ndarray) -> Interactions:
    """``one``, and after it a further user who takes ``items``, one a day, in one visit."""
    many = items.size
    return Interactions(
        Vocabulary([*one.users, f"u{user}"]),
        one.items,
        np.concatenate([one.user, np.full(many, user, np.int32)]),
        np.concatenate([one.item, items.astype(np.int32)]),
        np.concatenate([one.weight, np.ones(many, np.float32)]),
        np.concatenate([one.time, one.time.max() + MS_PER_DAY * np.arange(1, many + 1)]),
        np.concatenate([one.session, np.full(many, one.session.max() + 1, np.int32)]),
    )


def test_a_user_with_one_event_has_a_list(name: str) -> None:
    user = len(PAST.users)
    model = MAKE[name]().fit(joined(PAST, user, np.array([3])))
    ranking = model.recommend(follow(3, user=user), 99)
    defined(ranking, N_ITEMS)
    assert len(ranking) > 0
    if isinstance(model, BuyAgain):
        assert ranking.items.tolist() == [3]


def test_users_with_one_event_each_have_a_list(name: str) -> None:
    model = MAKE[name]().fit(past(*((user, letter) for user, letter in enumerate("aabcd")), n_items=N_ITEMS))
    for query in QUERIES.values():
        defined(model.recommend(query, 99), N_ITEMS)


def test_an_item_without_events_is_proposed_by_those_who_are_told_of_it_only(name: str) -> None:
    without = 4
    model = MAKE[name]().fit(PAST.where(PAST.item != without))
    ranking = model.recommend(HISTORY, 99)
    defined(ranking, N_ITEMS)
    assert name in DESCRIBED or without not in ranking.items
    asked = model.recommend(follow(without), 99)
    defined(asked, N_ITEMS)
    if isinstance(model, BuyAgain):
        assert asked.items.tolist() == [without]  # it is the visitor's own, and as likely as the shop's items are
    elif name not in DESCRIBED:
        assert asked.items.tolist() == model.recommend(Query(), 99).items.tolist()


def test_constant_weights_are_as_good_as_others(name: str) -> None:
    model = MAKE[name]().fit(replace(PAST, weight=np.full(len(PAST), 4.0, np.float32)))
    ranking = model.recommend(follow(3, 8, 3, weights=(4.0, 4.0, 4.0)), 99)
    defined(ranking, N_ITEMS)
    assert len(ranking) > 0


def test_where_everybody_took_everything_alike_nothing_breaks(name: str) -> None:
    model = MAKE[name]().fit(past(*((user, "abcdefgh") for user in range(12)), n_items=N_ITEMS))
    for query in QUERIES.values():
        defined(model.recommend(query, 99), N_ITEMS)


def test_a_user_of_ten_thousand_events_is_learnt_from(name: str) -> None:
    many = np.random.default_rng(0).integers(10, size=10_000)
    model = MAKE[name]().fit(joined(PAST, len(PAST.users), many))
    ranking = model.recommend(Query(history=many.astype(np.int32), user=len(PAST.users)), 99)
    defined(ranking, N_ITEMS)
    assert len(ranking) > 0


@pytest.mark.parametrize("name", RECOMMENDERS)
def test_a_list_of_a_thousand_million_is_the_whole_catalogue_at_most(name: str) -> None:
    model = RECOMMENDERS[name]()
    long, whole = model.recommend(HISTORY, 10**9), model.recommend(HISTORY, N_ITEMS)
    assert long.items.tolist() == whole.items.tolist()


TITLES = ("red mug", "blue mug", "garden lamp")
UNIT = np.eye(3, dtype=np.float32)


def _held() -> ItemVectors:
    held = ItemVectors(3)
    held.set(np.arange(3, dtype=np.int32), UNIT)
    return held


def _index() -> NgramIndex:
    index = NgramIndex()
    for row, title in enumerate(TITLES):
        index.add(row, title)
    return index


SEARCHES: Mapping[str, Recommender] = {
    "photo": Photo(_held()),
    "search": Search(_held(), _index(), Vocabulary(f"i{row}" for row in range(3))),
}


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize(
    "query",
    [
        Query(),
        HISTORY,
        follow(*(row % 10 for row in range(10_000))),
        Query(text=" " * 1_000),
        Query(text="zzzzqqqq"),
        Query(text="mug " * 2_500),
        Query(text="mug", vector=np.zeros(3, np.float32)),
        Query(image=np.zeros(3, np.float32)),
        Query(image=UNIT[0], user=10_000),
    ],
    ids=lambda query: (query.text[:4].strip() or "no text") + str(query.history.size),
)
def test_what_is_searched_for_has_a_defined_answer_whatever_it_is(name: str, query: Query) -> None:
    for k in (0, 1, 10**9):
        ranking = SEARCHES[name].recommend(query, k)
        defined(ranking, 3)
        assert len(ranking) <= k

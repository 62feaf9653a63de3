"""What every recommender promises, whatever it is made of. A new one is tested by being listed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Protocol

import numpy as np
import pytest
from tests.unit.models.pasts import follow, past, random_past

from endcap.encoders.cache import ItemVectors
from endcap.errors import NotFittedError
from endcap.features.interactions import sound
from endcap.models.als import ALS
from endcap.models.bpr import BPR, BPRSettings
from endcap.models.buy_again import BuyAgain
from endcap.models.content import Content
from endcap.models.ease import EASE
from endcap.models.ensemble import Blend, ReciprocalRank
from endcap.models.fallback import Fallback
from endcap.models.itemknn import ItemKNN, ItemKNNSettings
from endcap.models.ncf import NCF
from endcap.models.popularity import Popularity
from endcap.models.projection import Projection
from endcap.models.sequence import SequenceModel
from endcap.models.session_knn import BOUGHT_TOGETHER, SessionKNN
from endcap.models.stacking import Stacking, StackingSettings
from endcap.models.structured import StructuredMF, StructuredMFSettings
from endcap.models.transitions import Transitions, TransitionsSettings
from endcap.models.two_tower import TwoTower
from endcap.nn.shapes import CollaborativeSettings, SequenceSettings
from endcap.protocols import Recommender, Scorer, Trainable, TrainableRecommender
from endcap.types import FloatArray, Interactions, Query, Ranking

PAST = random_past(7)
SMALL = SequenceSettings(factors=4, length=8, epochs=1, batch_size=16)
N_ITEMS = len(PAST.items)


class TrainableScorer(Scorer, Trainable, Protocol):
    """What most of them are."""


TRAINABLE: dict[str, Callable[[], TrainableScorer]] = {
    "trending": lambda: Popularity(window="trending"),
    "popular": lambda: Popularity(window="popular"),
    "item kNN, BM25": ItemKNN,
    "item kNN, cosine over sessions": lambda: ItemKNN(ItemKNNSettings(similarity="cosine", by="session")),
    "session kNN": SessionKNN,
    "bought together": lambda: SessionKNN(settings=BOUGHT_TOGETHER),
    "ALS": lambda: ALS(factors=6, epochs=3),
    "BPR": lambda: BPR(BPRSettings(factors=6)),
    "buy again": BuyAgain,
    "EASE": EASE,
    "structured MF": lambda: StructuredMF([_vectors()], StructuredMFSettings(factors=6)),
    "transitions": Transitions,
    "transitions of sessions": lambda: Transitions(TransitionsSettings(by="session")),
    "projection": lambda: Projection([_vectors()]),
    "SASRec": lambda: SequenceModel(SMALL),
    "GRU4Rec with features and profile": lambda: SequenceModel(replace(SMALL, body="gru", profile=True), (_vectors(),)),
    "Caser": lambda: SequenceModel(replace(SMALL, body="caser", loss="gbce", negatives=4, temperature=0.1)),
    "two towers": lambda: TwoTower(SMALL, (_vectors(),)),
    "neural collaborative filtering": lambda: NCF(CollaborativeSettings(factors=4, epochs=2), {"text": _vectors()}),
}
OWN_ITEMS_ONLY = 3
"""Different items of the history below: what buying again chooses among."""


@dataclass
class Combined:
    """A combinator together with the members it is fitted through."""

    members: Mapping[str, TrainableScorer]
    combine: Callable[[Mapping[str, TrainableScorer]], Recommender]

    def fit(self, interactions: Interactions) -> Combined:
        for member in self.members.values():
            member.fit(interactions)
        return self

    def recommend(self, query: Query, k: int) -> Ranking:
        return self.combine(self.members).recommend(query, k)


WEIGHTS = {"als": 0.5, "itemknn": 0.3, "popular": 0.2}


def _members() -> dict[str, TrainableScorer]:
    return {"als": ALS(factors=6, epochs=3), "itemknn": ItemKNN(), "popular": Popularity()}


def _blend(members: Mapping[str, Scorer]) -> Recommender:
    return Blend(members, WEIGHTS)


@dataclass
class Stacked:
    """A stack over members that are fitted on all but the last item of each user, which it learns from."""

    members: Mapping[str, TrainableScorer]
    stack: Stacking | None = None

    def fit(self, interactions: Interactions) -> Stacked:
        interactions = sound(interactions)
        last = np.unique(interactions.user[::-1], return_index=True)[1]
        early = np.ones(len(interactions), np.bool_)
        early[len(interactions) - 1 - last] = False
        for member in self.members.values():
            member.fit(interactions.where(early))
        asked = [
            (Query(interactions.item[early & (interactions.user == interactions.user[at])]), interactions.item[[at]])
            for at in np.flatnonzero(~early)
        ]
        settings = StackingSettings(trees=5, least=1, least_cases=5)
        popularity = Popularity(window="popular").fit(interactions)
        self.stack = Stacking(self.members, WEIGHTS, popularity, settings).learn(asked)
        return self

    def recommend(self, query: Query, k: int) -> Ranking:
        return Ranking.top(self.scores(query), k, above=0.0)

    def scores(self, query: Query) -> FloatArray:
        return (self.stack or Stacking(self.members, WEIGHTS, Popularity())).scores(query)


def _vectors() -> ItemVectors:
    vectors = np.random.default_rng(0).normal(size=(N_ITEMS, 8)).astype(np.float32)
    held = ItemVectors(8)
    held.set(np.arange(N_ITEMS, dtype=np.int32), vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return held


def _content() -> Content:
    return Content(_vectors())


@cache  # what is asked only need not be fitted for each question
def _fitted(make: Callable[[], TrainableRecommender]) -> Recommender:
    return make().fit(PAST)


@cache
def _fitted_scorer(make: Callable[[], TrainableScorer]) -> Scorer:
    return make().fit(PAST)


def _fitted_blend() -> Blend:
    return Blend({name: member.fit(PAST) for name, member in _members().items()}, WEIGHTS)


LEARNT: dict[str, Callable[[], TrainableRecommender]] = {
    **TRAINABLE,
    "fallback": lambda: Combined(_members(), lambda members: Fallback(list(members.values()))),
    "blend": lambda: Combined(_members(), _blend),
    "fusion of places": lambda: Combined(_members(), ReciprocalRank),
    "stack": lambda: Stacked(_members()),
}
RECOMMENDERS: Mapping[str, Callable[[], Recommender]] = {
    **{name: partial(_fitted, make) for name, make in LEARNT.items()},
    "content": _content,
}

SCORERS: Mapping[str, Callable[[], Scorer]] = {
    **{name: partial(_fitted_scorer, make) for name, make in TRAINABLE.items()},
    "content": _content,
    "blend": _fitted_blend,
    "fusion of places": lambda: ReciprocalRank({name: member.fit(PAST) for name, member in _members().items()}),
    "stack": lambda: Stacked(_members()).fit(PAST),
}

QUERIES = {
    "one item": follow(3),
    "several, with weights": follow(3, 8, 3, 0, weights=(1.0, 5.0, 3.0, 1.0)),
    "a long history": follow(*(row % N_ITEMS for row in range(200))),
    "a session": Query(history=np.array([1, 5, 9], np.int32), session=np.array([5, 9], np.int32), user=4),
    "a user without a history": Query(user=4),
    "an unknown user": Query(user=10_000, now=1_790_000_000_000),
    "new items among known ones": follow(3, N_ITEMS, 8, 1_000_000, weights=(1.0, 2.0, 3.0, 4.0)),
    "new items only": follow(N_ITEMS, 1_000_000),
    "unknown items": follow(-1, -7),
    "nobody": Query(),
}


@pytest.fixture(params=list(RECOMMENDERS))
def recommender(request: pytest.FixtureRequest) -> Recommender:
    return RECOMMENDERS[request.param]()


@pytest.fixture(params=list(LEARNT))
def unfitted(request: pytest.FixtureRequest) -> Callable[[], TrainableRecommender]:
    return LEARNT[request.param]


@pytest.fixture(params=list(QUERIES))
def query(request: pytest.FixtureRequest) -> Query:
    return QUERIES[request.param]


def pairs(ranking: Ranking) -> list[tuple[int, float]]:
    return list(zip(ranking.items.tolist(), ranking.scores.tolist(), strict=True))


@pytest.mark.parametrize("k", [1, 5, N_ITEMS, 10 * N_ITEMS])
def test_at_most_k_known_items_each_once_best_first(recommender: Recommender, query: Query, k: int) -> None:
    ranking = recommender.recommend(query, k)
    assert len(ranking) <= min(k, N_ITEMS)
    assert ranking.items.dtype == np.int32
    assert ranking.scores.dtype == np.float32
    items, scores = ranking.items.tolist(), ranking.scores.tolist()
    assert len(set(items)) == len(items)
    assert all(0 <= item < N_ITEMS for item in items)
    assert np.isfinite(ranking.scores).all()
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("name", SCORERS)
def test_the_list_is_the_best_of_the_scores(name: str, query: Query) -> None:
    scorer = SCORERS[name]()
    scores = scorer.scores(query)
    assert scores.dtype == np.float32
    assert scores.size <= N_ITEMS
    assert not np.isnan(scores).any()
    wanted = sorted((row for row in range(scores.size) if scores[row] > 0), key=lambda row: (-scores[row], row))
    ranking = scorer.recommend(query, 7)
    assert ranking.items.tolist() == wanted[:7]
    assert ranking.scores.tolist() == scores[wanted[:7]].tolist()


def test_every_recommender_has_something_to_say(recommender: Recommender) -> None:
    wanted = OWN_ITEMS_ONLY if isinstance(recommender, BuyAgain) else 5
    assert len(recommender.recommend(QUERIES["several, with weights"], 5)) == wanted


def test_a_shorter_list_is_the_beginning_of_a_longer_one(recommender: Recommender) -> None:
    query = QUERIES["several, with weights"]
    assert recommender.recommend(query, 3).items.tolist() == recommender.recommend(query, 8).items.tolist()[:3]


def test_none_asked_for_none_given(recommender: Recommender, query: Query) -> None:
    assert len(recommender.recommend(query, 0)) == 0


def test_the_same_question_has_the_same_answer(recommender: Recommender, query: Query) -> None:
    assert pairs(recommender.recommend(query, 10)) == pairs(recommender.recommend(query, 10))


def test_a_question_leaves_its_arrays_as_they_were(recommender: Recommender) -> None:
    history = np.array([3, 8, 3], np.int32)
    weights = np.array([1.0, 5.0, 3.0], np.float32)
    for array in (history, weights):
        array.flags.writeable = False
    ranking = recommender.recommend(Query(history=history, weights=weights), 5)
    assert len(ranking) == (2 if isinstance(recommender, BuyAgain) else 5)


def test_items_it_has_not_learnt_are_passed_over(recommender: Recommender) -> None:
    known = follow(3, 8, weights=(2.0, 4.0))
    rows = np.array([N_ITEMS, 999, *known.history], np.int32)  # the oldest, so that the known ones keep their age
    mixed = replace(known, history=rows, weights=np.array([9.0, 9.0, *known.weights], np.float32))
    assert recommender.recommend(mixed, 10).items.tolist() == recommender.recommend(known, 10).items.tolist()


@pytest.mark.parametrize("rows", [(-1,), (N_ITEMS,)])
def test_an_unknown_item_is_like_none(recommender: Recommender, rows: tuple[int, ...]) -> None:
    assert pairs(recommender.recommend(follow(*rows), 10)) == pairs(recommender.recommend(Query(), 10))


def test_before_fit_it_says_so(unfitted: Callable[[], TrainableRecommender]) -> None:
    with pytest.raises(NotFittedError, match=r"was asked before it was fitted: call fit\(interactions\) first"):
        unfitted().recommend(follow(1), 5)


def test_fitting_again_forgets_the_earlier_fit(unfitted: Callable[[], TrainableRecommender]) -> None:
    once = unfitted().fit(PAST)
    twice = unfitted().fit(random_past(8, users=50, items=35, size=400)).fit(PAST)
    for query in QUERIES.values():
        assert pairs(once.recommend(query, 99)) == pairs(twice.recommend(query, 99))


def test_the_same_past_and_seed_give_the_same_model(unfitted: Callable[[], TrainableRecommender]) -> None:
    one, other = unfitted().fit(PAST), unfitted().fit(PAST)
    for query in QUERIES.values():
        assert pairs(one.recommend(query, 99)) == pairs(other.recommend(query, 99))


@pytest.mark.parametrize("n_items", [0, 1, 5])
def test_a_shop_without_events_has_an_empty_answer(unfitted: Callable[[], TrainableRecommender], n_items: int) -> None:
    model = unfitted().fit(past(n_items=n_items))
    for query in QUERIES.values():
        assert not model.recommend(query, 5).scores.any()


def test_a_shop_of_one_item_and_one_user(unfitted: Callable[[], TrainableRecommender]) -> None:
    model = unfitted().fit(past((0, "a"), n_items=1))
    known = set(range(N_ITEMS)) if isinstance(model, StructuredMF) else {0}  # it has the features of the others too
    for query in QUERIES.values():
        assert set(model.recommend(query, 5).items.tolist()) <= known


def test_a_history_of_ten_thousand_events_has_an_answer(recommender: Recommender) -> None:
    ranking = recommender.recommend(follow(*(row % 10 for row in range(10_000))), 5)
    assert len(ranking) > 0 or isinstance(recommender, BuyAgain)
    assert np.isfinite(ranking.scores).all()


UNSOUND = np.array([np.nan, -1.0, np.inf, 0.0], np.float32)


def test_a_past_with_a_weight_that_is_no_number_above_0_is_one_without_it(
    unfitted: Callable[[], TrainableRecommender],
) -> None:
    weight = PAST.weight.copy()
    weight[::5] = np.resize(UNSOUND, weight[::5].size)
    with_them = unfitted().fit(replace(PAST, weight=weight))
    without = unfitted().fit(PAST.where(np.arange(len(PAST)) % 5 > 0))
    for query in QUERIES.values():
        assert pairs(with_them.recommend(query, 99)) == pairs(without.recommend(query, 99))


@pytest.mark.parametrize("unsound", UNSOUND.tolist())
def test_a_history_with_a_weight_that_is_no_number_above_0_is_one_without_it(
    recommender: Recommender, unsound: float
) -> None:
    if isinstance(recommender, SessionKNN | BuyAgain | Stacked):
        pytest.skip("a visit or a purchase is one whatever it weighs, and a stack counts events")
    known = follow(3, 8, weights=(2.0, 4.0))
    rows = np.array([5, 1, *known.history], np.int32)  # the oldest, so that the others keep their age
    mixed = replace(known, history=rows, weights=np.array([unsound, unsound, *known.weights], np.float32))
    found, wanted = recommender.recommend(mixed, 10), recommender.recommend(known, 10)
    assert found.items.tolist() == wanted.items.tolist()
    np.testing.assert_allclose(found.scores, wanted.scores, rtol=1e-5)


def test_weights_that_are_no_numbers_say_nothing(unfitted: Callable[[], TrainableRecommender]) -> None:
    weight = PAST.weight.copy()
    weight[::5] = np.nan
    model = unfitted().fit(replace(PAST, weight=weight))
    for weights in ((1.0, 5.0, np.nan), (np.nan, np.inf, 2.0), (-1.0, np.nan, np.nan)):
        ranking = model.recommend(follow(3, 8, 1, weights=weights), 99)
        assert np.isfinite(ranking.scores).all()
    assert len(model.recommend(follow(3, 8, 1), 3)) > 0

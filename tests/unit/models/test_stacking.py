"""The stack: its features by hand, and that it learns when to believe whom."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from safetensors.numpy import load, save

from endcap.errors import ModelError
from endcap.models.ensemble import Blend
from endcap.models.stacking import CONTEXT, Stacking, StackingSettings, features, grow, ordered
from endcap.models.trees import Trees
from endcap.protocols import Scorer
from endcap.types import MS_PER_DAY, FloatArray, IntArray, Query, Ranking

SETTINGS = StackingSettings(trees=30, least=5, leaves=4, held_out=0.2)
N_ITEMS = 40


class Guess:
    """Names one item well, from the user's number, and the rest by chance."""

    def __init__(self, right_for: str, seed: int) -> None:
        self.right_for = right_for
        self.seed = seed

    def recommend(self, query: Query, k: int) -> Ranking:
        return Ranking.top(self.scores(query), k, above=0.0)

    def scores(self, query: Query) -> FloatArray:
        scores = np.random.default_rng([self.seed, query.user]).random(N_ITEMS).astype(np.float32)
        if ("short" if query.history.size < 3 else "long") == self.right_for:
            scores[query.user % N_ITEMS] = 2.0
        return scores


def members() -> dict[str, Scorer]:
    return {"for short": Guess("short", 1), "for long": Guess("long", 2)}


def cases(users: range) -> list[tuple[Query, IntArray]]:
    """Those with a long and with a short history in turn want the item of their number."""
    return [
        (Query(np.full(1 if user % 2 else 5, N_ITEMS, np.int32), user=user), np.array([user % N_ITEMS], np.int32))
        for user in users
    ]


WEIGHTS = {"for short": 0.5, "for long": 0.5}


class Even:
    """Every item is taken as often."""

    def recommend(self, query: Query, k: int) -> Ranking:
        return Ranking.top(self.scores(query), k)

    def scores(self, query: Query) -> FloatArray:  # noqa: ARG002
        return np.ones(N_ITEMS, np.float32)


def found(model: Scorer, asked: list[tuple[Query, IntArray]]) -> float:
    """How often the wanted item comes first."""
    return float(np.mean([model.recommend(query, 1).items.tolist() == wanted.tolist() for query, wanted in asked]))


def test_it_learns_whom_to_believe_for_which_history() -> None:
    stack = Stacking(members(), WEIGHTS, Even(), SETTINGS).learn(cases(range(300)))
    later = cases(range(1_000, 1_100))
    assert found(stack, later) > 0.9
    assert max(found(member, later) for member in members().values()) <= 0.55  # half of them, and luck


def test_the_features_by_hand() -> None:
    rows = np.array([2, 5, 9], np.int32)
    parts = np.array([[1.0, 0.5, 0.0], [0.0, 0.2, 1.0]], np.float32)
    day, minute, now = MS_PER_DAY, 60_000, 100 * MS_PER_DAY
    history = np.array([5, 2, 5, 7, 2], np.int32)
    times = np.array([now - 9 * day, now - 3 * day, now - 2 * day, now - 40 * minute, now - 20 * minute])
    query = Query(history, times=times, session=np.array([7, 2], np.int32), now=now)
    got = features(rows, parts, query, popularity=np.arange(8, dtype=np.float32))
    assert got.shape == (3, 2 * 2 + len(CONTEXT))
    assert_allclose(got[:, :2].T, parts)
    assert_allclose(got[:, 2:4].T, [[1 / 61, 1 / 62, 0], [0, 1 / 62, 1 / 61]], rtol=1e-6)
    seen = dict(zip(CONTEXT, got[:, 4:].T, strict=True))
    assert_allclose(seen["events of the history"], np.log(6.0), rtol=1e-6)
    assert_allclose(seen["popularity"], [2 / 7, 5 / 7, 0.0], rtol=1e-6)  # 9 came later
    assert seen["times in the history"].tolist() == [2, 2, 0]
    assert_allclose(seen["how lately there"], [1, 1 / 3, 0], rtol=1e-6)
    assert seen["members that propose it"].tolist() == [1, 2, 1]
    assert seen["in this visit"].tolist() == [1, 0, 0]
    assert seen["events of this visit"].tolist() == [2, 2, 2]
    assert_allclose(seen["days since it was there"], [20 / 1440, 2, -1], rtol=1e-6)
    assert_allclose(seen["days since the visit before"], 2.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("ago", "visit", "since"),
    [([], 0, -1.0), ([40, 15], 2, -1.0), ([90, 50, 31], 0, 31 / 1440), ([31, 29, 0], 3, -1.0)],
)
def test_this_visit_ends_with_half_an_hour_of_silence(ago: list[int], visit: int, since: float) -> None:
    now = 100 * MS_PER_DAY
    times = np.array([now - minutes * 60_000 for minutes in ago], np.int64)
    query = Query(np.arange(len(ago), dtype=np.int32), times=times, now=now)
    got = features(np.array([1], np.int32), np.ones((1, 1), np.float32), query, np.ones(3, np.float32))[0, 2:]
    seen = dict(zip(CONTEXT, got, strict=True))
    assert seen["events of this visit"] == visit
    assert_allclose(seen["days since the visit before"], since, rtol=1e-6)


def test_without_times_no_days_are_known() -> None:
    query = Query(np.array([1, 2], np.int32))
    got = features(np.array([1], np.int32), np.ones((1, 1), np.float32), query, np.ones(3, np.float32))[0, 2:]
    seen = dict(zip(CONTEXT, got.tolist(), strict=True))
    assert (seen["times in the history"], seen["days since it was there"]) == (1, -1)
    assert (seen["events of this visit"], seen["days since the visit before"]) == (0, -1)


def test_saved_and_loaded_it_answers_the_same() -> None:
    stack = Stacking(members(), WEIGHTS, Even(), SETTINGS).learn(cases(range(200)))
    loaded = Stacking(members(), WEIGHTS, Even(), SETTINGS).from_arrays(load(save(dict(stack.to_arrays()))))
    for query, _ in cases(range(20)):
        assert loaded.scores(query).tolist() == stack.scores(query).tolist()


@pytest.mark.parametrize("asked", [[], cases(range(90))])
def test_with_nothing_to_learn_from_all_count_the_same(asked: list[tuple[Query, IntArray]]) -> None:
    stack = Stacking(members(), WEIGHTS, Even()).learn(asked)
    query = Query(user=3)
    scores = np.stack([member.scores(query) for member in members().values()])
    assert_allclose(stack.scores(query), (scores / scores.max(axis=1, keepdims=True)).mean(axis=0), rtol=1e-6)
    assert Stacking(members(), WEIGHTS, Even()).from_arrays(stack.to_arrays()).scores(query).size


def test_trees_of_other_members_are_refused() -> None:
    stack = Stacking(members(), WEIGHTS, Even(), SETTINGS).learn(cases(range(200)))
    with pytest.raises(ModelError, match="the trees ask for 13 features and these members give 11: train again"):
        Stacking({"one": Guess("long", 1)}, {"one": 1.0}, Even()).from_arrays(stack.to_arrays())


def test_the_same_cases_give_the_same_trees() -> None:
    rng = np.random.default_rng(0)
    tables = [rng.random((20, 5)).astype(np.float32) for _ in range(120)]
    lessons = [(table, table[:, 0] == table[:, 0].max()) for table in tables]
    one, other = (grow(lessons, SETTINGS).to_arrays() for _ in range(2))
    assert one["feature"].size > 10
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_without_lightgbm_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(ModelError, match="lightgbm, which is not installed: pip install lightgbm, or take the blend"):
        Stacking(members(), WEIGHTS, Even(), SETTINGS).learn(cases(range(200)))


class Said:
    """Says the same of every item to everybody."""

    def __init__(self, scores: list[float]) -> None:
        self._scores = np.array(scores, np.float32)

    def recommend(self, query: Query, k: int) -> Ranking:
        return Ranking.top(self.scores(query), k, above=0.0)

    def scores(self, query: Query) -> FloatArray:  # noqa: ARG002
        return self._scores


def some_trees(seed: int, width: int) -> Trees:
    """Learnt from chance: they agree with nobody."""
    rng = np.random.default_rng(seed)
    lessons = [(rng.random((20, width)).astype(np.float32), rng.random(20) < 0.2) for _ in range(60)]
    return grow(lessons, replace(SETTINGS, least_cases=10))


@pytest.mark.parametrize("seed", range(5))
def test_parts_add_up_to_what_the_trees_say_and_the_rest_stands_behind(seed: int) -> None:
    rng = np.random.default_rng(seed)
    both = {name: Said((rng.random(30) * (rng.random(30) < 0.7)).tolist()) for name in ("one", "other")}
    weights = {"one": 0.7, "other": 0.3}
    trees = some_trees(seed, 2 * 2 + len(CONTEXT))
    stack = Stacking(both, weights, Even(), replace(SETTINGS, pool=6), trees)
    query = Query(np.array([3, 4], np.int32))
    blended, found = Blend(both, weights).propose(query), stack.propose(query)
    assert found.names == blended.names
    candidates = np.unique(np.concatenate([Ranking.top(part, 6, above=0.0).items for part in blended.parts]))
    rest = np.setdiff1d(np.flatnonzero(blended.scores() > 0), candidates)
    parts = np.stack([blended.parts[0, candidates] / 0.7, blended.parts[1, candidates] / 0.3])
    said = ordered(trees, features(candidates, parts, query, Even().scores(query)), parts)
    assert np.unique(said).size > 3
    assert_allclose(found.scores()[candidates], said, rtol=1e-5)
    assert rest.size > 3
    assert found.scores()[rest].max() < said.min()
    assert_array_equal(np.argsort(-found.scores()[rest]), np.argsort(-blended.scores()[rest]))
    shares = [one.parts[:, candidates] / one.scores()[candidates] for one in (blended, found)]
    assert_allclose(shares[0], shares[1], atol=1e-6)


def test_it_proposes_nothing_that_the_blend_does_not() -> None:
    both = {"one": Said([0.0, -1.0, 0.5]), "other": Said([0.0])}
    trees = some_trees(0, 2 * 2 + len(CONTEXT))
    stack = Stacking(both, {"one": 0.5, "other": 0.5}, Even(), SETTINGS, trees)
    assert np.flatnonzero(stack.scores(Query()) > 0).tolist() == [2]
    nobody = {"one": Said([]), "other": Said([])}
    assert Stacking(nobody, {"one": 0.5, "other": 0.5}, Even(), SETTINGS, trees).scores(Query()).size == 0

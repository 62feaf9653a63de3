"""The stack: its features by hand, and that it learns when to believe whom."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose
from safetensors.numpy import load, save

from endcap.errors import ModelError
from endcap.models.stacking import CONTEXT, Stacking, StackingSettings, Trees, features, grow
from endcap.protocols import Scorer
from endcap.types import FloatArray, IntArray, Query, Ranking

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


def popularity() -> FloatArray:
    return np.ones(N_ITEMS, np.float32)


def found(model: Scorer, asked: list[tuple[Query, IntArray]]) -> float:
    """How often the wanted item comes first."""
    return float(np.mean([model.recommend(query, 1).items.tolist() == wanted.tolist() for query, wanted in asked]))


def test_it_learns_whom_to_believe_for_which_history() -> None:
    stack = Stacking(members(), popularity, SETTINGS).learn(cases(range(300)))
    later = cases(range(1_000, 1_100))
    assert found(stack, later) > 0.9
    assert max(found(member, later) for member in members().values()) <= 0.55  # half of them, and luck


def test_the_features_by_hand() -> None:
    rows = np.array([2, 5, 9], np.int32)
    parts = np.array([[1.0, 0.5, 0.0], [0.0, 0.2, 1.0]], np.float32)
    history = np.array([5, 2, 5, 7], np.int32)
    got = features(rows, parts, history, popularity=np.arange(8, dtype=np.float32))
    assert got.shape == (3, 2 * 2 + len(CONTEXT))
    assert_allclose(got[:, :2].T, parts)
    assert_allclose(got[:, 2:4].T, [[1 / 61, 1 / 62, 0], [0, 1 / 62, 1 / 61]], rtol=1e-6)
    assert_allclose(got[:, 4], np.log(5.0), rtol=1e-6)
    assert_allclose(got[:, 5], [np.log(3.0), np.log(6.0), 0.0], rtol=1e-6)  # 9 came later
    assert got[:, 6].tolist() == [1, 2, 0]
    assert_allclose(got[:, 7], [1 / 3, 1 / 2, 0], rtol=1e-6)
    assert got[:, 8].tolist() == [1, 2, 1]


def test_saved_and_loaded_it_answers_the_same() -> None:
    stack = Stacking(members(), popularity, SETTINGS).learn(cases(range(200)))
    loaded = Stacking(members(), popularity, SETTINGS).from_arrays(load(save(dict(stack.to_arrays()))))
    for query, _ in cases(range(20)):
        assert loaded.scores(query).tolist() == stack.scores(query).tolist()


@pytest.mark.parametrize("asked", [[], cases(range(90))])
def test_with_nothing_to_learn_from_all_count_the_same(asked: list[tuple[Query, IntArray]]) -> None:
    stack = Stacking(members(), popularity).learn(asked)
    query = Query(user=3)
    scores = np.stack([member.scores(query) for member in members().values()])
    assert_allclose(stack.scores(query), (scores / scores.max(axis=1, keepdims=True)).mean(axis=0), rtol=1e-6)
    assert Stacking(members(), popularity).from_arrays(stack.to_arrays()).scores(query).size


def test_trees_of_other_members_are_refused() -> None:
    stack = Stacking(members(), popularity, SETTINGS).learn(cases(range(200)))
    with pytest.raises(ModelError, match="the trees ask for 9 features and these members give 7: train again"):
        Stacking({"one": Guess("long", 1)}, popularity).from_arrays(stack.to_arrays())
    with pytest.raises(ModelError, match="the trees cannot be read"):
        Trees("no trees")


def test_the_same_cases_give_the_same_trees() -> None:
    rng = np.random.default_rng(0)
    tables = [rng.random((20, 5)).astype(np.float32) for _ in range(120)]
    labels = [table[:, 0] == table[:, 0].max() for table in tables]
    assert grow(tables, labels, SETTINGS).text == grow(tables, labels, SETTINGS).text


def test_without_lightgbm_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(ModelError, match="lightgbm, which is not installed: pip install lightgbm, or take the blend"):
        Stacking(members(), popularity, SETTINGS).learn(cases(range(200)))

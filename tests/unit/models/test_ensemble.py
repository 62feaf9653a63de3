"""The blend, with members whose lists are given, and the learning of its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from tests.unit.models.pasts import follow, random_past

from endcap.models.ensemble import POOL, Blend, ReciprocalRank, learn_weights, reciprocal_ranks
from endcap.models.itemknn import ItemKNN
from endcap.models.popularity import Popularity
from endcap.models.session_knn import SessionKNN
from endcap.protocols import Recommender, Scorer
from endcap.types import FloatArray, IntArray, Query, Ranking

Cases = Sequence[tuple[Query, IntArray]]


@dataclass
class Given:
    """A member whose scores depend on the user's number only."""

    lists: list[list[tuple[int, float]]]
    asked: int = 0

    def recommend(self, query: Query, k: int) -> Ranking:
        return Ranking.top(self.scores(query), k, above=0.0)

    def scores(self, query: Query) -> FloatArray:
        self.asked += 1
        pairs = dict(self.lists[query.user])
        scores = np.zeros(max(pairs, default=-1) + 1, np.float32)
        scores[list(pairs)] = list(pairs.values())
        return scores


def given(*pairs: tuple[int, float]) -> Given:
    return Given([list(pairs)])


def case(user: int, *wanted: int) -> tuple[Query, IntArray]:
    return follow(user=user), np.array(wanted, np.int32)


WHO = follow(user=0)


def test_scores_are_weighted_sums_of_scores_over_the_best_of_each_list() -> None:
    members = {"a": given((7, 40.0), (2, 10.0)), "b": given((2, 0.5), (9, 0.1))}
    ranking = Blend(members, {"a": 0.6, "b": 0.4}).recommend(WHO, 5)
    expected = {7: 0.6 * 1.0, 2: 0.6 * 0.25 + 0.4 * 1.0, 9: 0.4 * 0.2}
    assert ranking.items.tolist() == [7, 2, 9]
    np.testing.assert_allclose(ranking.scores, [expected[item] for item in (7, 2, 9)], rtol=1e-6)


def test_the_named_parts_add_up_to_the_score() -> None:
    members = {"a": given((3, 40.0), (2, 10.0)), "b": given((2, 0.5), (4, 0.1)), "silent": given()}
    found = Blend(members, {"a": 0.6, "b": 0.3, "silent": 0.1}).propose(WHO)
    assert found.names == ("a", "b", "silent")
    np.testing.assert_allclose(found.parts, [[0.0, 0, 0.15, 0.6, 0], [0.0, 0, 0.3, 0, 0.06], [0.0] * 5], rtol=1e-6)
    np.testing.assert_allclose(found.scores(), [0, 0, 0.45, 0.6, 0.06], rtol=1e-6)


def test_one_without_weight_is_not_asked() -> None:
    members = {"a": given((7, 1.0)), "b": given((2, 1.0)), "c": given((3, 1.0))}
    assert Blend(members, {"a": 1.0, "b": 0.0}).recommend(WHO, 5).items.tolist() == [7]
    assert members["b"].asked == members["c"].asked == 0


def test_what_a_member_scores_below_zero_counts_as_nothing() -> None:
    found = Blend({"a": given((1, 2.0), (2, -2.0)), "b": given((2, -1.0))}, {"a": 0.5, "b": 0.5}).propose(WHO)
    assert found.scores().tolist() == [0.0, 0.5, 0.0]


def test_a_member_keeps_its_scores() -> None:
    held = np.array([0.0, 4.0, -1.0], np.float32)
    held.flags.writeable = False

    class Held(Given):
        def scores(self, query: Query) -> FloatArray:  # noqa: ARG002  # always the same
            return held

    assert Blend({"a": Held([])}, {"a": 1.0}).scores(WHO).tolist() == [0.0, 1.0, 0.0]
    assert held.tolist() == [0.0, 4.0, -1.0]


def test_no_members_propose_nothing() -> None:
    assert Blend({}, {}).propose(WHO).parts.shape == (0, 0)
    assert len(Blend({}, {}).recommend(WHO, 5)) == 0


def slow_ndcg(model: Recommender, cases: Cases, k: int, hide_seen: bool = False) -> float:
    total = 0.0
    for query, wanted in cases:
        seen = set(query.history.tolist()) if hide_seen else set()
        items = [item for item in model.recommend(query, 200).items.tolist() if item not in seen][:k]
        gain = sum(1 / np.log2(rank + 2) for rank, item in enumerate(items) if item in wanted)
        total += gain / sum(1 / np.log2(rank + 2) for rank in range(min(k, len(set(wanted.tolist())))))
    return float(total / len(cases))


def real_members_and_cases() -> tuple[Mapping[str, Scorer], Cases]:
    past = random_past(3, users=40, items=60, size=900)
    members: dict[str, Scorer] = {
        "itemknn": ItemKNN().fit(past),
        "session": SessionKNN().fit(past),
        "popular": Popularity().fit(past),
    }
    random = np.random.default_rng(4)
    cases = []
    for _ in range(40):
        seed = past.item[random.integers(900, size=3)]
        share = 1.0 / np.arange(1, 61)
        cases.append((follow(*seed.tolist()), random.choice(60, 4, p=share / share.sum()).astype(np.int32)))
    return members, cases


@pytest.mark.parametrize("hide_seen", [False, True])
def test_the_blend_is_never_worse_on_its_cases_than_the_best_member(hide_seen: bool) -> None:
    members, cases = real_members_and_cases()
    hidden = [query.history for query, _ in cases] if hide_seen else None
    weights = learn_weights(members, cases, k=5, hidden=hidden)
    assert list(weights) == list(members)
    assert min(weights.values()) >= 0
    assert sum(weights.values()) == pytest.approx(1.0)
    alone = [slow_ndcg(member, cases, 5, hide_seen) for member in members.values()]
    assert slow_ndcg(Blend(members, weights), cases, 5, hide_seen) >= max(alone) - 1e-9
    assert weights == learn_weights(members, cases, k=5, hidden=hidden)


def test_two_halves_of_the_truth_are_joined() -> None:
    left = Given([[(1, 1.0), (8, 0.9)], [(1, 1.0), (8, 0.9)]])
    right = Given([[(2, 1.0), (9, 0.2)], [(2, 1.0), (9, 0.2)]])
    noise = Given([[(5, 1.0)], [(6, 1.0)]])
    members = {"left": left, "right": right, "noise": noise}
    cases = [case(0, 1, 2), case(1, 1, 2)]
    weights = learn_weights(members, cases, k=2)
    assert set(Blend(members, weights).recommend(follow(user=0), 2).items.tolist()) == {1, 2}
    assert weights["left"] > weights["noise"]
    assert weights["right"] > weights["noise"]


def test_hiding_what_was_seen_leads_to_other_weights() -> None:
    again, fresh = Given([[(1, 1.0), (2, 0.5)]]), Given([[(3, 1.0), (1, 0.5)]])
    cases = [(follow(1, user=0), np.array([1, 3], np.int32))]
    members = {"again": again, "fresh": fresh}
    assert learn_weights(members, cases, k=1, hidden=[cases[0][0].history])["fresh"] == 1.0
    assert learn_weights(members, cases, k=1)["again"] == 1.0


def test_each_member_is_asked_once_a_case() -> None:
    members = {"a": Given([[(1, 1.0)]] * 3), "b": Given([[(2, 1.0)]] * 3)}
    learn_weights(members, [case(0, 1), case(1, 2), case(2, 9)])
    assert members["a"].asked == members["b"].asked == 3


@pytest.mark.parametrize("cases", [[], [case(0)]])
def test_without_anything_wanted_all_weigh_the_same(cases: Cases) -> None:
    assert learn_weights({"a": given((1, 1.0)), "b": given()}, cases) == {"a": 0.5, "b": 0.5}


def test_members_without_a_list_do_no_harm() -> None:
    weights = learn_weights({"silent": given(), "a": given((1, 1.0))}, [case(0, 1)])
    assert weights["a"] == 1.0
    assert sum(learn_weights({"silent": given()}, [case(0, 1)]).values()) == 1.0


def test_reciprocal_ranks_add_up_over_the_members() -> None:
    members = {"a": given((7, 900.0), (2, 3.0), (4, 1.0)), "b": given((2, 0.1)), "silent": given()}
    ranking = ReciprocalRank(members).recommend(WHO, 5)
    assert ranking.items.tolist() == [2, 7, 4]
    np.testing.assert_allclose(ranking.scores, [1 / 62 + 1 / 61, 1 / 61, 1 / 63], rtol=1e-6)


def test_places_are_counted_as_far_as_the_pool() -> None:
    parts = np.arange(POOL + 3, 0, -1, dtype=np.float32)[None, :]
    found = reciprocal_ranks(parts, damping=1.0)[0]
    assert found[0] == np.float32(1 / 2)
    assert found[POOL - 1] == np.float32(1 / (POOL + 1))
    assert not found[POOL:].any()

"""Item kNN against slow versions of its two similarities."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.unit.models.pasts import follow, past, random_past

from endcap.errors import ConfigError, ModelError
from endcap.models.itemknn import BLOCK, ItemKNN, ItemKNNSettings
from endcap.types import Interactions, Query

PAST = random_past(1)
Table = dict[int, dict[int, float]]


def groups(interactions: Interactions, by: str) -> Table:
    """Weights by group and item, in units of the mean event."""
    mean = float(interactions.weight.mean())
    keys = interactions.user if by == "user" else interactions.session
    table: Table = {}
    for group, item, weight in zip(
        keys.tolist(), interactions.item.tolist(), interactions.weight.tolist(), strict=True
    ):
        row = table.setdefault(group, {})
        row[item] = row.get(item, 0.0) + weight / mean
    return table


def slow_cosine(table: Table, i: int, j: int) -> float:
    holds_i = {group for group, row in table.items() if i in row}
    holds_j = {group for group, row in table.items() if j in row}
    return len(holds_i & holds_j) / math.sqrt(len(holds_i) * len(holds_j)) if holds_i and holds_j else 0.0


def slow_bm25(table: Table, i: int, j: int, n_items: int, k1: float, b: float) -> float:
    length = [sum(row.get(item, 0.0) for row in table.values()) for item in range(n_items)]
    mean = sum(length) / n_items

    def entry(row: dict[int, float], item: int) -> float:
        tf = row.get(item, 0.0)
        rarity = math.log(n_items / len(row))
        return rarity * tf * (k1 + 1) / (tf + k1 * (1 - b + b * length[item] / mean))

    return sum(entry(row, i) * entry(row, j) for row in table.values())


@pytest.mark.parametrize("by", ["user", "session"])
@pytest.mark.parametrize("similarity", ["cosine", "bm25"])
def test_one_item_ranks_its_neighbours_by_similarity(similarity: str, by: str) -> None:
    settings = ItemKNNSettings(similarity=similarity, by=by, neighbours=6, k1=1.5, b=0.6)  # type: ignore[arg-type]
    model = ItemKNN(settings).fit(PAST)
    table = groups(PAST, by)
    for item in (0, 5, 19):
        expected = {
            other: slow_cosine(table, item, other)
            if similarity == "cosine"
            else slow_bm25(table, item, other, 20, 1.5, 0.6)
            for other in range(20)
            if other != item
        }
        best = sorted((-value, other) for other, value in expected.items() if value > 0)[:6]
        ranking = model.recommend(follow(item), 20)
        np.testing.assert_allclose(ranking.scores, [-value for value, _ in best], rtol=1e-4)
        assert all(
            expected[other] == pytest.approx(score, rel=1e-4)
            for other, score in zip(ranking.items.tolist(), ranking.scores.tolist(), strict=True)
        )


def test_a_history_adds_up_weighted_and_decayed() -> None:
    model = ItemKNN(ItemKNNSettings(decay=0.5)).fit(PAST)
    alone = {item: dict(zip(*_lists(model, follow(item)), strict=True)) for item in (3, 8)}
    ranking = model.recommend(follow(3, 8, 3, weights=(4.0, 2.0, 1.0)), 20)
    expected: dict[int, float] = {}
    for item, strength in ((3, 4.0 * 0.25), (8, 2.0 * 0.5), (3, 1.0)):
        for other, value in alone[item].items():
            expected[other] = expected.get(other, 0.0) + strength * value
    assert set(ranking.items.tolist()) == set(expected)
    np.testing.assert_allclose(ranking.scores, [expected[item] for item in ranking.items.tolist()], rtol=1e-5)


def _lists(model: ItemKNN, query: Query) -> tuple[list[int], list[float]]:
    ranking = model.recommend(query, 20)
    return ranking.items.tolist(), ranking.scores.tolist()


def test_contributions_add_up_to_the_score() -> None:
    model = ItemKNN(ItemKNNSettings(neighbours=4)).fit(PAST)
    query = follow(3, 99, 8, 3, weights=(4.0, 9.0, 2.0, 1.0))
    ranking = model.recommend(query, 20)
    items = np.append(ranking.items, [99, -1]).astype(np.int32)
    parts = model.contributions(query, items)
    assert parts.shape == (4, items.size)
    np.testing.assert_allclose(parts[:, :-2].sum(axis=0), ranking.scores, rtol=1e-5)
    assert not parts[:, -2:].any()
    assert not parts[1].any()
    by_itself = model.contributions(follow(8), ranking.items)  # the third of the history is item 8 at weight 2
    np.testing.assert_allclose(parts[2, :-2], by_itself[0] * 2.0 * 0.98, rtol=1e-5)


def test_an_item_does_not_speak_for_itself() -> None:
    model = ItemKNN(ItemKNNSettings(similarity="cosine")).fit(past((0, "ab"), (1, "ab"), (2, "c")))
    assert model.recommend(follow(0), 9).items.tolist() == [1]
    assert model.recommend(follow(2), 9).items.tolist() == []
    assert model.recommend(follow(0, 1), 9).items.tolist() == [0, 1]  # each for the other, the newer louder


def test_more_items_than_one_block_holds() -> None:
    n = BLOCK + 40
    one, other = BLOCK - 1, BLOCK + 30
    chained = past((0, "a"), n_items=n)
    together = Interactions(
        chained.users,
        chained.items,
        np.zeros(2, np.int32),
        np.array([one, other], np.int32),
        np.ones(2, np.float32),
        np.zeros(2, np.int64),
        np.zeros(2, np.int32),
    )
    model = ItemKNN(ItemKNNSettings(similarity="cosine")).fit(together)
    assert model.recommend(follow(one), 5).items.tolist() == [other]
    assert model.recommend(follow(other), 5).items.tolist() == [one]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"similarity": "dice"}, "similarity is 'dice': use 'cosine' or 'bm25'"),
        ({"by": "day"}, "by is 'day': use 'user' or 'session'"),
        ({"neighbours": 0}, "neighbours is 0: it must be at least 1"),
    ],
)
def test_settings_out_of_range(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ItemKNN(ItemKNNSettings(**wrong))  # type: ignore[arg-type]  # that is what is tested


def test_arrays_that_do_not_fit_are_refused() -> None:
    near, weight = np.zeros((3, 2), np.int32), np.zeros((3, 2), np.float32)
    with pytest.raises(ModelError, match="there are no arrays"):
        ItemKNN().from_arrays({})
    with pytest.raises(ModelError, match=r"one shape; there are near \(3, 2\), weight \(2, 2\)"):
        ItemKNN().from_arrays({"near": near, "weight": weight[:2]})
    with pytest.raises(ModelError, match="names items 0 to 3, but there are 3"):
        ItemKNN().from_arrays({"near": near + np.array([0, 3], np.int32), "weight": weight})

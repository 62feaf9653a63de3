"""ALS against its normal equations, solved the slow way."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_array
from tests.unit.models.pasts import follow, past, random_past

from endcap.errors import ConfigError, ModelError
from endcap.features.interactions import matrix
from endcap.models.als import ALS
from endcap.types import Query

PAST = random_past(0)


def exact_user(factors: NDArray[np.float64], confidence: dict[int, float], l2: float) -> NDArray[np.float64]:
    """Equation 4 of the paper, with the full diagonal of confidences: slow and obvious."""
    n = factors.shape[0]
    c = np.ones(n)
    p = np.zeros(n)
    for item, value in confidence.items():
        c[item], p[item] = value, 1.0
    left = factors.T @ np.diag(c) @ factors + l2 * np.eye(factors.shape[1])
    return np.asarray(np.linalg.solve(left, factors.T @ (c * p)), np.float64)


def item_factors(model: ALS) -> NDArray[np.float64]:
    return np.asarray(model.to_arrays()["item_factors"], np.float64)


@pytest.fixture(scope="module")
def model() -> ALS:
    return ALS(factors=8, l2=0.5, alpha=0.7, epochs=5).fit(PAST)


def test_the_fold_in_is_the_exact_solve(model: ALS) -> None:
    query = follow(3, 7, 11, weights=(1.0, 5.0, 3.0))
    expected = exact_user(item_factors(model), {3: 1 + 0.7 * 1, 7: 1 + 0.7 * 5, 11: 1 + 0.7 * 3}, 0.5)
    np.testing.assert_allclose(model.user_vector(query), expected, atol=1e-5, rtol=1e-5)


def test_a_new_event_counts_at_once_and_repeats_add_up(model: ALS) -> None:
    query = follow(3, 7, 3, 3, weights=(1.0, 5.0, 2.0, 0.5))
    expected = exact_user(item_factors(model), {3: 1 + 0.7 * 3.5, 7: 1 + 0.7 * 5}, 0.5)
    np.testing.assert_allclose(model.user_vector(query), expected, atol=1e-5, rtol=1e-5)


def test_without_weights_every_event_counts_one(model: ALS) -> None:
    expected = exact_user(item_factors(model), {2: 1 + 0.7 * 2, 5: 1 + 0.7}, 0.5)
    np.testing.assert_allclose(model.user_vector(follow(2, 5, 2)), expected, atol=1e-5, rtol=1e-5)


def test_a_pair_whose_weight_is_no_number_above_0_never_met(model: ALS) -> None:
    query = follow(3, 7, 11, 3, 2, weights=(np.nan, 5.0, -1.0, 2.0, np.inf))
    expected = exact_user(item_factors(model), {7: 1 + 0.7 * 5, 3: 1 + 0.7 * 2}, 0.5)
    np.testing.assert_allclose(model.user_vector(query), expected, atol=1e-5, rtol=1e-5)
    parts = model.contributions(query, np.arange(20, dtype=np.int32))
    assert not parts[[0, 2, 4]].any()
    np.testing.assert_allclose(parts.sum(axis=0), model.scores(query), atol=1e-5)
    weights = np.array([5.0, np.nan, 2.0, 0.0], np.float32)
    table = csr_array((weights, ([0, 0, 0, 0], [7, 2, 3, 11])), shape=(1, 20))
    np.testing.assert_allclose(model.user_vectors(table)[0], expected, atol=1e-4)


def test_scores_are_dot_products_over_all_items(model: ALS) -> None:
    query = follow(1, 4, weights=(5.0, 1.0))
    expected = item_factors(model) @ exact_user(item_factors(model), {1: 1 + 0.7 * 5, 4: 1 + 0.7}, 0.5)
    np.testing.assert_allclose(model.scores(query), expected, atol=1e-5)
    order = np.argsort(-expected, kind="stable")
    assert model.recommend(query, 20).items.tolist() == order[expected[order] > 0].tolist()


def test_an_empty_history_has_the_zero_vector_and_no_ranking(model: ALS) -> None:
    assert not model.user_vector(Query()).any()
    assert len(model.recommend(follow(999), 5)) == 0


def test_contributions_add_up_to_the_score(model: ALS) -> None:
    query = Query(
        history=np.array([3, 999, 7, 3, -1], np.int32), weights=np.array([1.0, 9.0, 5.0, 2.0, 9.0], np.float32)
    )
    parts = model.contributions(query, np.arange(20, dtype=np.int32))
    np.testing.assert_allclose(parts.sum(axis=0), model.scores(query), atol=1e-5)
    assert not parts[[1, 4]].any(), "what was not learnt says nothing"
    np.testing.assert_allclose(parts[3], 2 * parts[0], rtol=1e-5)  # the same item, with twice the weight
    by_one = model.contributions(follow(3), np.array([7, 999, -1], np.int32))
    np.testing.assert_allclose(by_one[0, 0], model.scores(follow(3))[7], atol=1e-6)
    assert by_one[0, 1:].tolist() == [0.0, 0.0]
    assert model.contributions(follow(999), np.array([3], np.int32)).tolist() == [[0.0]]


def loss(items: NDArray[np.float64], model: ALS) -> float:
    """Equation 3 of the paper, for given item factors and the best user factors to them."""
    table = matrix(PAST).toarray()
    total = model.l2 * float((items**2).sum())
    for row in table:
        confidence = {int(item): 1 + model.alpha * float(row[item]) for item in np.flatnonzero(row)}
        user = exact_user(items, confidence, model.l2)
        c = 1 + model.alpha * row
        total += float((c * ((row > 0) - items @ user) ** 2).sum()) + model.l2 * float(user @ user)
    return total


def test_training_goes_downhill_on_the_papers_loss() -> None:
    losses = []
    for epochs in (1, 3, 10, 40):
        fitted = ALS(factors=4, l2=0.5, alpha=0.7, epochs=epochs).fit(PAST)
        losses.append(loss(item_factors(fitted), fitted))
    assert losses == sorted(losses, reverse=True)
    best = ALS(factors=4, l2=0.5, alpha=0.7, epochs=40).fit(PAST)
    random = np.random.default_rng(0)
    for _ in range(20):  # and it ends in a valley
        moved = item_factors(best) + 0.05 * random.normal(size=(20, 4))
        assert loss(moved, best) > losses[-1]


def test_training_ends_where_neither_side_can_be_solved_better() -> None:
    """With the users' exact vectors, the exact solve of each item gives the item's factors back."""
    fitted = ALS(factors=3, l2=2.0, alpha=0.7, epochs=300).fit(PAST)
    items, table = item_factors(fitted), matrix(PAST).toarray()
    users = np.array(
        [exact_user(items, {int(i): 1 + 0.7 * float(row[i]) for i in np.flatnonzero(row)}, 2.0) for row in table]
    )
    again = np.array(
        [exact_user(users, {int(u): 1 + 0.7 * float(row[u]) for u in np.flatnonzero(row)}, 2.0) for row in table.T]
    )
    np.testing.assert_allclose(again, items, atol=2e-3)
    assert np.abs(items).max() > 0.2


def test_two_tastes_are_told_apart() -> None:
    visits = [(user, "abcd" if user % 2 else "wxyz") for user in range(20)]
    fitted = ALS(factors=2, l2=0.1, alpha=1.0).fit(past(*visits, (20, "ab")))
    assert set(fitted.recommend(follow(0, 1), 4).items.tolist()) == {0, 1, 2, 3}
    assert set(fitted.recommend(follow(22), 4).items.tolist()) == {22, 23, 24, 25}


def test_another_seed_is_another_start() -> None:
    one, other = (ALS(factors=4, epochs=1, seed=seed).fit(PAST) for seed in (0, 1))
    assert not np.allclose(item_factors(one), item_factors(other))


@pytest.mark.parametrize("wrong", [{"factors": 0}, {"l2": 0.0}, {"alpha": -1.0}])
def test_settings_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="at least 1, above 0, and not below 0"):
        ALS(**wrong)  # type: ignore[arg-type]  # factors stays whole


def test_factors_of_another_width_are_refused() -> None:
    with pytest.raises(ModelError, match=r"shape \(3, 5\), not \(items, 8\)"):
        ALS(factors=8).from_arrays({"item_factors": np.zeros((3, 5), np.float32), "l2_alpha": np.ones(2)})
    with pytest.raises(ModelError, match="shape None"):
        ALS(factors=8).from_arrays({"l2_alpha": np.ones(2)})
    with pytest.raises(ModelError, match="l2_alpha is missing or not two numbers: train again"):
        ALS(factors=8).from_arrays({"item_factors": np.zeros((3, 8), np.float32)})


def test_a_version_is_folded_in_as_it_was_trained_whatever_the_settings_say_now(model: ALS) -> None:
    other = ALS(factors=model.factors, l2=9.0, alpha=7.0).from_arrays(model.to_arrays())
    for query in (follow(1, 2, 3), follow(5)):
        np.testing.assert_array_equal(other.recommend(query, 9).scores, model.recommend(query, 9).scores)


def test_many_users_at_once_are_folded_in_as_one_by_one(model: ALS) -> None:
    table = matrix(PAST)
    together = model.user_vectors(table)
    for user in range(table.shape[0]):
        span = slice(table.indptr[user], table.indptr[user + 1])
        query = follow(*table.indices[span].tolist(), weights=tuple(table.data[span].tolist()))
        np.testing.assert_allclose(together[user], model.user_vector(query), atol=1e-5)


@pytest.mark.parametrize("hide_seen", [True, False])
@pytest.mark.parametrize("k", [0, 3, 25])
def test_lists_for_many_are_those_for_each(model: ALS, k: int, hide_seen: bool) -> None:
    table = csr_array(matrix(PAST))
    items, scores = model.recommend_all(table, k, hide_seen=hide_seen)
    assert items.shape == scores.shape == (table.shape[0], k)
    for user in range(table.shape[0]):
        span = slice(table.indptr[user], table.indptr[user + 1])
        had = table.indices[span].tolist()
        expected = model.scores(follow(*had, weights=tuple(table.data[span].tolist()))).astype(np.float64)
        if hide_seen and had:
            expected[had] = -1.0
        wanted = np.sort(expected[expected > 0])[::-1][:k]
        n = wanted.size
        np.testing.assert_allclose(scores[user, :n], wanted, atol=1e-5)
        np.testing.assert_allclose(expected[items[user, :n]], wanted, atol=1e-5)
        assert (items[user, n:] == -1).all()
        assert np.isnan(scores[user, n:]).all()


def test_the_best_of_more_items_than_there_are_heaps() -> None:
    random = np.random.default_rng(0)
    factors = random.normal(size=(1_700, 3)).astype(np.float32)
    factors[1_500] = factors[3] = 5.0  # equal scores stand in row order
    wide = ALS(factors=3, l2=0.5).from_arrays({"item_factors": factors, "l2_alpha": np.array([0.5, 0.1])})
    histories = csr_array((np.ones(2, np.float32), (np.array([0, 1]), np.array([9, 1_500]))), shape=(2, 1_700))
    items, _ = wide.recommend_all(histories, 40, hide_seen=False)
    for user in range(2):
        scores = factors @ wide.user_vectors(histories)[user]
        assert items[user].tolist() == np.lexsort((np.arange(1_700), -scores))[:40].tolist()

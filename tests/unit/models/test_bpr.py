"""BPR against what its objective asks for."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.unit.models.pasts import follow, past, random_past

from endcap.errors import ConfigError, ModelError
from endcap.features.interactions import matrix
from endcap.models.bpr import BPR, BPRSettings

PAST = random_past(2)
TASTES = past(*[(user, "abcd" if user % 2 else "wxyz") for user in range(40)], (40, "ab"))


def auc(model: BPR) -> float:
    """The mean share of pairs (touched, not touched) of a user in the right order: what BPR-Opt is a smooth form of."""
    table = matrix(PAST).toarray() > 0
    shares = []
    for row in table:
        if row.any() and not row.all():
            scores = model.scores(follow(*np.flatnonzero(row).tolist()))
            shares.append(float((scores[row][:, None] > scores[~row][None, :]).mean()))
    return float(np.mean(shares))


def test_what_was_touched_ranks_above_what_was_not() -> None:
    weak, strong = (BPR(BPRSettings(factors=16, epochs=epochs)).fit(PAST) for epochs in (1, 200))
    assert auc(strong) > 0.9
    assert auc(strong) > auc(weak) + 0.05


def test_two_tastes_are_told_apart() -> None:
    model = BPR(BPRSettings(factors=4)).fit(TASTES)
    assert set(model.recommend(follow(0, 1), 4).items.tolist()) == {0, 1, 2, 3}
    assert set(model.recommend(follow(22), 4).items.tolist()) == {22, 23, 24, 25}


def test_the_fold_in_goes_uphill_on_the_objective_of_that_user() -> None:
    model = BPR(BPRSettings(factors=8, rounds=200)).fit(PAST)
    items = model.to_arrays()["items"].astype(np.float64)
    liked = [3, 8]
    others = [row for row in range(20) if row not in liked]

    def objective(user: NDArray[np.float64]) -> float:
        scores = items[:, :-1] @ user + items[:, -1]
        gaps = np.array([scores[one] - scores[other] for one in liked for other in others])
        return float(-np.log1p(np.exp(-gaps)).mean() - 0.02 / 2 * user @ user)

    found = model.user_vector(follow(*liked)).astype(np.float64)
    assert objective(found) > objective(np.zeros(8)) + 0.1
    assert all(objective(found) > objective(found * factor) for factor in (0.25, -1.0, 4.0))


def test_a_heavier_event_counts_more() -> None:
    model = BPR(BPRSettings(factors=8)).fit(TASTES)
    gap = [float(np.diff(model.scores(follow(0, 22, weights=weights))[[22, 0]])[0]) for weights in ((1, 9), (9, 1))]
    assert gap[0] < gap[1]


def test_scores_are_over_those_of_the_mean_item() -> None:
    model = BPR(BPRSettings(factors=4)).fit(PAST)
    np.testing.assert_allclose(model.scores(follow(1, 2)).mean(), 0.0, atol=1e-5)


def test_items_of_nobody_are_at_the_mean() -> None:
    scores = BPR().fit(TASTES).scores(follow(0))
    assert not scores[4:22].any()
    assert scores[0] > 0 > scores[25]


def test_frequent_items_are_drawn_more_often_where_that_is_set() -> None:
    plain, steep = (BPR(BPRSettings(popular=power)).fit(PAST) for power in (0.0, 1.0))
    most = int(np.argmax(np.bincount(PAST.item)))
    assert steep.to_arrays()["items"][most, -1] < plain.to_arrays()["items"][most, -1]


def test_another_seed_is_another_result() -> None:
    one, other = (BPR(BPRSettings(factors=4, seed=seed)).fit(PAST).to_arrays()["items"] for seed in (0, 1))
    assert not np.allclose(one, other)


def test_a_long_history_speaks_with_its_newest_events() -> None:
    model = BPR(BPRSettings(recent=2)).fit(PAST)
    np.testing.assert_array_equal(model.scores(follow(*[7] * 10_000, 3, 8)), model.scores(follow(3, 8)))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"factors": 0}, "factors is 0: it must be at least 1"),
        ({"learning_rate": 0.0}, r"learning_rate is 0.0, l2 0.02, popular 0.5: they must be above 0"),
    ],
)
def test_settings_out_of_range(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BPR(BPRSettings(**wrong))  # type: ignore[arg-type]  # factors stays whole


def test_factors_of_another_width_are_refused() -> None:
    with pytest.raises(ModelError, match=r"items has shape \(3, 5\), not \(items, 9\): train again"):
        BPR(BPRSettings(factors=8)).from_arrays({"items": np.zeros((3, 5), np.float32)})


def test_memory_is_what_is_stated() -> None:
    arrays = BPR(BPRSettings(factors=8)).fit(PAST).to_arrays()
    assert sum(array.nbytes for array in arrays.values()) == 4 * 20 * (8 + 1)

"""Structured matrix factorisation against its objective, and what it is for: items without events."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_array
from tests.unit.models.pasts import follow, past, random_past

from endcap.encoders.cache import ItemVectors
from endcap.errors import ConfigError, ModelError
from endcap.features.interactions import matrix
from endcap.features.subwords import Subwords
from endcap.models.als import ALS
from endcap.models.structured import StructuredMF, StructuredMFSettings
from endcap.types import Interactions

PAST = random_past(4)
TASTES = [(user, "abcd" if user % 2 else "wxyz") for user in range(30)]


class Table:
    """Fixed features."""

    def __init__(self, rows: NDArray[np.float32]) -> None:
        self.matrix = csr_array(rows)
        self.dim = rows.shape[1]
        self.version = 1


def kinds(n_items: int = 28) -> Table:
    """Two kinds of item: the first 13 and the newest but one, the others."""
    rows = np.zeros((n_items, 2), np.float32)
    rows[:13, 0] = rows[13:26, 1] = 1.0
    rows[26, 0] = rows[27, 1] = 1.0
    return Table(rows)


def objective(model: StructuredMF, interactions: Interactions, features: NDArray[np.float64], l2: float) -> float:
    """As the module's docstring has it, with the best users for the items that were found. ``feature_l2`` is ``l2``."""
    arrays = {name: array.astype(np.float64) for name, array in model.to_arrays().items()}
    table = matrix(interactions).toarray().astype(np.float64)
    met = table.any(axis=0)
    items = (features @ arrays["columns"] + arrays["own"])[met]
    total = l2 * float((arrays["own"] ** 2).sum() + (arrays["columns"] ** 2).sum())
    for row in table[:, met]:
        c = 1.0 + row
        left = items.T @ (items * c[:, None]) + l2 * np.eye(items.shape[1])
        user = np.linalg.solve(left, items.T @ (c * (row > 0)))
        total += float((c * ((row > 0) - items @ user) ** 2).sum() + l2 * user @ user)
    return total


def test_training_ends_in_a_valley_of_the_objective() -> None:
    features = np.random.default_rng(0).random((20, 3)).astype(np.float32)
    wide = np.hstack([np.ones((20, 1)), features.astype(np.float64)])

    def fitted(epochs: int) -> StructuredMF:
        settings = StructuredMFSettings(factors=3, l2=0.5, feature_l2=0.5, alpha=1.0, epochs=epochs)
        return StructuredMF([Table(features)], settings).fit(PAST)

    losses = [objective(fitted(epochs), PAST, wide, 0.5) for epochs in (2, 5, 60)]
    assert losses == sorted(losses, reverse=True)
    model, random = fitted(60), np.random.default_rng(1)
    for name in ("own", "columns") * 10:
        arrays = dict(model.to_arrays())
        step = np.where(arrays[name].any(axis=1, keepdims=True), random.normal(0, 0.05, arrays[name].shape), 0.0)
        moved = StructuredMF([Table(features)], model.settings).from_arrays({**arrays, name: arrays[name] + step})
        assert objective(moved, PAST, wide, 0.5) > losses[-1]


def test_items_without_events_rank_by_their_features() -> None:
    model = StructuredMF([kinds()], StructuredMFSettings(factors=4)).fit(past(*TASTES))
    for item, own, other in ((1, 26, 27), (23, 27, 26)):
        scores = model.scores(follow(item))
        assert scores.size == 28
        assert scores[own] > 0.05
        assert scores[own] > scores[other] + 0.05


def test_an_item_without_events_speaks_in_a_history() -> None:
    model = StructuredMF([kinds()], StructuredMFSettings(factors=4)).fit(past(*TASTES))
    assert set(model.recommend(follow(26), 4).items.tolist()) == {0, 1, 2, 3}


def test_a_text_decides_where_nothing_else_is_known() -> None:
    names = {row: f"red tea cup no {row}" for row in range(4)} | {row: f"lunch bag no {row}" for row in range(22, 26)}
    texts = Subwords(512)
    texts.set(list(names), list(names.values()))
    model = StructuredMF([texts], StructuredMFSettings(factors=4, feature_l2=0.3)).fit(past(*TASTES))
    texts.set([26, 27], ["reddish teacups", "lunchbags"])  # words that were never seen, in parts that were
    scores = model.scores(follow(0))
    assert scores[26] > scores[27] + 0.05
    texts.set([26, 27], ["lunchbags", "reddish teacups"])
    assert model.scores(follow(0))[27] > model.scores(follow(0))[26] + 0.05


def test_with_nothing_but_events_it_is_als() -> None:
    """The column of all items alone moves the prior; held at zero, nothing is left of it."""
    settings = StructuredMFSettings(factors=4, l2=0.5, feature_l2=1e9, alpha=0.7, epochs=60, recency=1.0)
    structured, plain = StructuredMF([], settings).fit(PAST), ALS(4, 0.5, 0.7, 60).fit(PAST)
    for query in (follow(3), follow(3, 7, weights=(1.0, 5.0))):
        np.testing.assert_allclose(structured.scores(query), plain.scores(query), atol=0.02)


def test_contributions_add_up_and_newer_events_count_more() -> None:
    model = StructuredMF([], StructuredMFSettings(factors=4, alpha=1.0, recency=0.5)).fit(PAST)
    query = follow(3, 99, 8, 3, weights=(4.0, 9.0, 2.0, 1.0))
    parts = model.contributions(query, np.arange(20, dtype=np.int32))
    np.testing.assert_allclose(parts.sum(axis=0), model.scores(query), atol=1e-5)
    np.testing.assert_allclose(parts[0], parts[3] * 4.0 * 0.125, rtol=1e-4)


def test_dense_features_are_read_too() -> None:
    held = ItemVectors(2)
    held.set(np.arange(28, dtype=np.int32), kinds().matrix.toarray())
    model = StructuredMF([held], StructuredMFSettings(factors=4)).fit(past(*TASTES))
    scores = model.scores(follow(1))
    assert scores[26] > scores[27] + 0.05


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"factors": 0}, "factors is 0: it must be at least 1"),
        ({"feature_l2": 0.0}, "feature_l2 is 0.0: it must be above 0"),
        ({"alpha": -1.0}, "alpha is -1.0: it must not be below 0"),
        ({"recency": 0.0}, "recency is 0.0: it must be above 0 and at most 1"),
    ],
)
def test_settings_out_of_range(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        StructuredMF([], StructuredMFSettings(**wrong))  # type: ignore[arg-type]  # factors stays whole


def test_arrays_of_other_features_are_refused() -> None:
    arrays = StructuredMF([kinds()], StructuredMFSettings(factors=4)).fit(past(*TASTES)).to_arrays()
    with pytest.raises(
        ModelError, match=r"columns \(3, 4\), own \(26, 4\): they must be \(1, 4\), \(items, 4\); train"
    ):
        StructuredMF([], StructuredMFSettings(factors=4)).from_arrays(arrays)


def test_memory_is_what_is_stated() -> None:
    model = StructuredMF([kinds()], StructuredMFSettings(factors=4)).fit(PAST)
    arrays = model.to_arrays()
    assert arrays["own"].nbytes + arrays["columns"].nbytes == 4 * 4 * (20 + 3)  # and the sums, once it is asked

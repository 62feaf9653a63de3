"""The projection against its definition: sums over pairs, written out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.sparse import csr_array
from tests.unit.models.pasts import follow, past, random_past
from tests.unit.shops import item

from endcap.encoders.cache import ItemVectors
from endcap.errors import ConfigError, ModelError
from endcap.features.attributes import ItemAttributes
from endcap.features.interactions import visit_shares
from endcap.features.words import WordIndex
from endcap.models.projection import SOLVERS, Matrix, Projection, ProjectionSettings, learn
from endcap.state.shop import ShopState
from endcap.types import FloatArray, Query, Vocabulary

PAST = random_past(3)
N_ITEMS, DIM = len(PAST.items), 5
PLAIN = ProjectionSettings(normalise="centre", decay=1.0)


def vectors(seed: int = 0, n: int = N_ITEMS) -> ItemVectors:
    held = ItemVectors(DIM)
    rows = np.random.default_rng(seed).normal(size=(n, DIM)).astype(np.float32) + 1.0
    held.set(np.arange(n, dtype=np.int32), rows / np.linalg.norm(rows, axis=1, keepdims=True))
    return held


def by_pairs(shares: FloatArray, x: FloatArray, y: FloatArray, l2: float) -> Matrix:
    """The maximum of the objective, pair by pair: slow and obvious."""
    total, weight = np.zeros((x.shape[1], y.shape[1])), 0.0
    for visit in shares:
        for i in range(visit.size):
            for j in range(visit.size):
                if i != j:
                    total += visit[i] * visit[j] * np.outer(x[i], y[j])
                    weight += visit[i] * visit[j]
    return total / weight / (2 * l2)


@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_finds_the_maximum(solver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("endcap.models.projection.BLOCK", 7)  # several blocks, the last of another size
    random = np.random.default_rng(1)
    x, y = (random.normal(size=(N_ITEMS, width)).astype(np.float32) for width in (4, 3))
    visits = visit_shares(PAST)
    settings = replace(PLAIN, solver=solver, l2=0.7)  # type: ignore[arg-type]  # one of them
    expected = by_pairs(visits.toarray(), x, y, 0.7)
    found = learn(visits, x, y, settings)
    assert np.linalg.norm(found - expected) < 1e-4 * np.linalg.norm(expected)
    assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_no_change_of_the_maximum_is_better() -> None:
    random = np.random.default_rng(2)
    x, y = (random.normal(size=(N_ITEMS, width)).astype(np.float32) for width in (4, 3))
    shares = visit_shares(PAST).toarray()
    weight = (shares.sum(1) ** 2 - (shares**2).sum(1)).sum()

    def objective(m: Matrix) -> float:
        agreement = x @ m @ y.T  # (items, items)
        pairs = shares.T @ shares - np.diag((shares**2).sum(0))
        return float((pairs * agreement).sum() / weight - 0.3 * (m**2).sum())

    best = learn(visit_shares(PAST), x, y, replace(PLAIN, l2=0.3))
    assert all(
        objective(best) > objective(best + step * random.normal(size=best.shape))
        for step in (1e-3, 1e-1)
        for _ in "abc"
    )


def test_the_score_is_the_weighted_history_times_the_projection_times_the_item() -> None:
    held = vectors()
    model = Projection([held], settings=PLAIN).fit(PAST)
    shares = visit_shares(PAST).toarray()
    marginal = (shares * (shares.sum(1, keepdims=True) - shares)).sum(0)
    centred = held.matrix - marginal @ held.matrix / marginal.sum()
    m = by_pairs(shares, centred, centred, PLAIN.l2)
    profile = (1.0 * centred[3] + 3.0 * centred[8]) / 4.0
    found = model.scores(follow(3, 8, weights=(1.0, 3.0)))
    assert_allclose(found, centred @ (profile @ m), rtol=1e-3, atol=1e-6)


def test_whitened_without_shrinking_only_the_space_of_the_features_matters_not_their_coordinates() -> None:
    settings = ProjectionSettings(shrink=0.0, rank=DIM)
    model, other = (Projection([held], settings=settings).fit(PAST) for held in (vectors(), mixed(vectors())))
    assert_allclose(other.scores(follow(3, 8)), model.scores(follow(3, 8)), rtol=1e-2, atol=1e-4)


def mixed(held: ItemVectors) -> ItemVectors:
    """The same features in other coordinates: mixed by a matrix that can be undone."""
    found = ItemVectors(DIM)
    mixing = np.eye(DIM) * 2.0 + np.triu(np.ones((DIM, DIM)), 1)
    found.set(np.arange(N_ITEMS, dtype=np.int32), (held.matrix @ mixing).astype(np.float32))
    return found


def test_ridge_is_the_regression_of_what_comes_next_on_what_was_touched() -> None:
    held = vectors()
    model = Projection([held], settings=replace(PLAIN, normalise="ridge", shrink=0.0)).fit(PAST)
    shares = visit_shares(PAST).toarray()
    marginal = (shares * (shares.sum(1, keepdims=True) - shares)).sum(0)
    centred = (held.matrix - marginal @ held.matrix / marginal.sum()).astype(np.float64)
    pairs = [
        (i, j, v[i] * v[j]) for v in shares for i in range(N_ITEMS) for j in range(N_ITEMS) if i != j and v[i] * v[j]
    ]
    root = np.sqrt([weight for _, _, weight in pairs])[:, None]
    before, after = (centred[[pair[at] for pair in pairs]] * root for at in (0, 1))
    expected = np.linalg.lstsq(before, after, rcond=None)[0] / (2 * PLAIN.l2)
    assert_allclose(model.scores(follow(3)), centred @ (centred[3] @ expected), rtol=1e-3, atol=1e-5)


def test_an_item_without_events_is_ranked_as_soon_as_it_has_features() -> None:
    held = vectors()
    model = Projection([held]).fit(PAST)
    before = model.scores(follow(3, 8))
    best = int(np.argmax(before))
    held.set(np.array([N_ITEMS], np.int32), held.matrix[[best]])
    after = model.scores(follow(3, 8))
    assert_allclose(after[:N_ITEMS], before, rtol=1e-5)
    assert after[N_ITEMS] == pytest.approx(before[best], rel=1e-5)


def test_what_goes_together_is_learnt_where_the_features_alone_say_otherwise() -> None:
    """a, b are alike, and so are c, d; but a is bought with c, and b with d."""
    held = ItemVectors(2)
    held.set(np.arange(4, dtype=np.int32), np.array([[1, 0.1], [1, -0.1], [-1, 0.1], [-1, -0.1]], np.float32))
    visits = past((0, "ac"), (1, "bd"), (2, "ac"), (3, "bd"), n_items=4)
    model = Projection([held], settings=ProjectionSettings(shrink=0.0)).fit(visits)
    assert model.recommend(follow(0), 1).items.tolist() == [2]
    assert model.recommend(follow(1), 1).items.tolist() == [3]


def test_the_history_adds_up_to_the_score() -> None:
    model = Projection([vectors()]).fit(PAST)
    query = follow(3, 8, 99, 3, -1, weights=(1.0, 5.0, 2.0, 3.0, 1.0))
    items = np.array([0, 5, 19, 40, -1], np.int32)
    parts = model.contributions(query, items)
    assert parts.shape == (5, 5)
    assert_allclose(parts[:, :3].sum(axis=0), model.scores(query)[items[:3]], rtol=1e-4, atol=1e-6)
    assert not parts[:, 3:].any()
    assert not parts[[2, 4]].any()


def test_the_oldest_of_a_long_history_are_passed_over() -> None:
    model = Projection([vectors()], settings=ProjectionSettings(recent=2)).fit(PAST)
    assert model.scores(follow(1, 2, 3, 8)).tolist() == model.scores(follow(3, 8)).tolist()


def shop() -> ShopState:
    held = ShopState(Vocabulary(PAST.items))
    held.grow(N_ITEMS)
    for row in range(N_ITEMS):
        brand, kind = "Leaf" if row % 2 else "Oak", "A > B" if row < 10 else "A > C"
        held.change(row, item(f"i{row}", f"thing {row % 4}", brand=brand, categories=[kind]))
    return held


def test_targets_may_be_other_features_than_inputs() -> None:
    """What is gone on to as a category: items of one category have one score."""
    categories = Kind(N_ITEMS)
    model = Projection([vectors()], [categories]).fit(PAST)
    scores = model.scores(follow(3, 8))
    assert scores[0] != pytest.approx(scores[1])
    assert_allclose(scores[::2], scores[0], rtol=1e-5)
    assert_allclose(scores[1::2], scores[1], rtol=1e-5)


class Kind:
    """One-hot: even and odd rows."""

    dim, version = 2, 0

    def __init__(self, n: int) -> None:
        self.matrix = np.eye(2, dtype=np.float32)[np.arange(n) % 2]


def test_attributes_are_chosen_and_stored_with_the_model() -> None:
    attributes, held = ItemAttributes(shop(), columns=64), vectors()
    settings = ProjectionSettings(columns=3)
    model = Projection([held, attributes], settings=settings).fit(PAST)
    arrays = model.to_arrays()
    assert np.asarray(arrays["input_columns"]).size == 3
    assert np.asarray(arrays["input_mean"]).shape == (DIM + 3,)
    loaded = Projection([held, attributes], settings=settings).from_arrays(arrays)
    assert loaded.scores(follow(3, 8)).tolist() == model.scores(follow(3, 8)).tolist()


def test_a_version_that_was_trained_without_words_scores_as_it_did_where_words_are_read_too() -> None:
    held, attributes, words = vectors(), ItemAttributes(shop(), columns=64), WordIndex.of(shop().listed_items())
    settings = ProjectionSettings(columns=3)
    model = Projection([held, attributes], settings=settings).fit(PAST)
    later = Projection([held, attributes, words.features()], settings=settings).from_arrays(model.to_arrays())
    assert later.scores(follow(3, 8)).tolist() == model.scores(follow(3, 8)).tolist()


def test_words_are_learnt_from_beside_attributes() -> None:
    held, words = vectors(), WordIndex.of(shop().listed_items())
    model = Projection([held, words.features(64)], settings=ProjectionSettings(columns=4)).fit(PAST)
    arrays = model.to_arrays()
    assert np.asarray(arrays["input_mean"]).shape == (DIM + 4,)
    loaded = Projection([held, words.features(64)]).from_arrays(arrays)
    assert loaded.scores(follow(3, 8)).tolist() == model.scores(follow(3, 8)).tolist()


def test_arrays_of_another_encoder_are_refused() -> None:
    other = ItemVectors(DIM + 1)
    with pytest.raises(ModelError, match=r"a projection of 6 features cannot be made of .* train again"):
        Projection([other]).from_arrays(Projection([vectors()]).fit(PAST).to_arrays())


def test_two_sides_of_different_rank_are_refused() -> None:
    arrays = dict(Projection([vectors()]).fit(PAST).to_arrays())
    arrays["target_map"] = np.asarray(arrays["target_map"])[:, :2]
    with pytest.raises(ModelError, match=r"of two ranks: train again"):
        Projection([vectors()]).from_arrays(arrays)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (ProjectionSettings(solver="newton"), "solver is 'newton': use one of closed, gd, sgd, adam"),  # type: ignore[arg-type]
        (ProjectionSettings(rank=0), "rank is 0: it must be at least 1"),
        (ProjectionSettings(l2=float("nan")), "l2 is nan: it must be at least"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: ProjectionSettings, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Projection([vectors()], settings=settings)


def test_visits_of_one_item_teach_nothing() -> None:
    alone = Projection([vectors(n=4)]).fit(past((0, "a"), (1, "b"), (2, "cc"), n_items=4))
    assert not alone.scores(follow(0)).any()
    assert Projection([vectors(n=4)]).fit(past((0, "ab"), n_items=4)).scores(Query()).size == 0


def test_shares_of_a_visit_add_up_to_one() -> None:
    found = visit_shares(past((0, "aab"), (1, "c"), (0, "bd"), n_items=4))
    assert_allclose(found.toarray(), [[2 / 3, 1 / 3, 0, 0], [0, 0.5, 0, 0.5]])
    by_user = visit_shares(past((0, "ab"), (1, "c"), (0, "bd"), n_items=4), by="user")
    assert_allclose(by_user.toarray(), [[0.25, 0.5, 0, 0.25]])
    assert isinstance(found, csr_array)

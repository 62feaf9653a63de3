"""Fusion by its definitions, with any modality missing; the gate by numeric gradients, and on a case it must learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from tests.unit.encoders.test_bridge import units

from endcap.encoders.fusion import TRIED, Gate, chosen_weights, joined, late, present
from endcap.errors import ModelError, NotFittedError
from endcap.types import FloatArray, IntArray


def torn(n: int = 12, seed: int = 0) -> list[FloatArray]:
    """Three modalities, of which about a third is missing; item 0 has none, item 1 all."""
    parts = [units(n, dim, seed + dim) for dim in (5, 7, 3)]
    for part in parts:
        part[np.random.default_rng(seed + part.shape[1]).random(n) < 0.35] = 0.0
        part[0] = 0.0
        part[1] = 1.0 / np.sqrt(part.shape[1])
    return parts


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1_000), weights=st.tuples(*[st.floats(0.1, 10.0)] * 3))
def test_a_joined_row_has_length_one_whatever_is_missing(seed: int, weights: tuple[float, float, float]) -> None:
    parts = torn(seed=seed)
    lengths = np.linalg.norm(joined(parts, weights), axis=1)
    assert_allclose(lengths, present(parts).any(axis=1), atol=1e-5)


def test_a_joined_cosine_is_the_weighted_mean_of_the_cosines() -> None:
    parts = [units(6, 5), units(6, 7, 1)]
    side = joined(parts, (3.0, 1.0))
    expected = 0.75 * parts[0] @ parts[0].T + 0.25 * parts[1] @ parts[1].T
    assert_allclose(side @ side.T, expected, atol=1e-5)


def test_items_with_the_same_one_modality_compare_by_it_alone() -> None:
    parts = [units(4, 5), np.zeros((4, 7), np.float32)]
    side = joined(parts, (1.0, 5.0))
    assert_allclose(side @ side.T, parts[0] @ parts[0].T, atol=1e-5)


def test_the_weights_that_are_chosen_find_companions_best() -> None:
    """Of two modalities one tells companions and the other is noise, either way round."""
    rng = np.random.default_rng(0)
    telling = np.repeat(units(100, 8), 2, axis=0) + 0.1 * rng.standard_normal((200, 8)).astype(np.float32)
    noise = units(200, 8, 1)
    assert chosen_weights([telling, noise], *pairs(200)) == (1.0, TRIED[0])
    assert chosen_weights([noise, telling], *pairs(200)) == (1.0, TRIED[-1])
    with pytest.raises(ModelError, match="weights are chosen by one pair at least"):
        chosen_weights([telling, noise], *pairs(0))


def test_the_weights_that_are_chosen_have_the_best_mean_reciprocal_rank() -> None:
    parts = torn(40, seed=3)
    first, second = pairs(40)

    def rank(weights: tuple[float, ...]) -> float:
        side = joined(parts, weights)
        found = []
        for one, other in zip(first, second, strict=True):
            scores = side @ side[one]
            scores[one] = -np.inf
            found.append(1 / (scores >= scores[other]).sum())
        return float(np.mean(found))

    best = max(rank((1.0, image, said)) for image in TRIED for said in TRIED)
    assert rank(chosen_weights(parts, first, second)) == pytest.approx(best, abs=0.02)


def test_late_fusion_is_the_mean_of_standard_scores_over_what_is_there() -> None:
    scores = [np.array([1.0, 2.0, 3.0, 9.0], np.float32), np.array([10.0, 30.0, 0.0, 0.0], np.float32)]
    has = np.array([[True, True], [True, True], [True, False], [False, False]])
    first = (np.array([1.0, 2.0, 3.0]) - 2.0) / np.std([1, 2, 3])
    second = np.array([-1.0, 1.0])
    expected = [(2 * first[0] + second[0]) / 3, (2 * first[1] + second[1]) / 3, first[2], 0.0]
    assert_allclose(late(scores, has, (2.0, 1.0)), expected, rtol=1e-5)


def test_late_fusion_of_a_modality_that_nobody_has_is_the_others() -> None:
    score = np.array([1.0, 2.0], np.float32)
    has = np.array([[True, False], [True, False]])
    assert_allclose(late([score, score * 0], has, (1.0, 1.0)), [-1.0, 1.0], rtol=1e-5)


def noisy_shop(seed: int = 0) -> tuple[list[FloatArray], np.ndarray]:
    """200 groups of 4: half have a telling text and a picture of noise, half the reverse; one number says which."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(200), 4)
    text, image = (rng.standard_normal((200, 12))[group] + 0.3 * rng.standard_normal((800, 12)) for _ in range(2))
    blurred = group % 2 == 1
    text[blurred, 1:] = rng.standard_normal((400, 11))
    image[~blurred] = rng.standard_normal((400, 12))
    text[:, 0] = np.where(blurred, 2.0, -2.0)
    parts = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in (text, image)]
    return [part.astype(np.float32) for part in parts], group


def pairs(n: int) -> tuple[IntArray, IntArray]:
    """Of ``n`` items, each with its next."""
    return np.arange(0, n, 2, dtype=np.int32), np.arange(1, n, 2, dtype=np.int32)


def right(fused: FloatArray, group: np.ndarray) -> float:
    cosines = fused @ fused.T
    np.fill_diagonal(cosines, -np.inf)
    return float((group[cosines.argmax(axis=1)] == group).mean())


def test_a_gate_learns_which_modality_speaks_for_an_item() -> None:
    parts, group = noisy_shop()
    gate = Gate().fit([part[:400] for part in parts], *pairs(400))
    unseen = [part[400:] for part in parts]
    shares = gate.shares(unseen)
    blurred = group[400:] % 2 == 1
    assert shares[~blurred, 0].mean() > 0.6
    assert shares[blurred, 1].mean() > 0.6
    assert right(gate.fused(unseen), group[400:]) > right(joined(unseen, (1.0, 1.0)), group[400:]) + 0.05


def test_a_gate_is_trained_by_the_gradient_of_its_loss() -> None:
    """One step of gradient descent must lower the loss as the numeric slope says."""
    parts = torn(8)
    first, second = np.arange(0, 8, 2, dtype=np.int32), np.arange(1, 8, 2, dtype=np.int32)

    def loss(weights: np.ndarray) -> float:
        fused = Gate().from_arrays({"weights": weights}).fused(parts).astype(np.float64)
        scores = fused[first] @ fused[second].T / 0.05
        rows = np.log(np.exp(scores).sum(axis=1)) - np.diag(scores)
        columns = np.log(np.exp(scores).sum(axis=0)) - np.diag(scores)
        return float((rows.mean() + columns.mean()) / 2)

    still, step = np.zeros((16, 3), np.float32), 0.02
    slopes = np.zeros_like(still)
    for place in np.ndindex(still.shape):
        moved = still.copy()
        moved[place] = step
        higher = loss(moved)
        moved[place] = -step
        slopes[place] = (higher - loss(moved)) / (2 * step)
    # the first step of Adam is the learning rate against the sign of the gradient
    gate = Gate(epochs=1, learning_rate=0.01, l2=0.0).fit(parts, first, second)
    fitted = np.asarray(gate.to_arrays()["weights"], np.float64)
    steep = np.abs(slopes) > 1e-3
    assert steep.sum() > 10
    assert_allclose(fitted[steep], -0.01 * np.sign(slopes[steep]), rtol=1e-3)


def test_shares_are_of_what_an_item_has() -> None:
    parts = torn()
    shares = Gate(epochs=2).fit(parts, np.array([1, 2], np.int32), np.array([3, 4], np.int32)).shares(parts)
    assert (shares[~present(parts)] == 0).all()
    assert_allclose(shares.sum(axis=1), present(parts).any(axis=1), atol=1e-5)


def test_the_same_seed_gives_the_same_gate_and_arrays_bring_it_back() -> None:
    parts, _ = noisy_shop()
    one, other = (Gate(epochs=2).fit(parts, *pairs(800)) for _ in range(2))
    np.testing.assert_array_equal(one.shares(parts), other.shares(parts))
    np.testing.assert_array_equal(Gate().from_arrays(one.to_arrays()).fused(parts), one.fused(parts))


def test_what_cannot_be_done_says_so() -> None:
    parts = torn()
    with pytest.raises(ModelError, match=r"modalities of \[12, 3\] items"):
        present([parts[0], parts[1][:3]])
    for weights in ((1.0, 1.0), (0.0, 0.0, 0.0), (1.0, -1.0, 1.0), (1.0, float("nan"), 1.0)):
        with pytest.raises(ModelError, match="for 3 modalities: give each one of 0 or more"):
            joined(parts, weights)
    with pytest.raises(ModelError, match="a gate needs two pairs at least"):
        Gate().fit(parts, np.array([1], np.int32), np.array([2], np.int32))
    with pytest.raises(NotFittedError, match="asked before it was fitted"):
        Gate().shares(parts)
    with pytest.raises(NotFittedError, match="asked before it was fitted"):
        Gate().to_arrays()
    with pytest.raises(ModelError, match=r"modalities of \[5, 7, 3\] dimensions are not those"):
        Gate().from_arrays({"weights": np.zeros((4, 3), np.float32)}).shares(parts)
    with pytest.raises(ModelError, match="not those of a gate"):
        Gate().from_arrays({})

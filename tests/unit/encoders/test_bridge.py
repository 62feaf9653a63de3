"""A bridge against ridge regression written out, and what it must do with zeros and nonsense."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from endcap.encoders.bridge import PENALTIES, Bridge
from endcap.errors import ModelError, NotFittedError
from endcap.types import FloatArray


def units(n: int, dim: int, seed: int = 0) -> FloatArray:
    drawn = np.random.default_rng(seed).standard_normal((n, dim))
    found: FloatArray = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return found


INPUTS, OUTPUTS = units(40, 6), units(40, 4, 1)


def ridge(x: FloatArray, y: FloatArray, l2: float) -> tuple[np.ndarray, np.ndarray]:
    """Slow and obvious: the weights, and the constant, which is not penalised."""
    wide = np.hstack([x, np.ones((len(x), 1))]).astype(np.float64)
    penalty = l2 * np.eye(wide.shape[1])
    penalty[-1, -1] = 0.0
    solved = np.linalg.solve(wide.T @ wide + penalty, wide.T @ y)
    return solved[:-1], solved[-1]


def scale(x: FloatArray) -> float:
    return float(((x - x.mean(axis=0)).astype(np.float64) ** 2).sum() / len(x))


@pytest.mark.parametrize("dim", [6, 60], ids=["fewer dims than pairs", "more"])
def test_it_is_ridge_regression(dim: int) -> None:
    x = units(40, dim)
    weights, constant = ridge(x, OUTPUTS, 0.1 * scale(x))
    new = units(5, dim, 2)
    expected = new @ weights + constant
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert_allclose(Bridge(l2=0.1).fit(x, OUTPUTS).across(new), expected, atol=1e-4)


def test_the_penalty_is_the_one_with_the_smallest_error_of_pairs_left_out() -> None:
    def left_out(l2: float) -> float:
        errors = []
        for one in range(len(INPUTS)):
            rest = np.arange(len(INPUTS)) != one
            weights, constant = ridge(INPUTS[rest], OUTPUTS[rest], l2 * scale(INPUTS))
            errors.append(((INPUTS[one] @ weights + constant - OUTPUTS[one]) ** 2).sum())
        return float(np.mean(errors))

    best = min(PENALTIES, key=left_out)
    assert_allclose(Bridge().fit(INPUTS, OUTPUTS).across(INPUTS), Bridge(best).fit(INPUTS, OUTPUTS).across(INPUTS))


def test_what_is_related_is_found_again() -> None:
    turn = np.linalg.qr(np.random.default_rng(3).standard_normal((6, 6)))[0].astype(np.float32)
    outputs = INPUTS @ turn
    bridge = Bridge().fit(INPUTS[:30], outputs[:30])
    nearest = np.argmax(bridge.across(INPUTS[30:]) @ outputs.T, axis=1)
    assert nearest.tolist() == list(range(30, 40))


def test_items_that_lack_one_of_the_two_are_not_learnt_from() -> None:
    inputs, outputs = np.vstack([INPUTS, INPUTS]), np.vstack([OUTPUTS, OUTPUTS])
    inputs[40:60] = 0.0
    outputs[60:] = 0.0
    expected = Bridge().fit(INPUTS, OUTPUTS).across(INPUTS)
    np.testing.assert_array_equal(Bridge().fit(inputs, outputs).across(INPUTS), expected)


def test_nothing_to_cross_with_stays_nothing() -> None:
    found = Bridge().fit(INPUTS, OUTPUTS).across(np.vstack([np.zeros((1, 6), np.float32), INPUTS[:1]]))
    assert not found[0].any()
    assert np.linalg.norm(found[1]) == pytest.approx(1.0, abs=1e-5)
    assert found.dtype == np.float32


def test_gaps_are_filled_and_the_rest_left_alone() -> None:
    bridge, torn = Bridge().fit(INPUTS, OUTPUTS), OUTPUTS.copy()
    torn[:3] = 0.0
    inputs = INPUTS.copy()
    inputs[0] = 0.0
    found = bridge.filled(torn, inputs)
    np.testing.assert_array_equal(found[3:], OUTPUTS[3:])
    np.testing.assert_array_equal(found[:3], bridge.across(inputs[:3]))
    assert not found[0].any()


def test_it_is_stored_as_arrays() -> None:
    fitted = Bridge().fit(INPUTS, OUTPUTS)
    loaded = Bridge().from_arrays(fitted.to_arrays())
    np.testing.assert_array_equal(loaded.across(INPUTS), fitted.across(INPUTS))


def test_what_cannot_be_done_says_so() -> None:
    with pytest.raises(ModelError, match="1 items have both vectors"):
        Bridge().fit(INPUTS[:1], OUTPUTS[:1])
    with pytest.raises(NotFittedError, match="asked before it was fitted"):
        Bridge().across(INPUTS)
    with pytest.raises(NotFittedError, match="asked before it was fitted"):
        Bridge().to_arrays()
    with pytest.raises(ModelError, match=r"vectors of shape \(40, 4\) do not fit a bridge from 6 dimensions"):
        Bridge().fit(INPUTS, OUTPUTS).across(OUTPUTS)
    arrays = dict(Bridge().fit(INPUTS, OUTPUTS).to_arrays())
    with pytest.raises(ModelError, match="not those of a bridge"):
        Bridge().from_arrays({**arrays, "to": arrays["to"][:2]})

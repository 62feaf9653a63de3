"""The trees as arrays: they say what LightGBM says, bit by bit, and what does not fit together is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from endcap.errors import ModelError
from endcap.models.trees import MOST_LEAVES, Trees
from endcap.protocols import Arrays
from endcap.types import FloatArray

WIDTH = 6


def table(n: int, seed: int) -> FloatArray:
    """Columns of few and of many values, some below 0."""
    found = np.random.default_rng(seed).normal(size=(n, WIDTH)).astype(np.float32)
    found[:, 0] = np.round(found[:, 0])  # many rows stand at a threshold
    return found


def grown(leaves: int, seed: int = 0) -> Any:
    features = table(3_000, seed)
    wanted = features[:, 0] + features[:, 1] * features[:, 2] + np.sin(5 * features[:, 3])
    settings = {"num_leaves": leaves, "verbose": -1, "num_threads": 1, "min_data_in_leaf": 5}
    return lightgbm.train(settings, lightgbm.Dataset(features, wanted), 25)


@pytest.mark.parametrize("leaves", [2, 15, MOST_LEAVES])
@pytest.mark.parametrize("n", [0, 1, 7, 300])
def test_they_say_what_lightgbm_says(leaves: int, n: int) -> None:
    booster, asked = grown(leaves), table(n, 1)
    wanted = booster.predict(asked, raw_score=True) if n else np.empty(0)
    assert_array_equal(Trees.of_lightgbm(booster).add_up(asked), wanted)
    assert_array_equal(Trees.from_arrays(Trees.of_lightgbm(booster).to_arrays()).add_up(asked), wanted)


def test_a_tree_of_one_leaf_says_the_same_of_all() -> None:
    same = np.ones(100)
    booster = lightgbm.train({"verbose": -1, "num_threads": 1}, lightgbm.Dataset(table(100, 0), same), 3)
    assert_array_equal(Trees.of_lightgbm(booster).add_up(table(9, 1)), booster.predict(table(9, 1)))


def test_more_leaves_than_bits_are_refused() -> None:
    with pytest.raises(ModelError, match="a tree has 33 leaves: 32 at most"):
        Trees.of_lightgbm(grown(MOST_LEAVES + 1))


def test_no_trees() -> None:
    assert len(Trees.none()) == 0
    assert Trees.from_arrays(Trees.none().to_arrays()).width == 0


def _without(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda arrays: arrays.pop(name)


@pytest.mark.parametrize(
    "break_it",
    [
        _without("kept"),
        _without("width"),
        lambda arrays: arrays.update(feature=arrays["feature"] + WIDTH),
        lambda arrays: arrays.update(edges=arrays["edges"][::-1].copy()),
        lambda arrays: arrays.update(edges=arrays["edges"] + 1),
        lambda arrays: arrays.update(values=arrays["values"][1:]),
        lambda arrays: arrays.update(threshold=arrays["threshold"][1:]),
    ],
)
def test_what_does_not_fit_together_is_refused(break_it: Callable[[dict[str, Any]], Any]) -> None:
    arrays: Arrays = Trees.of_lightgbm(grown(8)).to_arrays()
    broken = dict(arrays)
    break_it(broken)
    with pytest.raises(ModelError, match="train again"):
        Trees.from_arrays(broken)

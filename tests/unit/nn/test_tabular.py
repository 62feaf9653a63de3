"""The tabular model against its definition, written out slowly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from endcap.models.tabular import open_network, run
from endcap.nn.settings import Settings
from endcap.nn.tabular import Examples, Shape, TabularModel, TabularTask, export, judged, probabilities
from endcap.nn.training import train
from endcap.types import FloatArray

SIZES, WIDTH = [4, 3], 2


def examples(n: int = 40, seed: int = 0) -> Examples:
    """The label is 1 where the first code is 1 or 2, but for one row in eight."""
    rng = np.random.default_rng(seed)
    codes = np.column_stack([rng.integers(1, size, n) for size in SIZES]).astype(np.int32)
    labels = ((codes[:, 0] < 3) ^ (rng.random(n) < 0.125)).astype(np.float32)
    return Examples(codes, rng.normal(size=(n, WIDTH)).astype(np.float32), labels)


def model(hidden: tuple[int, ...] = ()) -> TabularModel:
    torch.manual_seed(1)
    made = TabularModel(SIZES, WIDTH, Shape(factors=5, hidden=hidden), base=0.2)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter)
    return made.eval()


def slow_logit(made: TabularModel, codes: list[int], numbers: FloatArray) -> float:
    """Weights of all that a row says, and the dot product of every two of its vectors."""
    places = [code + sum(SIZES[:at]) for at, code in enumerate(codes)]
    weights, factors = made.value_weights.weight.detach().numpy(), made.value_factors.weight.detach().numpy()
    vectors = [factors[place] for place in places]
    vectors += [number * row for number, row in zip(numbers, made.number_factors.detach().numpy(), strict=True)]
    logit = sum(float(weights[place, 0]) for place in places)
    logit += float(made.number_weights(torch.from_numpy(numbers)).detach())
    return logit + sum(float(one @ other) for at, one in enumerate(vectors) for other in vectors[:at])


def test_the_logit_is_the_sum_of_weights_and_of_the_products_of_each_two() -> None:
    made, given = model(), examples(6)
    found = made(torch.from_numpy(given.codes).long(), torch.from_numpy(given.numbers)).detach().numpy()
    expected = [slow_logit(made, codes.tolist(), row) for codes, row in zip(given.codes, given.numbers, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_new_model_says_the_share_of_ones() -> None:
    made = TabularModel(SIZES, WIDTH, Shape(hidden=()), base=0.2).eval()
    assert probabilities(made, examples()) == pytest.approx(np.full(40, 0.2), abs=0.01)


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.3, 0.5, 0.9]), st.booleans()), min_size=1, max_size=12))
def test_figures_by_their_definitions(rows: list[tuple[float, bool]]) -> None:
    said, labels = np.array([p for p, _ in rows]), np.array([y for _, y in rows], np.float32)
    found = judged(said, labels)
    assert found["loss"] == pytest.approx(-np.mean([np.log(p if y else 1 - p) for p, y in rows]))
    assert found["accuracy"] == np.mean([(p >= 0.5) == y for p, y in rows])
    pairs = [(p > q) + 0.5 * (p == q) for p, y in rows if y for q, z in rows if not z]
    assert found.get("auc") == (pytest.approx(np.mean(pairs)) if pairs else None)


def test_nothing_is_said_of_no_rows() -> None:
    assert judged(np.zeros(0), np.zeros(0, np.float32)) == {}


def test_training_finds_what_decides_and_keeps_the_epoch_of_the_least_loss() -> None:
    torch.manual_seed(0)
    made = TabularModel(SIZES, WIDTH, Shape(factors=4, hidden=(8,)), base=0.5)
    settings = Settings(epochs=30, batch_size=20, optimizer="adam", learning_rate=0.02, warmup=0.0, weight_decay=0.0)
    task = TabularTask(examples(400), examples(200, seed=1))
    found = train(made, task, settings)
    losses = [epoch.metrics["validation/loss"] for epoch in found.history]
    assert found.best.metrics["validation/loss"] == min(losses)
    assert judged(probabilities(made.eval(), task.validation), task.validation.labels)["loss"] == min(losses)
    assert 0.8 < found.best.metrics["validation/accuracy"] <= 0.92  # seven rows in eight can be told
    assert found.best.metrics.keys() == {
        f"{part}/{name}" for part in ("training", "validation") for name in ("loss", "accuracy", "auc")
    }


def test_a_step_takes_some_codes_for_unknown() -> None:
    task = TabularTask(examples(400), examples(10), unknown=0.25)
    codes = task.batch(np.arange(400, dtype=np.int32), np.random.default_rng(0))["codes"]
    assert 0.2 < float((codes == 0).float().mean()) < 0.3
    assert (task.training.codes > 0).all()


def test_other_examples_are_another_training() -> None:
    one, other = (TabularTask(examples(40, seed), examples(10)).data for seed in (0, 1))
    assert one != other


@pytest.mark.parametrize("hidden", [(), (6, 3)])
def test_what_is_exported_says_the_same_for_any_number_of_rows(tmp_path: Path, hidden: tuple[int, ...]) -> None:
    made, given = model(hidden), examples(33)
    export(made, given, tmp_path / "model.onnx")
    session = open_network((tmp_path / "model.onnx").read_bytes(), tmp_path)
    for n in (33, 1, 0):
        few = given.at(np.arange(n, dtype=np.int32))
        np.testing.assert_allclose(run(session, few.codes, few.numbers), probabilities(made, few), atol=1e-6)

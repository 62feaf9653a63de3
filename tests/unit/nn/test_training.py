"""The loop against the definitions of its optimisers, and against itself after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from tests.unit.nn import lines
from tests.unit.nn.lines import SETTINGS, Curve, Plain, network, weights
from torch import nn

from endcap.errors import ConfigError, ModelError
from endcap.nn.checkpoints import LAST, read_standing
from endcap.nn.devices import Batch
from endcap.nn.settings import Settings, rate_share
from endcap.nn.training import Around, Loss, shuffled, train


def trained(settings: Settings = SETTINGS, folder: Path | None = None) -> nn.Module:
    model = network()
    train(model, Curve(), settings, Around(folder))
    return model


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    assert weights(trained()) == weights(trained())
    assert weights(trained()) != weights(trained(replace(SETTINGS, seed=1)))


def test_what_the_caller_draws_afterwards_is_as_if_nothing_had_been_trained() -> None:
    model = network()
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    train(model, Curve(), replace(SETTINGS, epochs=1))
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_killed_training_goes_on_to_the_same_bits(tmp_path: Path, optimizer: str) -> None:
    """Within an epoch, after any step: the run is cut by an error in the step that follows a checkpoint."""

    class Cut(Curve):
        left = 13

        def loss(self, model: nn.Module, batch: Batch) -> Loss:
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt
            return super().loss(model, batch)

    settings = replace(SETTINGS, optimizer=optimizer)  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        train(network(), Cut(), settings, Around(tmp_path))
    standing = read_standing(tmp_path)
    assert standing is not None
    assert (standing.step, standing.within) == (12, 2)
    model = network(seed=3)
    found = train(model, Curve(), settings, Around(tmp_path))
    assert found.resumed_from == 12
    assert weights(model) == weights(trained(settings))
    whole = train(network(), Curve(), settings)
    assert found.history == whole.history


def test_kill_9_loses_nothing_but_time(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen([sys.executable, lines.__file__, str(tmp_path)], env=environment) as process:
        deadline = time.monotonic() + 60
        while not (tmp_path / LAST).exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    standing = read_standing(tmp_path)
    assert standing is not None
    assert 0 < standing.step < 30
    assert weights(trained(folder=tmp_path)) == weights(trained())


def test_a_finished_training_is_not_done_again(tmp_path: Path) -> None:
    first = trained(folder=tmp_path)
    model = network(seed=9)

    class Never(Curve):
        def loss(self, model: nn.Module, batch: Batch) -> Loss:  # noqa: ARG002
            raise AssertionError("there was nothing to do")

    train(model, Never(), SETTINGS, Around(tmp_path))
    assert weights(model) == weights(first)


def test_several_batches_to_a_step_are_one_large_batch() -> None:
    """33 rows: the last batch of four is smaller than the others, and each row counts alike."""
    settings = replace(SETTINGS, epochs=3, optimizer="sgd", clip_norm=0.0)
    small, large = network(0.0), network(0.0)
    train(small, Plain(), replace(settings, batch_size=4, accumulate=3))
    train(large, Plain(), replace(settings, batch_size=12))
    for one, other in zip(small.parameters(), large.parameters(), strict=True):
        assert_allclose(one.detach(), other.detach(), rtol=0, atol=1e-6)


def by_hand(settings: Settings, steps: int) -> nn.Module:
    """The update rules written out, on the gradient of all rows."""
    model, task = network(0.0), Plain()
    velocity, mean, square = ([torch.zeros_like(one) for one in model.parameters()] for _ in range(3))
    x, y = torch.from_numpy(task.x[: task.n]), torch.from_numpy(task.y[: task.n])
    for step in range(1, steps + 1):
        loss = ((model(x)[:, 0] - y) ** 2).mean()
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        for place, (one, gradient) in enumerate(zip(model.parameters(), gradients, strict=True)):
            decay = settings.weight_decay * one.detach() if one.ndim > 1 else torch.zeros_like(one)
            down = gradient if settings.optimizer == "adamw" else gradient + decay
            if settings.optimizer in ("gd", "sgd"):
                velocity[place] = settings.momentum * velocity[place] * (settings.optimizer == "sgd") + down
                move = velocity[place]
            else:
                mean[place] = 0.9 * mean[place] + 0.1 * down
                square[place] = 0.999 * square[place] + 0.001 * down**2
                move = mean[place] / (1 - 0.9**step) / ((square[place] / (1 - 0.999**step)).sqrt() + 1e-8)
            if settings.optimizer == "adamw":
                move = move + decay
            one.data.sub_(settings.learning_rate * move)
    return model


@pytest.mark.parametrize("optimizer", ["gd", "sgd", "adam", "adamw"])
def test_each_optimizer_is_its_rule(optimizer: str) -> None:
    """``gd`` makes one step of an epoch whatever the batch; the others see all rows in one batch here."""
    settings = Settings(
        epochs=5,
        batch_size=8 if optimizer == "gd" else 33,
        optimizer=optimizer,  # type: ignore[arg-type]
        learning_rate=0.05,
        weight_decay=0.1,
        schedule="constant",
        warmup=0.0,
        clip_norm=0.0,
    )

    class Last(Plain):
        def evaluate(self, model: nn.Module) -> Mapping[str, float]:  # noqa: ARG002
            return {}

    model = network(0.0)
    train(model, Last(), settings)
    for one, other in zip(model.parameters(), by_hand(settings, 5).parameters(), strict=True):
        assert_allclose(one.detach(), other.detach(), rtol=1e-4, atol=1e-6)


def test_schedules() -> None:
    steps = [0, 1, 2, 5, 9]
    expected = {
        "constant": [0.5, 1, 1, 1, 1],
        "linear": [0.5, 1, 1, 5 / 8, 1 / 8],
        "cosine": [0.5, 1, 1, 0.5 * (1 - np.cos(np.pi * 5 / 8)), 0.5 * (1 - np.cos(np.pi / 8))],
    }
    for schedule, shares in expected.items():
        settings = Settings(schedule=schedule, warmup=0.2)  # type: ignore[arg-type]
        assert_allclose([rate_share(settings, step, 10) for step in steps], shares)


def test_a_long_gradient_is_shortened() -> None:
    """With a step of 1 down a gradient of length 1e-3 at most, no weight moves farther than that."""
    before, model = network(0.0), network(0.0)
    plain = Settings(epochs=1, batch_size=33, optimizer="gd", learning_rate=1.0, weight_decay=0, warmup=0)
    train(model, Plain(), replace(plain, schedule="constant", clip_norm=1e-3))
    pairs = zip(model.parameters(), before.parameters(), strict=True)
    moved = torch.stack([(one.detach() - other.detach()).square().sum() for one, other in pairs])
    assert_allclose(float(moved.sum().sqrt()), 1e-3, rtol=1e-3)


def test_training_stops_when_nothing_gets_better_and_keeps_the_best() -> None:
    class Worse(Curve):
        values = iter([3.0, 1.0, 2.0, float("nan"), 0.0])

        def evaluate(self, model: nn.Module) -> Mapping[str, float]:
            self.seen = [*getattr(self, "seen", []), weights(model)]
            return {"error": next(self.values)}

    model, task = network(), Worse()
    found = train(model, task, replace(SETTINGS, patience=2))
    assert [one.metrics["error"] for one in found.history[:3]] == [3.0, 1.0, 2.0]
    assert len(found.history) == 4
    assert found.best.epoch == 2
    assert weights(model) == task.seen[1]


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_weights(tmp_path: Path) -> None:
    class Breaks(Curve):
        calls = 0

        def loss(self, model: nn.Module, batch: Batch) -> Loss:
            self.calls += 1
            loss = super().loss(model, batch)
            return loss if self.calls < 9 else Loss(loss.total * float("nan"), loss.weight)

    message = r"the loss is nan at step 9; the weights of step 6 are kept in .*: train with a lower learning rate"
    with pytest.raises(ModelError, match=message):
        train(network(), Breaks(), SETTINGS, Around(tmp_path))
    model = network(seed=4)
    assert train(model, Curve(), SETTINGS, Around(tmp_path)).resumed_from == 6
    assert weights(model) == weights(trained())


def test_a_gradient_that_is_no_number_stops_too() -> None:
    class Steep(Curve):
        def loss(self, model: nn.Module, batch: Batch) -> Loss:
            total = model(batch["x"]).sum() * 0
            return Loss(total.sqrt(), 1.0)

    with pytest.raises(ModelError, match=r"the gradient's length is (nan|inf) at step 1: train with"):
        train(network(), Steep(), SETTINGS)


def test_checkpoints_of_another_training_are_refused(tmp_path: Path) -> None:
    trained(folder=tmp_path)
    with pytest.raises(ModelError, match=r"was made with epochs 6, not 7: give the same, or name another folder"):
        trained(replace(SETTINGS, epochs=7), tmp_path)
    wider = nn.Sequential(nn.Linear(3, 17), nn.Linear(17, 1))
    with pytest.raises(ModelError, match=r"the checkpoint in .* is of another model: name another folder"):
        train(wider, Curve(), SETTINGS, Around(tmp_path))
    other = Curve()
    other.data = "another"
    with pytest.raises(ModelError, match=r"is of a training on other data or for something else: name"):
        train(network(), other, SETTINGS, Around(tmp_path))
    trained(replace(SETTINGS, checkpoint_steps=0), tmp_path)  # how often it is kept changes nothing


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    trained(folder=tmp_path)
    data = (tmp_path / LAST).read_bytes()
    (tmp_path / LAST).write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match=r"last\.safetensors is damaged .*: delete .*, and train from the start"):
        trained(folder=tmp_path)


def test_a_frozen_part_belongs_to_the_model_of_a_checkpoint(tmp_path: Path) -> None:
    def frozen(seed: int) -> nn.Module:
        model = network(seed=seed)
        next(iter(model.parameters())).requires_grad_(False)
        return model

    train(frozen(0), Curve(), SETTINGS, Around(tmp_path))
    with pytest.raises(ModelError, match="of another model"):
        train(frozen(1), Curve(), SETTINGS, Around(tmp_path))


def test_lower_precision_trains_too() -> None:
    model = network()
    found = train(model, Curve(), replace(SETTINGS, precision="bfloat16"))
    assert found.best.metrics["error"] < found.history[0].metrics["error"]
    assert weights(model) != weights(trained())


def test_augmentation_changes_what_is_learnt_and_is_drawn_from_the_seed() -> None:
    def louder(batch: Batch, rng: np.random.Generator) -> Batch:
        return {**batch, "x": batch["x"] * float(rng.uniform(1, 2))}

    def with_hook() -> bytes:
        model = network()
        train(model, Curve(), SETTINGS, Around(augment=louder))
        return weights(model)

    assert with_hook() == with_hook()
    assert with_hook() != weights(trained())


def test_progress_counts_steps_to_the_end() -> None:
    seen: list[tuple[int, int]] = []
    around = Around(progress=lambda done, total: seen.append((done, total)))
    train(network(), Curve(), replace(SETTINGS, epochs=2), around)
    assert seen == [(step, 10) for step in range(1, 11)]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epochs": 0}, "epochs is 0: it must be at least 1"),
        ({"learning_rate": float("nan")}, "learning_rate is nan: it must be above 0"),
        ({"optimizer": "rmsprop"}, "optimizer is 'rmsprop': it must be one of gd, sgd, adam, adamw"),
        ({"momentum": 1.0}, "momentum is 1.0: it must be below 1"),
        ({"warmup": 1.0}, "warmup is 1.0: it must be from 0 to below 1"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0: it must be 0 or more"),
    ],
)
def test_settings_out_of_range(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Settings(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"device": "abacus"}, "device is 'abacus', which torch cannot use here: say auto, cpu or cuda"),
        ({"device": "cpu", "precision": "float16"}, "precision is 'float16', which needs a GPU"),
    ],
)
def test_a_device_that_is_not_there(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        train(network(), Curve(), Settings(**wrong))  # type: ignore[arg-type]


def test_nothing_to_train_on() -> None:
    with pytest.raises(ModelError, match="there is nothing to train on: give more examples"):
        train(network(), Curve(0), SETTINGS)


def test_batches_hold_every_row_once_and_like_lengths_together() -> None:
    lengths = np.random.default_rng(1).integers(1, 100, 1_000).astype(np.int32)
    batches = shuffled(1_000, 10, np.random.default_rng(0), lengths)
    assert sorted(np.concatenate(batches).tolist()) == list(range(1_000))
    spread = np.mean([np.ptp(lengths[rows]) for rows in batches])
    plain = np.mean([np.ptp(lengths[rows]) for rows in shuffled(1_000, 10, np.random.default_rng(0))])
    assert spread < plain / 10

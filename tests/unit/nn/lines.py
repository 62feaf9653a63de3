"""A model and a task that take no time: a small network that learns a made-up curve, with noise from the loop."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from endcap.nn.devices import Batch
from endcap.nn.settings import Settings
from endcap.nn.training import Around, Loss, shuffled, train
from endcap.types import IntArray

SETTINGS = Settings(epochs=6, batch_size=8, learning_rate=0.02, checkpoint_steps=3)


class Curve:
    """Squared error; the inputs get noise from the loop's generator. The last quarter is held out."""

    watched = "error"
    higher_is_better = False
    data = "curve"

    def __init__(self, n: int = 44, pause: float = 0.0) -> None:
        rng = np.random.default_rng(0)
        self.x = rng.normal(size=(n, 3)).astype(np.float32)
        self.y = np.tanh(self.x @ np.array([1.0, -2.0, 0.5], np.float32))
        self.n = n * 3 // 4
        self.pause = pause

    def batches(self, size: int, rng: np.random.Generator) -> Sequence[IntArray]:
        return shuffled(self.n, size, rng)

    def batch(self, rows: IntArray, rng: np.random.Generator) -> Batch:
        time.sleep(self.pause)
        noise = rng.normal(scale=0.01, size=(rows.size, 3)).astype(np.float32)
        return {"x": torch.from_numpy(self.x[rows] + noise), "y": torch.from_numpy(self.y[rows])}

    def loss(self, model: nn.Module, batch: Batch) -> Loss:
        return Loss(((model(batch["x"])[:, 0] - batch["y"]) ** 2).sum(), float(len(batch["y"])))

    def evaluate(self, model: nn.Module) -> Mapping[str, float]:
        found = model(torch.from_numpy(self.x[self.n :]))[:, 0].float().numpy()
        return {"error": float(((found - self.y[self.n :]) ** 2).mean())}


class Plain(Curve):
    """The same without anything random within a step."""

    def batch(self, rows: IntArray, rng: np.random.Generator) -> Batch:  # noqa: ARG002
        return {"x": torch.from_numpy(self.x[rows]), "y": torch.from_numpy(self.y[rows])}


def network(dropout: float = 0.2, seed: int = 0) -> nn.Module:
    """The same weights for the same seed."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Dropout(dropout), nn.Linear(16, 1))


def weights(model: nn.Module) -> bytes:
    """Every bit of them."""
    return b"".join(one.detach().numpy().tobytes() for one in model.parameters())


if __name__ == "__main__":  # a training to be killed: its folder
    train(network(), Curve(pause=0.02), SETTINGS, Around(folder=Path(sys.argv[1])))

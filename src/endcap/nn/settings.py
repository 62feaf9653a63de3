"""How a model is trained, declared once: each field is an option of the commands that train."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from endcap.errors import ConfigError

Optimizer = Literal["gd", "sgd", "adam", "adamw"]
Schedule = Literal["constant", "linear", "cosine"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Of the loop alone: dropout belongs to a model, label smoothing and augmentation to what it is trained for.

    Raises ConfigError for a value that is out of range.
    """

    epochs: int = 10
    batch_size: int = 32
    """Examples that go through the model at once."""
    accumulate: int = 1
    """Batches that make one step."""
    optimizer: Optimizer = "adamw"
    """``gd``: one plain step for each epoch, down the gradient of all examples; ``sgd``: with ``momentum``."""
    learning_rate: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 0.01
    """Of matrices and tables; biases and scales are left alone. ``adamw`` decouples it, others add it to gradients."""
    schedule: Schedule = "linear"
    """How the learning rate comes down after the warm-up: not at all, in a line to 0, along half a cosine to 0."""
    warmup: float = 0.06
    """Share of all steps in which the learning rate comes up from 0."""
    clip_norm: float = 1.0
    """Greatest length of the gradient; a longer one is shortened to it. 0: as it is."""
    patience: int = 0
    """Epochs without a better value of what the task watches, after which training stops. 0: never."""
    seed: int = 0
    device: str = "auto"
    """``auto``: the first GPU, or the CPU without one."""
    precision: Precision = "auto"
    """What the forward pass computes in: ``auto`` is bfloat16 or float16 on a GPU, float32 on the CPU."""
    threads: int = 1
    """Of the CPU. One gives the same bits each time."""
    checkpoint_steps: int = 500
    """Steps between two checkpoints within an epoch; there is always one at its end. 0: only there."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulate", "threads"):
            _need(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        for name in ("momentum", "weight_decay", "clip_norm", "patience", "seed", "checkpoint_steps"):
            _need(name, getattr(self, name), 0 <= getattr(self, name) < math.inf, "0 or more")
        _need("momentum", self.momentum, self.momentum < 1, "below 1")
        _need("learning_rate", self.learning_rate, 0 < self.learning_rate < math.inf, "above 0")
        _need("warmup", self.warmup, 0 <= self.warmup < 1, "from 0 to below 1")
        for name, kinds in (("optimizer", Optimizer), ("schedule", Schedule), ("precision", Precision)):
            known = get_args(kinds)
            _need(name, getattr(self, name), getattr(self, name) in known, f"one of {', '.join(known)}")


def _need(name: str, value: object, holds: bool, wanted: str) -> None:
    if not holds:
        raise ConfigError(f"{name} is {value!r:.80}: it must be {wanted}")


def rate_share(settings: Settings, step: int, steps: int) -> float:
    """The learning rate of step number ``step``, from 0, of ``steps``, as a share of ``learning_rate``.

    It depends on nothing else, so that a training which is taken up again needs no memory of it.
    """
    warm = math.ceil(settings.warmup * steps)
    if step < warm:
        return (step + 1) / warm
    left = max(steps - step, 0) / max(steps - warm, 1)
    if settings.schedule == "linear":
        return left
    if settings.schedule == "cosine":
        return 0.5 * (1 - math.cos(math.pi * left))
    return 1.0

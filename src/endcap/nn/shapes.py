"""How a sequence model is built and trained, declared once; no torch, so that what serves can read it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from endcap.errors import ConfigError, ModelError

Body = Literal["sasrec", "gru", "lstm", "caser", "bag"]
SequenceLoss = Literal["softmax", "gbce"]


@dataclass(frozen=True, slots=True)
class SequenceSettings:
    """What reads the history, what it is trained for, and for how long. Raises ConfigError for a value out of range."""

    body: Body = "sasrec"
    """``sasrec``: self-attention; ``gru``, ``lstm``: recurrent; ``caser``: convolutions; ``bag``: without order."""
    factors: int = 64
    """Numbers in the vector of an item and of a visitor."""
    blocks: int = 2
    """Layers of attention or recurrence."""
    heads: int = 2
    """Of attention; they divide ``factors``."""
    length: int = 50
    """Events of a history that are read, the newest."""
    window: int = 5
    """Events that ``caser`` reads."""
    dropout: float = 0.3
    """Of what goes into the body and of each layer."""
    item_dropout: float = 0.2
    """Chance that a step takes an item for a new one, of which only the features are known; without features, 0."""
    temperature: float = 0.07
    """Above 0, vectors are compared by their cosine over ``temperature``; 0: by their dot product."""
    loss: SequenceLoss = "softmax"
    """``softmax``: over all items; ``gbce``: against ``negatives`` drawn at random, calibrated."""
    label_smoothing: float = 0.1
    """Share of each target that goes to all items; of ``softmax``."""
    negatives: int = 256
    calibration: float = 0.75
    """t of gBCE: 0 leaves the scores of sampled negatives as overconfident as they come, 1 corrects them fully."""
    profile: bool = False
    """Whether recency, frequency and money of the visitor are inputs too."""
    columns: int = 512
    """Sparse features of items (categories, price bands, attributes, words) that are read, the most telling."""
    epochs: int = 20
    batch_size: int = 64
    """Histories to a step; fewer where an epoch would have less than 16 steps."""
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    patience: int = 3
    """Epochs without a better list for those held out, after which training stops. 0: never."""
    held_out: float = 0.1
    """Share of the users, at most 2,000, whose last item is kept back to tell when to stop. 0: nothing is."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("factors", "blocks", "heads", "length", "window", "negatives", "epochs", "batch_size"):
            need(self, name, getattr(self, name) >= 1, "at least 1")
        for name in ("dropout", "item_dropout", "label_smoothing", "held_out"):
            need(self, name, 0 <= getattr(self, name) < 1, "from 0 to below 1")
        for name in ("temperature", "weight_decay", "columns", "patience"):
            need(self, name, 0 <= getattr(self, name) < math.inf, "0 or more")
        need(self, "calibration", 0 <= self.calibration <= 1, "from 0 to 1")
        need(self, "learning_rate", 0 < self.learning_rate < math.inf, "above 0")
        need(self, "heads", self.factors % self.heads == 0, f"a divisor of factors, {self.factors}")
        for name, kinds in (("body", Body), ("loss", SequenceLoss)):
            need(self, name, getattr(self, name) in get_args(kinds), f"one of {', '.join(get_args(kinds))}")


@dataclass(frozen=True, slots=True)
class CollaborativeSettings:
    """Of neural collaborative filtering. Raises ConfigError for a value out of range."""

    factors: int = 32
    dropout: float = 0.2
    group_lasso: float = 0.3
    """The penalty on the length of each group's weights: the larger, the fewer groups are left. 0: all are."""
    columns: int = 512
    """Sparse features of items that are read in each group, the most telling."""
    negatives: int = 8
    """Items drawn at random for each one that was touched."""
    recent: int = 50
    """Events of a history that speak, the newest."""
    epochs: int = 20
    batch_size: int = 256
    """Users to a step."""
    learning_rate: float = 5e-3
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("factors", "negatives", "recent", "epochs", "batch_size"):
            need(self, name, getattr(self, name) >= 1, "at least 1")
        for name in ("group_lasso", "columns"):
            need(self, name, 0 <= getattr(self, name) < math.inf, "0 or more")
        need(self, "dropout", 0 <= self.dropout < 1, "from 0 to below 1")
        need(self, "learning_rate", 0 < self.learning_rate < math.inf, "above 0")


def need_torch() -> None:
    """Raises ModelError where torch is not there, which trains every model of this room."""
    try:
        import torch  # noqa: F401, PLC0415  # an extra, and seconds
    except ImportError as error:
        raise ModelError(
            f"this model is trained by torch, which is not there ({error}): pip install 'endcap[train]'; "
            "what was trained elsewhere serves without"
        ) from error


def need(settings: object, name: str, holds: bool, wanted: str) -> None:
    """Raises ConfigError, with the value, unless it ``holds``."""
    if not holds:
        raise ConfigError(f"{name} is {getattr(settings, name)!r:.80}: it must be {wanted}")

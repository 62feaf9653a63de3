"""Distillation: a smaller model learns to give the vectors of a larger one.

Hinton, Vinyals & Dean, "Distilling the knowledge in a neural network", 2015; the student begins with every so manieth
layer of its teacher, as in Sanh et al., "DistilBERT", 2019.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from endcap.errors import ConfigError, ModelError
from endcap.nn.devices import Batch, device_of, moved
from endcap.nn.training import Loss, shuffled
from endcap.types import FloatArray, IntArray

JUDGED_AT_ONCE = 64


class Texts(Protocol):
    """n texts as numbers of pieces."""

    @property
    def lengths(self) -> IntArray: ...

    @property
    def digest(self) -> str: ...

    def padded(self, rows: IntArray, pad: int) -> IntArray: ...


@dataclass(frozen=True, slots=True)
class Lesson:
    """Texts, and what the teacher says of them."""

    texts: Texts
    vectors: FloatArray
    """(n, dim) unit rows."""


class DistilTask:
    """One minus the cosine to the teacher's vector, for a model that has ``pooled(ids, attention)``."""

    watched = "cosine"
    higher_is_better = True

    def __init__(self, lesson: Lesson, held_out: Lesson, pad: int) -> None:
        self.lesson, self.held_out, self.pad = lesson, held_out, pad
        digest = hashlib.blake2b(lesson.vectors.tobytes(), digest_size=16)
        self.data = f"{lesson.texts.digest} to {digest.hexdigest()}"

    def batches(self, size: int, rng: np.random.Generator) -> Sequence[IntArray]:
        return shuffled(len(self.lesson.vectors), size, rng, self.lesson.texts.lengths)

    def batch(self, rows: IntArray, rng: np.random.Generator) -> Batch:  # noqa: ARG002
        return self._batch(self.lesson, rows)

    def _batch(self, lesson: Lesson, rows: IntArray) -> Batch:
        ids = lesson.texts.padded(rows, self.pad).astype(np.int64)
        arrays = {"ids": ids, "attention": (ids != self.pad).astype(np.int64), "vectors": lesson.vectors[rows]}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def loss(self, model: nn.Module, batch: Batch) -> Loss:
        return Loss((1.0 - _cosines(model, batch)).sum(), float(len(batch["ids"])))

    def evaluate(self, model: nn.Module) -> Mapping[str, float]:
        """The mean cosine on the held out texts."""
        rows = np.arange(len(self.held_out.vectors), dtype=np.int32)
        found = [
            _cosines(model, moved(self._batch(self.held_out, part), device_of(model)))
            for part in np.split(rows, range(JUDGED_AT_ONCE, rows.size, JUDGED_AT_ONCE))
            if part.size
        ]
        return {self.watched: float(torch.cat(found).mean())} if found else {}


def _cosines(model: Any, batch: Batch) -> torch.Tensor:
    vectors = model.pooled(batch["ids"], batch["attention"]).float()
    return functional.cosine_similarity(vectors, batch["vectors"], dim=1)


def drop_layers(model: Any, layers: int) -> None:
    """Leaves ``layers`` of the layers of a BERT, evenly spread, the last one among them.

    Raises ConfigError if it has not more than that, ModelError if it has none that are known here.
    """
    try:
        there = model.encoder.layer
    except AttributeError as error:
        raise ModelError(f"{type(model).__name__} has no layers that can be dropped here: it takes a BERT") from error
    if not 1 <= layers < len(there):
        raise ConfigError(f"layers is {layers}, of a model with {len(there)}: give fewer, at least 1")
    places = [round((place + 1) * len(there) / layers) - 1 for place in range(layers)]
    model.encoder.layer = nn.ModuleList(there[place] for place in places)
    model.config.num_hidden_layers = layers

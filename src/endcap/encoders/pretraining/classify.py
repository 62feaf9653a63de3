"""A class from a text: the category from a title, the stars from a review."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from endcap.encoders.pretraining.body import Body
from endcap.encoders.pretraining.corpus import Corpus, as_batch, in_length_order
from endcap.nn.devices import Batch, device_of, moved
from endcap.nn.heads import ClassHead
from endcap.nn.losses import cross_entropy
from endcap.nn.training import Loss, shuffled
from endcap.types import FloatArray, IntArray

JUDGED_AT_ONCE = 64


class TextModel(nn.Module):
    """A body, and a head on the vector of the whole text."""

    def __init__(self, body: Body, classes: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.body = body
        self.head = ClassHead(body.dim, classes, dropout)

    def forward(self, batch: Batch) -> torch.Tensor:
        """(n, classes)."""
        vectors = batch.get("vectors")
        if vectors is None:
            vectors = self.body.pooled(batch["ids"], batch["attention"], batch.get("segments"))
        scores: torch.Tensor = self.head(vectors)
        return scores


@dataclass(frozen=True, slots=True)
class Labelled:
    """Texts with a class each."""

    corpus: Corpus
    targets: IntArray
    """(n,)"""
    vectors: FloatArray | None = None
    """(n, dim) of a frozen body, which need not be asked again."""

    def batch(self, rows: IntArray, pad: int) -> Batch:
        targets = self.targets[rows].astype(np.int64)
        if self.vectors is not None:
            return {"vectors": torch.from_numpy(self.vectors[rows]), "targets": torch.from_numpy(targets)}
        return as_batch(self.corpus.padded(rows, pad), pad, targets=targets)


class ClassTask:
    """``classes`` by number; watched is the share of texts that get their own."""

    watched = "accuracy"
    higher_is_better = True

    def __init__(self, train: Labelled, held_out: Labelled, pad: int, label_smoothing: float = 0.0) -> None:
        self.train, self.held_out, self.pad = train, held_out, pad
        self.label_smoothing = label_smoothing
        self.data = hashlib.blake2b(train.corpus.digest.encode() + train.targets.tobytes(), digest_size=16).hexdigest()

    def batches(self, size: int, rng: np.random.Generator) -> Sequence[IntArray]:
        return shuffled(len(self.train.corpus), size, rng, self.train.corpus.lengths)

    def batch(self, rows: IntArray, rng: np.random.Generator) -> Batch:  # noqa: ARG002
        return self.train.batch(rows, self.pad)

    def loss(self, model: nn.Module, batch: Batch) -> Loss:
        return cross_entropy(model(batch), batch["targets"], self.label_smoothing)

    def evaluate(self, model: nn.Module) -> Mapping[str, float]:
        """Accuracy, and F1 as a mean over the classes that are there."""
        if not len(self.held_out.corpus):
            return {}
        said = predict(model, self.held_out, self.pad)
        right = said == self.held_out.targets
        return {"accuracy": float(right.mean()), "macro_f1": macro_f1(said, self.held_out.targets)}


def predict(model: nn.Module, texts: Labelled, pad: int) -> IntArray:
    """(n,) the class of each text."""
    said = np.zeros(len(texts.corpus), np.int32)
    with torch.inference_mode():
        for rows in in_length_order(texts.corpus, JUDGED_AT_ONCE):
            scores = model(moved(texts.batch(rows, pad), device_of(model)))
            said[rows] = scores.argmax(1).cpu().numpy()
    return said


def macro_f1(said: IntArray, true: IntArray) -> float:
    """Mean over the classes that ``true`` holds."""
    values = []
    for one in np.unique(true):
        both = np.sum((said == one) & (true == one))
        values.append(2 * both / (np.sum(said == one) + np.sum(true == one)))
    return float(np.mean(values))

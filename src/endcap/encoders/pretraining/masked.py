"""Masked words: some pieces of a text are hidden, and told from what stands around them.

Devlin et al., "BERT", 2018 (arXiv:1810.04805): of the chosen pieces 80 % become the mask, 10 % another one, 10 % stay.
They are drawn anew each time a text goes by. The head looks at the chosen positions only, which makes a step three
times as fast as scoring every word at every position.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from endcap.encoders.pretraining.body import Body
from endcap.encoders.pretraining.corpus import Corpus, Marks, as_batch, in_length_order
from endcap.nn.devices import Batch, device_of, moved
from endcap.nn.heads import TokenHead
from endcap.nn.losses import cross_entropy
from endcap.nn.training import Loss, shuffled
from endcap.types import BoolArray, FloatArray, IntArray

JUDGED_AT_ONCE = 64
SHARE = 0.15


class WordModel(nn.Module):
    """A body, and a head that says which word stands at the places that are asked about."""

    def __init__(self, body: Body) -> None:
        super().__init__()
        self.body = body
        self.head = TokenHead(body.words)

    def forward(self, batch: Batch) -> torch.Tensor:
        """(places, words); ``batch["places"]`` counts through all positions of the batch."""
        states = self.body(batch["ids"], batch["attention"])
        scores: torch.Tensor = self.head(states.flatten(0, 1)[batch["places"]])
        return scores


class WordTask:
    """What masked and causal words share: a loss and a perplexity over the places that ``places`` names."""

    watched = "perplexity"
    higher_is_better = False

    def __init__(self, corpus: Corpus, held_out: Corpus, marks: Marks, label_smoothing: float = 0.0) -> None:
        self.corpus, self.held_out, self.marks = corpus, held_out, marks
        self.label_smoothing = label_smoothing
        self.data = corpus.digest

    def places(self, ids: IntArray, rng: np.random.Generator) -> tuple[IntArray, IntArray, IntArray]:
        """Of ``ids`` (n, tokens): what the model sees, the places that are asked about, and what is right there."""
        raise NotImplementedError

    def batches(self, size: int, rng: np.random.Generator) -> Sequence[IntArray]:
        return shuffled(len(self.corpus), size, rng, self.corpus.lengths)

    def batch(self, rows: IntArray, rng: np.random.Generator) -> Batch:
        return self._batch(self.corpus, rows, rng)

    def _batch(self, corpus: Corpus, rows: IntArray, rng: np.random.Generator) -> Batch:
        ids = corpus.padded(rows, self.marks.pad)
        seen, places, targets = self.places(ids, rng)
        batch = as_batch(ids, self.marks.pad, places=places.astype(np.int64), targets=targets.astype(np.int64))
        return {**batch, "ids": torch.from_numpy(seen.astype(np.int64))}

    def loss(self, model: nn.Module, batch: Batch) -> Loss:
        return cross_entropy(model(batch), batch["targets"], self.label_smoothing)

    def evaluate(self, model: nn.Module) -> Mapping[str, float]:
        """Perplexity (exp of the mean loss, without smoothing) and accuracy."""
        losses, right = self.judge(model)
        if not losses.size:
            return {}
        return {self.watched: float(np.exp(losses.mean(dtype=np.float64))), "accuracy": float(right.mean())}

    def judge(self, model: nn.Module) -> tuple[FloatArray, BoolArray]:
        """(places,) the loss at each held out place, and whether it is told right. The places are always the same."""
        rng, losses, right = np.random.default_rng(0), [np.empty(0, np.float32)], [np.empty(0, np.bool_)]
        for rows in in_length_order(self.held_out, JUDGED_AT_ONCE):
            batch = moved(self._batch(self.held_out, rows, rng), device_of(model))
            scores, targets = model(batch).float(), batch["targets"]
            losses.append(functional.cross_entropy(scores, targets, reduction="none").cpu().numpy())
            right.append((scores.argmax(1) == targets).cpu().numpy())
        return np.concatenate(losses), np.concatenate(right)


class MaskedTask(WordTask):
    """``SHARE`` of the pieces of each text are asked about, one at least where there is one. ``words``: all pieces."""

    def __init__(
        self, corpus: Corpus, held_out: Corpus, marks: Marks, words: int, label_smoothing: float = 0.0
    ) -> None:
        super().__init__(corpus, held_out, marks, label_smoothing)
        self.words = words

    def places(self, ids: IntArray, rng: np.random.Generator) -> tuple[IntArray, IntArray, IntArray]:
        words = ~np.isin(ids, self.marks.all)
        lots = np.where(words, rng.random(ids.shape), 2.0)
        chosen = words & ((lots < SHARE) | (lots == lots.min(axis=1, keepdims=True)))
        places = np.flatnonzero(chosen).astype(np.int32)
        targets = ids.ravel()[places]
        fate = rng.random(places.size)
        others = rng.integers(0, self.words, places.size)
        seen = ids.copy()
        seen.ravel()[places] = np.where(fate < 0.8, self.marks.mask, np.where(fate < 0.9, others, targets))
        return seen, places, targets

"""Next sentence: whether the second of two sentences follows the first, or comes from another text.

Devlin et al., "BERT", 2018 (arXiv:1810.04805). A sentence of a shop is one of a review or of a description, or a title:
what follows a title is the beginning of its description. Half of the pairs are torn apart, drawn anew each time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from torch import nn

from endcap.encoders.pretraining.body import Start
from endcap.encoders.pretraining.corpus import Corpus, Marks, as_batch, tokenize
from endcap.nn.devices import Batch, device_of, moved
from endcap.nn.losses import cross_entropy
from endcap.nn.training import Loss, shuffled
from endcap.types import BoolArray, IntArray

JUDGED_AT_ONCE = 64
_END = re.compile(r"(?<=[.!?;])\s+|(?<=[\u3002\uff01\uff1f\uff1b])\s*|\s*\n\s*")


def sentences(text: str) -> list[str]:
    """The parts of ``text`` that end in a stop, an exclamation or question mark, a semicolon, or with the line."""
    return [part for one in _END.split(text) if (part := one.strip())]


@dataclass(frozen=True, slots=True)
class Pairs:
    """n sentences, the one behind each, and which text they are from. Without marks of beginning and end."""

    first: Corpus
    second: Corpus
    text: IntArray

    def __len__(self) -> int:
        return len(self.first)


def following(start: Start, texts: Sequence[Sequence[str]], max_tokens: int) -> Pairs:
    """All pairs of neighbours in ``texts``, each a list of sentences; either is cut so that both fit."""
    found = [(a, b, row) for row, parts in enumerate(texts) for a, b in pairwise(parts)]
    half = max((min(max_tokens, start.manner.max_tokens) - 3) // 2, 1)
    first, second = (
        tokenize(start.tokenizer, [start.read(one) for one in side], half, marks=False)
        for side in ([a for a, _, _ in found], [b for _, b, _ in found])
    )
    return Pairs(first, second, np.array([row for _, _, row in found], np.int32))


class NextSentenceTask:
    """Class 1: it follows. Watched is the share of pairs that are told right; half of them is chance."""

    watched = "accuracy"
    higher_is_better = True

    def __init__(self, train: Pairs, held_out: Pairs, marks: Marks, label_smoothing: float = 0.0) -> None:
        self.train, self.held_out, self.marks = train, held_out, marks
        self.label_smoothing = label_smoothing
        self.data = train.first.digest + train.second.digest

    def batches(self, size: int, rng: np.random.Generator) -> Sequence[IntArray]:
        return shuffled(len(self.train), size, rng, self.train.first.lengths + self.train.second.lengths)

    def batch(self, rows: IntArray, rng: np.random.Generator) -> Batch:
        return self._batch(self.train, rows, rng)

    def loss(self, model: nn.Module, batch: Batch) -> Loss:
        return cross_entropy(model(batch), batch["targets"], self.label_smoothing)

    def evaluate(self, model: nn.Module) -> Mapping[str, float]:
        return {self.watched: float(self.judge(model).mean())} if len(self.held_out) else {}

    def judge(self, model: nn.Module) -> BoolArray:
        """(pairs,) whether each pair that is held out is told right. Those that are torn apart are always the same."""
        rng, right = np.random.default_rng(0), np.zeros(len(self.held_out), np.bool_)
        for rows in shuffled(len(self.held_out), JUDGED_AT_ONCE, rng, self.held_out.first.lengths):
            batch = moved(self._batch(self.held_out, rows, rng), device_of(model))
            right[rows] = (model(batch).argmax(1) == batch["targets"]).cpu().numpy()
        return right

    def _batch(self, pairs: Pairs, rows: IntArray, rng: np.random.Generator) -> Batch:
        others = rng.integers(0, len(pairs), rows.size).astype(np.int32)
        torn = (rng.random(rows.size) < 0.5) & (pairs.text[others] != pairs.text[rows])
        marks, ids, behind = self.marks, [], []
        for row, other in zip(rows, np.where(torn, others, rows), strict=True):
            a, b = pairs.first.text(row), pairs.second.text(other)
            ids.append(np.concatenate([[marks.begin], a, [marks.end], b, [marks.end]]).astype(np.int32))
            behind.append(a.size + 2)
        corpus = Corpus(np.concatenate(ids), np.cumsum([0, *(one.size for one in ids)]))
        padded = corpus.padded(np.arange(rows.size, dtype=np.int32), marks.pad)
        places = np.arange(padded.shape[1])
        segments = (places >= np.array(behind)[:, None]) & (places < corpus.lengths[:, None])
        return as_batch(padded, marks.pad, segments=segments.astype(np.int64), targets=(~torn).astype(np.int64))

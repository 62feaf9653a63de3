"""Contrast: texts of items that people take together come near each other, those of others go apart.

InfoNCE (van den Oord et al. 2018, arXiv:1807.03748) with several positives. A step draws items, one companion of each
and some that only look alike (near by text, never taken together: hard negatives), encodes each text once, and
compares all with all: what is another item's companion is this one's negative, unless the two were ever together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import nn
from torch.nn import functional

from endcap.encoders.pretraining.body import Body
from endcap.encoders.pretraining.corpus import Corpus, as_batch
from endcap.nn.devices import Batch
from endcap.nn.heads import ProjectionHead
from endcap.nn.losses import info_nce
from endcap.nn.training import Loss, shuffled
from endcap.types import FloatArray, IntArray

COMPANIONS = 20
"""Of an item: those that are taken together with it most, for how often either is taken."""
MIN_TOGETHER = 3
K = 20


def together(groups: Sequence[IntArray], n: int, largest: int = 500) -> csr_array:
    """(n, n): in how many of ``groups`` (rows of one basket or one visit) two rows are. Larger groups say nothing."""
    kept = [rows for rows in (np.unique(group) for group in groups) if 1 < rows.size <= largest]
    columns = np.concatenate(kept or [np.empty(0, np.int32)])
    starts = np.cumsum([0, *(rows.size for rows in kept)])
    taken = csr_array((np.ones(columns.size, np.float32), columns, starts), shape=(len(kept), n))
    return csr_array(taken.T @ taken)


def companions(counts: csr_array, most: int = COMPANIONS) -> csr_array:
    """(n, n): of each row those that are together with it most, by the cosine of their baskets; not symmetric."""
    often = np.maximum(counts.diagonal(), 1)
    places, kept, values = [], [], []
    for row in range(counts.shape[0]):
        begin, end = counts.indptr[row], counts.indptr[row + 1]
        others, common = counts.indices[begin:end], counts.data[begin:end]
        shares = np.where((others != row) & (common >= MIN_TOGETHER), common / np.sqrt(often[row] * often[others]), 0)
        best = np.argsort(-shares, kind="stable")[:most]
        best = best[shares[best] > 0]
        places.append(np.full(best.size, row))
        kept.append(others[best])
        values.append(shares[best])
    where = (np.concatenate(places), np.concatenate(kept))
    return csr_array((np.concatenate(values).astype(np.float32), where), shape=counts.shape)


def companion_recall(vectors: FloatArray, asked: IntArray, true: csr_array, among: IntArray) -> FloatArray:
    """(asked,): share of an item's true companions among its ``K`` nearest of the rows ``among``; NaN without any."""
    inside = np.zeros(len(vectors), np.bool_)
    inside[among] = True
    found = np.full(asked.size, np.nan, np.float32)
    for place, row in enumerate(asked):
        wanted = true.indices[true.indptr[row] : true.indptr[row + 1]]
        wanted = wanted[inside[wanted]]
        if not wanted.size:
            continue
        scores = vectors[among] @ vectors[row]
        scores[among == row] = -np.inf
        nearest = among[np.argpartition(-scores, K)[:K]] if among.size > K else among
        found[place] = np.isin(wanted, nearest).mean()
    return found


class ContrastModel(nn.Module):
    """A body, and a projection while it is trained where one is wanted."""

    def __init__(self, body: Body, projection: int = 0) -> None:
        super().__init__()
        self.body = body
        self.head: nn.Module = ProjectionHead(body.dim, projection) if projection else nn.Identity()

    def forward(self, batch: Batch) -> torch.Tensor:
        """(n, dim) unit rows."""
        vectors: torch.Tensor = self.head(self.body.pooled(batch["ids"], batch["attention"]))
        return functional.normalize(vectors.float(), dim=1)


@dataclass(frozen=True, slots=True)
class Pull:
    """How hard texts are pulled."""

    temperature: float = 0.05
    hard: int = 1
    """Items that look alike, for each four that are drawn."""
    near: int = 10
    """Among how many of the nearest by text they are drawn."""


class ContrastTask:
    """Items by row of ``corpus``; ``counts`` says which are together. Only rows of ``trained`` are ever seen."""

    watched = f"recall@{K}"
    higher_is_better = True

    def __init__(
        self, corpus: Corpus, pad: int, counts: csr_array, trained: IntArray, judged: IntArray, pull: Pull | None = None
    ) -> None:
        self.corpus, self.pad, self.counts, self.pull = corpus, pad, counts, pull or Pull()
        self.trained, self.judged = trained, judged
        self.data = corpus.digest
        self.true = companions(counts)
        self.wide = companions(counts, 3 * COMPANIONS)
        inside = np.zeros(len(corpus), np.bool_)
        inside[trained] = True
        self.inside = inside
        self.positive = _among(self.true, inside)
        self.anchors = trained[np.diff(self.positive.indptr)[trained] > 0]
        self.hard: list[IntArray] = []
        self.looked: FloatArray | None = None

    def look(self, vectors: FloatArray) -> None:
        """Finds the hard negatives: by ``vectors`` (n, dim) of the model as it is now, which are kept as ``looked``."""
        self.looked = vectors
        nearest = np.argsort(-(vectors[self.trained] @ vectors[self.trained].T), axis=1)[:, 1 : self.pull.near + 20]
        self.hard = [np.empty(0, np.int32)] * len(self.corpus)
        for row, near in zip(self.trained, self.trained[nearest], strict=True):
            known = self.wide.indices[self.wide.indptr[row] : self.wide.indptr[row + 1]]
            self.hard[row] = near[~np.isin(near, known)][: self.pull.near]

    def batches(self, size: int, rng: np.random.Generator) -> Sequence[IntArray]:
        return [self.anchors[rows] for rows in shuffled(self.anchors.size, size, rng)]

    def batch(self, rows: IntArray, rng: np.random.Generator) -> Batch:
        drawn = [rows, np.array([self._companion(row, rng) for row in rows], np.int32)]
        if self.hard and self.pull.hard:
            chosen = rng.choice(rows, max(rows.size * self.pull.hard // 4, 1))
            drawn.extend(rng.choice(self.hard[row], 1) for row in chosen if self.hard[row].size)
        items = np.unique(np.concatenate(drawn))
        positive = self.positive[items][:, items].toarray()
        masked = (self.wide[items][:, items].toarray() > 0) & (positive == 0)
        np.fill_diagonal(masked, True)
        return as_batch(self.corpus.padded(items, self.pad), self.pad, positive=positive, masked=masked)

    def _companion(self, row: int, rng: np.random.Generator) -> int:
        begin, end = self.positive.indptr[row], self.positive.indptr[row + 1]
        shares = self.positive.data[begin:end].astype(np.float64)
        return int(rng.choice(self.positive.indices[begin:end], p=shares / shares.sum()))

    def loss(self, model: nn.Module, batch: Batch) -> Loss:
        vectors = model(batch)
        return info_nce(vectors @ vectors.T / self.pull.temperature, batch["positive"], batch["masked"])

    def evaluate(self, model: nn.Module) -> Mapping[str, float]:
        if not self.judged.size:
            return {}
        vectors = model.body.encode(self.corpus, self.pad)  # type: ignore[union-attr, operator]
        among = np.union1d(self.trained, self.judged)
        return {self.watched: float(np.nanmean(companion_recall(vectors, self.judged, self.true, among)))}


def _among(matrix: csr_array, inside: np.ndarray) -> csr_array:
    coo = matrix.tocoo()
    kept = inside[coo.row] & inside[coo.col]
    return csr_array((coo.data[kept], (coo.row[kept], coo.col[kept])), shape=matrix.shape)

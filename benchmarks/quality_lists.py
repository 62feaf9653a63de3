"""The lists of one model for many cases, kept on disk: what the figures and the ensembles are made from."""

from __future__ import annotations

import resource
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from endcap.evaluation.metrics.judged import PerCase, judge
from endcap.evaluation.metrics.registry import ACCURACY
from endcap.evaluation.offline import Case
from endcap.protocols import Scorer
from endcap.types import FloatArray, IntArray, Ranking

LENGTH = 200
"""Items kept of each list: what the ensembles choose among."""
SHOWN = ("recall", "ndcg", "mrr", "map", "hit_rate")


@dataclass(frozen=True, slots=True)
class Proposed:
    """What one model proposes for each case."""

    items: IntArray
    """(cases, LENGTH) rows, best first, padded with -1; without what was seen where that is hidden."""
    scores: FloatArray
    """(cases, LENGTH), padded with 0."""
    best: FloatArray
    """(cases,) its highest score, of a hidden item too: a blend scales by it."""

    def save(self, path: Path) -> None:
        """A file that is whole or not there."""
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_suffix(".half.npz")
        np.savez(half, items=self.items, scores=self.scores, best=self.best)
        half.replace(path)

    @classmethod
    def load(cls, path: Path) -> Proposed:
        """What ``save`` wrote."""
        with np.load(path) as held:
            return cls(held["items"], held["scores"], held["best"])


def cpu_seconds() -> float:
    """Of this process and of those that it has started and that are over."""
    own = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in own)


def propose(model: Scorer, cases: Sequence[Case], hide_seen: bool) -> Proposed:
    """The lists of ``model``, one query at a time, on one thread."""
    shape = (len(cases), LENGTH)
    found = Proposed(np.full(shape, -1, np.int32), np.zeros(shape, np.float32), np.zeros(len(cases), np.float32))
    with threadpool_limits(1):
        for at, case in enumerate(cases):
            scores = model.scores(case.query)
            if not scores.size:
                continue
            found.best[at] = scores.max()
            if hide_seen:
                scores = scores.copy()
                scores[case.seen[case.seen < scores.size]] = 0.0
            ranking = Ranking.top(scores, LENGTH, above=0.0)
            found.items[at, : len(ranking)] = ranking.items
            found.scores[at, : len(ranking)] = ranking.scores
    return found


def figures(items: IntArray, cases: Sequence[Case], ks: Sequence[int]) -> dict[str, float]:
    """The mean of each metric of SHOWN at each of ``ks``."""
    return {name: float(values.mean()) for name, values in per_case(items, cases, ks).items()}


def per_case(items: IntArray, cases: Sequence[Case], ks: Sequence[int]) -> dict[str, PerCase]:
    """The same, case by case: (cases,) each."""
    judged = judge(items[:, : max(ks)], [case.relevant for case in cases])
    return {f"{name}@{k}": ACCURACY[name](judged, k) for name in SHOWN for k in ks}


@dataclass(frozen=True, slots=True)
class Pool:
    """The candidates of one case: what any member proposes."""

    rows: IntArray
    """(n,) ascending."""
    parts: FloatArray
    """(members, n) each member's score over its best, 0 where it does not propose the item."""


def pools(members: Sequence[Proposed], deep: int, unseen: bool) -> Iterator[Pool]:
    """The candidates of each case, from the first ``deep`` of each list.

    ``unseen``: a member's scores are divided by the best that it may show, not by the best of all.
    """
    for at in range(len(members[0].items)):
        yield _pool([(one.items[at], one.scores[at], one.best[at]) for one in members], deep, unseen)


def _pool(lists: Sequence[tuple[IntArray, FloatArray, np.float32]], deep: int, unseen: bool) -> Pool:
    sizes = [int((items >= 0).sum()) for items, _, _ in lists]
    rows = np.unique(np.concatenate([items[: min(deep, n)] for (items, _, _), n in zip(lists, sizes, strict=True)]))
    parts = np.zeros((len(lists), rows.size), np.float32)
    for part, (items, scores, best), n in zip(parts, lists, sizes, strict=True):
        if n:
            places = np.minimum(np.searchsorted(rows, items[:n]), rows.size - 1)
            inside = rows[places] == items[:n]  # what lies deeper may be in the pool of another
            part[places[inside]] = scores[:n][inside] / (scores[0] if unseen else best)
    return Pool(rows, parts)


def top(pool: Pool, scores: NDArray[np.floating], k: int) -> IntArray:
    """(k,) rows, best first, padded with -1: the candidates by ``scores``; those of 0 or less are left out."""
    items = np.full(k, -1, np.int32)
    best = Ranking.top(scores.astype(np.float32), k, above=0.0, rows=pool.rows).items
    items[: best.size] = best
    return items

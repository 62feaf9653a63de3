"""A blend of recommenders: the weighted sum of their lists, with weights learnt on a validation split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from endcap.protocols import Recommender
from endcap.types import FloatArray, IntArray, Query, Ranking

POOL = 200
"""Candidates that each member may bring."""
STEPS = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.5, 4.0)
"""What a weight is tried at, as a multiple of the others' sum."""
ROUNDS = 3
"""Passes of the search over all weights."""


@dataclass(frozen=True, slots=True)
class Proposals:
    """Candidates with the named parts that add up to their scores."""

    rows: IntArray
    """(n,) item rows, each once."""
    parts: FloatArray
    """(names, n); the sum over the names is the score."""
    names: tuple[str, ...]


class Blend:
    """Ranks items by the weighted sum of the members' scores, each list scaled by its best score to [0, 1].

    Scaling by the best of the list keeps how far it is ahead of the rest and needs no memory of other
    queries. An item that a member did not bring among its ``pool`` best has no part of it. A member of weight
    0 is not asked.
    """

    def __init__(self, members: Mapping[str, Recommender], weights: Mapping[str, float], pool: int = POOL) -> None:
        self._members = {name: member for name, member in members.items() if weights.get(name, 0.0) > 0}
        self.weights = {name: weights[name] for name in self._members}
        self.pool = pool

    def recommend(self, query: Query, k: int) -> Ranking:
        found = self.propose(query, k)
        return Ranking(found.rows, found.parts.sum(axis=0))

    def propose(self, query: Query, n: int) -> Proposals:
        """The ``n`` best, best first, equal scores in row order, with each member's part."""
        lists = [member.recommend(query, max(n, self.pool)) for member in self._members.values()]
        rows, parts = _union(lists)
        parts *= np.array(list(self.weights.values()), np.float32)[:, np.newaxis]
        scores = parts.sum(axis=0)
        best = Ranking.top(scores, n).items  # places in rows, which ascend
        return Proposals(rows[best], parts[:, best], tuple(self._members))


def _union(lists: Sequence[Ranking]) -> tuple[IntArray, FloatArray]:
    """All items of ``lists``, ascending, and (lists, items) each list's scaled scores."""
    end = 1 + max((int(found.items.max()) for found in lists if len(found)), default=-1)
    proposed = np.zeros(end, np.bool_)
    for found in lists:
        proposed[found.items] = True
    rows = proposed.nonzero()[0].astype(np.int32)
    place = np.empty(end, np.int32)  # of each proposed item in rows; a sort would take five times as long
    place[rows] = np.arange(rows.size, dtype=np.int32)
    parts = np.zeros((len(lists), rows.size), np.float32)
    for part, found in zip(parts, lists, strict=True):
        part[place[found.items]] = found.scores
    best = np.array([found.scores[0] if len(found) else 0.0 for found in lists], np.float32)
    best[best <= 0] = np.inf  # a list without a score above 0 says nothing
    np.maximum(parts, 0.0, out=parts)
    parts /= best[:, np.newaxis]
    return rows, parts


def _without(union: tuple[IntArray, FloatArray], seen: IntArray) -> tuple[IntArray, FloatArray]:
    rows, parts = union
    kept = ~np.isin(rows, seen)
    return rows[kept], parts[:, kept]


def learn_weights(
    members: Mapping[str, Recommender],
    cases: Sequence[tuple[Query, IntArray]],
    k: int = 20,
    pool: int = POOL,
    hide_seen: bool = False,
) -> dict[str, float]:
    """Weights, at least 0 and adding up to 1, with the best mean NDCG@k over ``cases`` (query, wanted items).

    Coordinate ascent (Metzler and Croft, "Linear feature-based models for information retrieval", Information
    Retrieval 10, 2007) from the best single member, so never worse than it on ``cases``; deterministic. With
    ``hide_seen`` the items of each history are taken off the lists first: other weights are best then. Without
    cases all weigh the same. Holds 4 bytes x cases x members x candidates; 1,000 cases of 5 members take 2 s.
    """
    names = list(members)
    judged = [(query, wanted) for query, wanted in cases if wanted.size]
    if not judged or not names:
        return dict.fromkeys(names, 1.0 / max(len(names), 1))
    lists = [[members[name].recommend(query, pool) for name in names] for query, _ in judged]
    judge = _Judge(lists, judged, k, hide_seen)
    alone = [judge.ndcg(one) for one in np.eye(len(names))]
    weights, best = np.eye(len(names))[int(np.argmax(alone))], max(alone)
    for _ in range(ROUNDS):
        before = best
        for at in range(len(names)):
            rest = weights.sum() - weights[at]
            for step in STEPS if rest > 0 else ():
                tried = weights.copy()
                tried[at] = step * rest
                value = judge.ndcg(tried)
                if value > best:
                    weights, best = tried, value
        if best == before:
            break
    return dict(zip(names, (weights / weights.sum()).tolist(), strict=True))


class _Judge:
    """Mean NDCG@k of any weights over lists that were made once."""

    def __init__(
        self, lists: Sequence[Sequence[Ranking]], cases: Sequence[tuple[Query, IntArray]], k: int, hide_seen: bool
    ) -> None:
        unions = [_union(found) for found in lists]
        if hide_seen:
            unions = [_without(union, query.history) for union, (query, _) in zip(unions, cases, strict=True)]
        width = max(1, *(rows.size for rows, _ in unions))
        self._k = min(k, width)
        self._parts = np.zeros((len(lists[0]), len(lists), width), np.float32)  # (members, cases, candidates)
        self._wanted = np.zeros((len(lists), width), np.bool_)
        for at, (rows, parts) in enumerate(unions):
            self._parts[:, at, : rows.size] = parts
            self._wanted[at, : rows.size] = np.isin(rows, cases[at][1])
        self._discount = 1.0 / np.log2(np.arange(2, k + 2))
        ideal = np.cumsum(self._discount)
        self._ideal = ideal[[min(np.unique(wanted).size, k) - 1 for _, wanted in cases]]  # (cases,)

    def ndcg(self, weights: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
        scores = np.tensordot(weights.astype(np.float32), self._parts, axes=1)  # (cases, candidates)
        top = np.argpartition(-scores, self._k - 1, axis=1)[:, : self._k]
        values = np.take_along_axis(scores, top, axis=1)
        order = np.take_along_axis(top, np.lexsort((top, -values), axis=1), axis=1)
        ranked = np.take_along_axis(scores, order, axis=1) > 0
        gains = np.take_along_axis(self._wanted, order, axis=1) & ranked
        return float(((gains * self._discount[: self._k]).sum(axis=1) / self._ideal).mean())

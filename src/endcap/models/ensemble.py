"""A blend of recommenders: the weighted sum of their lists, with weights learnt on a validation split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from endcap.protocols import Scorer
from endcap.types import FloatArray, IntArray, Query, Ranking

POOL = 200
"""Candidates of each member among which weights are learnt."""
STEPS = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.5, 4.0)
"""What a weight is tried at, as a multiple of the others' sum."""
ROUNDS = 3
"""Passes of the search over all weights."""


@dataclass(frozen=True, slots=True)
class Proposals:
    """What is proposed: the named parts that add up to each item's score. An item of score 0 is not proposed."""

    parts: FloatArray
    """(names, rows), by item row; at least 0."""
    names: tuple[str, ...]

    def scores(self) -> FloatArray:
        """(rows,) the sums of the parts."""
        total: FloatArray = self.parts.sum(axis=0)
        return total


class Blend:
    """Ranks items by the weighted sum of the members' scores, each member's scaled by its best to [0, 1].

    Scaling by the best keeps how far it is ahead of the rest and needs no memory of other queries. What a member
    scores below 0 counts as nothing. A member of weight 0 is not asked. O(members x items) a query.
    """

    def __init__(self, members: Mapping[str, Scorer], weights: Mapping[str, float]) -> None:
        self._members = {name: member for name, member in members.items() if weights.get(name, 0.0) > 0}
        self.weights = {name: weights[name] for name in self._members}

    def recommend(self, query: Query, k: int) -> Ranking:
        return Ranking.top(self.scores(query), k, above=0.0)

    def scores(self, query: Query) -> FloatArray:
        return self.propose(query).scores()

    def propose(self, query: Query) -> Proposals:
        """Every item that a member has something to say for, with each member's part."""
        said = [member.scores(query) for member in self._members.values()]
        return Proposals(_scaled(said, list(self.weights.values())), tuple(self._members))


def _scaled(said: Sequence[FloatArray], weights: Sequence[float]) -> FloatArray:
    """(members, rows): each one's scores over its best, times its weight; 0 for what it does not know."""
    parts = np.zeros((len(said), max((scores.size for scores in said), default=0)), np.float32)
    for part, scores, weight in zip(parts, said, weights, strict=True):
        best = float(scores.max(initial=0.0))
        if best > 0:
            np.divide(scores, best, out=part[: scores.size])
            np.multiply(part, weight, out=part)
    return np.maximum(parts, 0.0, out=parts)


def learn_weights(
    members: Mapping[str, Scorer],
    cases: Sequence[tuple[Query, IntArray]],
    k: int = 20,
    hidden: Sequence[IntArray] | None = None,
) -> dict[str, float]:
    """Weights, at least 0 and adding up to 1, with the best mean NDCG@k over ``cases`` (query, wanted items).

    Coordinate ascent (Metzler and Croft, "Linear feature-based models for information retrieval", Information
    Retrieval 10, 2007) from the best single member, so never worse than it on ``cases``; deterministic. ``hidden``
    are the rows that are taken off the list of each case first: other weights are best then. Without cases all
    weigh the same. Holds 4 bytes x cases x members x candidates; 1,000 cases of 5 members take 2 s.
    """
    names = list(members)
    gone = [np.empty(0, np.int32)] * len(cases) if hidden is None else hidden
    asked = [(case, rows) for case, rows in zip(cases, gone, strict=True) if case[1].size]
    judged = [case for case, _ in asked]
    if not judged or not names:
        return dict.fromkeys(names, 1.0 / max(len(names), 1))
    judge = _Judge([_candidates(list(members.values()), query, rows) for (query, _), rows in asked], judged, k)
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


def _candidates(members: Sequence[Scorer], query: Query, hidden: IntArray) -> tuple[IntArray, FloatArray]:
    """The best items of each member, in row order, and (members, items) the parts of a blend of equal weights 1.

    What none of them has among its best is never among the best of a blend's list, or nearly so.
    """
    parts = _scaled([member.scores(query) for member in members], [1.0] * len(members))
    parts[:, hidden[(hidden >= 0) & (hidden < parts.shape[1])]] = 0.0
    best = [Ranking.top(part, POOL, above=0.0).items for part in parts]
    rows = np.unique(np.concatenate(best)).astype(np.int32)
    return rows, parts[:, rows]


class _Judge:
    """Mean NDCG@k of any weights over lists that were made once."""

    def __init__(
        self, candidates: Sequence[tuple[IntArray, FloatArray]], cases: Sequence[tuple[Query, IntArray]], k: int
    ) -> None:
        width = max(1, *(rows.size for rows, _ in candidates))
        self._k = min(k, width)
        self._parts = np.zeros((len(candidates[0][1]), len(cases), width), np.float32)  # (members, cases, candidates)
        self._wanted = np.zeros((len(cases), width), np.bool_)
        for at, (rows, parts) in enumerate(candidates):
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

"""Recommenders joined: a blend with weights learnt on a validation split, and a fusion by rank that learns nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from endcap.compiled import compiled
from endcap.protocols import Scorer
from endcap.types import FloatArray, IntArray, Query, Ranking

POOL = 200
"""Candidates of each member among which weights are learnt."""
STEPS = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.5, 4.0)
"""What a weight is tried at, as a multiple of the others' sum."""
ROUNDS = 3
"""Passes of the search over all weights."""
DAMPING = 60.0
"""Of reciprocal ranks: the first place counts ``1 / 61``, the hundredth ``1 / 160``."""


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
        return Proposals(scaled(said, list(self.weights.values())), tuple(self._members))


class ReciprocalRank:
    """Ranks items by the sum over the members of ``1 / (damping + place)``, the place in the member's list.

    Cormack, Clarke, Buettcher, "Reciprocal rank fusion outperforms Condorcet and individual rank learning methods",
    SIGIR 2009. Nothing is learnt, and how far a member puts one item before another does not matter. The first POOL
    of each list count.
    """

    def __init__(self, members: Mapping[str, Scorer], damping: float = DAMPING) -> None:
        self._members = dict(members)
        self.damping = damping

    def recommend(self, query: Query, k: int) -> Ranking:
        return Ranking.top(self.scores(query), k, above=0.0)

    def scores(self, query: Query) -> FloatArray:
        said = [member.scores(query) for member in self._members.values()]
        parts = scaled(said, [1.0] * len(said))
        total: FloatArray = reciprocal_ranks(parts, self.damping).sum(axis=0)
        return total


def reciprocal_ranks(parts: FloatArray, damping: float = DAMPING) -> FloatArray:
    """(members, n): ``1 / (damping + place)`` of each item in each member's list, from 1; 0 beyond the first POOL.

    ``parts`` (members, n) the members' scores; what is not above 0 is not in the list.
    """
    found = np.zeros(parts.shape, np.float32)
    for row, part in zip(found, parts, strict=True):
        best = Ranking.top(part, POOL, above=0.0).items
        row[best] = 1.0 / (damping + 1.0 + np.arange(best.size))
    return found


def scaled(said: Sequence[FloatArray], weights: Sequence[float]) -> FloatArray:
    """(members, rows): each one's scores over its best, times its weight; 0 for what it does not know."""
    parts = np.zeros((len(said), max((scores.size for scores in said), default=0)), np.float32)
    for part, scores, weight in zip(parts, said, weights, strict=True):
        _scale(part, np.ascontiguousarray(scores, np.float32), weight)
    return parts


@compiled("void(float32[::1], Array(float32, 1, 'C', True), float64)", on_request=True)
def _scale(part: FloatArray, scores: FloatArray, weight: float) -> None:
    """Fill ``part``, which holds zeros and may be longer, with those of ``scores`` above 0, the greatest ``weight``."""
    best = np.float32(0)
    for score in scores:
        best = max(best, score)
    if best > 0:
        factor = np.float32(weight / best)
        for row in range(scores.size):
            part[row] = max(scores[row] * factor, np.float32(0))


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
    if not asked or not names:
        return dict.fromkeys(names, 1.0 / max(len(names), 1))
    found = [candidates(list(members.values()), query, rows) for (query, _), rows in asked]
    return dict(zip(names, best_weights(found, [wanted for (_, wanted), _ in asked], k), strict=True))


def best_weights(found: Sequence[tuple[IntArray, FloatArray]], wanted: Sequence[IntArray], k: int = 20) -> list[float]:
    """The search of ``learn_weights`` over the ``candidates`` of each case; the ``wanted`` rows of each, at least one.

    Cases in which no candidate is wanted say nothing and are left out.
    """
    told = [at for at, (rows, _) in enumerate(found) if np.isin(rows, wanted[at]).any()] or list(range(len(found)))
    judge = _Judge([found[at] for at in told], [wanted[at] for at in told], k)
    n = len(found[0][1])
    alone = [judge.ndcg(one) for one in np.eye(n)]
    weights, best = np.eye(n)[int(np.argmax(alone))], max(alone)
    for _ in range(ROUNDS):
        before = best
        for at in range(n):
            rest = weights.sum() - weights[at]
            for step in STEPS if rest > 0 else ():
                tried = weights.copy()
                tried[at] = step * rest
                value = judge.ndcg(tried)
                if value > best:
                    weights, best = tried, value
        if best == before:
            break
    learnt: list[float] = (weights / weights.sum()).tolist()
    return learnt


def candidates(
    members: Sequence[Scorer], query: Query, hidden: IntArray, pool: int = POOL
) -> tuple[IntArray, FloatArray]:
    """The best items of each member, in row order, and (members, items) the parts of a blend of equal weights 1.

    What none of them has among its best is never among the best of a blend's list, or nearly so.
    """
    parts = scaled([member.scores(query) for member in members], [1.0] * len(members))
    parts[:, hidden[(hidden >= 0) & (hidden < parts.shape[1])]] = 0.0
    best = [Ranking.top(part, pool, above=0.0).items for part in parts]
    rows = np.unique(np.concatenate(best)).astype(np.int32)
    return rows, parts[:, rows]


class _Judge:
    """Mean NDCG@k of any weights over lists that were made once."""

    def __init__(self, found: Sequence[tuple[IntArray, FloatArray]], wanted: Sequence[IntArray], k: int) -> None:
        width = max(1, *(rows.size for rows, _ in found))
        self._k = min(k, width)
        self._parts = np.zeros((len(found[0][1]), len(found), width), np.float32)  # (members, cases, candidates)
        self._wanted = np.zeros((len(found), width), np.bool_)
        for at, (rows, parts) in enumerate(found):
            self._parts[:, at, : rows.size] = parts
            self._wanted[at, : rows.size] = np.isin(rows, wanted[at])
        self._discount = 1.0 / np.log2(np.arange(2, k + 2))
        ideal = np.cumsum(self._discount)
        self._ideal = ideal[[min(np.unique(rows).size, k) - 1 for rows in wanted]]  # (cases,)

    def ndcg(self, weights: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
        scores = np.tensordot(weights.astype(np.float32), self._parts, axes=1)  # (cases, candidates)
        top = np.argpartition(-scores, self._k - 1, axis=1)[:, : self._k]
        values = np.take_along_axis(scores, top, axis=1)
        order = np.take_along_axis(top, np.lexsort((top, -values), axis=1), axis=1)
        ranked = np.take_along_axis(scores, order, axis=1) > 0
        gains = np.take_along_axis(self._wanted, order, axis=1) & ranked
        return float(((gains * self._discount[: self._k]).sum(axis=1) / self._ideal).mean())

"""Matrix factorisation of implicit feedback by alternating least squares, with exact fold-in at query time.

Hu, Koren, Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM 2008,
https://doi.org/10.1109/ICDM.2008.22. Training solves each row's equation by a few steps of conjugate gradients from
where it stood (Takacs, Pilaszy, Tikk, "Applications of the conjugate gradient method for implicit feedback
collaborative filtering", RecSys 2011, https://doi.org/10.1145/2043932.2043987), in coordinates in which what all rows
share, ``Y'Y + l2 I``, is the identity: a step then costs the row's own entries only, and fewer steps are needed.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.linalg.lapack import dposv
from scipy.sparse import csr_array
from threadpoolctl import threadpool_limits

from endcap.compiled import compiled, top_rows
from endcap.errors import ConfigError, ModelError, NotFittedError
from endcap.features.interactions import matrix, sound_weights
from endcap.protocols import Arrays
from endcap.types import FloatArray, IntArray, Interactions, Query, Ranking

Matrix = NDArray[np.float64]
STEPS = 3
"""Of conjugate gradients, for each row in each epoch."""
EXACT_STEPS = 24
"""The same, where a user is solved for once: what is left then is below 1e-6 of the vector."""
BLOCK = 256
"""Users whose scores are in memory at a time when all are asked for."""


class ALS:
    """Ranks items by the dot product of their factors with the user's.

    Only the item factors ``Y`` (items, factors) are kept. The user's vector is solved for at every query
    from the history and its weights, so a new event counts at once and a user needs no row::

        x = (Y'Y + sum_i alpha w_i y_i y_i' + l2 I)^-1  sum_i (1 + alpha w_i) y_i

    where ``w_i`` is the summed weight of item ``i`` in the history; one whose weight is no number above 0 is left out.
    The same ``l2`` and ``alpha`` train.
    One epoch costs O(pairs factors^2 + (users + items) factors^3); a query O(items factors). The model keeps
    ``4 items factors + 8 factors^2`` bytes.
    """

    _items: FloatArray | None = None
    _gram: Matrix

    def __init__(self, factors: int = 64, l2: float = 3.0, alpha: float = 0.1, epochs: int = 15, seed: int = 0) -> None:
        if factors < 1 or l2 <= 0 or alpha < 0:
            raise ConfigError(
                f"ALS has factors {factors}, l2 {l2}, alpha {alpha}: they must be at least 1, above 0, and not below 0"
            )
        self.factors = factors
        self.l2 = l2
        self.alpha = alpha
        self.epochs = epochs
        self.seed = seed

    def fit(self, interactions: Interactions) -> Self:
        table = matrix(interactions)
        if table.nnz == 0:
            return self._take(np.zeros((table.shape[1], self.factors), np.float32))
        table.data *= np.float32(self.alpha)
        across = table.T.tocsr()
        random = np.random.default_rng(self.seed)
        users, items = (random.normal(0, 0.01, (n, self.factors)).astype(np.float32) for n in table.shape)
        items[np.diff(across.indptr) == 0] = 0.0  # they belong to nobody, and must not pull before they are solved
        with threadpool_limits(1):  # more threads would add up in another order: another result for the same seed
            for _ in range(self.epochs):
                users = improved(users, items, table, self.l2)
                items = improved(items, users, across, self.l2)
        return self._take(items)

    def recommend(self, query: Query, k: int) -> Ranking:
        return Ranking.top(self.scores(query), k, above=0.0)

    def scores(self, query: Query) -> FloatArray:
        factors = self._fitted()
        rows, weights = _summed(query, factors.shape[0])
        if rows.size == 0:
            return np.empty(0, np.float32)
        user = self._fold_in(factors[rows].astype(np.float64), weights)  # (factors,)
        return factors @ user.astype(np.float32)

    def recommend_all(self, histories: csr_array, k: int, *, hide_seen: bool = True) -> tuple[IntArray, FloatArray]:
        """(users, k) item rows, best first and padded with -1, and their scores, padded with NaN: for many at once.

        ``histories`` (users, items): the summed weight of each pair that met; items that are not learnt are ignored.
        The same lists as of ``recommend``, without the items of the history where ``hide_seen``, to 1e-5 of a score.
        25,000 users of 20 items each a CPU-second, of 20,000 items and 64 factors.
        """
        items = self._fitted()
        met = csr_array(histories[:, : items.shape[0]], dtype=np.float32)
        users = self.user_vectors(met)
        rows = np.full((users.shape[0], k), -1, np.int32)
        values = np.full(rows.shape, np.nan, np.float32)
        seen = met if hide_seen else csr_array(met.shape, dtype=np.float32)
        edges, columns = seen.indptr.astype(np.int64), seen.indices.astype(np.int32)
        across = np.ascontiguousarray(items.T)
        scores = np.empty((min(BLOCK, users.shape[0]), items.shape[0]), np.float32)
        with threadpool_limits(1):
            for start in range(0, users.shape[0], BLOCK):
                here = slice(start, start + BLOCK)
                block = np.matmul(users[here], across, out=scores[: users[here].shape[0]])
                _best(block, edges[start : start + BLOCK + 1], columns, rows[here], values[here])
        return rows, values

    def user_vectors(self, histories: csr_array) -> FloatArray:
        """(users, factors): where their histories put them, for many at once; see ``recommend_all``."""
        items = self._fitted()
        beyond = csr_array(histories[:, : items.shape[0]], dtype=np.float32)
        beyond.data = sound_weights(beyond.data)
        beyond.eliminate_zeros()  # a pair that stays has a confidence of 1 at least
        beyond.data *= np.float32(self.alpha)
        with threadpool_limits(1):
            return improved(
                np.zeros((beyond.shape[0], self.factors), np.float32), items, beyond, self.l2, steps=EXACT_STEPS
            )

    def contributions(self, query: Query, items: IntArray) -> FloatArray:
        """(history, items): the score is a sum over the history (Hu, Koren, Volinsky 2008, section 5).

        An item that is several times in the history shares out what it says by weight.
        """
        factors = self._fitted()
        parts = np.zeros((query.history.size, items.size), np.float32)
        known = np.flatnonzero((items >= 0) & (items < factors.shape[0]))
        heard, single = _heard(query, factors.shape[0])
        rows, weights = _summed(query, factors.shape[0])
        if rows.size == 0 or known.size == 0:
            return parts
        said = self._said(factors[rows].astype(np.float64), weights, factors[items[known]].astype(np.float64))
        place = np.searchsorted(rows, query.history[heard])
        parts[np.ix_(heard, known)] = said[place] * (single / weights[place])[:, None]
        return parts

    def _said(self, history: Matrix, weights: Matrix, wanted: Matrix) -> Matrix:
        """(history, wanted): ``wanted`` A^-1 (1 + alpha w_i) ``y_i``, whose sum over the history is the score."""
        _, solved, _ = dposv(self._system(history, weights), wanted.T, overwrite_a=True)  # (factors, wanted)
        return (history * (1.0 + self.alpha * weights)[:, None]) @ solved  # type: ignore[no-any-return]

    def user_vector(self, query: Query) -> Matrix:
        """(factors,): where the history puts the user; zeros if it holds nothing that was learnt."""
        factors = self._fitted()
        rows, weights = _summed(query, factors.shape[0])
        return self._fold_in(factors[rows].astype(np.float64), weights)

    def to_arrays(self) -> Arrays:
        return {"item_factors": self._fitted(), "l2_alpha": np.array([self.l2, self.alpha])}

    def from_arrays(self, arrays: Arrays) -> Self:
        factors, settings = arrays.get("item_factors"), arrays.get("l2_alpha")
        if settings is None or settings.shape != (2,):
            raise ModelError("l2_alpha is missing or not two numbers: train again")
        if factors is None or factors.ndim != 2 or factors.shape[1] != self.factors:
            shape = None if factors is None else factors.shape
            raise ModelError(f"item_factors has shape {shape}, not (items, {self.factors}): train with these settings")
        self.l2, self.alpha = settings.astype(np.float64).tolist()  # fold-in goes with the training, not the config
        return self._take(factors.astype(np.float32))

    def _fitted(self) -> FloatArray:
        if self._items is None:
            raise NotFittedError(self)
        return self._items

    def _take(self, factors: FloatArray) -> Self:
        self._items = np.ascontiguousarray(factors)
        wide = self._items.astype(np.float64)
        self._gram = wide.T @ wide + self.l2 * np.eye(self.factors)
        return self

    def _fold_in(self, factors: Matrix, weights: Matrix) -> Matrix:
        """The user's vector for items with ``factors`` (history, factors) and ``weights`` (history,)."""
        right = (1.0 + self.alpha * weights) @ factors  # (factors,)
        _, solution, _ = dposv(self._system(factors, weights), right, overwrite_a=True, overwrite_b=True)
        return solution  # type: ignore[no-any-return]  # scipy's lapack has no types

    def _system(self, factors: Matrix, weights: Matrix) -> Matrix:
        """(factors, factors): A, the left side of the user's equation; ``alpha w`` is confidence beyond 1."""
        return self._gram + factors.T @ (factors * (self.alpha * weights)[:, None])


def _heard(query: Query, n_items: int) -> tuple[NDArray[np.intp], FloatArray]:
    """Places in the history that speak: of learnt items, with a weight that is a number above 0; and the weights."""
    weights = sound_weights(query.weights) if query.weights.size else np.ones(query.history.size, np.float32)
    places = np.flatnonzero((query.history >= 0) & (query.history < n_items) & (weights > 0))
    return places, weights[places]


def _summed(query: Query, n_items: int) -> tuple[IntArray, Matrix]:
    """The different items of the history that speak, ascending, and the summed weight of each."""
    places, weights = _heard(query, n_items)
    rows, place = np.unique(query.history[places], return_inverse=True)
    return rows, np.bincount(place, weights, minlength=rows.size).astype(np.float64)


def improved(
    rows: FloatArray,
    columns: FloatArray,
    beyond: csr_array,
    l2: float,
    prior: FloatArray | None = None,
    steps: int = STEPS,
) -> FloatArray:
    """(rows, factors): nearer to the best ones while ``columns`` (columns, factors) are held; the best for many steps.

    ``beyond`` (rows, columns): by how much the confidence of a pair that met is above 1. ``prior`` (rows, factors):
    where the penalty ``l2`` pulls to; None: to zero. O(pairs factors steps + (rows + columns) factors^2).
    """
    wide = columns.astype(np.float64)
    shared = np.linalg.cholesky(wide.T @ wide + l2 * np.eye(columns.shape[1]))  # L, lower
    inverse = solve_triangular(shared, np.eye(shared.shape[0]), lower=True)
    whitened = columns @ inverse.T.astype(np.float32)  # (columns, factors): z = L^-1 y
    found = rows @ shared.astype(np.float32)  # (rows, factors): u = L' x
    pull = np.zeros_like(found) if prior is None else prior @ (l2 * inverse.T).astype(np.float32)
    edges = beyond.indptr.astype(np.int64), beyond.indices.astype(np.int32)
    _descend(found, whitened, *edges, beyond.data.astype(np.float32), pull, steps)
    result: FloatArray = found @ inverse.astype(np.float32)  # x = L^-T u
    return result


@compiled("void(float32[:, ::1], Array(float32, 1, 'C', True), float32[::1], float32[::1])", reorder=True)
def _bend(near: FloatArray, beyond: FloatArray, way: FloatArray, bent: FloatArray) -> None:
    """Write ``(I + near' diag(beyond) near) way`` into ``bent``."""
    for f in range(way.size):
        bent[f] = way[f]
    for i in range(near.shape[0]):
        dot = np.float32(0.0)
        for f in range(way.size):
            dot += near[i, f] * way[f]
        dot *= beyond[i]
        for f in range(way.size):
            bent[f] += dot * near[i, f]


@compiled("void(float32[:, ::1], Array(float32, 1, 'C', True), float32[::1], float32[:, ::1], int64)", reorder=True)
def _step(near: FloatArray, beyond: FloatArray, here: FloatArray, room: FloatArray, steps: int) -> None:
    """``steps`` of conjugate gradients of one row; ``room`` (3, factors): what is left to go, the way, its image."""
    rest, way, bent = room[0], room[1], room[2]
    size = np.float32(0.0)
    for f in range(here.size):
        way[f] = rest[f]
        size += rest[f] * rest[f]
    for _ in range(steps):
        if size < 1e-14:
            break
        _bend(near, beyond, way, bent)
        along, left = np.float32(0.0), np.float32(0.0)
        for f in range(here.size):
            along += way[f] * bent[f]
        stride = size / along
        for f in range(here.size):
            here[f] += stride * way[f]
            rest[f] -= stride * bent[f]
            left += rest[f] * rest[f]
        turn, size = left / size, left
        for f in range(here.size):
            way[f] = rest[f] + turn * way[f]


@compiled(
    "void(float32[:, ::1], Array(float32, 2, 'C', True), Array(int64, 1, 'C', True), Array(int32, 1, 'C', True),"
    "Array(float32, 1, 'C', True), Array(float32, 2, 'C', True), int64)",
    reorder=True,
)
def _descend(  # noqa: PLR0913, PLR0917 - a compiled loop takes arrays, not a class of ours
    rows: FloatArray,
    columns: FloatArray,
    edges: NDArray[np.int64],
    indices: IntArray,
    beyond: FloatArray,
    pull: FloatArray,
    steps: int,
) -> None:
    """Go ``steps`` of conjugate gradients for each row u, in place, towards what solves the following equation.

    ``(I + sum_i beyond_i z_i z_i') u = sum_i (1 + beyond_i) z_i + pull`` with z = ``columns``; the entries of row r are
    ``indices``, ``beyond`` [edges[r] : edges[r + 1]].
    """
    longest = 0
    for row in range(rows.shape[0]):
        longest = max(longest, edges[row + 1] - edges[row])
    near = np.empty((longest, rows.shape[1]), np.float32)  # the columns of one row, side by side
    room = np.empty((3, rows.shape[1]), np.float32)
    for row in range(rows.shape[0]):
        first, n = edges[row], edges[row + 1] - edges[row]
        more = beyond[first : first + n]
        for i in range(n):
            column = columns[indices[first + i]]
            for f in range(rows.shape[1]):
                near[i, f] = column[f]
        _bend(near[:n], more, rows[row], room[2])
        for f in range(rows.shape[1]):
            room[0, f] = pull[row, f] - room[2, f]
        for i in range(n):
            confidence = np.float32(1.0) + more[i]
            for f in range(rows.shape[1]):
                room[0, f] += confidence * near[i, f]
        _step(near[:n], more, rows[row], room, steps)


@compiled(
    "void(float32[:, ::1], Array(int64, 1, 'C', True), Array(int32, 1, 'C', True), int32[:, ::1], float32[:, ::1])"
)
def _best(scores: FloatArray, edges: NDArray[np.int64], seen: IntArray, rows: IntArray, values: FloatArray) -> None:
    """Write the best of each row of ``scores`` into ``rows`` and ``values``, without those of ``seen``.

    ``seen[edges[u] : edges[u + 1]]`` are those of row u; of ``scores`` they are overwritten. Items are dealt into 512
    heaps, whose greatest are found by whole vectors: the k-th of these is a floor under the k best, and few heaps
    reach it.
    """
    k, n = rows.shape[1], scores.shape[1]
    width = min(n, max(512, k))
    peaks = np.empty(width, np.float32)
    places, reached = np.empty(n, np.int32), np.empty(n, np.float32)
    for user in range(scores.shape[0] if n else 0):
        line = scores[user]
        for item in seen[edges[user] : edges[user + 1]]:
            line[item] = -np.inf
        peaks[:] = line[:width]
        for start in range(width, n, width):
            part = line[start : start + width]
            for at in range(part.size):
                peaks[at] = part[at] if part[at] > peaks[at] else peaks[at]
        best = top_rows(peaks, k, 0.0)
        floor = peaks[best[-1]] if best.size == k > 0 else np.float32(0.0)
        reach = np.flatnonzero(peaks >= floor)
        count = 0
        for start in range(0, n, width):
            for heap in reach:
                if start + heap < n and line[start + heap] >= floor:
                    places[count], reached[count] = start + heap, line[start + heap]
                    count += 1
        best = top_rows(reached[:count], k, 0.0)
        for at in range(best.size):
            rows[user, at], values[user, at] = places[best[at]], reached[best[at]]

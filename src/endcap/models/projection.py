"""R = U . I . M: what somebody touched, in the space of item features, projected to the features of what comes next.

``U`` (visits, items) holds what a visit was about, ``I`` (items, p) the items' features (vectors of a pretrained
encoder, one-hot attributes), ``M`` (p, q) is learnt, ``y`` (q,) is the vector of the item that was gone on to, or of
its category. ``M`` maximises::

    sum over visits <U . I . M, y>  -  l2 |M|^2        which is  M = (U . I)' Y / (2 l2)

and an item's score is ``R . y_i``. Nothing of it belongs to an item or to a person: it ranks an item without events as
soon as its features are there, and for a person of whom one event is known.

**Normalised, because as it stands the objective learns the mean.** ``l2`` only scales ``M`` and changes no ranking, and
with raw vectors, which have much in common, ``M`` is nearly the outer product of two means. So both sides are centred
and whitened by the covariance of what is touched (shrunk towards a multiple of the identity, as in Friedman,
"Regularized discriminant analysis", JASA 84, 1989). In whitened features the optimum above is that of regularised
canonical correlation (Hotelling 1936; Vinod 1976), ridge regression whitens one side only, and ``shrink`` does what
``l2`` cannot. ``benchmarks/coldstart.py`` has the figures of all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from endcap.errors import ConfigError, ModelError, NotFittedError
from endcap.features.interactions import sound_weights, visit_shares
from endcap.features.joined import Features, Joined
from endcap.features.selection import Selection, pair_marginals, select
from endcap.protocols import Arrays
from endcap.types import BoolArray, FloatArray, IntArray, Interactions, Query, Ranking

Matrix = NDArray[np.float64]
BLOCK = 1_024
"""Visits whose profiles are in memory at a time while fitting."""


@dataclass(frozen=True, slots=True)
class ProjectionSettings:
    """How M is found, and how much of the history speaks."""

    solver: Literal["closed", "gd", "sgd", "adam"] = "closed"
    """The closed form, gradient descent, stochastic gradient descent over blocks of visits, Adam: the same M."""
    normalise: Literal["whiten", "ridge", "centre"] = "whiten"
    """Whiten both sides; the inputs only, which is ridge regression; or neither, which is the objective as it stands
    in centred features."""
    by: Literal["user", "session"] = "session"
    """What goes together: a visit, or all that one user did."""
    l2: float = 1.0
    """Scales M, and with it all scores alike."""
    shrink: float = 0.5
    """This share of the mean variance is added to the variance of every feature before whitening."""
    rank: int = 128
    """Directions of M that are kept, the strongest first: so many numbers an item are held in memory."""
    recent: int = 100
    """Events of the history that speak."""
    decay: float = 0.98
    """An event counts ``decay`` times as much as the one after it."""
    select: Selection = "variance"
    """How the best of the sparse columns are found."""
    columns: int = 512
    """Sparse columns that are learnt from, the best; fitting takes O((p + q)^3)."""
    seed: int = 0
    """Of the order in which SGD takes visits."""


class Projection:
    """Ranks items by ``R . y_i``, with R made of the history at request time.

    ``inputs``: the features ``I``; ``targets``: those that ``y`` is made of, by default the same. With one-hot
    categories as ``targets`` it learns which category is gone on to. Fitting takes O(visits p^2 + items p^2 + p^3); a
    query O(recent p rank + items rank); after a change of the features the next query takes O(items q rank), once. The
    model keeps ``4 rank (items + p + q)`` bytes. One thread at a time.
    """

    _sides: tuple[_Side, _Side] | None = None
    _items: FloatArray
    _has: BoolArray

    def __init__(
        self,
        inputs: Sequence[Features],
        targets: Sequence[Features] | None = None,
        settings: ProjectionSettings | None = None,
    ) -> None:
        self.settings = settings or ProjectionSettings()
        _check(self.settings)
        self._inputs = Joined(inputs)
        self._targets = self._inputs if targets is None else Joined(targets)
        self._known: tuple[tuple[int, ...], ...] = ()

    def fit(self, interactions: Interactions) -> Self:
        visits = visit_shares(interactions, self.settings.by)
        n_items, normalise = len(interactions.items), self.settings.normalise
        inputs, x = self._side(self._inputs, visits, n_items, whiten=normalise != "centre")
        targets, y = inputs, x
        if normalise == "ridge" or self._targets is not self._inputs:
            targets, y = self._side(self._targets, visits, n_items, whiten=normalise == "whiten")
        left, strength, right = np.linalg.svd(learn(visits, x, y, self.settings), full_matrices=False)
        rank = min(self.settings.rank, strength.size)
        half = np.sqrt(strength[:rank])  # M = left strength right, half of it on each side
        return self._take(inputs.narrowed(left[:, :rank] * half), targets.narrowed(right[:rank].T * half))

    def recommend(self, query: Query, k: int) -> Ranking:
        return Ranking.top(self.scores(query), k, above=0.0)

    def scores(self, query: Query) -> FloatArray:
        items = self._table()
        places, shares = self._heard(query)
        if places.size == 0:
            return np.empty(0, np.float32)
        return items @ (shares @ self._said(query.history[places]))

    def contributions(self, query: Query, items: IntArray) -> FloatArray:
        """(history, items): the parts whose sum over the history is the score of each of ``items``."""
        table = self._table()
        parts = np.zeros((query.history.size, items.size), np.float32)
        places, shares = self._heard(query)
        known = np.flatnonzero((items >= 0) & (items < table.shape[0]))
        said = self._said(query.history[places]) * shares[:, None]  # (places, rank)
        parts[np.ix_(places, known)] = said @ table[items[known]].T
        return parts

    def to_arrays(self) -> Arrays:
        inputs, targets = self._fitted()
        return {**inputs.arrays("input"), **targets.arrays("target")}

    def from_arrays(self, arrays: Arrays) -> Self:
        sides = _stored(arrays, "input", self._inputs), _stored(arrays, "target", self._targets)
        if sides[0].map.shape[1] != sides[1].map.shape[1]:
            raise ModelError(f"the maps have shapes {[side.map.shape for side in sides]}, of two ranks: train again")
        return self._take(*sides)

    def _side(self, features: Joined, visits: csr_array, n_items: int, *, whiten: bool) -> tuple[_Side, FloatArray]:
        """One side of the objective, and (n_items, width) the items in its coordinates."""
        columns = select(features.sparse(n_items), visits, self.settings.select, self.settings.columns)
        raw = features.rows(np.arange(n_items, dtype=np.int32), columns)
        weights = pair_marginals(visits) * raw.any(axis=1)  # (n_items,) an item without features says nothing
        total = max(float(weights.sum()), 1e-12)
        mean = (weights @ raw) / total
        side = _Side(columns, mean, np.eye(mean.size))
        centred = side.projected(raw).astype(np.float64)
        if whiten:
            covariance = centred.T @ (centred * weights[:, None]) / total  # (width, width)
            side = replace(side, map=_whitening(covariance, self.settings.shrink))
        return side, side.projected(raw)

    def _heard(self, query: Query) -> tuple[NDArray[np.intp], FloatArray]:
        """Places in the history that speak, and how much each counts; that adds up to 1."""
        inside = np.flatnonzero((query.history >= 0) & (query.history < self._has.size))
        places = inside[self._has[query.history[inside]]][-self.settings.recent :]
        shares = self.settings.decay ** np.arange(places.size - 1, -1, -1)
        if query.weights.size:
            shares *= sound_weights(query.weights[places])
        return places, (shares / max(float(shares.sum()), 1e-12)).astype(np.float32)

    def _said(self, rows: IntArray) -> FloatArray:
        """(rows, rank) what each item says as a part of a history."""
        inputs, _ = self._fitted()
        return inputs.projected(self._inputs.rows(rows, inputs.columns))

    def _table(self) -> FloatArray:
        """(items, rank) the ``y`` of every item, as its scores need it."""
        _, targets = self._fitted()
        known = (self._inputs.version, self._targets.version)
        if known != self._known:
            every = np.arange(len(self._targets), dtype=np.int32)
            self._items = targets.projected(self._targets.rows(every, targets.columns))
            self._has = self._inputs.known()
            self._known = known
        return self._items

    def _fitted(self) -> tuple[_Side, _Side]:
        if self._sides is None:
            raise NotFittedError(self)
        return self._sides

    def _take(self, inputs: _Side, targets: _Side) -> Self:
        self._sides, self._known = (inputs, targets), ()
        return self


@dataclass(frozen=True, slots=True)
class _Side:
    """From raw features to the coordinates of one side: centred, then mapped."""

    columns: IntArray
    """(k,) the sparse columns that are learnt from."""
    mean: NDArray[np.floating]
    """(width,) of the raw features."""
    map: NDArray[np.floating]
    """(width, rank)."""

    def projected(self, raw: FloatArray) -> FloatArray:
        """(rows, rank), zero where there are no features: ``raw`` (rows, width)."""
        mean, into = self.mean.astype(np.float32), self.map.astype(np.float32)
        found: FloatArray = (raw @ into - mean @ into) * raw.any(axis=1, keepdims=True)
        return found

    def narrowed(self, further: Matrix) -> _Side:
        """With ``further`` (rank, fewer) after it, in float32."""
        return _Side(self.columns, self.mean.astype(np.float32), (self.map @ further).astype(np.float32))

    def arrays(self, name: str) -> dict[str, NDArray[np.generic]]:
        """To be stored; without columns where no feature is sparse."""
        found: dict[str, NDArray[np.generic]] = {f"{name}_mean": self.mean, f"{name}_map": self.map}
        return found | ({f"{name}_columns": self.columns} if self.columns.size else {})


def _stored(arrays: Arrays, name: str, features: Joined) -> _Side:
    columns = arrays.get(f"{name}_columns", np.empty(0, np.int32)).astype(np.int32)
    mean, into = arrays.get(f"{name}_mean"), arrays.get(f"{name}_map")
    width = features.width(columns)
    if mean is None or into is None or mean.shape != (width,) or into.ndim != 2 or into.shape[0] != width:
        shapes = {key: array.shape for key, array in arrays.items()}
        raise ModelError(f"a projection of {width} features cannot be made of {shapes}: train again with this encoder")
    return _Side(columns, mean.astype(np.float32), into.astype(np.float32))


def _whitening(covariance: Matrix, shrink: float) -> Matrix:
    """(width, width): the inverse root of ``covariance`` with ``shrink`` of its mean variance added to each."""
    level = float(np.trace(covariance)) / max(covariance.shape[0], 1)
    values, vectors = np.linalg.eigh(covariance)
    scaled = np.maximum(values, 0.0) + max(shrink * level, 1e-12)
    return (vectors / np.sqrt(scaled)) @ vectors.T  # type: ignore[no-any-return]


def learn(visits: csr_array, x: FloatArray, y: FloatArray, settings: ProjectionSettings) -> Matrix:
    """M (p, q), the maximum of the objective, by ``settings.solver``.

    ``visits`` (visits, items): each item's share of its visit; ``x`` (items, p), ``y`` (items, q): features. Two
    different items of a visit are a pair with the product of their shares: one is what was touched, the other what was
    gone on to. The sum is divided by the weight of all pairs, so that ``l2`` means the same in every shop.
    """
    return SOLVERS[settings.solver](visits, x, y, settings)


def _closed(visits: csr_array, x: FloatArray, y: FloatArray, settings: ProjectionSettings) -> Matrix:
    return _cross(visits, x, y) / (2.0 * settings.l2)


def _gradient_descent(visits: csr_array, x: FloatArray, y: FloatArray, settings: ProjectionSettings) -> Matrix:
    cross = _cross(visits, x, y)
    solution = np.zeros_like(cross)
    for _ in range(GD_STEPS):
        solution += (cross - 2.0 * settings.l2 * solution) / (4.0 * settings.l2)  # halves the distance
    return solution


def _sgd(visits: csr_array, x: FloatArray, y: FloatArray, settings: ProjectionSettings) -> Matrix:
    """One pass with the step 1 / (curvature x pairs seen), as Robbins and Monro (1951) take it.

    The objective is a quadratic, so that M is always the optimum of what was seen.
    """
    solution = np.zeros((x.shape[1], y.shape[1]))
    order = np.random.default_rng(settings.seed).permutation(visits.shape[0])
    seen = 0.0
    for weight, cross in _crosses(csr_array(visits[order]), x, y):
        seen += weight
        solution += (cross - 2.0 * settings.l2 * weight * solution) / (2.0 * settings.l2 * max(seen, 1e-12))
    return solution


def _adam(visits: csr_array, x: FloatArray, y: FloatArray, settings: ProjectionSettings) -> Matrix:
    """Kingma and Ba, "Adam", ICLR 2015, on the whole gradient, with a rate that falls to nothing."""
    cross = _cross(visits, x, y)
    scale = max(float(np.abs(cross).max(initial=0.0)), 1e-300)
    solution, first, second = (np.zeros_like(cross) for _ in range(3))
    for step in range(1, ADAM_STEPS + 1):
        gradient = (2.0 * settings.l2 * solution - cross) / scale
        first = 0.9 * first + 0.1 * gradient
        second = 0.99 * second + 0.01 * gradient**2
        rate = ADAM_RATE * scale / (2.0 * settings.l2) * (1.0 - step / (ADAM_STEPS + 1)) ** 2
        solution -= rate * (first / (1.0 - 0.9**step)) / (np.sqrt(second / (1.0 - 0.99**step)) + 1e-8)
    return solution


GD_STEPS = 40
"""Each halves the distance to the optimum."""
ADAM_STEPS, ADAM_RATE = 600, 0.03

Solver = Callable[[csr_array, FloatArray, FloatArray, ProjectionSettings], Matrix]
SOLVERS: Mapping[str, Solver] = {"closed": _closed, "gd": _gradient_descent, "sgd": _sgd, "adam": _adam}


def _cross(visits: csr_array, x: FloatArray, y: FloatArray) -> Matrix:
    """(p, q): the mean of ``x_i' y_j`` over all pairs."""
    total, seen = np.zeros((x.shape[1], y.shape[1])), 0.0
    for weight, cross in _crosses(visits, x, y):
        total += cross
        seen += weight
    return total / max(seen, 1e-12)


def _crosses(visits: csr_array, x: FloatArray, y: FloatArray) -> Iterator[tuple[float, Matrix]]:
    """By block of visits: the weight of its pairs, and the sum over them of weight ``x_i' y_j`` (p, q)."""
    for start in range(0, visits.shape[0], BLOCK):
        block = csr_array(visits[start : start + BLOCK])
        own = np.bincount(block.indices, block.data.astype(np.float64) ** 2, minlength=block.shape[1])  # (items,)
        met = own.nonzero()[0]
        itself = x[met].T @ (y[met] * own[met, None])  # an item is not its own pair
        yield float(block.sum() - own.sum()), (block @ x).T.astype(np.float64) @ (block @ y) - itself


def _check(settings: ProjectionSettings) -> None:
    for name in ("solver", "normalise", "by", "select"):
        known = CHOICES[name]
        if getattr(settings, name) not in known:
            raise ConfigError(f"{name} is {getattr(settings, name)!r}: use one of {', '.join(known)}")
    for name, least in (("l2", 1e-12), ("shrink", 0.0), ("rank", 1), ("recent", 1), ("columns", 0)):
        if not getattr(settings, name) >= least:
            raise ConfigError(f"{name} is {getattr(settings, name)}: it must be at least {least:g}")


CHOICES: Mapping[str, tuple[str, ...]] = {
    "solver": tuple(SOLVERS),
    "normalise": ("whiten", "ridge", "centre"),
    "by": ("user", "session"),
    "select": get_args(Selection),
}

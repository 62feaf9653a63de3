"""One vector, or one score, of an item's text, picture and attributes, whichever of them it has.

Three ways: ``joined`` puts the vectors side by side, each with its weight; ``Gate`` learns for each item how much each
of them says; ``late`` leaves the vectors alone and adds up scores. A modality is given as an array of unit rows, one
an item; a zero row says that the item has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Self

import numpy as np
from numpy.typing import NDArray

from endcap.errors import ModelError, NotFittedError
from endcap.protocols import Arrays
from endcap.types import BoolArray, FloatArray, IntArray

TRIED = (0.1, 0.25, 0.5, 1.0)
"""Weights that each modality but the first is tried with; the first has 1."""
MOST_PAIRS, MOST_ITEMS = 1_000, 5_000
Modalities = Sequence[FloatArray]
"""(n, dim) each, its own dim; unit rows, or zero where an item has none."""


def present(modalities: Modalities) -> BoolArray:
    """(n, m) which item has which. Raises ModelError if they are not of equally many items."""
    if not modalities or len({len(one) for one in modalities}) != 1:
        raise ModelError(f"modalities of {[len(one) for one in modalities]} items: give each a row for every item")
    return np.stack([one.any(axis=1) for one in modalities], axis=1)


def joined(modalities: Modalities, weights: Sequence[float]) -> FloatArray:
    """(n, sum of dims) unit rows: the cosine of two is the mean of their modalities' cosines, by ``weights``.

    Where an item lacks some, the weights of the others are scaled up, so that its row has length 1 and it is as near to
    itself as any other item; an item that has none keeps a zero row. Raises ModelError for weights that do not fit.
    """
    return _weighted(
        modalities, np.broadcast_to(_checked(weights, len(modalities)), (len(modalities[0]), len(weights)))
    )


def chosen_weights(modalities: Modalities, first: IntArray, second: IntArray) -> tuple[float, ...]:
    """The weights of TRIED with which an item's companion stands highest among all items, by mean reciprocal rank.

    Companions are pairs of rows: ``first`` (p,) and ``second`` (p,), of which 1,000 are judged at most, among 5,000
    items. Costs a second or two. Raises ModelError where there is no pair.
    """
    if first.size == 0 or first.shape != second.shape:
        raise ModelError(f"{first.size} and {second.size} rows of pairs: weights are chosen by one pair at least")
    pairs = slice(None, None, -(-first.size // MOST_PAIRS))
    first, second = first[pairs], second[pairs]
    others = np.arange(len(modalities[0]))[:: -(-len(modalities[0]) // MOST_ITEMS)]
    items = np.union1d(others, second)
    cosines = np.stack([one[first] @ one[items].T for one in modalities], axis=2)  # (p, n, m)
    place, own = np.searchsorted(items, second), items == first[:, np.newaxis]
    has = present(modalities)

    def rank(weights: tuple[float, ...]) -> float:
        roots = np.sqrt(_shares(np.asarray(weights), has)).astype(np.float32)
        scores = np.einsum("pnm,pm,nm->pn", cosines, roots[first], roots[items])
        scores[own] = -np.inf
        companion = np.take_along_axis(scores, place[:, np.newaxis], axis=1)
        return float((1.0 / (scores >= companion).sum(axis=1)).mean())

    return max(((1.0, *rest) for rest in product(TRIED, repeat=len(modalities) - 1)), key=rank)


def late(scores: Sequence[FloatArray], has: BoolArray, weights: Sequence[float]) -> FloatArray:
    """(n,) the weighted mean of ``scores`` (n,) over the modalities that an item has, ``has`` (n, m); 0 for none.

    The cosines of two encoders mean different things, so each modality's scores first become standard scores (mean 0,
    deviation 1 over the items that have it). Raises ModelError for weights that do not fit.
    """
    shares = _checked(weights, len(scores)) * has
    standard = np.stack([_standard(one, has[:, place]) for place, one in enumerate(scores)], axis=1)
    total = shares.sum(axis=1)
    found: FloatArray = ((standard * shares).sum(axis=1) / np.where(total > 0, total, 1.0)).astype(np.float32)
    return found


class Gate:
    """How much each modality says of an item, learnt so that items that go together are near to one another.

    An item's shares are a softmax of a linear function of its vectors, over the modalities that it has; the fused row
    is ``joined`` with those shares. Trained by contrast (InfoNCE, van den Oord et al. 2018, arXiv:1807.03748) with
    Adam: an item must find its companion among those of its batch. Same seed, same result.
    """

    def __init__(
        self, epochs: int = 30, learning_rate: float = 0.02, l2: float = 1e-3, temperature: float = 0.05, seed: int = 0
    ) -> None:
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.l2 = l2
        self.temperature = temperature
        self.seed = seed
        self.batch = 128
        self._weights: FloatArray | None = None  # (sum of dims + 1, m)

    def fit(self, modalities: Modalities, first: IntArray, second: IntArray) -> Self:
        """Learns from pairs of rows that go together: ``first`` (p,) and ``second`` (p,).

        Raises ModelError where there are fewer than two pairs.
        """
        if first.size < 2 or first.shape != second.shape:
            raise ModelError(f"{first.size} and {second.size} rows of pairs: a gate needs two pairs at least")
        rng, has, inputs = np.random.default_rng(self.seed), present(modalities), _inputs(modalities)
        weights = np.zeros((inputs.shape[1], len(modalities)))  # equal shares
        mean, square = np.zeros_like(weights), np.zeros_like(weights)
        step = 0
        for _ in range(self.epochs):
            order = rng.permutation(first.size)
            for start in range(0, order.size - 1, self.batch):
                pairs = order[start : start + self.batch]
                rows = first[pairs], second[pairs]
                gradient = self._gradient(modalities, has, inputs, weights, rows) + self.l2 * weights
                step += 1
                mean = 0.9 * mean + 0.1 * gradient
                square = 0.999 * square + 0.001 * gradient**2
                weights -= self.learning_rate * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
        self._weights = weights.astype(np.float32)
        return self

    def shares(self, modalities: Modalities) -> FloatArray:
        """(n, m) how much each modality of an item says: adding up to 1, or all 0 where it has none.

        Raises NotFittedError before it has learnt, ModelError for other modalities than it has learnt from.
        """
        if self._weights is None:
            raise NotFittedError(self)
        has, inputs = present(modalities), _inputs(modalities)
        if (inputs.shape[1], len(modalities)) != self._weights.shape:
            raise ModelError(
                f"modalities of {[one.shape[1] for one in modalities]} dimensions are not those that the gate has "
                "learnt from: fit it again"
            )
        return _softmax(inputs @ self._weights, has).astype(np.float32)

    def fused(self, modalities: Modalities) -> FloatArray:
        """(n, sum of dims) unit rows, zero for an item that has none. Raises as ``shares`` does."""
        return _weighted(modalities, self.shares(modalities))

    def to_arrays(self) -> Arrays:
        if self._weights is None:
            raise NotFittedError(self)
        return {"weights": self._weights}

    def from_arrays(self, arrays: Arrays) -> Self:
        if "weights" not in arrays or arrays["weights"].ndim != 2:
            raise ModelError("these arrays are not those of a gate: weights (dims + 1, modalities); train again")
        self._weights = arrays["weights"].astype(np.float32)
        return self

    def _gradient(
        self,
        modalities: Modalities,
        has: BoolArray,
        inputs: FloatArray,
        weights: NDArray[np.float64],
        rows: tuple[IntArray, IntArray],
    ) -> NDArray[np.float64]:
        """Of the mean loss of one batch, in both directions, by ``weights``."""
        shares = [_softmax(inputs[side] @ weights, has[side]) for side in rows]  # (b, m) each
        roots = [np.sqrt(one) for one in shares]
        cosines = np.stack([one[rows[0]] @ one[rows[1]].T for one in modalities])  # (m, b, b)
        scores = np.einsum("im,jm,mij->ij", roots[0], roots[1], cosines) / self.temperature
        wrong = (_rows_softmax(scores) + _rows_softmax(scores.T).T) / 2 - np.eye(len(scores))
        wrong *= ~_same(rows) / (len(scores) * self.temperature)  # (b, b) the loss by the score
        by_root = (
            np.einsum("ij,jm,mij->im", wrong, roots[1], cosines),
            np.einsum("ij,im,mij->jm", wrong, roots[0], cosines),
        )
        total = np.zeros_like(weights)
        for side, share, root, by in zip(rows, shares, roots, by_root, strict=True):
            by_logit = 0.5 * (by * root - share * (by * root).sum(axis=1, keepdims=True))
            total += inputs[side].T @ by_logit
        return total


def _same(rows: tuple[IntArray, IntArray]) -> BoolArray:
    """(b, b) where one pair's companion is another pair's item or companion: not to be pushed apart."""
    first, second = rows
    same: BoolArray = (second[:, np.newaxis] == second) | (first[:, np.newaxis] == second)
    np.fill_diagonal(same, False)
    return same


def _inputs(modalities: Modalities) -> FloatArray:
    """(n, sum of dims + 1) what the gate looks at: all vectors, and a constant."""
    return np.concatenate([*modalities, np.ones((len(modalities[0]), 1), np.float32)], axis=1)


def _softmax(logits: NDArray[np.floating], has: BoolArray) -> NDArray[np.float64]:
    """(n, m) over the modalities that are there; zero where none is."""
    highest = np.where(has, logits, -np.inf).max(axis=1, initial=-1e9, keepdims=True)
    raised = np.where(has, np.exp(np.minimum(logits - highest, 0.0)), 0.0)
    found: NDArray[np.float64] = raised / np.maximum(raised.sum(axis=1, keepdims=True), 1e-12)
    return found


def _rows_softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    found: NDArray[np.float64] = raised / raised.sum(axis=1, keepdims=True)
    return found


def _shares(weights: NDArray[np.floating], has: BoolArray) -> NDArray[np.float64]:
    """(n, m) ``weights`` over what an item has, adding up to 1; all 0 where it has nothing."""
    shares = weights * has
    total = shares.sum(axis=1, keepdims=True)
    found: NDArray[np.float64] = shares / np.where(total > 0, total, 1.0)
    return found


def _weighted(modalities: Modalities, weights: NDArray[np.floating]) -> FloatArray:
    roots = np.sqrt(_shares(weights, present(modalities)))
    return np.concatenate([one * roots[:, [place]] for place, one in enumerate(modalities)], axis=1).astype(np.float32)


def _checked(weights: Sequence[float], count: int) -> NDArray[np.float64]:
    found = np.asarray(weights, np.float64)
    if found.shape != (count,) or not (np.isfinite(found).all() and (found >= 0).all() and found.any()):
        raise ModelError(f"weights {list(weights)} for {count} modalities: give each one of 0 or more, not all 0")
    return found


def _standard(scores: FloatArray, has: BoolArray) -> FloatArray:
    known = scores[has]
    if known.size == 0:
        return np.zeros_like(scores)
    found: FloatArray = ((scores - known.mean()) / max(float(known.std()), 1e-9)).astype(np.float32)
    return found

"""A learnt way from one space of vectors to another: pictures become comparable with texts.

Ridge regression in closed form (Hoerl & Kennard 1970) from the image vectors of items to their text vectors. The
penalty is the one with the smallest leave-one-out error, which ridge gives without fitting again (Golub, Heath & Wahba
1979). So typed words find pictures that have no title, and a photo finds items that have no picture.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray

from endcap.errors import ModelError, NotFittedError
from endcap.protocols import Arrays
from endcap.types import FloatArray

PENALTIES = tuple(10.0**exponent for exponent in np.arange(-4.0, 2.5, 0.5))
"""Tried, as multiples of the mean squared length of a centred input."""
MOST_PAIRS = 10_000
"""Learnt from at most; more would cost minutes and bring little. They are drawn evenly from the rows."""


class Bridge:
    """From vectors of ``dim_from`` to unit vectors of ``dim_to`` dimensions. Costs seconds for 10,000 pairs."""

    def __init__(self, l2: float | None = None) -> None:
        """``l2``: the penalty, as in PENALTIES; None: the best of them."""
        self.l2 = l2
        self._weights: FloatArray | None = None
        self._from: FloatArray = np.empty(0, np.float32)
        self._to: FloatArray = np.empty(0, np.float32)

    def fit(self, inputs: FloatArray, outputs: FloatArray) -> Self:
        """Learns from pairs of rows: ``inputs`` (n, dim_from), ``outputs`` (n, dim_to). Zero rows are left out.

        Raises ModelError for fewer than two pairs.
        """
        rows = np.flatnonzero(inputs.any(axis=1) & outputs.any(axis=1))
        if rows.size < 2:
            raise ModelError(
                f"{rows.size} items have both vectors: a bridge needs two at least, and hundreds to be good"
            )
        rows = rows[:: -(-rows.size // MOST_PAIRS)]
        x, y = inputs[rows].astype(np.float64), outputs[rows].astype(np.float64)
        mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
        x, y = x - mean_x, y - mean_y
        left, values, right = np.linalg.svd(x, full_matrices=False)  # (n, r), (r,), (r, dim_from)
        scale = max(float((values**2).sum()) / rows.size, 1e-12)
        turned = left.T @ y  # (r, dim_to)
        penalties = [one * scale for one in (PENALTIES if self.l2 is None else (self.l2,))]
        best = min(penalties, key=lambda one: _left_out_error(left, values, turned, y, one))
        shrunk = (values / (values**2 + best))[:, np.newaxis] * turned
        self._weights = (right.T @ shrunk).astype(np.float32)
        self._from, self._to = mean_x.astype(np.float32), mean_y.astype(np.float32)
        return self

    def across(self, vectors: FloatArray) -> FloatArray:
        """(n, dim_to) unit rows of ``vectors`` (n, dim_from); zero rows stay zero.

        Raises NotFittedError before it has learnt, ModelError for vectors of another dimension.
        """
        if self._weights is None:
            raise NotFittedError(self)
        if vectors.shape[1:] != self._from.shape:
            raise ModelError(
                f"vectors of shape {vectors.shape} do not fit a bridge from {self._from.size} dimensions: fit it again"
            )
        found = (vectors - self._from) @ self._weights + self._to
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        found = np.where(vectors.any(axis=1, keepdims=True), found / np.maximum(lengths, 1e-12), 0.0)
        return found.astype(np.float32)

    def filled(self, outputs: FloatArray, inputs: FloatArray) -> FloatArray:
        """``outputs`` (n, dim_to), its zero rows crossed from ``inputs`` (n, dim_from). Raises as ``across`` does."""
        return np.where(outputs.any(axis=1, keepdims=True), outputs, self.across(inputs))

    def to_arrays(self) -> Arrays:
        if self._weights is None:
            raise NotFittedError(self)
        return {"weights": self._weights, "from": self._from, "to": self._to}

    def from_arrays(self, arrays: Arrays) -> Self:
        fits = {"weights", "from", "to"} <= arrays.keys()
        if not fits or arrays["weights"].shape != (arrays["from"].size, arrays["to"].size):
            raise ModelError("these arrays are not those of a bridge: weights (from, to), from, to; train again")
        self._weights, self._from, self._to = (arrays[name].astype(np.float32) for name in ("weights", "from", "to"))
        return self


def _left_out_error(
    left: NDArray[np.float64],
    values: NDArray[np.float64],
    turned: NDArray[np.float64],
    y: NDArray[np.float64],
    penalty: float,
) -> float:
    """The squared error of each pair by the fit without it, on average."""
    kept = values**2 / (values**2 + penalty)  # (r,)
    residuals = y - left @ (kept[:, np.newaxis] * turned)
    leverage = (left**2) @ kept + 1.0 / len(y)  # (n,); the mean is fitted too
    return float(((residuals / np.maximum(1.0 - leverage, 1e-9)[:, np.newaxis]) ** 2).mean())

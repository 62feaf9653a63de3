"""A transformer as a table: one vector for each word piece, whose weighted mean is the vector of a text.

Tulkens & van Dongen, "Model2Vec: Fast State-of-the-Art Static Embeddings", 2024: what the transformer says of each
piece alone, made smaller by PCA; frequent pieces count less, by Arora, Liang & Ma, "A simple but tough-to-beat baseline
for sentence embeddings", ICLR 2017 (SIF). Where texts are given too, the table is moved as little as brings their means
to what the transformer says of them: a ridge regression, in closed form.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve

from endcap.types import FloatArray

SIF = 1e-3
"""How frequent a piece is that counts half."""


def sif_weights(counts: NDArray[np.integer]) -> FloatArray:
    """(pieces,) from 1 for rare pieces towards 0 for frequent ones; ``counts`` (pieces,) is how often each was seen."""
    shares = (counts + 1.0) / (counts.sum() + counts.size)
    weights: FloatArray = (SIF / (SIF + shares)).astype(np.float32)
    return weights


def principal(rows: FloatArray, dim: int, centred: bool = True) -> tuple[FloatArray, FloatArray]:
    """The mean of ``rows`` (n, wide), and (wide, dim) the directions in which they differ most. Not centred: mean 0."""
    mean = rows.mean(axis=0) if centred else np.zeros(rows.shape[1], rows.dtype)
    wide = (rows - mean).astype(np.float64)
    _, directions = np.linalg.eigh(wide.T @ wide)  # ascending
    return mean, np.ascontiguousarray(directions[:, ::-1][:, :dim], np.float32)


def means_of(texts: sparse.csr_array, weights: FloatArray) -> sparse.csr_array:
    """(n, pieces): how much each piece counts in the mean of a text. ``texts`` (n, pieces): how often it stands there.

    Rows add up to the summed weights over the number of pieces: as at serving, but for the length of the result.
    """
    weighted = texts.multiply(weights).tocsr()
    lengths = np.maximum(np.asarray(texts.sum(axis=1)).ravel(), 1.0)
    return sparse.csr_array(sparse.diags_array(1.0 / lengths) @ weighted)


def fit_table(table: FloatArray, means: sparse.csr_array, wanted: FloatArray, l2: float) -> FloatArray:
    """``table`` (pieces, dim) moved so that ``means @ table`` comes near to ``wanted`` (n, dim), which has unit rows.

    Minimises ``|means @ moved - wanted|^2 + l2 |moved - table|^2``, ``table`` brought to the length of ``wanted`` and
    ``means`` to a mean length of 1 first. Takes O(n^3) time and 8 n^2 bytes.
    """
    scale = np.sqrt(max(float(means.multiply(means).sum()) / max(means.shape[0], 1), 1e-12))
    means = means / scale
    start = means @ table
    length = float(np.linalg.norm(start, axis=1).mean())
    begun = table / max(length, 1e-12)
    left = wanted - start / max(length, 1e-12)
    gram = (means @ means.T).toarray().astype(np.float64)  # (n, n)
    gram[np.diag_indices_from(gram)] += l2
    moved: FloatArray = (begun + means.T @ cho_solve(cho_factor(gram), left)).astype(np.float32)
    return moved


def eight_bits(table: FloatArray) -> tuple[NDArray[np.int8], FloatArray]:
    """``table`` as whole numbers from -127 to 127, and (pieces,) the step of each row."""
    steps = np.abs(table).max(axis=1, initial=0.0) / 127.0
    numbers = np.rint(table / np.maximum(steps, 1e-30)[:, np.newaxis]).astype(np.int8)
    return numbers, steps.astype(np.float32)

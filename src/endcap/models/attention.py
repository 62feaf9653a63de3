"""Self-attention over a history as one compiled loop: the body of SASRec, for its newest event only.

The arithmetic of ``nn/transformer.py`` without torch. Of the last block only the newest event's vector is found: the
others would be thrown away.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from endcap.compiled import compiled
from endcap.types import FloatArray

Named = Mapping[str, NDArray[np.generic]]
LATER = "out", "first", "second"
MATRICES = 6
"""Of a block: query, key, value, and those of LATER."""
_READ1, _READ2, _READ3, _READ4 = (f"Array(float32, {dims}, 'C', True)" for dims in (1, 2, 3, 4))


def shapes(factors: int, blocks: int, length: int) -> dict[str, tuple[int, ...]]:
    """Of the arrays that ``newest`` needs, by name."""
    return {
        "places": (length, factors),
        "matrices": (blocks, MATRICES, factors, factors),
        "biases": (blocks, MATRICES, factors),
        "norms": (blocks, 2, 2, factors),
        "last_norm": (2, factors),
    }


def arrays_of(weights: Named) -> dict[str, FloatArray]:
    """The arrays of ``shapes`` from the weights of ``nn/transformer.py``, by their names there."""
    found = {name: np.asarray(value, np.float32) for name, value in weights.items()}
    count = 1 + max(int(name.split(".")[1]) for name in found if name.startswith("blocks."))
    matrices, biases, norms = [], [], []
    for at in range(count):
        block = {name.removeprefix(f"blocks.{at}."): value for name, value in found.items()}
        parts = [*np.split(block["look.weight"], 3), *(block[f"{name}.weight"] for name in LATER)]
        matrices.append([part.T for part in parts])
        biases.append([block["look.bias"].reshape(3, -1), *(block[f"{name}.bias"][None] for name in LATER)])
        norms.append([[block[f"{name}.{part}"] for part in ("weight", "bias")] for name in ("norm_in", "norm_mid")])
    return {
        "places": found["places.weight"],
        "matrices": np.ascontiguousarray(matrices, np.float32),
        "biases": np.array([np.concatenate(parts) for parts in biases], np.float32),
        "norms": np.array(norms, np.float32),
        "last_norm": np.array([found["norm.weight"], found["norm.bias"]], np.float32),
    }


@compiled(f"float32[:,::1]({_READ2}, {_READ2})", reorder=True)
def _normed(x: FloatArray, scale: FloatArray) -> FloatArray:
    """(n, factors) each row with mean 0 and variance 1, times ``scale[0]`` plus ``scale[1]``."""
    rows, dim = x.shape
    out = np.empty_like(x)
    for i in range(rows):
        mean = np.float32(0)
        for f in range(dim):
            mean += x[i, f]
        mean /= np.float32(dim)
        spread = np.float32(0)
        for f in range(dim):
            spread += (x[i, f] - mean) * (x[i, f] - mean)
        by = np.float32(1) / np.sqrt(spread / np.float32(dim) + np.float32(1e-5))
        for f in range(dim):
            out[i, f] = (x[i, f] - mean) * by * scale[0, f] + scale[1, f]
    return out


@compiled(f"float32[:,::1]({_READ2}, {_READ2}, {_READ1})", reorder=True)
def _linear(x: FloatArray, matrix: FloatArray, bias: FloatArray) -> FloatArray:
    """``x @ matrix + bias``."""
    out: FloatArray = np.dot(x, matrix)
    for i in range(out.shape[0]):
        for f in range(out.shape[1]):
            out[i, f] += bias[f]
    return out


@compiled(f"float32[:,::1]({_READ2}, {_READ2}, {_READ2}, int64)", reorder=True)
def _attended(query: FloatArray, key: FloatArray, value: FloatArray, heads: int) -> FloatArray:
    """(queries, factors) of each query, the newest events, the mean of the values up to it, by how its keys fit."""
    asked, dim = query.shape
    older, wide = key.shape[0] - asked, dim // heads
    by = np.float32(1.0 / math.sqrt(wide))
    out = np.empty_like(query)
    for first in range(0, dim, wide):
        part = slice(first, first + wide)
        fits = np.dot(query[:, part].copy(), key[:, part].copy().T)
        for i in range(asked):
            seen = older + i + 1
            most = np.float32(-3e38)
            for j in range(seen):
                most = max(most, fits[i, j])
            total = np.float32(0)
            for j in range(seen):
                fits[i, j] = np.exp((fits[i, j] - most) * by)
                total += fits[i, j]
            for j in range(seen):
                fits[i, j] /= total
            fits[i, seen:] = 0
        out[:, part] = np.dot(fits, value[:, part].copy())
    return out


@compiled(
    f"float32[::1]({_READ2}, {_READ2}, {_READ4}, {_READ3}, {_READ4}, {_READ2}, int64)", on_request=True, reorder=True
)
def newest(  # noqa: PLR0913, PLR0917
    events: FloatArray,
    places: FloatArray,
    matrices: FloatArray,
    biases: FloatArray,
    norms: FloatArray,
    last_norm: FloatArray,
    heads: int,
) -> FloatArray:
    """(factors,) what a history is about after ``events`` (n, factors), n at least 1 and at most ``length``."""
    x = events + places[: events.shape[0]]
    for at in range(matrices.shape[0]):
        whole = _normed(x, norms[at, 0])
        asked = whole
        if at == matrices.shape[0] - 1:
            x, asked = x[-1:].copy(), whole[-1:].copy()
        key, value = (
            _linear(whole, matrices[at, 1], biases[at, 1]),
            _linear(whole, matrices[at, 2], biases[at, 2]),
        )
        seen = _attended(_linear(asked, matrices[at, 0], biases[at, 0]), key, value, heads)
        x = x + _linear(seen, matrices[at, 3], biases[at, 3])
        hidden = np.maximum(_linear(_normed(x, norms[at, 1]), matrices[at, 4], biases[at, 4]), np.float32(0))
        x = x + _linear(hidden, matrices[at, 5], biases[at, 5])
    vector: FloatArray = _normed(x, last_norm)[0]
    return vector

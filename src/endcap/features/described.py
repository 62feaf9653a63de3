"""What items say of themselves, as a few numbers each: the input of neural models.

Dense blocks (vectors of an encoder) and the most telling sparse columns (attributes), centred, and turned to their
principal directions (Pearson, "On lines and planes of closest fit", 1901), so that a network has few weights to learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from endcap.errors import ModelError
from endcap.features.joined import Features, Joined
from endcap.features.selection import select
from endcap.protocols import Arrays
from endcap.types import FloatArray, IntArray

BLOCK = 4_096
"""Items whose features are copied at a time."""


@dataclass(frozen=True, slots=True)
class Described:
    """How features become numbers: ``(raw - mean) @ map``."""

    columns: IntArray
    """Of the sparse features, those that are read, ascending."""
    mean: FloatArray
    """(raw,)."""
    map: FloatArray
    """(raw, width)."""

    @classmethod
    def learn(
        cls, features: Sequence[Features], visits: csr_array, n_items: int, columns: int, most: int = 128
    ) -> Self:
        """The ``most`` strongest directions, their mean deviation 1; ``visits`` (users, items) choose sparse columns.

        O(items raw^2 + raw^3).
        """
        joined = Joined(features)
        chosen = select(joined.sparse(n_items), visits, "variance", columns)
        raw = joined.rows(np.arange(n_items, dtype=np.int32), chosen)
        raw = raw[raw.any(axis=1)].astype(np.float64)
        mean = raw.mean(axis=0) if len(raw) else np.zeros(raw.shape[1])
        strength, directions = np.linalg.eigh((raw - mean).T @ (raw - mean) / max(len(raw), 1))
        kept = np.flatnonzero(strength > 1e-9)[-most:]
        scale = np.sqrt(strength[kept]).mean() if kept.size else 1.0
        return cls(chosen, mean.astype(np.float32), (directions[:, kept] / scale).astype(np.float32))

    @property
    def width(self) -> int:
        """Numbers an item."""
        return int(self.map.shape[1])

    def into(self, further: NDArray[np.floating]) -> Self:
        """The same, and then times ``further`` (width, other)."""
        return replace(self, map=np.ascontiguousarray(self.map @ further, np.float32))

    def rows(self, features: Sequence[Features], rows: IntArray) -> FloatArray:
        """(rows, width) of those items; zeros where nothing is known."""
        joined, found, middle = Joined(features), np.zeros((rows.size, self.width), np.float32), self.mean @ self.map
        for start in range(0, rows.size, BLOCK):
            part, known = joined.product(rows[start : start + BLOCK], self.columns, self.map)
            found[start : start + BLOCK][known] = part[known] - middle
        return found

    def to_arrays(self) -> Arrays:
        """Empty ones where there are no features."""
        dense = np.full(self.mean.size - self.columns.size, -1, np.int32)  # they come first
        return {"columns": np.concatenate([dense, self.columns]), "mean": self.mean, "map": self.map}

    @classmethod
    def from_arrays(cls, arrays: Arrays, width: int) -> Self:
        """Without arrays, of no features. Raises ModelError if they do not fit each other, or are not of ``width``."""
        columns = arrays.get("columns", np.zeros(0)).astype(np.int32)
        mean, table = arrays.get("mean", np.zeros(0)), arrays.get("map", np.zeros((0, width)))
        if columns.shape != mean.shape or table.shape != (mean.size, width):
            raise ModelError(
                f"columns, mean and map have shapes {columns.shape}, {mean.shape} and {table.shape}: train again"
            )
        return cls(columns[columns >= 0], mean.astype(np.float32), table.astype(np.float32))

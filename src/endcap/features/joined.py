"""Item features of several kinds side by side: vectors of a pretrained model, one-hot attributes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from scipy.sparse import csr_array, hstack, issparse

from endcap.types import BoolArray, FloatArray, IntArray


class Features(Protocol):
    """Numbers by item row: ``ItemVectors`` (dense) and ``ItemAttributes`` (sparse) are such."""

    @property
    def dim(self) -> int: ...

    @property
    def version(self) -> int:
        """Changes with the matrix."""
        ...

    @property
    def matrix(self) -> Any:
        """(items, dim) numpy or scipy sparse; a zero row where nothing is known. For reading only."""
        ...


class Joined:
    """Blocks of features as one wide matrix: the dense columns first, then those of the sparse columns that are named.

    A block may end before the last item: its features of later ones are zero.
    """

    def __init__(self, blocks: Sequence[Features]) -> None:
        self._blocks = tuple(blocks)

    @property
    def version(self) -> tuple[int, ...]:
        """Changes with any block."""
        return tuple(block.version for block in self._blocks)

    def __len__(self) -> int:
        """Items that some block knows."""
        return max((block.matrix.shape[0] for block in self._blocks), default=0)

    def width(self, columns: IntArray) -> int:
        """Of what ``rows`` gives."""
        return sum(block.dim for block in self._blocks if not issparse(block.matrix)) + columns.size

    def rows(self, rows: IntArray, columns: IntArray) -> FloatArray:
        """(rows, width) dense; ``columns`` are numbered through all sparse blocks, and must ascend."""
        dense, sparse, first = [np.zeros((rows.size, 0), np.float32)], [], 0
        for block in self._blocks:
            matrix = block.matrix
            inside = np.flatnonzero(rows < matrix.shape[0])
            if issparse(matrix):
                own = columns[(columns >= first) & (columns < first + block.dim)] - first
                sparse.append(np.zeros((rows.size, own.size), np.float32))
                sparse[-1][inside] = matrix[rows[inside]][:, own].toarray()
                first += block.dim
            else:
                dense.append(np.zeros((rows.size, block.dim), np.float32))
                dense[-1][inside] = matrix[rows[inside]]
        return np.hstack(dense + sparse)

    def product(self, rows: IntArray, columns: IntArray, table: FloatArray) -> tuple[FloatArray, BoolArray]:
        """(rows, k) what ``rows`` gives times ``table`` (width, k), and (rows,) which of them have any number but 0.

        Sparse blocks are never made dense.
        """
        found, has, first = np.zeros((rows.size, table.shape[1]), np.float32), np.zeros(rows.size, np.bool_), 0
        dense = self.width(columns) - columns.size
        parts = np.split(table, [dense])
        for block in self._blocks:
            matrix = block.matrix
            inside = np.flatnonzero(rows < matrix.shape[0])
            if issparse(matrix):
                own = np.flatnonzero((columns >= first) & (columns < first + block.dim))
                chosen = csr_array(matrix[rows[inside]])[:, columns[own] - first]
                found[inside] += chosen @ parts[1][own]
                has[inside] |= np.diff(chosen.indptr) > 0
                first += block.dim
            else:
                chosen = matrix[rows[inside]]
                found[inside] += chosen @ parts[0][: block.dim]
                has[inside] |= chosen.any(axis=1)
                parts[0] = parts[0][block.dim :]
        return found, has

    def known(self) -> BoolArray:
        """(items,) which have any feature."""
        found = np.zeros(len(self), np.bool_)
        for block in self._blocks:
            matrix = block.matrix
            found[: matrix.shape[0]] |= np.diff(matrix.indptr) > 0 if issparse(matrix) else matrix.any(axis=1)
        return found

    def sparse(self, n_items: int) -> csr_array:
        """(n_items, columns) all sparse columns; none where no block is sparse."""
        found = [csr_array((n_items, 0), dtype=np.float32)]
        for block in self._blocks:
            if issparse(block.matrix):
                part = csr_array(block.matrix[:n_items])
                part.resize(n_items, block.dim)
                found.append(part)
        return csr_array(hstack(found))

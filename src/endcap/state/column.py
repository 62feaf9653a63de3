"""A growing numpy column: one value a row."""

from __future__ import annotations

from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)


class Column(Generic[T]):
    """Values by row, doubled in place when they run out; rows that were never set hold ``default``.

    ``values`` is a view: it sees later changes until the column grows, and is never moved under its reader.
    """

    __slots__ = ("_buffer", "_cells", "_default", "_size")

    def __init__(self, dtype: type[T], default: float = 0) -> None:
        self._default = default
        self._buffer: NDArray[T] = np.full(64, default, dtype)
        self._cells = self._buffer.data  # the same memory; one cell is reached five times as fast
        self._size = 0

    def __setitem__(self, row: int, value: float | np.generic) -> None:
        self._buffer[row] = value

    def __getitem__(self, row: int) -> T:
        value: T = self._buffer[row]
        return value

    def add(self, row: int, value: float) -> None:
        """Add ``value`` to one row."""
        self._cells[row] += value  # type: ignore[call-overload]  # its stub knows bytes only

    def __len__(self) -> int:
        return self._size

    def grow(self, size: int) -> None:
        """Make room for ``size`` rows; a smaller size changes nothing."""
        if size > self._buffer.size:
            larger = np.full(max(size, 2 * self._buffer.size), self._default, self._buffer.dtype)
            larger[: self._size] = self._buffer[: self._size]
            self._buffer = larger
            self._cells = larger.data
        self._size = max(self._size, size)

    def scale(self, factor: float) -> None:
        """Multiply every value by ``factor``."""
        self._buffer[: self._size] *= factor  # type: ignore[misc]  # numeric columns only

    def load(self, values: NDArray[T]) -> None:
        """Take over ``values`` as the rows 0 to n - 1."""
        self.grow(values.size)
        self._buffer[: values.size] = values

    @property
    def values(self) -> NDArray[T]:
        """(rows,) the values so far."""
        return self._buffer[: self._size]

"""Loops compiled by numba, kept on disk so that a start does not compile them again; and one that many rooms need."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numpy as np
from numba import njit

from endcap.types import FloatArray, IntArray

Loop = TypeVar("Loop", bound=Callable[..., object])


def compiled(signature: str, *, reorder: bool = False) -> Callable[[Loop], Loop]:
    """Compile a loop for arguments of ``signature``, as numba writes it; releases the lock of the interpreter.

    Arrays that the loop only reads may come from anywhere, views of bytes too, where the signature says
    ``Array(int32, 1, 'C', True)``. Where nothing can be written it is compiled at each start: 1 s.
    ``reorder``: sums may be taken in another order, several numbers at a time, always the same on one machine; and
    no number may be NaN or infinite.
    """

    def compile_now(loop: Loop) -> Loop:
        try:
            made = njit(signature, cache=True, nogil=True, fastmath=reorder)(loop)
        except RuntimeError:  # numba finds no folder that can be written
            made = njit(signature, nogil=True, fastmath=reorder)(loop)
        return cast(Loop, made)

    return compile_now


@compiled("void(float32[::1], int32[::1], int64, float32, int32)")
def _sink(values: FloatArray, rows: IntArray, count: int, value: float, row: int) -> None:
    """Put one in at the top of the heap, in place of what is there: below all that are worse than it."""
    at = 0
    while 2 * at + 1 < count:
        worse, other = 2 * at + 1, 2 * at + 2
        if other < count and (
            values[other] < values[worse] or (values[other] == values[worse] and rows[other] > rows[worse])
        ):
            worse = other
        if values[worse] > value or (values[worse] == value and rows[worse] < row):
            break
        values[at], rows[at] = values[worse], rows[worse]
        at = worse
    values[at], rows[at] = value, row


@compiled("int32[::1](Array(float32, 1, 'C', True), int64, float64)")
def top_rows(scores: FloatArray, k: int, above: float) -> IntArray:
    """At most ``k`` rows of the greatest ``scores`` (rows,) beyond ``above``, the best first; equal ones in row order.

    A heap of the best so far, the worst on top (Williams, "Algorithm 232: Heapsort", Communications of the ACM 7,
    1964): one comparison for a row that is not among them. NaN never is.
    """
    size = min(max(k, 0), scores.size)
    values, rows = np.full(size, -np.inf, np.float32), np.full(size, np.iinfo(np.int32).max, np.int32)
    count, floor = 0, np.float32(above)
    for row in range(scores.size if size else 0):
        if scores[row] > floor:
            _sink(values, rows, size, scores[row], row)
            count += 1
            if count >= size:
                floor = values[0]
    for last in range(size - 1, 0, -1):  # the worst goes behind, until none is left
        value, row = values[last], rows[last]
        values[last], rows[last] = values[0], rows[0]
        _sink(values, rows, last, value, row)
    return rows[: min(count, size)]

"""Loops compiled by numba, kept on disk so that a start does not compile them again; and one that many rooms need."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar

import numpy as np
from numba import njit, types
from numba.extending import typeof_impl

from endcap.types import FloatArray, IntArray

_ON_REQUEST: list[Compiled[..., Any]] = []

Given = ParamSpec("Given")
Found = TypeVar("Found")


class Compiled(Generic[Given, Found]):
    """A loop that is compiled, or read from the disk, when it is first called."""

    def __init__(self, loop: Callable[Given, Found], signature: str, freedom: bool | set[str]) -> None:
        self._loop, self._signature, self._freedom = loop, signature, freedom
        update_wrapper(self, loop)

    def __call__(self, *args: Given.args, **kwargs: Given.kwargs) -> Found:
        found: Found = self.made(*args, **kwargs)
        return found

    @cached_property
    def made(self) -> Any:
        """The machine's own code. Where nothing can be written it is compiled in each process."""
        try:
            return njit(self._signature, cache=True, nogil=True, fastmath=self._freedom)(self._loop)
        except RuntimeError:  # numba finds no folder that can be written
            return njit(self._signature, nogil=True, fastmath=self._freedom)(self._loop)


@typeof_impl.register(Compiled)
def _as_seen_from_another_loop(loop: Compiled[..., object], _: object) -> types.Dispatcher:
    return types.Dispatcher(loop.made)


def compiled(
    signature: str, *, on_request: bool = False, reorder: bool = False, fuse: bool = False
) -> Callable[[Callable[Given, Found]], Compiled[Given, Found]]:
    """Compile a loop for arguments of ``signature``, as numba writes it; it releases the lock of the interpreter.

    Arrays that the loop only reads may come from anywhere, views of bytes too, where the signature says
    ``Array(int32, 1, 'C', True)``. It takes 1 to 10 s, once on a machine. ``on_request``: an answer may need it, so
    ``get_ready`` has it compiled before. ``reorder``: sums may be taken in another order, several numbers at a time,
    always the same on one machine; and no number may be NaN or infinite. ``fuse``: a product may be added without being
    rounded before, but the order stays.
    """

    def wrap(loop: Callable[Given, Found]) -> Compiled[Given, Found]:
        made = Compiled(loop, signature, reorder or ({"contract"} if fuse else False))
        if on_request:
            _ON_REQUEST.append(made)
        return made

    return wrap


def get_ready() -> None:
    """Compile now what answers may need, of the modules that were imported: no request waits for it."""
    for loop in _ON_REQUEST:
        _ = loop.made


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


@compiled("int32[::1](Array(float32, 1, 'C', True), int64, float64)", on_request=True)
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

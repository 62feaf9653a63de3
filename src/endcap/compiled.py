"""Loops compiled by numba, and kept on disk so that a start does not compile them again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit

Loop = TypeVar("Loop", bound=Callable[..., object])


def compiled(signature: str) -> Callable[[Loop], Loop]:
    """Compile a loop for arguments of ``signature``, as numba writes it; releases the lock of the interpreter.

    Arrays that the loop only reads may come from anywhere, views of bytes too, where the signature says
    ``Array(int32, 1, 'C', True)``. Where nothing can be written it is compiled at each start: 1 s.
    """

    def compile_now(loop: Loop) -> Loop:
        try:
            made = njit(signature, cache=True, nogil=True)(loop)
        except RuntimeError:  # numba finds no folder that can be written
            made = njit(signature, nogil=True)(loop)
        return cast(Loop, made)

    return compile_now

"""Texts as one-hot columns of words and of their parts, so that a misspelt or a new word shares most of its columns.

Bojanowski, Grave, Joulin, Mikolov, "Enriching Word Vectors with Subword Information", TACL 5, 2017,
https://doi.org/10.1162/tacl_a_00051, section 3.2: a word is itself and its character n-grams of 3 to 6 letters,
boundaries (``<``, ``>``) among them; columns are numbered by hashing. A model that learns a vector for each column, and
adds them up, is theirs. Chinese and Japanese runs, which have no words, are their characters and pairs of them.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.sparse import csr_array

from endcap.features.text import is_cjk, tokens
from endcap.types import IntArray


class Subwords:
    """Rows of length 1 over hashed columns, by item row; memory is 8 bytes a column of each text.

    Two parts share a column with a chance of one in ``columns``.
    """

    def __init__(self, columns: int = 16_384) -> None:
        self._columns = columns
        self._rows: list[IntArray] = []
        self._version = 0
        self._matrix = csr_array((0, columns), dtype=np.float32)

    @property
    def dim(self) -> int:
        """Columns."""
        return self._columns

    @property
    def version(self) -> int:
        """Grows with each ``set``."""
        return self._version

    @property
    def matrix(self) -> csr_array:
        """(items, columns) float32, unit rows, a zero row where there is no text. For reading only."""
        return self._matrix

    def set(self, rows: Sequence[int], texts: Sequence[str]) -> None:
        """Put ``texts`` at ``rows``, instead of what was there."""
        missing = max(rows, default=-1) + 1 - len(self._rows)
        self._rows.extend([np.empty(0, np.int32)] * missing)
        for row, text in zip(rows, texts, strict=True):
            hashed = {zlib.crc32(part.encode("utf-8", "surrogatepass")) % self._columns for part in parts(text)}
            self._rows[row] = np.array(sorted(hashed), np.int32)
        sizes = np.fromiter(map(len, self._rows), np.int64, len(self._rows))
        values = np.repeat(1.0 / np.sqrt(np.maximum(sizes, 1)), sizes).astype(np.float32)
        columns = np.concatenate([*self._rows, np.empty(0, np.int32)])
        edges = np.concatenate([[0], np.cumsum(sizes)])
        self._matrix = csr_array((values, columns, edges), shape=(len(self._rows), self._columns))
        self._version += 1


def parts(text: str, shortest: int = 3, longest: int = 6) -> Iterator[str]:
    """Each word of ``text`` with its boundaries, and its n-grams; what occurs twice comes twice."""
    for token in tokens(text):
        if is_cjk(token):
            yield from token
            yield from (token[at : at + 2] for at in range(len(token) - 1))
            continue
        word = f"<{token}>"
        yield word
        for length in range(shortest, min(longest, len(word) - 1) + 1):
            yield from (word[at : at + length] for at in range(len(word) - length + 1))

"""Which rows hold which terms, and the TF-IDF cosines that follow from it.

The measure is that of Salton and Buckley, "Term-weighting approaches in automatic text retrieval", 1988, with binary
term frequency and idf = 1 + ln((1 + N) / (1 + df)), as in scikit-learn's smoothed form.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from endcap.types import BoolArray, FloatArray, IntArray

Numbers = NDArray[np.float64]
NONE = np.empty(0, np.int32)


class Postings:
    """An inverted index. Scores depend on what is in it, not on the order in which it came.

    Adding costs the number of terms, and the rows that hold them. The first search after a change renews the lengths
    of all rows (1 ms for 4,000 titles); memory is linear in the terms.
    """

    def __init__(self) -> None:
        self._number: dict[str, int] = {}  # term to its number
        self._postings: list[array[int]] = []  # by term: the rows that hold it, each once
        self._rows: dict[int, IntArray] = {}  # row to the numbers of its terms, in the terms' order
        self._size = 0
        self._lengths: FloatArray | None = None  # (n,) Euclidean length of each row; None after a change
        self.version = 0
        """Grows with each change."""

    def __len__(self) -> int:
        """The highest row that was added, plus one."""
        return self._size

    def add(self, row: int, terms: Sequence[str]) -> None:
        """Puts ``terms``, different and sorted, at ``row`` instead of what was there; the same again is no change."""
        numbers = np.fromiter((self._take_number(term) for term in terms), np.int32, len(terms))
        if row < self._size and np.array_equal(numbers, self._rows.get(row, NONE)):
            return
        self.remove(row)
        self._size = max(self._size, row + 1)
        if not terms:
            return
        for number in numbers.tolist():
            self._postings[number].append(row)
        self._rows[row] = numbers
        self._changed()

    def remove(self, row: int) -> None:
        """Takes the terms of ``row`` away; nothing happens if there are none."""
        numbers = self._rows.pop(row, NONE)
        for number in numbers.tolist():
            self._postings[number].remove(row)
        if numbers.size:
            self._changed()

    def holds(self, term: str) -> bool:
        """Whether a row has ``term``."""
        return term in self._number and len(self._postings[self._number[term]]) > 0

    @property
    def has(self) -> BoolArray:
        """(n,) which rows have any term."""
        found = np.zeros(self._size, np.bool_)
        found[np.fromiter(self._rows, np.int64, len(self._rows))] = True
        return found

    def search(self, terms: Sequence[str]) -> FloatArray:
        """(n,) the cosine of ``terms``, different and sorted, with each row, 0 to 1."""
        numbers = np.array([number for number in (self._number.get(term, -1) for term in terms) if number >= 0], int)
        if not numbers.size:
            return np.zeros(self._size, np.float32)
        unknown = len(terms) - numbers.size  # terms that no row has make the query longer, and so less sure
        found, squares = self._dots(numbers)
        length = np.sqrt(squares + unknown * self._idf(np.zeros(1, np.int64)).item() ** 2)
        cosines: FloatArray = (found / (length * self._row_lengths())).astype(np.float32)
        return cosines

    def like(self, row: int) -> FloatArray:
        """(n,) the cosine of ``row`` with each row, its own included; zeros where it has no term."""
        numbers = self._rows.get(row, NONE)
        if not numbers.size:
            return np.zeros(self._size, np.float32)
        found, squares = self._dots(numbers)
        cosines: FloatArray = (found / (np.sqrt(squares) * self._row_lengths())).astype(np.float32)
        return cosines

    def matrix(self, columns: IntArray, signs: FloatArray, dim: int) -> csr_array:
        """(n, dim) rows of length 1 or nearly so: each term's weight on its column of ``columns``, times its sign."""
        sizes = np.zeros(self._size, np.int64)
        for row, numbers in self._rows.items():
            sizes[row] = numbers.size
        terms = np.concatenate([NONE, *(self._rows[row] for row in sorted(self._rows))])
        weights = (self._all_idf() * signs)[terms] / np.repeat(self._row_lengths(), sizes)
        edges = np.concatenate([[0], np.cumsum(sizes)])
        found = csr_array((weights.astype(np.float32), columns[terms], edges), shape=(self._size, dim))
        found.sum_duplicates()
        return found

    def terms_from(self, first: int) -> list[str]:
        """Terms by number, from ``first`` on; those that no row has any more too."""
        return list(self._number)[first:] if first < len(self._number) else []

    def _dots(self, numbers: NDArray[np.integer]) -> tuple[Numbers, float]:
        """(n,) the dot product of the terms ``numbers`` with each row; and with themselves."""
        held = [self._postings[number] for number in numbers.tolist()]
        counts = np.fromiter(map(len, held), np.int64, len(held))
        weights = self._idf(counts) ** 2
        rows = np.concatenate([np.frombuffer(one, np.int32) for one in held])
        dots = np.bincount(rows, np.repeat(weights, counts), self._size).astype(np.float64, copy=False)
        return dots, float(weights.sum())

    def _take_number(self, term: str) -> int:
        number = self._number.setdefault(term, len(self._postings))
        if number == len(self._postings):
            self._postings.append(array("i"))
        return number

    def _changed(self) -> None:
        self._lengths = None
        self.version += 1

    def _idf(self, counts: NDArray[np.int64]) -> Numbers:
        idf: Numbers = 1.0 + np.log((1.0 + len(self._rows)) / (1.0 + counts))
        return idf

    def _all_idf(self) -> Numbers:
        return self._idf(np.fromiter(map(len, self._postings), np.int64, len(self._postings)))

    def _row_lengths(self) -> FloatArray:
        """(n,), 1 where there is no term, so that it can be divided by."""
        if self._lengths is None:
            lengths = np.ones(self._size, np.float32)
            if self._rows:
                sizes = np.fromiter(map(len, self._rows.values()), np.int64, len(self._rows))
                starts = np.cumsum(sizes) - sizes
                squares = np.add.reduceat((self._all_idf() ** 2)[np.concatenate(list(self._rows.values()))], starts)
                lengths[np.fromiter(self._rows, np.int64, len(self._rows))] = np.sqrt(squares)
            self._lengths = lengths
        return self._lengths

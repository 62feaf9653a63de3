"""What items say in words: series of products, which a pretrained model takes for the same, are told apart by them.

A term is a word without its plural or a Chinese or Japanese character, and two of them side by side: "red mug", "mug
red" and "mugs" have the term "mug", and only the first has "red mug". Plurals go by the S-stemmer of Harman, "How
effective is suffixing?", JASIS 42, 1991.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from itertools import chain, pairwise
from typing import Self

import numpy as np
from scipy.sparse import csr_array

from endcap.catalog.items import Item
from endcap.features.postings import Postings
from endcap.features.text import is_cjk, tokens
from endcap.types import BoolArray, FloatArray

MAX_CHARS = 300
"""Of a text: what an item is stands at its beginning, and memory is linear in the words."""


def terms(text: str) -> list[str]:
    """The different terms of ``text``, sorted; empty where it has no letter and no digit."""
    units = list(
        chain.from_iterable(token if is_cjk(token) else [singular(token)] for token in tokens(text[:MAX_CHARS]))
    )
    return sorted({*units, *(" ".join(pair) for pair in pairwise(units))})


def singular(word: str) -> str:
    """``word`` without the ending of an English plural; a short word stays as it is."""
    if len(word) <= 3 or not word.endswith("s") or word.endswith(("us", "ss")):
        return word
    if word.endswith("ies") and not word.endswith(("eies", "aies")):
        return word[:-3] + "y"
    return word if word.endswith(("aes", "ees", "oes")) else word[:-1]


class WordIndex:
    """The words of the listed items, by row. An item's change costs its own words, and nothing where they are the same.

    A text that names its item like no other weighs more: TF-IDF (see ``Postings``).
    """

    def __init__(self) -> None:
        self._postings = Postings()

    @classmethod
    def of(cls, listed: Iterable[tuple[int, Item]]) -> Self:
        """The index of ``listed`` rows and items."""
        index = cls()
        for row, item in listed:
            index.put(row, item)
        return index

    def put(self, row: int, item: Item | None) -> None:
        """The item at ``row`` is now ``item``; None: it is gone."""
        if item is None:
            self._postings.remove(row)
        else:
            self._postings.add(row, terms(item.text()))

    @property
    def version(self) -> int:
        """Grows when words change."""
        return self._postings.version

    def __len__(self) -> int:
        """The highest row that was put, plus one."""
        return len(self._postings)

    @property
    def has(self) -> BoolArray:
        """(n,) which rows have any word."""
        return self._postings.has

    def like(self, row: int) -> FloatArray:
        """(n,) the cosine of the words at ``row`` with those of each row, its own included."""
        return self._postings.like(row)

    def features(self, columns: int = 4_096) -> WordFeatures:
        """The same as numbers, for what learns from them."""
        return WordFeatures(self._postings, columns)


class WordFeatures:
    """Words as sparse columns, numbered by hashing with a sign (see ``features/attributes.py``). Read when asked for.

    A change of any item's words renews the matrix at the next reading: 2 ms for 4,000 titles.
    """

    def __init__(self, postings: Postings, columns: int) -> None:
        self._postings = postings
        self.dim = columns
        self._columns, self._signs = np.empty(0, np.int32), np.empty(0, np.float32)  # by term
        self._known = -1
        self._matrix = csr_array((0, columns), dtype=np.float32)

    @property
    def version(self) -> int:
        """Changes with the matrix."""
        return self._postings.version

    @property
    def matrix(self) -> csr_array:
        """(items, columns) float32, rows of length 1 but for terms that share a column. For reading only."""
        version = self._postings.version
        if self._known != version:
            fresh = self._postings.terms_from(self._columns.size)
            hashes = np.fromiter((zlib.crc32(term.encode("utf-8", "surrogatepass")) for term in fresh), np.uint32)
            signs = np.where(hashes >> 31, -1.0, 1.0).astype(
                np.float32
            )  # the highest bit; the lowest ones are the place
            self._columns = np.concatenate([self._columns, (hashes % self.dim).astype(np.int32)])
            self._signs = np.concatenate([self._signs, signs])
            self._matrix = self._postings.matrix(self._columns, self._signs, self.dim)
            self._known = version
        return self._matrix

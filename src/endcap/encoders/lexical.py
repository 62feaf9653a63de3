"""Texts to vectors by their letters, where no pretrained model is to be had: it knows no meaning, only spelling.

Feature hashing (Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", 2009) of character n-grams:
each falls on one of the dimensions, with a sign, so that what falls together by chance cancels out on average.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Iterator, Sequence

import numpy as np

from endcap.encoders.reading import readable, unit
from endcap.types import FloatArray

MAX_CHARS = 1_000
_CJK = "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_WORDS = re.compile(rf"[{_CJK}]+|[^\W_{_CJK}]+")
_IS_CJK = re.compile(rf"[{_CJK}]")


class LexicalEncoder:
    """Words and their 3- to 5-grams, Chinese and Japanese characters and pairs of them, on 512 dimensions.

    Titles that are spelt alike are near. The name says what it is: nobody should take it for a model of meaning.
    """

    name = "lexical-ngrams-v1"
    dim = 512

    def load(self) -> None:
        """There is nothing to load."""

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """(n, 512) unit rows; a zero row where there is no letter and no digit."""
        vectors = np.zeros((len(texts), self.dim), np.float32)
        for row, text in enumerate(texts):
            hashes = np.fromiter((zlib.crc32(gram.encode()) for gram in _grams(text)), np.uint32)
            signs = np.where(hashes >> 31, -1.0, 1.0)  # the highest bit; the lowest ones are the place
            counts = np.bincount(hashes % self.dim, weights=signs, minlength=self.dim)
            vectors[row] = unit(counts.astype(np.float64))
        return vectors


def _grams(text: str) -> Iterator[str]:
    whole = unicodedata.normalize("NFKC", readable(text, MAX_CHARS))[:MAX_CHARS].casefold()
    for word in _WORDS.findall(whole):
        if _IS_CJK.match(word):
            yield from word
            yield from (word[i : i + 2] for i in range(len(word) - 1))
            continue
        padded = f"<{word}>"
        yield padded
        yield from (padded[i : i + n] for n in (3, 4, 5) for i in range(len(padded) - n + 1) if n < len(padded))

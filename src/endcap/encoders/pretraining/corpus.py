"""Texts as the numbers of their word pieces: cut once, then only looked up."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from endcap.nn.devices import Batch
from endcap.types import BoolArray, IntArray


@dataclass(frozen=True, slots=True)
class Marks:
    """The numbers of the pieces that are no words."""

    pad: int
    unknown: int
    begin: int
    end: int
    mask: int
    """``unknown`` where a tokenizer has none."""

    @property
    def all(self) -> tuple[int, ...]:
        """Those that a text is not made of; an unknown piece is a piece of it."""
        return (self.pad, self.begin, self.end)

    def names(self, tokenizer: Tokenizer) -> dict[str, str]:
        """As ``tokenizer_config.json`` calls them."""
        said = {"pad": self.pad, "unk": self.unknown, "cls": self.begin, "sep": self.end, "mask": self.mask}
        return {f"{name}_token": str(tokenizer.id_to_token(number)) for name, number in said.items()}


@dataclass(frozen=True, slots=True)
class Corpus:
    """n texts as ids, one behind the other."""

    ids: IntArray
    """(tokens,)"""
    starts: NDArray[np.int64]
    """(n + 1,): text i is ``ids[starts[i]:starts[i + 1]]``."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> IntArray:
        """(n,) tokens of each text."""
        return np.diff(self.starts).astype(np.int32)

    @property
    def digest(self) -> str:
        """Of the ids and of where texts end."""
        return hashlib.blake2b(self.ids.tobytes() + self.starts.tobytes(), digest_size=16).hexdigest()

    def text(self, row: int) -> IntArray:
        """The ids of one text."""
        return self.ids[self.starts[row] : self.starts[row + 1]]

    def take(self, rows: IntArray) -> Corpus:
        """Some of the texts."""
        return Corpus(
            np.concatenate([np.empty(0, np.int32), *(self.text(row) for row in rows)]),
            np.cumsum([0, *self.lengths[rows]]),
        )

    def padded(self, rows: IntArray, pad: int) -> IntArray:
        """(rows, longest of them), filled up with ``pad`` behind."""
        lengths = self.lengths[rows]
        found = np.full((rows.size, max(int(lengths.max(initial=0)), 1)), pad, np.int32)
        found[np.arange(found.shape[1]) < lengths[:, None]] = np.concatenate([self.text(row) for row in rows])
        return found


def tokenize(tokenizer: Tokenizer, texts: Sequence[str], max_tokens: int, marks: bool = True) -> Corpus:
    """``texts`` in the pieces of ``tokenizer``, each cut to ``max_tokens``; with its marks of beginning and end."""
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    encoded = tokenizer.encode_batch_fast(list(texts), add_special_tokens=marks)
    starts = np.cumsum([0, *(len(one.ids) for one in encoded)])
    return Corpus(np.concatenate([np.array(one.ids, np.int32) for one in encoded] or [np.empty(0, np.int32)]), starts)


def as_batch(ids: IntArray, pad: int, **more: NDArray[np.generic]) -> Batch:
    """What a body reads: ``ids`` and ``attention`` (n, tokens); and ``more``."""
    arrays = {"ids": ids.astype(np.int64), "attention": (ids != pad).astype(np.int64), **more}
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


def in_length_order(corpus: Corpus, size: int) -> Iterator[IntArray]:
    """All rows, those of one length together, ``size`` at a time: what has nothing to draw is fastest so."""
    order = np.argsort(corpus.lengths, kind="stable").astype(np.int32)
    for start in range(0, order.size, size):
        yield order[start : start + size]


def held_out(texts: Sequence[str], share: float, seed: int) -> BoolArray:
    """(n,) which texts are kept from training: about ``share`` of them, by a hash, so that equal texts go together."""
    salt = seed.to_bytes(8, "little")
    digests = [hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8, salt=salt).digest() for text in texts]
    return np.array([int.from_bytes(digest, "little") < share * 2**64 for digest in digests], np.bool_)

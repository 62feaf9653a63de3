"""Text augmentation: other texts of the same meaning, for training where texts are few.

Synonym replacement, random deletion and random swap are three of the four operations of EDA (Wei and Zou, "EDA: easy
data augmentation", EMNLP 2019); its fourth, insertion, adds words that the product does not have. Back-translation is
that of Sennrich, Haddow and Birch, ACL 2016, through whatever translates.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

import numpy as np

from endcap.features.text import tokens
from endcap.protocols import Encoder

Synonyms = Callable[[str], Sequence[str]]
"""Other words for a word in lower case; none where none is known."""
_WORD = re.compile(r"\w+")


class Translator(Protocol):
    """Any machine translation."""

    def translate(self, texts: Sequence[str], source: str, target: str) -> Sequence[str]:
        """``texts`` in the language ``target``; languages by their ISO 639-1 codes."""
        ...


@dataclass(frozen=True, slots=True)
class Rewording:
    """What is done to a text, in this order: back-translation, synonyms, deletion, swap. By default nothing."""

    synonyms: Synonyms | None = None
    replaced: float = 0.2
    """Of the words that have a synonym, the share that is replaced."""
    deleted: float = 0.0
    """Probability of each word to be left out; one always stays."""
    swapped: float = 0.0
    """Share of the words that change places with another one."""
    translator: Translator | None = None
    language: str = "en"
    through: str = "zh"
    """The language on the way of a back-translation."""

    def reworded(self, texts: Sequence[str], random: Random) -> list[str]:
        """One other text for each of ``texts``; a text without words stays as it is."""
        if self.translator is not None:
            there = self.translator.translate(texts, self.language, self.through)
            texts = self.translator.translate(there, self.through, self.language)
        return [self._changed(text, random) for text in texts]

    def _changed(self, text: str, random: Random) -> str:
        if self.synonyms is not None:
            text = _WORD.sub(lambda found: self._other(found.group(), random), text)
        words = text.split()
        if not words or not (self.deleted or self.swapped):
            return text
        kept = [word for word in words if random.random() >= self.deleted] or [random.choice(words)]
        for _ in range(round(self.swapped * len(kept) / 2)):
            one, other = random.randrange(len(kept)), random.randrange(len(kept))
            kept[one], kept[other] = kept[other], kept[one]
        return " ".join(kept)

    def _other(self, word: str, random: Random) -> str:
        known = self.synonyms(word.lower()) if self.synonyms is not None else ()
        if not known or random.random() >= self.replaced:
            return word
        other = random.choice(list(known))
        return other.upper() if word.isupper() and len(word) > 1 else other


@dataclass(frozen=True, slots=True)
class NearWords:
    """Synonyms from the embedding: the nearest words of the texts themselves.

    They are near in meaning, not always the same: opposites and sizes are near too, so ``least`` is high. Where there
    is a table of synonyms it is better.
    """

    nearest: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, texts: Sequence[str], encoder: Encoder[str], *, least: float = 0.6, most: int = 3) -> NearWords:
        """Encodes every different word of letters of ``texts`` once; compares them all, in blocks.

        ``least``: the cosine from which a word is near; ``most``: near words that are kept.
        """
        words = sorted({word for text in texts for word in tokens(text) if word.isalpha() and len(word) > 2})
        vectors = encoder.encode(words)
        nearest: dict[str, list[str]] = {}
        for start in range(0, len(words), 512):
            cosines = vectors[start : start + 512] @ vectors.T  # (block, words)
            for row, line in enumerate(cosines, start):
                line[row] = 0.0
                best = np.argsort(-line, kind="stable")[:most]
                found = [words[at] for at in best if line[at] >= least and not _same_stem(words[row], words[at])]
                if found:
                    nearest[words[row]] = found
        return cls(nearest)

    def __call__(self, word: str) -> Sequence[str]:
        return self.nearest.get(word, ())


def _same_stem(one: str, other: str) -> bool:
    """A plural or an ending is no other word."""
    short, long = sorted((one, other), key=len)
    return long.startswith(short) and len(long) - len(short) <= 2  # letters

"""Letters instead of meaning: a TF-IDF index of character n-grams, which a typing mistake damages only in part.

Words are cut into 3-grams with their boundaries (``" re", "red", "ed "``); Chinese and Japanese runs, which have no
word boundaries, into characters and pairs of them. A word of the query that no text has can be exchanged for the
commonest one that is a letter away (Garbe's symmetric deletes, 2012).
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterable

from endcap.features.postings import Postings
from endcap.types import FloatArray

MAX_CHARS = 1_000
"""A text is cut to this many characters."""

MAX_WORD = 30
"""A longer word has no mistyped forms."""

_CJK = "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_TOKENS = re.compile(rf"[{_CJK}]+|[^\W_{_CJK}]+")
_IS_CJK = re.compile(rf"[{_CJK}]")


def tokens(text: str) -> list[str]:
    """Words and unbroken Chinese or Japanese runs of ``text``, in order, without case."""
    return _TOKENS.findall(unicodedata.normalize("NFKC", text[:MAX_CHARS])[:MAX_CHARS].casefold())


def is_cjk(token: str) -> bool:
    """Whether ``token``, one of ``tokens``, is a run of Chinese or Japanese characters."""
    return _IS_CJK.match(token) is not None


def ngrams(text: str) -> list[str]:
    """The different n-grams of ``text``, sorted; empty where it has no letter and no digit."""
    grams: set[str] = set()
    for token in tokens(text):
        if is_cjk(token):
            grams.update(token)
            grams.update(token[i : i + 2] for i in range(len(token) - 1))
        else:
            padded = f" {token} "
            grams.update(padded[i : i + 3] for i in range(len(padded) - 2))
    return sorted(grams)


class Spelling:
    """The words of the texts, and which of them a mistyped word was meant to be.

    Memory and time grow with the letters of the different words: two words are near if they are equal after at most
    one letter is left out of each, which covers a letter too many, too few, wrong, or moved.
    """

    def __init__(self, min_letters: int = 4) -> None:
        self._min_letters = min_letters
        self._texts: dict[str, int] = {}  # word to the number of texts that have it
        self._near: dict[str, list[str]] = {}  # word without one letter, or whole, to such words

    def add(self, words: Iterable[str]) -> None:
        """Takes in the different words of one text."""
        for word in words:
            self._texts[word] = self._texts.get(word, 0) + 1
            if self._texts[word] == 1:
                for key in _deletes(word):
                    self._near.setdefault(key, []).append(word)

    def remove(self, words: Iterable[str]) -> None:
        """Takes out what ``add`` took in."""
        for word in words:
            self._texts[word] -= 1
            if self._texts[word] == 0:
                del self._texts[word]
                for key in _deletes(word):
                    self._near[key].remove(word)
                    if not self._near[key]:
                        del self._near[key]

    def knows(self, word: str) -> bool:
        """Whether a text has it."""
        return word in self._texts

    def corrected(self, word: str) -> str:
        """The commonest word that is near to ``word``; itself if it is known, short, has a digit, or none is near."""
        if word in self._texts or len(word) < self._min_letters or not word.isalpha() or is_cjk(word):
            return word
        near = {other for key in _deletes(word) for other in self._near.get(key, ())}
        return min(near, key=lambda other: (-self._texts[other], other), default=word)


def _deletes(word: str) -> set[str]:
    if len(word) > MAX_WORD:
        return {word}
    return {word, *(word[:i] + word[i + 1 :] for i in range(len(word)))}


class NgramIndex:
    """Which rows hold which n-gram (see ``Postings``), and which words there are to mend others with."""

    def __init__(self) -> None:
        self._grams = Postings()
        self._words: dict[int, set[str]] = {}
        self._spelling = Spelling()

    def add(self, row: int, text: str) -> None:
        """Puts ``text`` at ``row``, instead of what was there."""
        words = {sys.intern(word) for word in tokens(text)}
        self._grams.add(row, ngrams(text))
        if words != self._words.get(row, set()):
            self._spelling.remove(self._words.pop(row, ()))
            self._spelling.add(words)
            self._words[row] = words

    def remove(self, row: int) -> None:
        """Takes the text of ``row`` away; nothing happens if there is none."""
        self._grams.remove(row)
        self._spelling.remove(self._words.pop(row, ()))

    def knows(self, token: str) -> bool:
        """Whether a text has ``token`` (see ``tokens``); of a Chinese or Japanese run, each of its characters."""
        return all(map(self._grams.holds, token)) if is_cjk(token) else self._spelling.knows(token)

    def corrected(self, text: str) -> str:
        """``text`` with the words that no title has exchanged for near ones; itself if there is nothing to mend."""
        typed = tokens(text)
        mended = [self._spelling.corrected(word) for word in typed]
        return text if mended == typed else " ".join(mended)

    def search(self, text: str) -> FloatArray:
        """(n,) cosine of ``text`` with the text of each row, 0 to 1; n is the highest row that was added, plus one."""
        return self._grams.search(ngrams(text))

    def __len__(self) -> int:
        return len(self._grams)

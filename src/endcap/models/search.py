"""Search: what was typed against every item, by meaning and by letters.

Meaning (the cosine of sentence vectors) finds "timepiece" under clocks and Chinese words under English titles;
letters (the n-gram index, over the text as typed and as mended) forgive typing mistakes and know the shop's own names.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from endcap.encoders.cache import ItemVectors
from endcap.features.text import NgramIndex
from endcap.types import FloatArray, Query, Ranking, Vocabulary

EXACT_SCORE = 2.0
"""The score of the item whose id was typed; any other is at most 1."""


@dataclass(frozen=True, slots=True)
class SearchConfig:
    """How meaning and letters meet. Chosen on the demo's 3,890 titles; tests/unit/models/test_search_quality.py."""

    mended: float = 0.8
    """A match of mended letters counts so much of one as typed: "lamb" may be a lamp, or a lamb."""
    meaning: float = 0.5
    """Share of the meaning in the score; the rest is letters. More loses mistyped titles, less loses paraphrases."""
    meaning_floor: float = 0.5
    """Random letters come nearer than this to some title in 2 cases of 100; words that fit do in all."""
    letters_floor: float = 0.25
    """Random letters do not come nearer than this; of mistyped titles 99 in 100 do."""


class Search:
    """Ranks items for ``query.text`` and its ``query.vector``, which the caller encodes; no vector: letters alone.

    An item that reaches neither floor is not proposed: an empty list is better than noise. An item id, typed as it
    is or in upper or lower case, comes first. One product with the matrix: 0.4 ms for 4,000 items.
    """

    def __init__(
        self,
        vectors: ItemVectors,
        index: NgramIndex,
        items: Vocabulary,
        config: SearchConfig | None = None,
        floor: float | None = None,
    ) -> None:
        """``floor``: the cosine that says nothing with the encoder of ``vectors``, by default ``meaning_floor``."""
        self._vectors = vectors
        self._index = index
        self._items = items
        self.config = config or SearchConfig()
        floor = self.config.meaning_floor if floor is None else floor
        self._scale = (1.0 - self.config.meaning_floor) / (1.0 - floor)

    def recommend(self, query: Query, k: int) -> Ranking:
        return Ranking.top(self.scores(query), k, above=0.0)

    def scores(self, query: Query) -> FloatArray:
        text = query.text.strip()
        if not text:
            return np.empty(0, np.float32)
        exact = self._row_of(text)
        scores = self._scores(text, query.vector, exact + 1)
        if exact >= 0:
            scores[exact] = EXACT_SCORE
        return scores

    def _row_of(self, text: str) -> int:
        return max(self._items.row(text), self._items.row(text.upper()), self._items.row(text.lower()))

    def _scores(self, text: str, vector: FloatArray | None, at_least: int) -> FloatArray:
        """(n_items,), 0 where neither floor is reached."""
        letters, config = self._letters(text), self.config
        size = max(letters.size, len(self._vectors), at_least)
        letters = _widened(letters, size)
        if vector is None:
            return np.where(letters >= config.letters_floor, letters, np.float32(0.0))
        # On the scale on which meaning_floor and the blend were chosen: that of the built-in encoder.
        meaning = _widened(1.0 - self._scale * (1.0 - self._vectors.matrix @ vector), size)
        np.clip(meaning, 0.0, 1.0, out=meaning)
        found = (meaning >= config.meaning_floor) | (letters >= config.letters_floor)
        blend = config.meaning * meaning + (1.0 - config.meaning) * letters
        return np.where(found, blend, np.float32(0.0)).astype(np.float32)

    def _letters(self, text: str) -> FloatArray:
        typed, mended = self._index.search(text), self._index.corrected(text)
        return typed if mended == text else np.maximum(typed, self.config.mended * self._index.search(mended))


def _widened(scores: FloatArray, size: int) -> FloatArray:
    wide = np.zeros(size, np.float32)
    wide[: scores.size] = scores
    return wide

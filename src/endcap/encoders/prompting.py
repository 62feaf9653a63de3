"""The words of a catalogue that a listener should expect: what speech recognition is helped by."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_WORDS = re.compile(rf"[{_CJK}]{{2,6}}(?![{_CJK}])|[^\W\d_{_CJK}]{{3,}}")
LAST = 3
"""How often a word counts where it ends a title: English names a thing last, and says how it is before."""
WORDS_OF_TITLES = 120
"""As long as all titles together have so few words, they are expected as they stand: a menu, not a warehouse."""
COMMON = frozenset({"and", "for", "from", "the", "with", "without", "set", "pack", "assorted"})
"""Words of many titles that say nothing of the thing."""


def telling_words(titles: Iterable[str], most: int = 200) -> list[str]:
    """At most ``most`` words of ``titles``, the most telling first; the titles themselves where they are few.

    A word is telling where many different titles have it, and more so where it ends them. Costs 10 ms for 4,000.
    """
    different = list(dict.fromkeys(title.strip().lower() for title in titles if title.strip()))
    if sum(len(title.split()) for title in different[: WORDS_OF_TITLES + 1]) <= WORDS_OF_TITLES:
        return different[:most]
    counts: Counter[str] = Counter()
    for title in different:
        words = _WORDS.findall(title)
        counts.update({word: 1 for word in words if word not in COMMON})
        if words and words[-1] not in COMMON:
            counts[words[-1]] += LAST - 1
    return sorted(counts, key=lambda word: (-counts[word], word))[:most]

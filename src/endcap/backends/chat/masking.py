"""What somebody typed, without what may say who they are: e-mail addresses, numbers, ids of known people.

A name is not known to be one: what is logged may hold it, as a shop's own log of searches does.
"""

from __future__ import annotations

import re
from collections.abc import Callable

EMAIL, NUMBER, ID = "[e-mail]", "[number]", "[id]"
LONG_DIGITS = 6
"""A number of so many digits may be a telephone's, an order's or a card's; "12 mugs" is not."""

_EMAIL = re.compile(r"[^\s@,;:<>()]+@[^\s@,;:<>()]+")
_NUMBER = re.compile(r"\d(?:[\s./()+-]{0,2}\d)*")
_WORD = re.compile(r"\S+")


def masked(text: str, known: Callable[[str], bool]) -> str:
    """``text`` with a word for each thing that may be personal. ``known``: whether a word is somebody's id."""
    text = _EMAIL.sub(EMAIL, text)
    text = _WORD.sub(lambda word: ID if known(word[0]) else word[0], text)
    return _NUMBER.sub(NUMBER, text)


def personal(text: str, known: Callable[[str], bool]) -> bool:
    """Whether ``text`` holds an e-mail address, a long number or an id: nobody else is to read it."""
    if _EMAIL.search(text) or any(known(word) for word in (text.strip(), *_WORD.findall(text))):
        return True
    return any(sum(map(str.isdigit, number)) >= LONG_DIGITS for number in _NUMBER.findall(text))

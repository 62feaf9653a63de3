"""One plain sentence for why an item is shown, from the part that weighs most in its score."""

from __future__ import annotations

from typing import Literal

Language = Literal["en", "zh"]

_SENTENCES: dict[str, dict[Language, str]] = {
    "session_knn": {"en": "Chosen by others on a visit like yours", "zh": "与您浏览相似的顾客选择了它"},
    "itemknn": {"en": "Often bought by people who chose “{item}”", "zh": "选择“{item}”的顾客常买"},
    "als": {"en": "Fits your taste", "zh": "符合您的喜好"},
    "content": {"en": "Similar to “{item}”", "zh": "与“{item}”相似"},
    "bought_together": {"en": "Often bought together with “{item}”", "zh": "常与“{item}”一起购买"},
    "trending": {"en": "In demand this week", "zh": "本周热门"},
    "popular": {"en": "A favourite of many", "zh": "广受欢迎"},
    "buy_again": {"en": "You may need it again by now", "zh": "您可能又需要它了"},
    "search": {"en": "Matches “{item}”", "zh": "与“{item}”匹配"},
}
_WITHOUT_ITEM: dict[str, dict[Language, str]] = {
    "itemknn": {"en": "Often bought by people with your taste", "zh": "与您喜好相近的顾客常买"},
    "content": {"en": "Similar to what you looked at", "zh": "与您看过的商品相似"},
    "bought_together": {"en": "Often bought together", "zh": "常一起购买"},
}
NAMES_AN_ITEM = frozenset(_WITHOUT_ITEM)
"""Parts whose sentence names an item of the history, where one speaks for it."""
_PLAIN: dict[Language, str] = {"en": "Part of the catalogue", "zh": "店内商品"}


def reason(part: str | None, item: str | None, language: Language) -> str:
    """The sentence for ``part``, the name of the model that weighs most (None: none does).

    ``item`` is the title, or the query, that the part rests on; None where there is no single one.
    """
    if part is None:
        return _PLAIN[language]
    sentences = _SENTENCES if item is not None or part not in _WITHOUT_ITEM else _WITHOUT_ITEM
    sentence = sentences.get(part, {}).get(language, _PLAIN[language])
    return sentence.format(item=quiet(item or ""))


def quiet(title: str) -> str:
    """A title in sentence case where the shop shouts."""
    return title.capitalize() if title.isupper() else title

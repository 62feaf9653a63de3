"""One plain sentence for why an item is shown, from the part that weighs most in its score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Language = Literal["en", "zh"]

_SENTENCES: dict[str, dict[Language, str]] = {
    "session_knn": {"en": "Chosen by others on a visit like yours", "zh": "浏览与您相似的顾客也选择了它"},
    "itemknn": {"en": "Often bought by people who chose “{item}”", "zh": "选择“{item}”的顾客常买"},
    "als": {"en": "Fits your taste", "zh": "符合您的喜好"},
    "bpr": {"en": "Ranks high for your taste", "zh": "在您的喜好中排名靠前"},
    "transitions": {"en": "Often chosen after “{item}”", "zh": "选择“{item}”之后常选"},
    "ease": {"en": "Goes with “{item}”", "zh": "与“{item}”相配"},
    "structured": {"en": "Of a kind that you like", "zh": "属于您喜欢的类型"},
    "sasrec": {"en": "Follows from what you chose last", "zh": "承接您最近的选择"},
    "gru": {"en": "Continues the way you choose", "zh": "延续您的选购思路"},
    "lstm": {"en": "Continues what you have chosen so far", "zh": "延续您至今的选择"},
    "caser": {"en": "Follows from your last few choices", "zh": "承接您最近的几次选择"},
    "two_tower": {"en": "Close to what you choose on the whole", "zh": "贴近您的整体选择"},
    "content": {"en": "Similar to “{item}”", "zh": "与“{item}”相似"},
    "bought_together": {"en": "Often bought together with “{item}”", "zh": "常与“{item}”一起购买"},
    "projection": {"en": "Goes with what you chose", "zh": "与您选过的商品相配"},
    "trending": {"en": "In demand this week", "zh": "本周热门"},
    "popular": {"en": "A favourite of many", "zh": "广受欢迎"},
    "buy_again": {"en": "You may need it again by now", "zh": "您可能又需要它了"},
    "photo": {"en": "Looks like your photo", "zh": "与您的照片相似"},
    "search": {"en": "Matches “{item}”", "zh": "与“{item}”匹配"},
}
_WITHOUT_ITEM: dict[str, dict[Language, str]] = {
    "transitions": {"en": "Often chosen next", "zh": "接下来常选"},
    "ease": {"en": "Goes with what you looked at", "zh": "与您看过的商品相配"},
    "itemknn": {"en": "Often bought by people with your taste", "zh": "与您喜好相近的顾客常买"},
    "content": {"en": "Similar to what you looked at", "zh": "与您看过的商品相似"},
    "bought_together": {"en": "Often bought together", "zh": "常一起购买"},
}
NAMES_AN_ITEM = frozenset(_WITHOUT_ITEM)
"""Parts whose sentence names an item of the history, where one speaks for it."""
_PLAIN: dict[Language, str] = {"en": "Part of the catalogue", "zh": "店内商品"}


PLAIN = "plain"
"""The sentence where no model speaks for the item."""
WITHOUT_ITEM = ".without_item"
"""After the name of a part: its sentence where no single item speaks."""


def sentences() -> dict[str, dict[Language, str]]:
    """Every sentence by its name: that of its part, with ``.without_item`` where it names none; and ``plain``."""
    without = {name + WITHOUT_ITEM: said for name, said in _WITHOUT_ITEM.items()}
    return {**_SENTENCES, **without, PLAIN: _PLAIN}


def reason(
    part: str | None,
    item: str | None,
    language: Language,
    wording: Mapping[str, Mapping[str, str]] | None = None,
) -> str:
    """The sentence for ``part``, the name of the model that weighs most (None: none does).

    ``item`` is the title, or the query, that the part rests on; None where there is no single one. ``wording``: the
    shop's own sentences by language and name, for those that it has.
    """
    name = PLAIN if part is None or part not in _SENTENCES else part
    if item is None and name in _WITHOUT_ITEM:
        name += WITHOUT_ITEM
    own = (wording or {}).get(language, {}).get(name)
    return (own or _BY_NAME[name][language]).replace("{item}", quiet(item or ""))


def quiet(title: str) -> str:
    """A title in sentence case where the shop shouts."""
    return title.capitalize() if title.isupper() else title


_BY_NAME = sentences()

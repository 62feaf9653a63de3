"""Reasons: a plain sentence in each language for every part that the shop is wired with."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.shops import reading

from endcap import wiring
from endcap.config import Config, StateConfig
from endcap.encoders.cache import VectorStore
from endcap.explain.why import Language, reason
from endcap.serving.contents import Contents
from endcap.state.fold import State

LANGUAGES: tuple[Language, ...] = ("en", "zh")
PARTS = (
    "als",
    "bought_together",
    "bpr",
    "buy_again",
    "caser",
    "content",
    "ease",
    "gru",
    "itemknn",
    "lstm",
    "photo",
    "popular",
    "projection",
    "sasrec",
    "search",
    "session_knn",
    "structured",
    "transitions",
    "trending",
    "two_tower",
)
NAMES_THE_ITEM = ("bought_together", "content", "ease", "itemknn", "search", "transitions")


def test_these_are_the_parts_that_the_shop_is_wired_with(store: VectorStore) -> None:
    contents = Contents(reading(store))
    state = State(StateConfig())
    model = wiring.serving_model(state, contents, Config(), Path(), wiring.UNTRAINED)
    wired = {name for blend in model.proposers.values() for name in blend.weights}
    wired |= wiring.blend_members(state, contents.vectors, Config().train).keys()
    assert wired | {"photo"} == set(PARTS)  # that one only where pictures are looked at


def is_chinese(sentence: str) -> bool:
    return any("\u4e00" <= letter <= "\u9fff" for letter in sentence)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("item", ["Tea pot", None])
def test_every_part_has_a_sentence_of_its_own(language: Language, item: str | None) -> None:
    sentences = [reason(part, item, language) for part in (*PARTS, None)]
    assert len(set(sentences)) == len(sentences)
    for sentence in sentences:
        assert is_chinese(sentence) == (language == "zh")
        assert "{" not in sentence


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("part", PARTS)
def test_the_item_is_named_where_the_part_rests_on_one(language: Language, part: str) -> None:
    named = reason(part, "Tea pot", language)
    assert ("Tea pot" in named) == (part in NAMES_THE_ITEM)
    if part != "search":  # a search has its query
        assert "“" not in reason(part, None, language)


@pytest.mark.parametrize(
    ("part", "item", "language", "sentence"),
    [
        ("content", "Tea pot", "en", "Similar to “Tea pot”"),
        ("content", "茶壶", "zh", "与“茶壶”相似"),
        ("content", None, "en", "Similar to what you looked at"),
        ("bought_together", None, "zh", "常一起购买"),
        ("search", "kettle", "en", "Matches “kettle”"),
        ("trending", "Tea pot", "en", "In demand this week"),
        (None, "Tea pot", "en", "Part of the catalogue"),
        (None, None, "zh", "店内商品"),
    ],
)
def test_sentences(part: str | None, item: str | None, language: Language, sentence: str) -> None:
    assert reason(part, item, language) == sentence


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_part_that_has_no_words_is_part_of_the_catalogue(language: Language) -> None:
    assert reason("a model of tomorrow", "Tea pot", language) == reason(None, None, language)


def test_a_title_that_shouts_is_quieted_and_others_are_left() -> None:
    assert reason("content", "WHITE T-LIGHT HOLDER", "en") == "Similar to “White t-light holder”"
    assert reason("content", "iPhone USB", "en") == "Similar to “iPhone USB”"
    assert reason("content", "茶壶", "en") == "Similar to “茶壶”"


def test_braces_in_a_title_are_only_letters() -> None:
    assert reason("content", "{item} {0} set", "en") == "Similar to “{item} {0} set”"

"""Words against the definition of TF-IDF, computed slowly over dictionaries."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from endcap.catalog.items import Item
from endcap.features.words import WordIndex, singular, terms

TEXTS = ["RED MUGS", "red retrospot mug", "Wall clock", "\u7ea2\u8272\u676f\u5b50", "...", "mug red red mug", "clock"]


def item(text: str) -> Item:
    return Item("id", text)


def index_of(texts: list[str]) -> WordIndex:
    return WordIndex.of((row, item(text)) for row, text in enumerate(texts))


def slow_cosine(one: str, other: str, texts: list[str]) -> float:
    filled = [set(terms(text)) for text in texts if terms(text)]

    def squares(held: set[str]) -> float:
        return sum((1 + math.log((1 + len(filled)) / (1 + sum(term in text for text in filled)))) ** 2 for term in held)

    first, second = set(terms(one)), set(terms(other))
    return squares(first & second) / math.sqrt(squares(first) * squares(second)) if first & second else 0.0


def test_terms_are_words_without_their_plural_and_pairs_of_them() -> None:
    assert terms("Red MUGS, red!") == ["mug", "mug red", "red", "red mug"]
    assert terms("\u7ea2\u8272 2 cups") == sorted(
        ["\u7ea2", "\u8272", "2", "cup", "\u7ea2 \u8272", "\u8272 2", "2 cup"]
    )
    assert terms("...") == []
    assert terms("word " * 500) == ["word", "word word"]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("mugs", "mug"),
        ("berries", "berry"),
        ("boxes", "boxe"),
        ("glass", "glass"),
        ("bus", "bus"),
        ("shoes", "shoes"),
        ("as", "as"),
    ],
)
def test_the_plural_goes_by_the_s_stemmer(word: str, expected: str) -> None:
    assert singular(word) == expected


@pytest.mark.parametrize("row", range(len(TEXTS)))
def test_likeness_equals_the_definition(row: int) -> None:
    expected = [slow_cosine(TEXTS[row], other, TEXTS) for other in TEXTS]
    np.testing.assert_allclose(index_of(TEXTS).like(row), expected, rtol=1e-5, atol=1e-7)


def test_columns_hold_the_same_cosines() -> None:
    index = index_of(TEXTS)
    features = index.features(1 << 16)  # wide enough that no two terms share a column
    rows = features.matrix.toarray()
    assert rows.shape == (len(TEXTS), 1 << 16)
    np.testing.assert_allclose(rows @ rows.T, [index.like(row) for row in range(len(TEXTS))], atol=1e-5)


def test_columns_follow_a_change() -> None:
    index = index_of(TEXTS)
    features = index.features(64)
    before, version = features.matrix.toarray(), features.version
    index.put(2, item("a new word"))
    assert features.version > version
    np.testing.assert_allclose(
        features.matrix.toarray(), index_of([*TEXTS[:2], "a new word", *TEXTS[3:]]).features(64).matrix.toarray()
    )
    assert not np.array_equal(features.matrix.toarray(), before)


def test_what_says_the_same_again_changes_nothing() -> None:
    index = index_of(TEXTS)
    version = index.version
    index.put(0, Item("id", "red mugs", price=9.5))
    index.put(4, item("!"))
    index.put(4, None)
    assert index.version == version


@given(st.lists(st.tuples(st.integers(0, 6), st.sampled_from([*TEXTS, None])), max_size=30))
def test_changes_in_any_order_equal_a_fresh_index(changes: list[tuple[int, str | None]]) -> None:
    index, now = WordIndex(), dict[int, str]()
    for row, text in changes:
        index.put(row, None if text is None else item(text))
        now.pop(row, None)
        if text is not None:
            now[row] = text
    fresh = WordIndex.of((row, item(text)) for row, text in now.items())
    assert index.has[: len(fresh)].tolist() == fresh.has.tolist()
    assert not index.has[len(fresh) :].any()
    order = random.Random(len(changes)).sample(sorted(now), len(now))
    for row in order:
        np.testing.assert_array_equal(index.like(row)[: len(fresh)], fresh.like(row))


def test_an_empty_index_answers() -> None:
    assert WordIndex().like(3).shape == (0,)
    assert WordIndex().features(8).matrix.shape == (0, 8)

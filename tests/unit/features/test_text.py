"""The n-gram index against its definition, computed slowly over dictionaries."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from endcap.features.text import MAX_WORD, NgramIndex, Spelling, ngrams

TEXTS = ["RED MUG", "red retrospot mug", "Wall clock", "红色杯子", "", "mug mug mug", "café tray"]


def slow_cosine(query: str, text: str, texts: list[str]) -> float:
    """The definition: vectors of idf over n-grams, only texts that have an n-gram counted."""
    filled = [set(ngrams(other)) for other in texts if ngrams(other)]

    def idf(gram: str) -> float:
        return 1 + math.log((1 + len(filled)) / (1 + sum(gram in grams for grams in filled)))

    def length(grams: list[str]) -> float:
        return math.sqrt(sum(idf(gram) ** 2 for gram in grams))

    shared = set(ngrams(query)) & set(ngrams(text))
    return sum(idf(gram) ** 2 for gram in shared) / (length(ngrams(query)) * length(ngrams(text))) if shared else 0.0


def index_of(texts: list[str]) -> NgramIndex:
    index = NgramIndex()
    for row, text in enumerate(texts):
        index.add(row, text)
    return index


def test_words_are_cut_with_their_boundaries() -> None:
    assert ngrams("Red, a!") == [" a ", " re", "ed ", "red"]


def test_chinese_runs_are_cut_into_characters_and_pairs() -> None:
    assert ngrams("红色杯") == sorted(["红", "色", "杯", "红色", "色杯"])
    assert ngrams("红mug") == sorted(["红", " mu", "mug", "ug "])


@pytest.mark.parametrize("text", ["", "  ", "...", "🎄", "\ud83d", "\x00"])
def test_text_without_letters_has_no_ngrams(text: str) -> None:
    assert ngrams(text) == []


def test_wide_letters_accents_and_case_are_folded() -> None:
    assert ngrams("\uff32\uff25\uff24") == ngrams("red")
    assert ngrams("cafe\u0301") == ngrams("CAFÉ")


def test_a_text_is_cut_even_if_its_letters_unfold() -> None:
    assert len(ngrams("ﷺ" * 5_000)) < 1_000
    assert ngrams("abc " * 250 + "zebra") == ngrams("abc")


@pytest.mark.parametrize("query", ["red mug", "mgu", "杯子", "杯", "clock on the wall", "Café", "zzz", ""])
def test_scores_equal_the_definition(query: str) -> None:
    expected = [slow_cosine(query, text, TEXTS) for text in TEXTS]
    np.testing.assert_allclose(index_of(TEXTS).search(query), expected, rtol=1e-5, atol=1e-7)


def test_a_text_finds_itself_with_one() -> None:
    scores = index_of(TEXTS).search("wall CLOCK")
    assert int(scores.argmax()) == 2
    assert scores[2] == pytest.approx(1.0, abs=1e-6)


def test_changes_in_any_order_equal_a_fresh_index() -> None:
    random_ = random.Random(0)
    index, now = NgramIndex(), [""] * len(TEXTS)
    for _ in range(300):
        row = random_.randrange(len(TEXTS))
        if random_.random() < 0.3:
            index.remove(row)
            now[row] = ""
        else:
            now[row] = random_.choice(TEXTS)
            index.add(row, now[row])
    fresh = index_of(now)
    for query in ("red mug", "杯子", "wall clok"):
        np.testing.assert_array_equal(index.search(query), fresh.search(query)[: len(index)])
        assert index.corrected(query) == fresh.corrected(query)


def test_a_removed_row_is_not_found() -> None:
    index = index_of(TEXTS)
    index.remove(2)
    index.remove(2)
    index.remove(99)
    assert not index.search("wall clock").any()
    assert index.corrected("clocc") == "clocc"


def test_an_empty_index_answers() -> None:
    assert NgramIndex().search("mug").shape == (0,)
    assert NgramIndex().corrected("mug") == "mug"


@pytest.mark.parametrize("typed", ["whte", "whhite", "wkite", "hwite", "whiet"])
def test_one_slip_is_mended(typed: str) -> None:
    assert index_of(["WHITE heart", "red mug"]).corrected(f"{typed} heart") == "white heart"


@pytest.mark.parametrize("typed", ["heart", "hrt", "1eart", "hexxt", "红色", "unrelated", "", "Heart, 红色!"])
def test_what_needs_no_mending_stays_as_typed(typed: str) -> None:
    assert index_of(["WHITE heart"]).corrected(typed) == typed


def test_the_commonest_near_word_wins_and_ties_go_by_alphabet() -> None:
    spelling = Spelling()
    spelling.add({"land", "lamp"})
    assert spelling.corrected("lanp") == "lamp"
    spelling.add({"land"})
    assert spelling.corrected("lanp") == "land"
    spelling.remove({"land"})
    assert spelling.corrected("lanp") == "lamp"
    spelling.remove({"lamp"})
    assert spelling.corrected("lanp") == "land"


def test_a_very_long_word_is_kept_whole() -> None:
    word = "x" * (MAX_WORD + 1)
    spelling = Spelling()
    spelling.add({word})
    assert spelling.corrected(word[1:]) == word[1:]

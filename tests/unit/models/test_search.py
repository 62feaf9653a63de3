"""Search: how meaning, letters and ids meet, on vectors made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from endcap.encoders.cache import ItemVectors
from endcap.features.text import NgramIndex
from endcap.models.search import EXACT_SCORE, Search, SearchConfig
from endcap.types import FloatArray, Query, Vocabulary

TITLES = {"85123A": "white hanging heart", "22720": "cake tin", "M1": "wall clock"}


def shop(config: SearchConfig | None = None) -> Search:
    """Three items whose vectors are the axes of a room."""
    items, index, vectors = Vocabulary(TITLES), NgramIndex(), ItemVectors(3)
    for row, title in enumerate(TITLES.values()):
        index.add(row, title)
    vectors.set(np.arange(3, dtype=np.int32), np.eye(3, dtype=np.float32))
    return Search(vectors, index, items, config)


def towards(*parts: float) -> FloatArray:
    return np.array(parts, np.float32)


def test_the_score_is_the_blend_of_both() -> None:
    config = SearchConfig(meaning=0.25)
    ranking = shop(config).recommend(Query(text="wall clock", vector=towards(0.8, 0.0, 0.6)), 10)
    assert ranking.items.tolist() == [2, 0]
    np.testing.assert_allclose(ranking.scores, [0.25 * 0.6 + 0.75 * 1.0, 0.25 * 0.8], rtol=1e-5)


def test_meaning_finds_what_letters_do_not() -> None:
    ranking = shop().recommend(Query(text="钟", vector=towards(0.0, 0.1, 0.995)), 10)
    assert ranking.items.tolist() == [2]


def test_letters_find_what_meaning_does_not() -> None:
    for typed in ("whte hangng hart", "hanging", "cake tins"):
        ranking = shop().recommend(Query(text=typed, vector=towards(0.4, 0.4, 0.4)), 10)
        assert ranking.items.tolist() == [1 if typed == "cake tins" else 0]


def test_without_a_vector_letters_answer_alone() -> None:
    ranking = shop().recommend(Query(text="wall clock"), 10)
    assert ranking.items.tolist() == [2]
    assert ranking.scores[0] == pytest.approx(1.0, abs=1e-6)


def test_mended_letters_count_less_than_typed_ones() -> None:
    typed = shop().recommend(Query(text="wall clock"), 1).scores[0]
    mended = shop().recommend(Query(text="wall clocc"), 1).scores[0]
    assert mended == pytest.approx(0.8 * typed, rel=1e-5)


@pytest.mark.parametrize("typed", ["85123A", "85123a", "  85123A "])
def test_an_exact_id_comes_first(typed: str) -> None:
    ranking = shop().recommend(Query(text=typed, vector=towards(0.0, 1.0, 0.0)), 10)
    assert ranking.items.tolist() == [0, 1]
    assert ranking.scores[0] == EXACT_SCORE


def test_an_exact_id_is_found_before_its_vector_and_title_are_there() -> None:
    search = Search(ItemVectors(3), NgramIndex(), Vocabulary(["a", "B7"]))
    assert search.recommend(Query(text="b7", vector=towards(1.0, 0.0, 0.0)), 10).items.tolist() == [1]


def test_below_both_floors_is_nothing() -> None:
    assert len(shop().recommend(Query(text="qqq", vector=towards(0.49, 0.49, 0.49)), 10)) == 0
    assert len(shop().recommend(Query(text="qqq", vector=towards(0.51, 0.0, 0.0)), 10)) == 1
    letters = shop(SearchConfig(letters_floor=0.99))
    assert len(letters.recommend(Query(text="wall", vector=towards(0.0, 0.0, 0.0)), 10)) == 0


@pytest.mark.parametrize("text", ["", "   "])
def test_no_text_is_an_empty_ranking(text: str) -> None:
    assert len(shop().recommend(Query(text=text, vector=towards(1.0, 0.0, 0.0)), 10)) == 0


def test_an_empty_shop_answers() -> None:
    search = Search(ItemVectors(3), NgramIndex(), Vocabulary())
    assert len(search.recommend(Query(text="mug", vector=towards(1.0, 0.0, 0.0)), 10)) == 0


def test_k_is_the_most() -> None:
    assert shop().recommend(Query(text="x", vector=towards(0.6, 0.6, 0.6)), 2).items.tolist() == [0, 1]
    assert len(shop().recommend(Query(text="x", vector=towards(0.6, 0.6, 0.6)), 0)) == 0


def test_index_and_matrix_may_differ_in_length() -> None:
    search, index = shop(), NgramIndex()
    index.add(5, "lamp")
    longer = Search(ItemVectors(3), index, Vocabulary(TITLES))
    assert longer.recommend(Query(text="lamp", vector=towards(1.0, 0.0, 0.0)), 10).items.tolist() == [5]
    assert search.recommend(Query(text="lamp", vector=towards(1.0, 0.0, 0.0)), 10).items.tolist() == [0]

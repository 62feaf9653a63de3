"""The shared words: vocabularies, rankings, interactions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from endcap.types import Interactions, Query, Ranking, Vocabulary


def test_a_vocabulary_numbers_names_in_order_of_appearance() -> None:
    words = Vocabulary(["b", "a", "b"])
    assert len(words) == 2
    assert list(words) == list(words.ids) == ["b", "a"]
    assert (words.add("c"), words.add("a")) == (2, 1)
    assert [words.row(name) for name in ("b", "a", "c", "zebra")] == [0, 1, 2, -1]
    assert words.name(2) == "c"
    assert "c" in words
    assert "zebra" not in words


def test_asking_a_vocabulary_adds_nothing() -> None:
    words = Vocabulary("ab")
    words.row("c")
    words.rows(["c"])
    assert len(words) == 2


def test_rows_leave_out_the_unknown_and_keep_order_and_repeats() -> None:
    rows = Vocabulary("abc").rows(["c", "zebra", "a", "c"])
    assert rows.dtype == np.int32
    assert rows.tolist() == [2, 0, 2]
    assert Vocabulary().rows(["a"]).shape == (0,)


def slow_top(scores: list[float], k: int, above: float, rows: list[int]) -> list[tuple[int, float]]:
    """Sorts everything."""
    kept = [(row, score) for row, score in zip(rows, scores, strict=True) if score > above]
    return sorted(kept, key=lambda pair: (-pair[1], pair[0]))[: max(k, 0)]


SCORES = st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0, -1.0, float("nan"), float("inf"), -float("inf")]), max_size=12)


@given(SCORES, st.integers(-1, 14), st.sampled_from([-float("inf"), 0.0, 1.0]), st.booleans())
def test_top_equals_sorting_everything(scores: list[float], k: int, above: float, spread: bool) -> None:
    rows = [3 * row + 1 if spread else row for row in range(len(scores))]
    given_rows = np.array(rows, np.int32) if spread else None
    ranking = Ranking.top(np.array(scores, np.float32), k, above, given_rows)
    assert list(zip(ranking.items.tolist(), ranking.scores.tolist(), strict=True)) == slow_top(scores, k, above, rows)
    assert ranking.items.dtype == np.int32
    assert ranking.scores.dtype == np.float32
    assert len(ranking) == ranking.items.size


def test_nan_is_never_proposed_and_ties_stand_in_row_order() -> None:
    ranking = Ranking.top(np.array([1, np.nan, 2, 1, 1], np.float32), 3)
    assert ranking.items.tolist() == [2, 0, 3]


def test_an_empty_ranking_and_an_empty_query() -> None:
    assert len(Ranking()) == 0
    query = Query()
    assert (query.history.size, query.user, query.text, query.vector) == (0, -1, "", None)


def test_interactions_keep_the_marked_rows() -> None:
    column = np.array([0, 1, 2], np.int32)
    past = Interactions(
        Vocabulary("xyz"),
        Vocabulary("abc"),
        column,
        column[::-1].copy(),
        np.array([1, 2, 3], np.float32),
        np.array([7, 8, 9], np.int64),
        column + 4,
    )
    kept = past.where(np.array([True, False, True]))
    assert (len(past), len(kept)) == (3, 2)
    assert kept.users is past.users
    assert kept.items is past.items
    columns = (kept.user.tolist(), kept.item.tolist(), kept.weight.tolist(), kept.time.tolist(), kept.session.tolist())
    assert columns == ([0, 2], [2, 0], [1.0, 3.0], [7, 9], [4, 6])


def test_records_of_the_core_cannot_be_changed() -> None:
    with pytest.raises(AttributeError, match="cannot assign to field 'user'"):
        Query().user = 3  # type: ignore[misc]  # that is the point

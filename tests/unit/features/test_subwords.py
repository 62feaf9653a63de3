"""Words and their parts as columns."""

from __future__ import annotations

import numpy as np

from endcap.features.subwords import Subwords, parts

WHERE = [
    "<wh",
    "whe",
    "her",
    "ere",
    "re>",
    "<whe",
    "wher",
    "here",
    "ere>",
    "<wher",
    "where",
    "here>",
    "<where",
    "where>",
]


def test_a_word_is_itself_and_its_ngrams_with_boundaries() -> None:
    assert sorted(parts("Where")) == sorted(["<where>", *WHERE])  # the example of the paper's section 3.2, for 3 to 6
    assert list(parts("of")) == ["<of>", "<of", "of>"]
    assert list(parts("红茶壶")) == ["红", "茶", "壶", "红茶", "茶壶"]
    assert list(parts("!")) == []


def test_rows_have_length_one_and_like_words_share_columns() -> None:
    held = Subwords()
    held.set([0, 1, 2, 4], ["lunch bag", "lunch bags", "teapot", ""])
    matrix = held.matrix
    assert matrix.shape == (5, held.dim)
    np.testing.assert_allclose((matrix @ matrix.T).diagonal(), [1, 1, 1, 0, 0], rtol=1e-6)
    assert (matrix @ matrix.T)[0, 1] > 0.7
    assert (matrix @ matrix.T)[0, 2] < 0.1


def test_a_text_is_exchanged() -> None:
    held = Subwords()
    held.set([1], ["teapot"])
    before = held.version
    held.set([1, 0], ["lunch", "teapot"])
    assert held.version > before
    assert held.matrix[[0]].indices.tolist() == sorted(held.matrix[[0]].indices.tolist())
    assert (held.matrix @ held.matrix.T)[0, 1] < 0.1


def test_no_items_no_rows() -> None:
    assert Subwords(32).matrix.shape == (0, 32)
    held = Subwords(32)
    held.set([], [])
    assert held.matrix.shape == (0, 32)

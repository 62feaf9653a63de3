"""Letters only: what is counted where, by the definition."""

from __future__ import annotations

import zlib

import numpy as np

from endcap.encoders.lexical import LexicalEncoder


def cosine(one: str, other: str) -> float:
    first, second = LexicalEncoder().encode([one, other])
    return float(first @ second)


def test_each_gram_falls_on_its_dimension_with_its_sign() -> None:
    grams = ["<mug>", "<mu", "mug", "ug>", "<mug", "mug>", "杯", "子", "杯子"]
    expected = np.zeros(512)
    for gram in grams:
        number = zlib.crc32(gram.encode())
        expected[number % 512] += -1.0 if number >= 2**31 else 1.0
    (vector,) = LexicalEncoder().encode(["MUG 杯子!"])
    np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=1e-6)


def test_titles_that_are_spelt_alike_are_near() -> None:
    assert cosine("red retrospot mug", "red retrospot mugs") > 0.8
    assert cosine("red retrospot mug", "red retrosppot mug") > 0.6
    assert abs(cosine("red retrospot mug", "wall clock")) < 0.3
    assert cosine("Café", "CAFÉ") > 0.999


def test_nothing_to_spell_is_a_zero_row() -> None:
    assert not LexicalEncoder().encode(["", "...", "🎄"]).any()

"""The floor of an encoder: what random letters reach."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from endcap.encoders.floor import meaning_floor
from endcap.encoders.lexical import LexicalEncoder
from endcap.types import FloatArray


class Close:
    """Like E5: every text lies near to one direction; the angle grows with the letters e that it has."""

    name, dim = "close", 2

    def encode(self, texts: Sequence[str]) -> FloatArray:
        angles = np.array([0.1 * text.count("e") for text in texts])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_two_in_a_hundred_queries_of_random_letters_exceed_it() -> None:
    titles = LexicalEncoder().encode(["red retrospot mug", "wall clock", "set of three tins", "party bunting"])
    floor = meaning_floor(titles, LexicalEncoder())
    other = np.array([meaning_floor(titles, LexicalEncoder(), seed) for seed in range(1, 6)])
    assert 0.05 < floor < 0.5
    assert np.abs(other - floor).max() < 0.1
    assert (LexicalEncoder().encode(["retrospot", "clock", "bunting"]) @ titles.T).max(axis=1).min() > floor


def test_it_follows_the_scale_of_the_encoder() -> None:
    far = np.array([[np.cos(1.0), np.sin(1.0)]], np.float32)
    assert meaning_floor(far, Close()) == pytest.approx(np.cos(0.8), abs=0.11)  # at most two or three letters e
    assert meaning_floor(Close().encode(["title"]), Close()) > 0.99


def test_nothing_is_near_where_there_is_nothing() -> None:
    assert meaning_floor(np.zeros((0, 2), np.float32), Close()) == 1.0

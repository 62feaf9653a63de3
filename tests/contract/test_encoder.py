"""What every encoder promises, whatever it is made of. A new one is tested by being listed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from endcap.encoders.cache import CachedEncoder
from endcap.encoders.text import UniversalSentenceEncoder
from endcap.protocols import Encoder

ENCODERS: dict[str, Callable[[], Encoder[str]]] = {
    "universal sentence encoder": UniversalSentenceEncoder,
    "cached": lambda: CachedEncoder(UniversalSentenceEncoder(), size=3),
}
TEXTS = [
    "RED RETROSPOT MUG",
    "christmas tree",
    "红色杯子",
    "a",
    "Set/3 café trays, 20% off: £4.95",
    "mug",
    "wall clock",
]


@pytest.fixture(params=list(ENCODERS))
def encoder(request: pytest.FixtureRequest) -> Encoder[str]:
    return ENCODERS[request.param]()


def test_rows_are_float32_of_length_one(encoder: Encoder[str]) -> None:
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), encoder.dim)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize("blank", ["", "   ", "\n\t", "\u3000", "\x00", "\u200b", "\ud83d"])
def test_nothing_to_read_is_a_zero_row(encoder: Encoder[str], blank: str) -> None:
    vectors = encoder.encode([blank, "mug"])
    assert not vectors[0].any()
    assert vectors[1].any()


def test_no_text_is_no_row(encoder: Encoder[str]) -> None:
    assert encoder.encode([]).shape == (0, encoder.dim)


def test_a_vector_does_not_depend_on_what_stands_beside_it(encoder: Encoder[str]) -> None:
    together = encoder.encode(TEXTS)
    backwards = encoder.encode(TEXTS[::-1])[::-1]
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    np.testing.assert_array_equal(together, backwards)
    np.testing.assert_array_equal(together, alone)


def test_the_same_text_twice_is_the_same_vector_twice(encoder: Encoder[str]) -> None:
    vectors = encoder.encode(["mug", "clock", "mug"])
    np.testing.assert_array_equal(vectors[0], vectors[2])
    assert (vectors[0] != vectors[1]).any()


def test_a_result_belongs_to_the_caller(encoder: Encoder[str]) -> None:
    first = encoder.encode(["mug"])
    expected = first.copy()
    first[:] = 7.0
    np.testing.assert_array_equal(encoder.encode(["mug"]), expected)


@pytest.mark.parametrize(
    "odd",
    ["🎄🎁", "🏳️‍🌈" * 50, "a\ud800b", "مرحبا red 红色 чай", "\u0301" * 50, "\ufffd", "ﷺ" * 2_000, "x" * 50_000, "12345"],
    ids=["emoji", "joined", "surrogate", "scripts", "accents", "replacement", "expanding", "long", "digits"],
)
def test_odd_text_has_a_vector_like_any_other(encoder: Encoder[str], odd: str) -> None:
    assert np.linalg.norm(encoder.encode([odd])[0]) == pytest.approx(1.0, abs=1e-5)


def test_the_name_is_a_text_and_stays(encoder: Encoder[str]) -> None:
    assert encoder.name
    assert encoder.name == encoder.name.strip()
    before = encoder.name
    encoder.encode(["mug"])
    assert encoder.name == before

"""A vector as short text: its direction is kept, whatever its length."""

from __future__ import annotations

from base64 import b64encode

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from endcap.encoders.packing import packed, unpacked
from endcap.errors import InvalidFieldError
from endcap.types import FloatArray

VECTORS = arrays(
    np.float32,
    array_shapes(max_dims=1, max_side=300),
    elements=st.floats(-(2.0**60), 2.0**60, width=32, allow_subnormal=False),
)


def cosine(one: FloatArray, other: FloatArray) -> float:
    a, b = one.astype(np.float64), other.astype(np.float64)
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


@given(VECTORS)
def test_the_direction_is_kept_to_half_a_step_of_each_number(vector: FloatArray) -> None:
    """Each number is off by at most half of a 127th of the largest, so the sine by sqrt(dim) / 254 at most."""
    text = packed(vector)
    if not vector.any():
        assert text == ""
        return
    found = unpacked(text)
    assert found.shape == vector.shape
    assert np.sqrt(found @ found) == pytest.approx(1.0, abs=1e-5)
    assert cosine(found, vector) >= np.sqrt(1.0 - vector.size / 64_516) - 1e-6


def test_vectors_as_encoders_give_them_keep_999_of_1000() -> None:
    for seed in range(20):
        vector = np.random.default_rng(seed).standard_normal(1_280).astype(np.float32)
        assert cosine(unpacked(packed(vector)), vector) > 0.999


def test_the_same_vector_is_the_same_text_and_a_packed_one_packs_to_itself() -> None:
    vector = np.random.default_rng(1).standard_normal(64).astype(np.float32)
    assert packed(unpacked(packed(vector))) == packed(vector) == packed(2 * vector)
    assert len(packed(vector)) == 88  # 64 bytes in base64


@pytest.mark.parametrize("text", ["?", "AA", "AAA\n", "ключ", "data:,"])
def test_what_was_not_packed_is_refused(text: str) -> None:
    with pytest.raises(InvalidFieldError, match="the image's vector cannot be read") as caught:
        unpacked(text)
    assert caught.value.field == "image"


def test_a_vector_of_zeros_stays_one() -> None:
    assert unpacked(b64encode(bytes(3)).decode()).tolist() == [0.0, 0.0, 0.0]

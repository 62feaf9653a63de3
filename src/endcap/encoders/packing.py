"""A vector as short text, for the log: eight bits a number."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode

import numpy as np

from endcap.errors import InvalidFieldError
from endcap.types import FloatArray


def packed(vector: FloatArray) -> str:
    """``vector`` (dim,) by its direction; "" for a zero vector.

    The cosine of the two is above .999 for what encoders give, and at least sqrt(1 - dim / 64,516) for anything.
    """
    largest = np.abs(vector).max(initial=np.float32(0.0))
    if largest == 0.0:
        return ""
    return b64encode(np.rint(vector / largest * np.float32(127.0)).astype(np.int8).tobytes()).decode("ascii")


def unpacked(text: str) -> FloatArray:
    """(dim,) unit vector. Raises InvalidFieldError, naming ``image``, for what ``packed`` has not made."""
    try:
        numbers = np.frombuffer(b64decode(text, validate=True), np.int8).astype(np.float32)
    except (binascii.Error, ValueError) as error:
        raise InvalidFieldError("image", f"the image's vector cannot be read ({error})") from error
    length = np.sqrt(numbers @ numbers)
    return numbers / length if length > 0 else numbers

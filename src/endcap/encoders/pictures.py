"""Image files to the numbers a model reads: the same picture gives the same numbers, whatever file it came in.

Only the first frame counts. What is transparent becomes white, as shops show it. A camera's orientation mark (EXIF) is
obeyed, and colours are brought to sRGB where the file says what they are. A header that promises more than
``MAX_PIXELS`` is refused before anything is decoded.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Lock
from typing import Literal

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from endcap.encoders.folder import ImageInput
from endcap.errors import InvalidFieldError
from endcap.types import FloatArray

MAX_PIXELS = 64_000_000
"""Of one picture, by its header: more than nearly all cameras make, and 256 MB at most when it is decoded."""
LARGE = 8_000_000
"""A picture of more pixels is decoded while no other such is: a few kB of a file can be worth 256 MB."""
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "TIFF", "BMP")
"""What is read. Formats that run programs (PostScript) or hold no picture are not among them."""
_MAX_16_BITS = 65_535.0
_DEEP_SIDE = 1_024
"""Pixels a side to which greys of 16 bits and more are thinned: four bytes and several copies of each are needed."""
_one_large = Lock()
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By the value of the orientation mark: how the picture is set upright."""
_SRGB = ImageCms.createProfile("sRGB")
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    RuntimeError,
    MemoryError,
    struct.error,
)
"""What decoders raise over a damaged file."""


def pixels(data: bytes, read: ImageInput) -> FloatArray:
    """(3, size, size) what a model reads of the image file ``data``.

    Raises InvalidFieldError, naming ``image``, for a file that is empty, no picture, damaged, cut off or too large.
    """
    square = np.asarray(thumbnail(data, read.size, read.fit), np.float32) / 255.0  # (size, size, 3)
    normal = (square - np.asarray(read.mean, np.float32)) / np.asarray(read.std, np.float32)
    return np.ascontiguousarray(normal.transpose(2, 0, 1), np.float32)


def problem(data: bytes) -> str:
    """Why the image file ``data`` cannot be read; empty where it can."""
    try:
        thumbnail(data, 8)
    except InvalidFieldError as error:
        return str(error)
    return ""


def thumbnail(data: bytes, size: int, fit: Literal["whole", "centre"] = "whole") -> Image.Image:
    """The picture, or its centre, as an upright RGB square of ``size`` pixels a side. Raises as ``pixels`` does."""
    with _readable(data), Image.open(io.BytesIO(data), formats=FORMATS) as image, _room_for(image):
        image.draft(None, (2 * size, 2 * size))  # a JPEG is decoded at 1/2, 1/4 or 1/8 where that is enough
        image.load()
        turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
        plain = _plain(image)
        square = plain.resize((size, size), Image.Resampling.BICUBIC, _shown(plain.size, fit), 2.0)
        square = _white_behind(_srgb(square, image.info.get("icc_profile")))
        return square if turn is None else square.transpose(turn)


@contextmanager
def _readable(data: bytes) -> Iterator[None]:
    if not data:
        raise InvalidFieldError("image", "the image is empty: send the bytes of a picture")
    try:
        yield
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large() from error
    except UnidentifiedImageError as error:
        known = ", ".join(FORMATS)
        raise InvalidFieldError("image", f"the image is in no format that is read here: send one of {known}") from error
    except _BROKEN as error:
        raise InvalidFieldError("image", f"the image is damaged or cut off ({error}): send the whole file") from error


def _room_for(image: Image.Image) -> AbstractContextManager[object]:
    """To be held while ``image``, so far its header only, is decoded. Raises InvalidFieldError if it is too large."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise _too_large(f" ({width} x {height})")
    return _one_large if width * height > LARGE else nullcontext()


def _too_large(found: str = "") -> InvalidFieldError:
    most = MAX_PIXELS // 1_000_000
    return InvalidFieldError("image", f"the image has more than {most} million pixels{found}: send a smaller one")


def _shown(size: tuple[int, int], fit: Literal["whole", "centre"]) -> tuple[float, float, float, float]:
    """What is kept of a picture, as left, top, right, bottom."""
    width, height = size
    if fit == "whole":
        return 0, 0, width, height
    left, top = (width - min(size)) / 2, (height - min(size)) / 2
    return left, top, left + min(size), top + min(size)


def _plain(image: Image.Image) -> Image.Image:
    """``image`` in a mode that can be scaled: no palette, no 16 or 32 bits a channel, no single bits."""
    if image.mode.startswith(("I", "F")):  # greys
        step = max(min(image.size) // _DEEP_SIDE, 1)
        grey = np.nan_to_num(np.asarray(image)[::step, ::step].astype(np.float32), posinf=0.0, neginf=0.0)
        low, high = float(grey.min()), float(grey.max())
        if image.mode != "F" and low >= 0 and high <= _MAX_16_BITS:
            low, high = 0.0, _MAX_16_BITS  # what 16 bits hold; a wider range has no other white than its own
        return Image.fromarray(((grey - low) * (255.0 / max(high - low, 1e-12))).astype(np.uint8))
    if image.mode in {"P", "PA", "1"} or "transparency" in image.info:
        return image.convert("RGBA")
    return image


def _srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """``image`` in sRGB where ``profile`` says what its colours are; as it was where it does not, or is damaged."""
    if not profile or image.mode not in {"RGB", "CMYK", "LAB", "L"}:
        return image
    try:
        converted = ImageCms.profileToProfile(image, io.BytesIO(profile), _SRGB, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    return converted or image


def _white_behind(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    above = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", above.size, "white"), above).convert("RGB")

"""The same picture gives the same numbers, whatever file it came in; a bad file says what is wrong with it."""

from __future__ import annotations

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps
from tests.unit.encoders.files import file_of, shaded

from endcap.encoders.folder import ImageInput
from endcap.encoders.pictures import MAX_PIXELS, pixels, problem, thumbnail
from endcap.errors import InvalidFieldError

READ = ImageInput(16)


def seen(data: bytes, size: int = 16) -> NDArray[np.int64]:
    return np.asarray(thumbnail(data, size)).astype(np.int64)


@pytest.mark.parametrize(
    ("data", "tolerance"),
    [
        (file_of(shaded(), "JPEG", quality=95), 4),
        (file_of(shaded(), "WEBP", lossless=True), 0),
        (file_of(shaded(), "BMP"), 0),
        (file_of(shaded(), "TIFF"), 0),
        (file_of(shaded(), "AVIF", quality=95), 6),
        (file_of(shaded().convert("RGBA")), 1),
        (file_of(shaded().convert("CMYK"), "TIFF"), 2),
        (file_of(shaded().convert("CMYK"), "JPEG", quality=95), 6),
        (file_of(shaded().quantize(256), "GIF"), 8),
        (file_of(shaded().quantize(256)), 8),
    ],
    ids=["jpeg", "webp", "bmp", "tiff", "avif", "rgba", "cmyk", "cmyk jpeg", "gif", "palette"],
)
def test_a_picture_is_the_same_in_every_file(data: bytes, tolerance: int) -> None:
    assert abs(seen(data) - seen(file_of(shaded()))).max() <= tolerance


def test_sixteen_bits_are_not_cut_off() -> None:
    grey = shaded().convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    assert abs(seen(file_of(deep)) - seen(file_of(grey))).max() <= 1
    assert abs(seen(file_of(deep, "TIFF")) - seen(file_of(grey))).max() <= 1


def test_a_measured_picture_has_its_own_black_and_white() -> None:
    measured = np.tile(np.linspace(-3.0, 5.0, 64, dtype=np.float32), (64, 1))
    measured[0, 0] = np.nan
    found = seen(file_of(Image.fromarray(measured), "TIFF"))
    assert found.min() < 20
    assert found.max() > 235


def test_what_is_transparent_is_white() -> None:
    clear = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    assert (seen(file_of(clear)) == 255).all()
    half = Image.new("RGBA", (20, 20), (255, 0, 0, 128))
    assert seen(file_of(half))[8, 8].tolist() == [255, 127, 127]
    grey = Image.new("LA", (20, 20), (0, 0))
    assert (seen(file_of(grey)) == 255).all()
    marked = Image.new("P", (20, 20), 0)
    assert (seen(file_of(marked, transparency=0)) == 255).all()


@pytest.mark.parametrize("mark", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_a_picture_is_set_upright(mark: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = mark
    marked = file_of(shaded(), kind, exif=exif)
    with Image.open(io.BytesIO(marked)) as opened:
        upright = file_of(ImageOps.exif_transpose(opened))
    assert abs(seen(marked) - seen(upright)).max() <= 4


def test_a_damaged_orientation_mark_turns_nothing() -> None:
    exif = (
        b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x63\x00\x00\x00\x00\x00\x00"
    )
    assert abs(seen(file_of(shaded(), "JPEG", quality=95, exif=exif)) - seen(file_of(shaded()))).max() <= 4


def test_only_the_first_frame_counts() -> None:
    frames = [Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")]
    moving = file_of(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert seen(moving)[4, 4].tolist() == [255, 0, 0]


def test_colours_are_brought_to_srgb() -> None:
    lab = ImageCms.profileToProfile(
        shaded(), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert lab is not None
    assert abs(seen(file_of(lab, "TIFF")) - seen(file_of(shaded()))).max() <= 8
    assert (seen(file_of(shaded(), icc_profile=b"no profile")) == seen(file_of(shaded()))).all()


@pytest.mark.parametrize("size", [(5_000, 1), (1, 5_000), (1, 1), (3, 2)])
def test_any_shape_becomes_a_square(size: tuple[int, int]) -> None:
    assert (seen(file_of(Image.new("RGB", size, "red"))) == [255, 0, 0]).all()


def test_the_centre_or_the_whole() -> None:
    striped = Image.new("RGB", (90, 30), "red")
    striped.paste("blue", (30, 0, 60, 30))
    assert (np.asarray(thumbnail(file_of(striped), 6, "centre"))[:, 1:5] == [0, 0, 255]).all()
    assert np.asarray(thumbnail(file_of(striped), 6))[3, 0].tolist() == [255, 0, 0]


def test_the_model_reads_channels_first_less_the_mean() -> None:
    found = pixels(file_of(Image.new("RGB", (4, 4), (255, 0, 51))), READ)
    assert found.shape == (3, 16, 16)
    assert found.dtype == np.float32
    expected = (np.array([1.0, 0.0, 0.2]) - READ.mean) / READ.std
    np.testing.assert_allclose(found[:, 3, 3], expected, rtol=1e-5)


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))


DAMAGED = {kind: file_of(noise(), kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP")}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the image is empty"),
        (b"a text", "in no format that is read here: send one of JPEG, PNG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "in no format that is read here"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "in no format that is read here"),
        (file_of(noise())[:3_000], "damaged or cut off"),
        (file_of(noise(), "JPEG")[:2_000], "damaged or cut off"),
        (file_of(noise(), "WEBP")[:2_000], "damaged or cut off|no format"),
        (file_of(noise(), "GIF")[:2_000], "damaged or cut off"),
        (file_of(noise())[:200] + b"\0" * 5_000, "damaged or cut off"),
    ],
    ids=["empty", "text", "postscript", "svg", "png", "jpeg", "webp", "gif", "overwritten"],
)
def test_a_bad_file_says_what_is_wrong(data: bytes, message: str) -> None:
    with pytest.raises(InvalidFieldError, match=message) as raised:
        pixels(data, READ)
    assert raised.value.field == "image"
    assert problem(data) == str(raised.value)


def test_a_good_file_has_no_problem() -> None:
    assert problem(file_of(shaded())) == ""


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP"]),
    places=st.lists(st.tuples(st.integers(0, 500), st.integers(0, 255)), min_size=1, max_size=10),
    kept=st.integers(1, 20_000),
)
def test_whatever_happens_to_a_file_it_is_read_or_refused(kind: str, places: list[tuple[int, int]], kept: int) -> None:
    data = bytearray(DAMAGED[kind])
    for place, value in places:
        data[min(place, len(data) - 1)] = value
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on what it could read nevertheless
            assert thumbnail(bytes(data[:kept]), 8).size == (8, 8)
    except InvalidFieldError as error:
        assert error.field == "image"


def header_of(width: int, height: int) -> bytes:
    """A PNG that promises so many pixels and holds none."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"")
    chunks = (struct.pack(">I", len(one) - 4) + one + struct.pack(">I", zlib.crc32(one)) for one in (chunk, data))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("side", [8_001, 10_000, 22_400, 2**31 - 1])
def test_too_many_pixels_are_refused_by_the_header(side: int) -> None:
    with pytest.raises(InvalidFieldError, match="more than 64 million pixels"):
        pixels(header_of(side, side), READ)


def test_as_many_pixels_as_are_allowed_are_tried() -> None:
    with pytest.raises(InvalidFieldError, match="damaged or cut off"):
        pixels(header_of(8_000, MAX_PIXELS // 8_000), READ)

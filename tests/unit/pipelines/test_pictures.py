"""Items' pictures become vectors, each once; what cannot be had is reported and stops nothing."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tests.unit.encoders.files import file_of, shaded

from endcap.backends.http.download import Downloader
from endcap.catalog.items import Item
from endcap.config import Config, EncodeConfig
from endcap.encoders.cache import ContentStore, ItemVectors
from endcap.encoders.pictures import problem, thumbnail
from endcap.errors import EndpointError, InvalidFieldError
from endcap.pipelines import pictures
from endcap.pipelines.pictures import Sources, encode_pictures, sources
from endcap.types import FloatArray

PICTURE, OTHER = file_of(shaded()), file_of(shaded(40, 50), "JPEG")


class Colours:
    """The mean colour of a picture, as a vector: an encoder that needs no weights, and counts what it is asked."""

    name, dim = "colours", 3

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    def encode(self, images: Sequence[bytes]) -> FloatArray:
        self.asked += images
        found = np.zeros((len(images), 3), np.float32)
        for row, image in enumerate(images):
            if not problem(image):
                mean = np.asarray(thumbnail(image, 4)).mean(axis=(0, 1))
                found[row] = mean / np.linalg.norm(mean)
        return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images = tmp_path / "images"
    (images / "deep").mkdir(parents=True)
    (images / "one.png").write_bytes(PICTURE)
    (images / "deep" / "two.jpg").write_bytes(OTHER)
    (images / "broken.jpg").write_bytes(OTHER[:200])
    (images / "empty.jpg").write_bytes(b"")
    (tmp_path / "secret.png").write_bytes(PICTURE)
    (images / "way-out.png").symlink_to(tmp_path / "secret.png")
    return images


def reading(folder: Path | None, downloader: Downloader | None = None) -> Sources:
    return Sources(folder, downloader, (folder or Path()).parent / "cache")


def data_of(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


def test_every_kind_of_source_is_read(folder: Path) -> None:
    assert reading(folder).load("one.png") == PICTURE
    assert reading(folder).load("deep/two.jpg") == OTHER
    assert reading(folder).load(data_of(b"bytes")) == b"bytes"
    assert reading(None).load("data:text/plain,a%20b") == b"a b"


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("../secret.png", "leads out of the image folder"),
        ("way-out.png", "leads out of the image folder"),
        ("/etc/hostname", "leads out of the image folder"),
        ("none.png", "has no such file"),
        ("deep", "has no such file"),
        ("a\0b", "cannot be read|no such file"),
        ("x" * 5_000, "cannot be read|no such file"),
        ("data:image/png;base64,%%%", "no valid base64"),
        ("data:image/png", "no comma follows"),
        ("https://shop.test/one.png", "names no host to fetch from"),
    ],
)
def test_what_is_not_there_says_so(folder: Path, image: str, message: str) -> None:
    with pytest.raises(InvalidFieldError, match=message) as raised:
        reading(folder).load(image)
    assert raised.value.field == "image"


def test_a_path_without_a_folder_says_so() -> None:
    with pytest.raises(InvalidFieldError, match=r"encode.image_folder does not say"):
        reading(None).load("one.png")


def test_a_file_that_is_too_large_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_BYTES", 10)
    with pytest.raises(InvalidFieldError, match="more than 10 bytes"):
        reading(folder).load("one.png")


def test_what_was_fetched_is_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def get(_: Downloader, address: str) -> bytes:
        asked.append(address)
        if address.endswith("gone.png"):
            raise EndpointError("shop.test answers 404")
        return PICTURE

    monkeypatch.setattr(Downloader, "get", get)
    both = reading(folder, Downloader(("shop.test",)))
    assert both.load("https://shop.test/one.png") == both.load("https://shop.test/one.png") == PICTURE
    with pytest.raises(InvalidFieldError, match="answers 404"):
        both.load("https://shop.test/gone.png")
    assert asked == ["https://shop.test/one.png", "https://shop.test/gone.png"]


def test_the_configuration_says_where_pictures_come_from(folder: Path, tmp_path: Path) -> None:
    nowhere = sources(tmp_path, Config())
    assert (nowhere.folder, nowhere.downloader) == (None, None)
    found = sources(tmp_path, Config(encode=EncodeConfig(image_folder=str(folder), image_hosts=("shop.test",))))
    assert found.load("one.png") == PICTURE
    with pytest.raises(InvalidFieldError, match=r"http://evil\.test/one\.png is on none of the hosts"):
        found.load("http://evil.test/one.png")


def shop(*images: str | None) -> list[tuple[int, Item]]:
    return [(row, Item(f"i{row}", "an item", image=image)) for row, image in enumerate(images)]


def test_bad_pictures_are_reported_and_stop_nothing(folder: Path, tmp_path: Path) -> None:
    items = shop("one.png", None, "broken.jpg", "none.png", "deep/two.jpg", "empty.jpg", data_of(PICTURE))
    vectors, steps = ItemVectors(3), []
    problems = encode_pictures(
        ContentStore(tmp_path, Colours()), vectors, items, reading(folder).load, lambda *done: steps.append(done)
    )
    assert vectors.has.tolist() == [True, False, False, False, True, False, True]
    np.testing.assert_array_equal(vectors.matrix[0], vectors.matrix[6])
    assert problems.keys() == {"i2", "i3", "i5"}
    assert "damaged or cut off" in problems["i2"]
    assert "no such file" in problems["i3"]
    assert "the image is empty" in problems["i5"]
    assert steps == [(7, 7)]


def test_a_changed_picture_encodes_one(folder: Path, tmp_path: Path) -> None:
    items, vectors, encoder = shop("one.png", "deep/two.jpg"), ItemVectors(3), Colours()
    encode_pictures(ContentStore(tmp_path, encoder), vectors, items, reading(folder).load)
    assert len(encoder.asked) == 2
    before = vectors.matrix.copy()
    red = file_of(shaded().convert("L"))
    (folder / "one.png").write_bytes(red)
    encode_pictures(ContentStore(tmp_path, encoder), vectors, items, reading(folder).load)
    assert encoder.asked[2:] == [red]
    assert (vectors.matrix[0] != before[0]).any()
    np.testing.assert_array_equal(vectors.matrix[1], before[1])


def test_a_picture_that_is_taken_away_takes_its_vector(folder: Path, tmp_path: Path) -> None:
    vectors, store = ItemVectors(3), ContentStore(tmp_path, Colours())
    encode_pictures(store, vectors, shop("one.png"), reading(folder).load)
    encode_pictures(store, vectors, shop(None), reading(folder).load)
    assert vectors.has.tolist() == [False]
    assert encode_pictures(store, vectors, [], reading(folder).load) == {}

"""The packaged model of images: what every encoder promises, and that it sees what is in a picture."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.unit.encoders.files import DATA, file_of, shaded

from endcap.encoders.adding import PACKAGED
from endcap.encoders.cache import ContentStore
from endcap.encoders.folder import read_folder
from endcap.encoders.image import OnnxImageEncoder
from endcap.errors import InvalidFieldError, ModelError, NotFoundError
from endcap.protocols import Encoder

PICTURES = {path.stem: path.read_bytes() for path in sorted((DATA / "pictures").glob("*.jpg"))}


def test_rows_have_length_one_and_what_cannot_be_read_is_zero(image_encoder: OnnxImageEncoder) -> None:
    encoder: Encoder[bytes] = image_encoder
    found = encoder.encode([PICTURES["lime"], b"", b"no picture", PICTURES["lime"][:900], PICTURES["carrots"]])
    assert found.shape == (5, 1_280)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [1, 0, 0, 0, 1], atol=1e-5)
    assert encoder.encode([]).shape == (0, encoder.dim)


def test_a_vector_does_not_depend_on_what_stands_beside_it(image_encoder: OnnxImageEncoder) -> None:
    few = list(PICTURES.values())[:3]
    together = image_encoder.encode(few)
    np.testing.assert_array_equal(together, image_encoder.encode(few[::-1])[::-1])
    np.testing.assert_array_equal(together[1], image_encoder.query(few[1]))


def test_a_query_that_cannot_be_read_says_why(image_encoder: OnnxImageEncoder) -> None:
    with pytest.raises(InvalidFieldError, match="the image is damaged or cut off"):
        image_encoder.query(PICTURES["lime"][:900])


def test_pictures_of_one_kind_are_near(image_encoder: OnnxImageEncoder) -> None:
    clothes = [name for name in PICTURES if "-" in name]
    kinds = np.array([name.split("-")[0] for name in clothes])
    found = image_encoder.encode([PICTURES[name] for name in clothes])
    cosines = found @ found.T
    same = kinds[:, np.newaxis] == kinds
    np.fill_diagonal(same, False)
    assert cosines[same].mean() > cosines[kinds[:, np.newaxis] != kinds].mean() + 0.05


def test_each_picture_is_encoded_once(image_encoder: OnnxImageEncoder, tmp_path: Path) -> None:
    asked: list[int] = []

    class Counting:
        name, dim = image_encoder.name, image_encoder.dim

        def encode(self, images: list[bytes]) -> np.ndarray:
            asked.append(len(images))
            return image_encoder.encode(images)

    few = [PICTURES["lime"], PICTURES["banana"], b"broken"]
    first = ContentStore[bytes](tmp_path, Counting()).vectors(few)  # type: ignore[arg-type]
    again = ContentStore[bytes](tmp_path, Counting()).vectors([*few, PICTURES["carrots"]])  # type: ignore[arg-type]
    np.testing.assert_array_equal(again[:3], first)
    assert asked == [3, 1]


def test_the_folder_says_what_it_is(image_folder: Path) -> None:
    spec = read_folder(image_folder)
    assert (spec.modality, spec.kind, spec.dim, spec.joint) == ("image", "onnx", 1_280, "")
    assert spec.made["cosine_to_torch"] == pytest.approx(1.0, abs=1e-5)
    assert (image_folder / "model.onnx").stat().st_size < 14_000_000


def test_a_folder_that_does_not_fit_is_refused(image_folder: Path, tmp_path: Path) -> None:
    changed = tmp_path / image_folder.name
    changed.mkdir()
    (changed / "model.onnx").hardlink_to(image_folder / "model.onnx")
    said = json.loads((image_folder / "encoder.json").read_bytes())
    (changed / "encoder.json").write_text(json.dumps({**said, "dim": 99}))
    with pytest.raises(ModelError, match=r"gives 1280 dimensions, encoder.json says 99"):
        OnnxImageEncoder(changed).load()
    (changed / "encoder.json").write_text(json.dumps({**said, "image": {"size": 3}}))
    with pytest.raises(ModelError, match="does not take a picture of 3 x 3 pixels"):
        OnnxImageEncoder(changed).encode([file_of(shaded())])
    with pytest.raises(NotFoundError, match="there is no encoder 'none'"):
        OnnxImageEncoder(tmp_path / "none")


def test_a_folder_of_texts_is_no_encoder_of_images(exported: Path) -> None:
    with pytest.raises(ModelError, match="encodes text, not images: name another encoder"):
        OnnxImageEncoder(exported)


def test_the_packages_have_it_by_name(image_folder: Path) -> None:
    assert image_folder.name in PACKAGED

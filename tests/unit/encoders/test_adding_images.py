"""A folder of a model of pictures and texts becomes two encoders of one space, with or without torch."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.unit.encoders.files import file_of, shaded
from tests.unit.encoders.folders import PIECES, tokenizer
from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

from endcap.encoders.adding_images import add_joint, is_joint
from endcap.encoders.folder import read_folder
from endcap.encoders.image import OnnxImageEncoder
from endcap.encoders.onnx import OnnxTextEncoder
from endcap.encoders.pictures import pixels
from endcap.encoders.tokens import Tokens
from endcap.errors import ModelError
from endcap.interfaces.cli.main import main

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
TEXT = {**SMALL, "vocab_size": len(PIECES), "max_position_embeddings": 12, "eos_token_id": 3, "pad_token_id": 0}
IMAGE = {**SMALL, "image_size": 32, "patch_size": 16}
PREPARED = {"do_center_crop": True, "crop_size": {"height": 32, "width": 32}, "image_mean": [0.5, 0.4, 0.3]}


def joint_folder(out: Path, kind: str) -> Path:
    """``out``, as ``save_pretrained`` writes such a model, with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if kind == "clip":
            model = CLIPModel(CLIPConfig(text_config=TEXT, vision_config=IMAGE, projection_dim=8))
        else:
            model = SiglipModel(SiglipConfig(text_config=TEXT, vision_config=IMAGE))
    model.save_pretrained(out)
    tokenizer().save(str(out / "tokenizer.json"))
    (out / "preprocessor_config.json").write_text(json.dumps(PREPARED))
    return out


@pytest.fixture(scope="module", params=["clip", "siglip"])
def joint_source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return joint_folder(tmp_path_factory.mktemp("joint") / request.param, request.param)


@pytest.fixture(scope="module")
def encoders(joint_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("made")
    add_joint(made, joint_source, "both")
    return made


def unit(vector: torch.Tensor) -> np.ndarray:
    found: np.ndarray = (vector / vector.norm()).numpy()
    return found


def loaded(source: Path) -> CLIPModel | SiglipModel:
    kind = SiglipModel if source.name == "siglip" else CLIPModel
    return kind.from_pretrained(source).eval()


def test_pictures_have_the_vectors_of_transformers(encoders: Path, joint_source: Path) -> None:
    encoder = OnnxImageEncoder(encoders / "both")
    picture = file_of(shaded())
    read = read_folder(encoders / "both").image
    assert read is not None
    assert (read.size, read.fit, read.mean, read.std) == (32, "centre", (0.5, 0.4, 0.3), (0.5, 0.5, 0.5))
    with torch.inference_mode():
        given = torch.from_numpy(pixels(picture, read))[None]
        model = loaded(joint_source)
        pooled = model.vision_model(pixel_values=given).pooler_output
        expected = model.visual_projection(pooled) if joint_source.name == "clip" else pooled
    np.testing.assert_allclose(encoder.query(picture), unit(expected[0]), atol=1e-4)


def test_texts_have_the_vectors_of_transformers(encoders: Path, joint_source: Path) -> None:
    encoder = OnnxTextEncoder(encoders / "both-text")
    numbers = Tokens(encoders / "both-text", read_folder(encoders / "both-text")).numbers("red mug")
    padded = numbers + [0] * (12 - len(numbers)) if joint_source.name == "siglip" else numbers
    with torch.inference_mode():
        model = loaded(joint_source)
        pooled = model.text_model(input_ids=torch.tensor([padded])).pooler_output
        expected = model.text_projection(pooled) if joint_source.name == "clip" else pooled
    np.testing.assert_allclose(encoder.encode(["red mug"])[0], unit(expected[0]), atol=1e-4)


def test_the_two_name_each_other_and_have_one_dimension(encoders: Path) -> None:
    image, text = read_folder(encoders / "both"), read_folder(encoders / "both-text")
    assert (image.joint, text.joint) == ("both-text", "both")
    assert image.dim == text.dim == OnnxTextEncoder(encoders / "both-text").dim


def test_a_folder_with_onnx_files_needs_no_torch(tmp_path: Path) -> None:
    source = joint_folder(tmp_path / "clip", "clip")
    add_joint(tmp_path / "exported", source, "both")
    (source / "onnx").mkdir()
    shutil.copyfile(tmp_path / "exported" / "both" / "model.onnx", source / "onnx" / "vision_model.onnx")
    shutil.copyfile(tmp_path / "exported" / "both-text" / "model.onnx", source / "onnx" / "text_model.onnx")
    (source / "model.safetensors").unlink()
    image, text = add_joint(tmp_path / "copied", source, "both")
    assert (image.dim, text.dim, image.made.get("cosine_to_torch")) == (8, 8, None)
    assert is_joint(source)
    (source / "onnx" / "text_model.onnx").write_bytes(b"no model")
    with pytest.raises(ModelError, match="cannot be loaded"):
        add_joint(tmp_path / "broken", source, "both")


def test_the_command_makes_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = joint_folder(tmp_path / "clip", "clip")
    assert main(["encoders", "add", str(source), "--home", str(tmp_path / "home"), "--name", "both"]) == 0
    out, _ = capsys.readouterr()
    assert "Added both@" in out
    assert "encode.image in config.toml" in out
    assert sorted(path.name for path in (tmp_path / "home" / "encoders").iterdir()) == ["both", "both-text"]
    assert main(["encoders", "check", "both", "--home", str(tmp_path / "home")]) == 0
    assert "modality image" in capsys.readouterr()[0]


def test_half_a_pair_is_not_left_behind(tmp_path: Path) -> None:
    source = joint_folder(tmp_path / "clip", "clip")
    (tmp_path / "encoders" / "both").mkdir(parents=True)
    with pytest.raises(ModelError, match="there is an encoder 'both' already"):
        add_joint(tmp_path / "encoders", source, "both")
    assert [path.name for path in (tmp_path / "encoders").iterdir()] == ["both"]


def test_a_folder_that_lacks_something_says_what(tmp_path: Path) -> None:
    source = joint_folder(tmp_path / "clip", "clip")
    (source / "preprocessor_config.json").write_text("{}")
    with pytest.raises(ModelError, match="does not say the size of the pictures"):
        add_joint(tmp_path / "encoders", source, "both")
    (source / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError, match=r"preprocessor_config.json cannot be read"):
        add_joint(tmp_path / "encoders", source, "both")
    (source / "preprocessor_config.json").write_text(json.dumps(PREPARED))
    (source / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"tokenizer.json is missing"):
        add_joint(tmp_path / "encoders", source, "both")
    (source / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot be loaded by transformers"):
        add_joint(tmp_path / "encoders", source, "both")


def test_a_folder_of_texts_is_not_one(exported: Path, tmp_path: Path) -> None:
    assert not is_joint(exported / "torch")
    assert not is_joint(tmp_path)

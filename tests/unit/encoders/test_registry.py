"""Encoders by the name that config.toml, or a model version, calls them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.unit.encoders.folders import PIECES, static_folder

from endcap.config import Config, EncodeConfig, EndpointConfig, Home
from endcap.encoders.endpoint import EndpointEncoder
from endcap.encoders.folder import MODEL, ImageInput, Spec, write_folder
from endcap.encoders.lexical import LexicalEncoder
from endcap.encoders.onnx import OnnxTextEncoder
from endcap.encoders.registry import BUILT_IN, open_text
from endcap.encoders.static import StaticTextEncoder
from endcap.encoders.text import UniversalSentenceEncoder
from endcap.errors import ConfigError, ModelError, NotFoundError

ENDPOINT = EndpointConfig("http://127.0.0.1:1/v1", "m", dim=3)


@pytest.fixture
def home(tmp_path: Path, exported: Path) -> Path:
    """With an encoder of each kind."""
    shutil.copytree(exported, Home(tmp_path).encoders / exported.name)
    static_folder(Home(tmp_path).encoders, np.ones((len(PIECES), 2), np.float32))

    def fill(folder: Path) -> None:
        (folder / MODEL).write_text("")

    write_folder(Home(tmp_path).encoders, Spec("eye", "onnx", "image", 2, image=ImageInput(8)), fill)
    return tmp_path


def test_each_name_opens_its_kind(home: Path) -> None:
    config = Config(encode=EncodeConfig(text="tiny-model"), endpoint=ENDPOINT)
    assert isinstance(open_text(home, Config()), UniversalSentenceEncoder)
    assert isinstance(open_text(home, config), OnnxTextEncoder)
    assert isinstance(open_text(home, config, "table"), StaticTextEncoder)
    assert isinstance(open_text(home, config, "lexical-ngrams-v1"), LexicalEncoder)
    assert isinstance(open_text(home, config, "endpoint"), EndpointEncoder)


@pytest.mark.parametrize("name", [*BUILT_IN, "tiny-model", "table", "endpoint"])
def test_what_an_encoder_calls_itself_opens_it_again(home: Path, name: str) -> None:
    config = Config(endpoint=ENDPOINT)
    called = open_text(home, config, name).name
    assert open_text(home, config, called).name == called


def test_a_version_that_is_gone_is_refused(home: Path) -> None:
    called = open_text(home, Config(), "table").name
    shutil.rmtree(Home(home).encoders / "table")
    with pytest.raises(
        NotFoundError, match=r"there is no encoder 'table' of text: there are use-.*endpoint, eye, tiny-model"
    ):
        open_text(home, Config(), called)
    static_folder(Home(home).encoders, np.zeros((len(PIECES), 2), np.float32))
    with pytest.raises(
        NotFoundError, match=r"the encoder 'table@\w+' is gone: what is there in its place is 'table@\w+'"
    ):
        open_text(home, Config(), called)
    other = Config(endpoint=replace(ENDPOINT, model="n"))
    with pytest.raises(NotFoundError, match=r"the encoder 'endpoint:m@\w+' is gone"):
        open_text(home, other, open_text(home, Config(endpoint=ENDPOINT), "endpoint").name)


@pytest.mark.parametrize("name", ["", ".", "..", "../../outside", ".table.part", "nope"])
def test_a_name_is_no_way_out(home: Path, name: str) -> None:
    (home.parent / "outside").mkdir(exist_ok=True)
    with pytest.raises(NotFoundError, match="there is no encoder"):
        open_text(home, Config(), name)


def test_an_encoder_of_images_is_not_one_of_texts(home: Path) -> None:
    with pytest.raises(ModelError, match=r"eye encodes image, not text: name another encoder"):
        open_text(home, Config(), "eye")


def test_the_key_comes_from_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(endpoint=replace(ENDPOINT, key_env="SHOP_KEY"))
    with pytest.raises(ConfigError, match=r"endpoint\.key_env is 'SHOP_KEY', but the environment has no such variable"):
        open_text(home, config, "endpoint")
    monkeypatch.setenv("SHOP_KEY", "secret")
    assert open_text(home, config, "endpoint").dim == 3
    with pytest.raises(ConfigError, match=r"endpoint\.address is ''"):
        open_text(home, Config(), "endpoint")

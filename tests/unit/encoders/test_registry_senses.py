"""Images and speech by configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from endcap.config import Config, EncodeConfig
from endcap.encoders.registry import open_image, open_speech
from endcap.encoders.speech import SphinxTranscriber
from endcap.errors import ModelError, NotFoundError


def test_nothing_is_opened_where_nothing_is_configured(tmp_path: Path) -> None:
    assert open_image(tmp_path, Config()) is None
    assert open_speech(tmp_path, Config()) is None


def test_the_configured_ones_are_opened(image_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "encoders").symlink_to(image_folder.parent)
    config = Config(encode=EncodeConfig(image=image_folder.name, speech="pocketsphinx"))
    found = open_image(tmp_path, config)
    assert found is not None
    assert found.name.startswith("efficientnet-lite0@")
    again = open_image(tmp_path, Config(), found.name)
    assert again is not None
    assert again.name == found.name
    with pytest.raises(NotFoundError, match="'efficientnet-lite0@other' is gone: what is there in its place is"):
        open_image(tmp_path, config, "efficientnet-lite0@other")
    assert open_image(tmp_path, config, "") is None
    assert isinstance(open_speech(tmp_path, config), SphinxTranscriber)
    with pytest.raises(ModelError, match="encodes image, it does not hear: name another"):
        open_speech(tmp_path, Config(encode=EncodeConfig(speech=image_folder.name)))


def test_one_that_is_not_there_says_so(tmp_path: Path) -> None:
    config = Config(encode=EncodeConfig(image="none", speech="none"))
    with pytest.raises(NotFoundError, match="there is no encoder 'none'"):
        open_image(tmp_path, config)
    with pytest.raises(NotFoundError, match="there is no encoder 'none'"):
        open_speech(tmp_path, config)

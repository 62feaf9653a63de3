"""One exported transformer, and one model of images, for all tests of encoders."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.encoders.folders import sentence_folder

from endcap.encoders.adding import add_folder
from endcap.encoders.image import OnnxImageEncoder


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence-transformers folder. Do not change it."""
    return sentence_folder(tmp_path_factory.mktemp("source") / "Tiny Model")


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Path:
    """The encoder's folder made of it. Do not change it."""
    encoders = tmp_path_factory.mktemp("encoders")
    return encoders / add_folder(encoders, source).name


@pytest.fixture(scope="session")
def image_encoder(image_folder: Path) -> OnnxImageEncoder:
    """The same, ready."""
    return OnnxImageEncoder(image_folder)

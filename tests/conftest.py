"""What all tests share: loops that are compiled, and a model of images, which takes seconds to export."""

from __future__ import annotations

from pathlib import Path

import pytest

from endcap.compiled import get_ready
from endcap.encoders.adding_images import add_efficientnet


@pytest.fixture(scope="session", autouse=True)
def compiled_loops() -> None:
    """As at the start of a server: no test waits for them."""
    get_ready()


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """EfficientNet-Lite0, exported. Do not change it."""
    encoders = tmp_path_factory.mktemp("image-encoders")
    return encoders / add_efficientnet(encoders, "efficientnet-lite0").name

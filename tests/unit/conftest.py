"""What the unit tests share: one store of item vectors, so that no title is encoded twice."""

from __future__ import annotations

import pytest

from endcap.encoders.cache import VectorStore
from endcap.encoders.text import UniversalSentenceEncoder


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> VectorStore:
    """Vectors of the real encoder, kept for the session."""
    return VectorStore(tmp_path_factory.mktemp("vectors"), UniversalSentenceEncoder())

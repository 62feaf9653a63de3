"""Content to vectors: which encoders, and what is kept of what they made."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from endcap.catalog.items import Item
from endcap.config import Config, Home
from endcap.encoders.bridge import Bridge
from endcap.encoders.cache import CachedEncoder, ContentStore, ItemVectors, VectorStore
from endcap.encoders.endpoint import EndpointEncoder
from endcap.encoders.floor import meaning_floor
from endcap.encoders.registry import open_image, open_text
from endcap.encoders.text import UniversalSentenceEncoder
from endcap.models.search import SearchConfig
from endcap.pipelines.pictures import Sources, encode_pictures, sources
from endcap.pipelines.train import BRIDGE
from endcap.serving.contents import Contents, Reading
from endcap.state.fold import State
from endcap.types import FloatArray, Progress

BRIDGE_PAIRS = 100
"""Items with picture and text from which a way from one to the other is learnt."""
LEAST_FLOOR = 0.4
"""Of a small catalogue hardly anything is near to random letters, nor to words that are not meant."""
NAMED_PROBLEMS = 3
"""Items without a picture that a warning names."""

_logger = logging.getLogger(__name__)


def reading(home: Path, config: Config, names: tuple[str, str] | None = None) -> Reading:
    """The encoders called ``names``, of texts and of pictures, as model versions note them; by default the configured.

    Nothing is loaded yet. Raises NotFoundError, ConfigError or ModelError for one that cannot be had.
    """
    text, image = names or (config.encode.text, config.encode.image)
    encoder = open_text(home, config, text)
    asked = open_text(home, config, text, query=True)
    same = encoder if asked.name == encoder.name and not isinstance(asked, EndpointEncoder) else asked
    read = replace(
        Reading.of_texts(VectorStore(Home(home).vectors, encoder), CachedEncoder(same)),
        name=encoder.name,
        remote=isinstance(encoder, EndpointEncoder),
    )
    images = open_image(home, config, image)
    if images is None:
        return read
    pictures = partial(_pictures, ContentStore(Home(home).vectors, images), images.dim, sources(home, config))
    return replace(read, pictures=pictures, images=images)


def bridge_of(contents: Contents) -> dict[str, Bridge]:
    """What leads from the pictures to the texts, by its file; none where too few items have both."""
    if contents.images is None:
        return {}
    pictures, texts = contents.images, contents.texts.matrix[: len(contents.images)]
    if (pictures.has[: len(texts)] & contents.texts.has[: len(texts)]).sum() < BRIDGE_PAIRS:
        return {}
    return {BRIDGE: Bridge().fit(pictures.matrix[: len(texts)], texts)}


def floor_of(contents: Contents) -> float:
    """The cosine of a query with a text that says nothing. That of the built-in encoder is known."""
    if contents.reading.name == UniversalSentenceEncoder.name:
        return SearchConfig().meaning_floor
    if not contents.texts.has.any():
        return SearchConfig().meaning_floor
    return max(meaning_floor(contents.texts.matrix, contents.reading.queries), LEAST_FLOOR)


def contents_of(state: State, read: Reading, progress: Progress | None = None) -> Contents:
    """What the items of ``state`` say and show, all of it encoded."""
    contents = Contents(read)
    contents.fill(state.shop.listed_items(), progress)
    return contents


def _pictures(
    store: ContentStore[bytes], dim: int, source: Sources, items: Sequence[Item], progress: Progress | None
) -> FloatArray:
    """(n, dim) of the items' pictures. A warning names those whose picture cannot be had."""
    vectors = ItemVectors(dim)
    problems = encode_pictures(store, vectors, list(enumerate(items)), source.load, progress)
    if problems:
        first = dict(list(problems.items())[:NAMED_PROBLEMS])
        _logger.warning("items without their picture", extra={"count": len(problems), "first": first})
    return vectors.matrix

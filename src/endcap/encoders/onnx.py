"""Texts to vectors by a transformer in ONNX Runtime: one thread, no torch.

The vector is a function of its text alone, to the last bit. A text never stands beside padding. Texts of equally many
tokens may run together, which is twice as fast, since the weights are read once for all of them: but only in groups of
one size, and only at lengths at which the first such group gave the bits that its texts give one by one. (The order of
a matrix product's sums depends on its shape, not on what is in it. Where it does depend on that, after dynamic
quantisation, the first group shows it, and every text runs alone.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import numpy as np

from endcap.encoders.folder import MODEL, SPEC, TOKENIZER, Spec, check_folder, read_folder
from endcap.encoders.reading import unit
from endcap.encoders.tokens import NO_ONNX, Tokens
from endcap.errors import ModelError
from endcap.types import FloatArray

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

GROUP = 8
"""Texts that run together: more would bring a tenth."""
TEXT_EMBEDS = "text_embeds"
PROBE_TOKENS = 8
"""How long a text is that an encoder without a limit is tried with."""


class OnnxTextEncoder:
    """The encoder in ``folder``. ``query``: for what is searched for, where the model has another prefix for that.

    What was loaded is shared by all encoders of one folder as long as one of them lives. Raises NotFoundError if there
    is no such folder, ModelError if ``encoder.json`` is damaged.
    """

    def __init__(self, folder: Path, *, query: bool = False) -> None:
        self._folder = folder
        self._spec = read_folder(folder)
        self._query = query and self._spec.query_prefix is not None
        self._kept: _Loaded | None = None

    @property
    def name(self) -> str:
        return f"{self._spec.version}:query" if self._query else self._spec.version

    @property
    def dim(self) -> int:
        return self._spec.dim

    def load(self) -> None:
        """Loads the model now instead of at the first text. Safe to call from a thread, and again.

        Raises ModelError, which names the file, if one was changed, or if model, tokenizer and spec do not fit.
        """
        self._loaded()

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """(n, dim) unit rows; a zero row where nothing is to be read. Raises ModelError as ``load`` does."""
        vectors = np.zeros((len(texts), self.dim), np.float32)
        if not texts:
            return vectors
        loaded = self._loaded()
        numbers = [loaded.tokens.numbers(text, query=self._query) for text in texts]
        rows = [row for row, found in enumerate(numbers) if found]
        for row, vector in zip(rows, loaded.model.vectors([numbers[row] for row in rows]), strict=True):
            vectors[row] = unit(vector)
        return vectors

    def _loaded(self) -> _Loaded:
        if self._kept is None:
            self._kept = _shared(self._folder, self._spec)
        return self._kept


@dataclass(frozen=True)
class _Loaded:
    tokens: Tokens
    model: Transformer


_models: WeakValueDictionary[tuple[Path, str], _Loaded] = WeakValueDictionary()
_lock = Lock()


def _shared(folder: Path, spec: Spec) -> _Loaded:
    key = folder.resolve(), spec.version
    with _lock:
        loaded = _models.get(key)
        if loaded is None:
            check_folder(folder, spec)
            loaded = _Loaded(Tokens(folder, spec), Transformer(folder, spec))
            loaded.model.try_with(loaded.tokens.largest)
            _models[key] = loaded
        return loaded


class Transformer:
    """The model of a folder: numbers of pieces to one vector a text, not yet of length 1.

    Raises ModelError if there is no ONNX Runtime, or the file is no model that encodes text.
    """

    def __init__(self, folder: Path, spec: Spec) -> None:
        self._folder, self._spec = folder, spec
        self._session = open_session(folder / MODEL)
        self._inputs = {one.name for one in self._session.get_inputs()}
        unknown = self._inputs - {"input_ids", "attention_mask", "token_type_ids", "position_ids"}
        if unknown or "input_ids" not in self._inputs:
            raise ModelError(
                f"{folder / MODEL} asks for {', '.join(sorted(unknown)) or 'no input_ids'}: it is no encoder of text"
            )
        tokenwise = [one.name for one in self._session.get_outputs() if len(one.shape or ()) == 3]
        pooled = [one.name for one in self._session.get_outputs() if len(one.shape or ()) == 2]
        if not tokenwise and not pooled:
            raise ModelError(
                f"{folder / MODEL} gives neither a vector a token nor one a text: it is no encoder of text"
            )
        own = TEXT_EMBEDS in pooled  # a model of texts and images: only this vector lies in the space of both
        self._output, self._pooled = TEXT_EMBEDS if own else (tokenwise or pooled)[0], own or not tokenwise
        self._together: dict[int, bool] = {}  # by length: whether a group gave what its texts give alone

    def measured(self, largest: int) -> int:
        """The dimensions of its vectors. Raises ModelError if it cannot take the largest number or the longest text."""
        length = self._spec.max_tokens or PROBE_TOKENS
        try:
            (found,) = self._run([[largest] * length])
        except Exception as error:  # ONNX Runtime raises a class of its own for each cause
            raise ModelError(
                f"{self._folder / MODEL} fails at {length} tokens of number {largest} ({_first_line(error)}), which "
                f"{TOKENIZER} and max_tokens of {SPEC} allow: make the encoder again of parts that belong together"
            ) from error
        return int(found.size)

    def try_with(self, largest: int) -> None:
        """Raises ModelError as ``measured`` does, and if the dimensions are not those of the spec."""
        found = self.measured(largest)
        if found != self._spec.dim:
            raise ModelError(
                f"{self._folder / MODEL} gives vectors of {found} dimensions, but {SPEC} beside it says "
                f"{self._spec.dim}: make the encoder again"
            )

    def vectors(self, texts: Sequence[list[int]]) -> list[FloatArray]:
        """One (dim,) a text."""
        found: dict[int, FloatArray] = {}
        for places in _of_equal_length(texts):
            for group in self._groups(places, len(texts[places[0]])):
                together = [texts[place] for place in group]
                found.update(zip(group, self._proved(together) if len(group) > 1 else self._run(together), strict=True))
        return [found[place] for place in range(len(texts))]

    def together(self, texts: Sequence[list[int]]) -> list[FloatArray]:
        """One (dim,) a text, all of one length, in one run: fastest, but the last bits depend on what runs along."""
        return self._run(texts)

    def _groups(self, places: list[int], length: int) -> Iterator[list[int]]:
        start = 0
        while start < len(places):
            whole = len(places) - start >= GROUP and self._together.get(length, True)
            yield places[start : start + (GROUP if whole else 1)]
            start += GROUP if whole else 1

    def _proved(self, group: Sequence[list[int]]) -> list[FloatArray]:
        """The vectors of a group; the first of its length is compared with its texts one by one."""
        length = len(group[0])
        together = self._run(group)
        if length in self._together:
            return together
        alone = [self._run([one])[0] for one in group]
        self._together[length] = all(np.array_equal(*pair) for pair in zip(together, alone, strict=True))
        return alone

    def _run(self, group: Sequence[list[int]]) -> list[FloatArray]:
        numbers = np.array(group, np.int64)  # (n, tokens)
        given: Mapping[str, np.ndarray] = {
            "input_ids": numbers,
            "attention_mask": np.ones_like(numbers),
            "token_type_ids": np.zeros_like(numbers),
            "position_ids": np.broadcast_to(np.arange(numbers.shape[1]), numbers.shape),
        }
        (found,) = self._session.run([self._output], {name: given[name] for name in self._inputs})
        if self._pooled:
            return list(found)
        return [hidden[0] if self._spec.pooling == "cls" else hidden.mean(axis=0) for hidden in found]


def open_session(
    source: Path | bytes, name: str = "", again: str = "make the encoder again", missing: str = NO_ONNX
) -> InferenceSession:
    """The model in ``source`` on one thread. Raises ModelError if it cannot be loaded, or ONNX Runtime is missing.

    It says ``again`` then, of ``name`` or the path, or ``missing``.
    """
    try:
        import onnxruntime  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise ModelError(missing) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # it plans for one shape; texts, tables and histories have many
    options.log_severity_level = 4  # an error is raised, and needs no line beside it
    model = source if isinstance(source, bytes) else str(source)
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises a class of its own for each cause
        raise ModelError(f"{name or source!s} cannot be loaded ({_first_line(error)}): {again}") from error


def _first_line(error: Exception) -> str:
    return f"{str(error).strip().partition(chr(10))[0]:.200}"


def _of_equal_length(texts: Sequence[list[int]]) -> list[list[int]]:
    found: dict[int, list[int]] = {}
    for place, numbers in enumerate(texts):
        found.setdefault(len(numbers), []).append(place)
    return list(found.values())

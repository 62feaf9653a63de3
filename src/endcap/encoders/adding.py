"""Encoder folders made of what there is: a package with weights, or a folder in Hugging Face layout."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from endcap.encoders import e5
from endcap.encoders.adding_images import add_efficientnet
from endcap.encoders.folder import MODEL, TABLE, TOKENIZER, TORCH, Spec, write_folder
from endcap.encoders.layout import Layout, read_layout
from endcap.encoders.onnx import Transformer
from endcap.encoders.packages import E5_SMALL, MINILM, located
from endcap.encoders.reading import unit
from endcap.encoders.speech import add_whisper
from endcap.encoders.tokens import Tokens
from endcap.errors import ModelError

AGREE = 0.999
"""The cosine that each probe must have to the vector of the original."""
PROBES = ("red mug", "a hot water bottle, with its knitted cover", "红色杯子", "Set/3 café trays, 20% off: £4.95")


@dataclass(frozen=True, slots=True)
class Overrides:
    """What a folder may leave open, or say wrongly. None: as it says."""

    prefix: str | None = None
    query_prefix: str | None = None
    pooling: str | None = None
    lower: bool | None = None
    """Whether texts are lower-cased first; what an encoder is called where vectors are kept depends on it."""
    trainable: bool = False
    """Export it with torch even where a model.onnx is there, and keep what it can be trained further from."""


def add_folder(
    encoders: Path,
    source: Path,
    name: str | None = None,
    overrides: Overrides | None = None,
    made: Mapping[str, object] | None = None,
) -> Spec:
    """``encoders``/``name`` of a folder that transformers, sentence-transformers or model2vec has written.

    By default it is called as the folder is. No torch is needed where ``onnx/model.onnx`` or a table is there. What
    torch exports is compared with torch's own vectors. Raises ModelError, which names the file, for what is missing,
    damaged, does not fit together or cannot be served, and as ``write_folder`` does.
    """
    overrides = overrides or Overrides()
    layout = _as_wanted(read_layout(source), overrides)
    spec = Spec(
        name or re.sub(r"[^a-z0-9._-]+", "-", source.resolve().name.lower()).strip("-._"),
        kind="static" if layout.static else "onnx",
        modality="text",
        dim=1,  # until the model has said it
        max_tokens=0 if layout.static else layout.max_tokens,
        pooling="cls" if layout.pooling == "cls" else "mean",
        prefix=layout.prefix,
        query_prefix=layout.query_prefix,
        lower=layout.lower,
        made={"from": source.name, "by": "endcap encoders add", **(made or {})},
    )
    ready = layout.onnx is not None and layout.pooling in {"mean", "cls"} and not overrides.trainable
    fill = _fill_table if layout.static else _fill_ready if ready else _fill_exported
    return write_folder(encoders, spec, lambda folder: fill(folder, spec, layout))


def _as_wanted(layout: Layout, overrides: Overrides) -> Layout:
    return replace(
        layout,
        prefix=layout.prefix if overrides.prefix is None else overrides.prefix,
        query_prefix=layout.query_prefix if overrides.query_prefix is None else overrides.query_prefix,
        pooling=layout.pooling if overrides.pooling is None else overrides.pooling,
        lower=layout.lower if overrides.lower is None else overrides.lower,
    )


def _add_minilm(encoders: Path, name: str) -> Spec:
    return add_folder(encoders, located(MINILM), name, made={"from": MINILM.requirement})


def _add_e5(encoders: Path, name: str) -> Spec:
    source = located(E5_SMALL) / e5.FILE
    encoders.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".e5-", dir=encoders) as work:
        e5.write_e5_folder(source, Path(work))
        overrides = Overrides(prefix=e5.PREFIX, query_prefix=e5.QUERY_PREFIX, lower=e5.LOWER)
        return add_folder(encoders, Path(work), name, overrides, made={"from": E5_SMALL.requirement})


PACKAGED: Mapping[str, Callable[[Path, str], Spec]] = {
    "minilm-l6-v2": _add_minilm,
    "multilingual-e5-small": _add_e5,
    "efficientnet-lite0": add_efficientnet,
    "whisper-base": add_whisper,
}
"""What the packages carry, by the name that its encoder has: each makes the folder under a name that is given."""


def _fill_table(folder: Path, spec: Spec, layout: Layout) -> Spec:
    path = layout.body / "model.safetensors"
    try:
        arrays = load_file(path)
        table = arrays["embeddings" if "embeddings" in arrays else "embedding.weight"]
    except (OSError, SafetensorError, KeyError) as error:
        raise ModelError(f"{path} holds no table of vectors ({error!r:.200}): copy the folder again") from error
    if "mapping" in arrays:  # pieces that share a row
        table = table[arrays["mapping"]]
    weights = arrays.get("weights", np.ones(len(table), np.float32)).astype(np.float32)
    _copy_tokenizer(layout, folder)
    unknown = _unknown_piece(folder / TOKENIZER)
    if unknown is not None and unknown < len(weights):
        weights[unknown] = 0.0
    save_file({"embeddings": table, "weights": weights}, folder / TABLE)
    return replace(spec, dim=table.shape[1])


def _unknown_piece(path: Path) -> int | None:
    model = json.loads(path.read_bytes()).get("model", {})
    found = model.get("unk_id", model.get("vocab", {}).get(model.get("unk_token")) if model.get("unk_token") else None)
    return found if isinstance(found, int) else None


def _fill_ready(folder: Path, spec: Spec, layout: Layout) -> Spec:
    assert layout.onnx is not None
    for path in layout.onnx.parent.glob("model.onnx*"):  # large ones keep their weights in a file beside
        if path.name in {"model.onnx", "model.onnx_data", "model.onnx.data"}:
            shutil.copyfile(path, folder / path.name)
    _copy_tokenizer(layout, folder)
    return _fitted(folder, spec, layout)


def _fill_exported(folder: Path, spec: Spec, layout: Layout) -> Spec:
    export = _export()
    transformer = export.open_transformer(layout.body)
    if (layout.body / TOKENIZER).is_file() or not any((layout.body / name).is_file() for name in _OLDER_TOKENIZERS):
        _copy_tokenizer(layout, folder)
    else:
        export.save_tokenizer(layout.body, folder / TOKENIZER)
    export.export_onnx(transformer, folder / MODEL, layout.pooling, layout.dense)
    spec = _fitted(folder, spec, layout)
    tokens, model = Tokens(folder, spec), Transformer(folder, spec)
    numbers = [found for text in PROBES if (found := tokens.numbers(text))]
    expected = export.torch_vectors(transformer, numbers, layout.pooling, layout.dense)
    agreed = min(float(unit(one) @ other) for one, other in zip(model.vectors(numbers), expected, strict=True))
    if agreed < AGREE:
        raise ModelError(
            f"{folder / MODEL} gives other vectors than torch does (cosine {agreed:.4f}): it cannot be served"
        )
    if not layout.dense and layout.pooling in {"mean", "cls"}:  # what is trained further must be all of it
        export.save_transformer(transformer, folder / TORCH)
        shutil.copyfile(folder / TOKENIZER, folder / TORCH / TOKENIZER)
        for path in (layout.body / "tokenizer_config.json", layout.body / "special_tokens_map.json"):
            if path.is_file():
                shutil.copyfile(path, folder / TORCH / path.name)
    return replace(spec, made={**spec.made, "cosine_to_torch": round(agreed, 6)})


_OLDER_TOKENIZERS = ("vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model")
"""What transformers makes one of; where there is none, it makes one without pieces."""


def _export() -> ModuleType:
    try:
        from endcap.encoders import export  # noqa: PLC0415  # torch: an extra, and seconds
    except ImportError as error:
        raise ModelError("torch and transformers are not installed: pip install 'endcap[train]'") from error
    return export


def _copy_tokenizer(layout: Layout, folder: Path) -> None:
    path = layout.body / TOKENIZER
    if not path.is_file():
        raise ModelError(f"{path} is missing: copy it from where the model comes from")
    shutil.copyfile(path, folder / TOKENIZER)


def _fitted(folder: Path, spec: Spec, layout: Layout) -> Spec:
    """``spec`` with the dimensions that the model gives. Raises ModelError if its parts do not belong together."""
    tokens, model = Tokens(folder, spec), Transformer(folder, spec)
    words = json.loads((layout.body / "config.json").read_bytes()).get("vocab_size")
    if isinstance(words, int) and tokens.largest + 1 < 0.95 * words:  # some are rounded up, for the graphics card
        raise ModelError(
            f"{layout.body / TOKENIZER} has {tokens.largest + 1:,} pieces, but config.json beside it says {words:,}: "
            "copy the tokenizer that belongs to the model"
        )
    return replace(spec, dim=model.measured(tokens.largest))

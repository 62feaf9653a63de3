"""Encoder folders for images: of the package with weights, or of a folder that reads texts and images in one space.

Such a folder is laid out as Hugging Face lays out CLIP and SigLIP: ``config.json``, ``preprocessor_config.json``,
``tokenizer.json``, and either ``onnx/vision_model.onnx`` with ``onnx/text_model.onnx`` or weights that transformers
loads (then torch exports them). It becomes two encoders, ``<name>`` and ``<name>-text``, that name each other.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from endcap.encoders.folder import MODEL, TOKENIZER, ImageInput, Spec, write_folder
from endcap.encoders.image import image_session, run_image_model
from endcap.encoders.onnx import Transformer
from endcap.encoders.packages import EFFICIENTNET_LITE0, located
from endcap.encoders.reading import unit
from endcap.encoders.tokens import Tokens
from endcap.errors import ModelError
from endcap.types import FloatArray

AGREE = 0.999
"""The cosine that an exported model must have to torch's."""
LITE0 = ImageInput(224, mean=(127 / 255,) * 3, std=(128 / 255,) * 3)
"""As its training in TensorFlow read pictures; and whole, since a shop's pictures are cut already."""
_PADDED = {"siglip", "siglip2"}
"""Models that were trained on padding, and read it."""


def add_efficientnet(encoders: Path, name: str) -> Spec:
    """``encoders``/``name`` of the package that carries EfficientNet-Lite0. Raises ModelError as ``add_joint`` does."""
    weights = located(EFFICIENTNET_LITE0) / next(iter(EFFICIENTNET_LITE0.sha256))
    spec = Spec(name, "onnx", "image", 1, image=LITE0, made={"from": EFFICIENTNET_LITE0.requirement})

    def fill(folder: Path) -> Spec:
        export = _export()
        model = export.open_efficientnet(weights)
        export.export_images(model, folder / MODEL, LITE0.size)
        return _images_agree(folder, spec, export, model)

    return write_folder(encoders, spec, fill)


def is_joint(source: Path) -> bool:
    """Whether ``source`` is a folder for ``add_joint``."""
    if (source / "onnx" / "vision_model.onnx").is_file():
        return True
    try:
        said = json.loads((source / "config.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(said, dict) and "vision_config" in said and "text_config" in said


def add_joint(encoders: Path, source: Path, name: str) -> tuple[Spec, Spec]:
    """``encoders``/``name`` for images and ``encoders``/``name``-text for texts, of the folder ``source``.

    What torch exports is compared with torch's own vectors. Raises ModelError, which names the file, for what is
    missing, damaged, or does not fit together, and as ``write_folder`` does; then neither is there.
    """
    config, prepared = _json(source / "config.json"), _json(source / "preprocessor_config.json")
    texts = config.get("text_config") or {}
    made = {"from": source.name, "by": "endcap encoders add"}
    image = Spec(name, "onnx", "image", 1, image=_image_input(prepared), joint=f"{name}-text", made=made)
    longest = int(texts.get("max_position_embeddings", 77))
    text = Spec(f"{name}-text", "onnx", "text", 1, max_tokens=longest, joint=name, made=made)
    ready = source / "onnx" / "vision_model.onnx", source / "onnx" / "text_model.onnx"
    padded = config.get("model_type") in _PADDED
    if all(path.is_file() for path in ready) and not padded:
        fill_text, fill_image = partial(_ready_text, text, source, ready[1]), partial(_ready_image, image, ready[0])
    else:
        pad = int(texts.get("pad_token_id") or 0)
        sides = _export().open_joint(source, longest if padded else 0, pad)
        fill_text, fill_image = (
            partial(_exported_text, text, source, sides[1]),
            partial(_exported_image, image, sides[0]),
        )
    found = write_folder(encoders, text, fill_text)
    try:
        return write_folder(encoders, image, lambda folder: _same_space(fill_image(folder), found)), found
    except ModelError:
        shutil.rmtree(encoders / text.name, ignore_errors=True)  # half a pair is none
        raise


def _same_space(image: Spec, text: Spec) -> Spec:
    if image.dim != text.dim:
        raise ModelError(
            f"images have {image.dim} dimensions and texts {text.dim}: the two models were not trained together"
        )
    return image


def _ready_text(spec: Spec, source: Path, model: Path, folder: Path) -> Spec:
    shutil.copyfile(model, folder / MODEL)
    _copy_tokenizer(source, folder)
    return _measured(folder, spec)


def _ready_image(spec: Spec, model: Path, folder: Path) -> Spec:
    shutil.copyfile(model, folder / MODEL)
    return replace(spec, dim=int(_vector(folder, spec, _probe(spec)).size))


def _exported_text(spec: Spec, source: Path, side: Any, folder: Path) -> Spec:
    export = _export()
    _copy_tokenizer(source, folder)
    export.export_texts(side, folder / MODEL)
    spec = _measured(folder, spec)
    numbers = Tokens(folder, spec).numbers("a photo of a red mug")
    found = unit(Transformer(folder, spec).vectors([numbers])[0])
    return _agreed(folder, spec, found, export.torch_vector(side, numbers))


def _exported_image(spec: Spec, side: Any, folder: Path) -> Spec:
    export = _export()
    export.export_images(side, folder / MODEL, _probe(spec).shape[1])
    return _images_agree(folder, spec, export, side)


def _images_agree(folder: Path, spec: Spec, export: ModuleType, side: Any) -> Spec:
    found = _vector(folder, spec, _probe(spec))
    return _agreed(folder, replace(spec, dim=int(found.size)), found, export.torch_vector(side, _probe(spec)))


def _agreed(folder: Path, spec: Spec, found: FloatArray, original: FloatArray) -> Spec:
    cosine = float(found @ unit(original))
    if cosine < AGREE:
        raise ModelError(f"{folder / MODEL} gives other vectors than torch (cosine {cosine:.4f}): it cannot be served")
    return replace(spec, made={**spec.made, "cosine_to_torch": round(cosine, 6)})


def _measured(folder: Path, spec: Spec) -> Spec:
    largest = Tokens(folder, spec).largest
    return replace(spec, dim=Transformer(folder, spec).measured(largest))


def _probe(spec: Spec) -> FloatArray:
    """(3, size, size) a picture of noise."""
    size = spec.image.size if spec.image is not None else 0
    return np.random.default_rng(0).standard_normal((3, size, size)).astype(np.float32)


def _vector(folder: Path, spec: Spec, picture: FloatArray) -> FloatArray:
    return run_image_model(image_session(folder, spec), picture)


def _image_input(prepared: dict[str, Any]) -> ImageInput:
    size = prepared.get("crop_size") if prepared.get("do_center_crop") else prepared.get("size")
    if isinstance(size, dict):
        size = size.get("height", size.get("shortest_edge"))
    if not isinstance(size, int) or size <= 0:
        raise ModelError("preprocessor_config.json does not say the size of the pictures: copy the folder again")
    mean, std = prepared.get("image_mean", [0.5] * 3), prepared.get("image_std", [0.5] * 3)
    return ImageInput(size, "centre" if prepared.get("do_center_crop") else "whole", tuple(mean), tuple(std))


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error!s:.200}): copy the folder again") from error
    return found if isinstance(found, dict) else {}


def _copy_tokenizer(source: Path, folder: Path) -> None:
    path = source / TOKENIZER
    if not path.is_file():
        raise ModelError(f"{path} is missing: copy it from where the model comes from")
    shutil.copyfile(path, folder / TOKENIZER)


def _export() -> ModuleType:
    try:
        from endcap.encoders import export_images  # noqa: PLC0415  # torch: an extra, and seconds
    except ImportError as error:
        raise ModelError("torch and transformers are not installed: pip install 'endcap[train]'") from error
    return export_images

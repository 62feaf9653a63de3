"""A transformer that torch can train to the file that is served: ONNX in float32. Needs the extra ``train``."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging

from endcap.encoders.reading import unit
from endcap.errors import ModelError
from endcap.types import FloatArray

OPSET = 17


def open_transformer(body: Path) -> nn.Module:
    """The transformer of a Hugging Face folder in float32, without dropout. Nothing is downloaded; its code is not run.

    Raises ModelError if it cannot be loaded.
    """
    try:
        with quiet():
            model: Any = AutoModel.from_pretrained(
                body, local_files_only=True, dtype=torch.float32, attn_implementation="eager"
            )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ModelError(f"{body} cannot be loaded by transformers ({error!s:.300}): copy the folder again") from error
    if getattr(model, "pooler", None) is not None:
        model.pooler = None  # what is served does not read it
    transformer: nn.Module = model.eval()
    return transformer


def save_transformer(transformer: Any, out: Path) -> None:
    """Writes what ``open_transformer`` gives as an ordinary Hugging Face folder, but for its tokenizer."""
    with quiet():
        transformer.save_pretrained(out)


def save_tokenizer(body: Path, out: Path) -> None:
    """Writes the tokenizer of a Hugging Face folder as one ``tokenizer.json``. Raises ModelError if there is none."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(body, local_files_only=True)
        tokenizer.backend_tokenizer.save(str(out))
    except (OSError, ValueError, KeyError, ImportError, AttributeError) as error:
        raise ModelError(
            f"{body} has no tokenizer that can be made a tokenizer.json ({error!s:.200}): copy one into it"
        ) from error


def export_onnx(transformer: nn.Module, out: Path, pooling: str = "mean", dense: Sequence[Path] = ()) -> None:
    """Writes ``transformer`` to ``out``: ``input_ids`` and ``attention_mask`` (texts, tokens) to one output.

    That is ``last_hidden_state`` (texts, tokens, dim); or ``sentence_embedding`` (texts, dim), not of unit length,
    where dense layers follow, or where ``pooling`` is max or lasttoken, which a ``Spec`` has no words for: there must
    be no padding then. Raises ModelError if a dense layer cannot be read.
    """
    pooled = bool(dense) or pooling not in {"mean", "cls"}
    whole = _Pooled(transformer, pooling, [_dense(folder) for folder in dense]) if pooled else _Hidden(transformer)
    name = "sentence_embedding" if pooled else "last_hidden_state"
    axes = {0: "texts", 1: "tokens"}
    numbers = torch.full((2, 4), 3)  # any: both sizes are free afterwards
    with quiet(), torch.no_grad():
        torch.onnx.export(
            whole.eval(),  # the exporter puts all parts back into the mode of the whole
            (numbers, torch.ones_like(numbers)),
            str(out),
            input_names=["input_ids", "attention_mask"],
            output_names=[name],
            dynamic_axes={"input_ids": axes, "attention_mask": axes, name: {0: "texts"} if pooled else axes},
            opset_version=OPSET,
            dynamo=False,
        )


def torch_vectors(
    transformer: nn.Module, texts: Sequence[Sequence[int]], pooling: str = "mean", dense: Sequence[Path] = ()
) -> FloatArray:
    """(n, dim) unit rows of texts that are given as numbers of tokens, one by one: what an export must agree with."""
    whole = _Pooled(transformer, pooling, [_dense(folder) for folder in dense]).eval()
    with torch.inference_mode():
        found = [whole(row := torch.tensor([list(text)]), torch.ones_like(row))[0].numpy() for text in texts]
    return np.stack([unit(vector) for vector in found])


class _Hidden(nn.Module):
    def __init__(self, transformer: nn.Module) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        states: torch.Tensor = self.transformer(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return states  # (texts, tokens, dim)


class _Pooled(nn.Module):
    """Of texts without padding."""

    def __init__(self, transformer: nn.Module, pooling: str, dense: Sequence[nn.Module]) -> None:
        super().__init__()
        self.hidden = _Hidden(transformer)
        self.pooling = pooling
        self.dense = nn.Sequential(*dense)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        states = self.hidden(input_ids, attention_mask)
        pooled = {
            "mean": lambda: states.mean(1),
            "cls": lambda: states[:, 0],
            "max": lambda: states.max(1).values,
            "lasttoken": lambda: states[:, -1],
        }[self.pooling]()
        found: torch.Tensor = self.dense(pooled)
        return found  # (texts, dim)


_ACTIVATIONS = {"Tanh": nn.Tanh, "Identity": nn.Identity, "ReLU": nn.ReLU, "GELU": nn.GELU}


def _dense(folder: Path) -> nn.Module:
    """A linear layer and what follows it, as sentence-transformers writes it."""
    try:
        said: dict[str, Any] = json.loads((folder / "config.json").read_bytes())
        bias = bool(said.get("bias", True))
        linear = nn.Linear(int(said["in_features"]), int(said["out_features"]), bias)
        ready = folder / "model.safetensors"
        state = load_file(ready) if ready.is_file() else torch.load(folder / "pytorch_model.bin", weights_only=True)
        linear.load_state_dict({name.removeprefix("linear."): value for name, value in state.items()})
        activation = _ACTIVATIONS[
            str(said.get("activation_function", "torch.nn.modules.activation.Tanh")).split(".")[-1]
        ]
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"{folder} holds no dense layer that is known here ({error!r:.200}): copy it again") from error
    return nn.Sequential(linear.float(), activation()).eval()


@contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' bars and reports, and what tracing warns of; the vectors are compared afterwards."""
    shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()

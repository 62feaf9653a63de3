"""Where a training stands, on disk: arrays and JSON in safetensors files, whole or not there at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import nn, optim

from endcap.errors import ModelError
from endcap.nn.settings import Settings

LAST = "last.safetensors"
BEST = "best-{step}.safetensors"
_FREE = ("threads", "device", "checkpoint_steps")
"""Settings that may differ when a training is taken up again."""
Arrays = dict[str, torch.Tensor]


class Epoch(msgspec.Struct, frozen=True):
    """One way through all examples."""

    epoch: int
    """From 1."""
    step: int
    """Steps so far."""
    loss: float
    """Mean over all examples, as they went by."""
    learning_rate: float
    """Of its last step."""
    metrics: dict[str, float] = {}
    """On what was held out, after it."""


class Standing(msgspec.Struct):
    """How far a training is. With weights and moments it is all that the next step depends on."""

    of: dict[str, object]
    """What is trained, on what, and how: by ``identity``."""
    epoch: int = 0
    """Epochs that are over."""
    step: int = 0
    """Steps taken."""
    within: int = 0
    """Steps taken in this epoch."""
    loss: float = 0.0
    """Sum over this epoch so far."""
    weight: float = 0.0
    """Examples in that sum."""
    best: int = -1
    """The step with the best value of what is watched, -1 for none yet."""
    best_value: float | None = None
    waited: int = 0
    """Epochs since."""
    done: bool = False
    history: list[Epoch] = []
    scaler: dict[str, float] = {}
    """Of the gradients of float16; empty in other precisions."""


def identity(model: nn.Module, data: str, settings: Settings) -> dict[str, object]:
    """What must be the same for a training to be taken up: the model's shape and frozen weights, the data, settings."""
    shape = hashlib.blake2b(digest_size=16)
    for name, parameter in model.named_parameters():
        shape.update(f"{name} {tuple(parameter.shape)} {parameter.dtype} {parameter.requires_grad}\n".encode())
        if not parameter.requires_grad:
            shape.update(parameter.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes())
    kept = {name: value for name, value in asdict(settings).items() if name not in _FREE}
    return {"model": shape.hexdigest(), "data": data, **kept}


def weights_of(model: nn.Module) -> Arrays:
    """What a training changes in ``model``, and its buffers."""
    trained = {name: one.detach() for name, one in model.named_parameters() if one.requires_grad}
    return trained | {name: one.detach() for name, one in model.named_buffers()}


def put_weights(model: nn.Module, arrays: Mapping[str, torch.Tensor]) -> None:
    """Takes over what ``weights_of`` gave."""
    for name, place in weights_of(model).items():
        place.copy_(arrays[name])


def save_checkpoint(folder: Path, model: nn.Module, optimizer: optim.Optimizer, standing: Standing) -> None:
    """Replaces the checkpoint in ``folder``; whoever dies meanwhile leaves the one before. Raises ModelError."""
    arrays = {f"model.{name}": tensor for name, tensor in weights_of(model).items()}
    for number, values in optimizer.state_dict()["state"].items():
        arrays |= {f"optimizer.{number}.{key}": value for key, value in values.items() if torch.is_tensor(value)}
    _write(folder / LAST, arrays, {"standing": msgspec.json.encode(standing).decode()})
    for path in folder.glob(BEST.format(step="*")):
        if path.name != BEST.format(step=standing.best):
            path.unlink()


def save_best(folder: Path, model: nn.Module, step: int) -> None:
    """Keeps the weights of ``step`` apart, until a checkpoint names other ones."""
    _write(folder / BEST.format(step=step), weights_of(model), {})


def load_best(folder: Path, step: int) -> Arrays:
    """The weights that ``save_best`` kept. Raises ModelError if they cannot be read."""
    return _read(folder / BEST.format(step=step))


def read_standing(folder: Path) -> Standing | None:
    """How far the training in ``folder`` is; None where there is none. Raises ModelError if it is damaged."""
    path = folder / LAST
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            return msgspec.json.decode((file.metadata() or {}).get("standing", ""), type=Standing)
    except (OSError, SafetensorError, msgspec.MsgspecError) as error:
        raise ModelError(f"{path} is damaged ({error}): delete {folder}, and train from the start") from error


def load_checkpoint(folder: Path, model: nn.Module, optimizer: optim.Optimizer, of: Mapping[str, object]) -> Standing:
    """Puts what ``folder`` keeps into ``model`` and ``optimizer``. Only where ``read_standing`` found something.

    Raises ModelError if it is damaged, or the checkpoint of another training than ``of`` says: then nothing changes.
    """
    standing = read_standing(folder)
    if standing is None:
        raise ModelError(f"{folder} holds no checkpoint")
    other = [name for name, value in of.items() if standing.of.get(name) != value]
    if other:
        raise ModelError(_another(folder, standing, of, other[0]))
    arrays = _read(folder / LAST)
    put_weights(model, {name.removeprefix("model."): one for name, one in arrays.items() if name.startswith("model.")})
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in arrays.items():
        if name.startswith("optimizer."):
            _, number, key = name.split(".", 2)
            state.setdefault(int(number), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return standing


def _another(folder: Path, standing: Standing, of: Mapping[str, object], name: str) -> str:
    mend = f"name another folder than {folder}, or delete it to train from the start"
    if name in ("model", "data"):
        what = {"model": "of another model", "data": "of a training on other data or for something else"}[name]
        return f"the checkpoint in {folder} is {what}: {mend}"
    was, now = json.dumps(standing.of.get(name)), json.dumps(of[name])
    return f"the checkpoint in {folder} was made with {name} {was}, not {now}: give the same, or {mend}"


def _write(path: Path, arrays: Arrays, metadata: dict[str, str]) -> None:
    building = path.with_name(f".{path.name}.part")
    data = save({name: tensor.cpu().contiguous() for name, tensor in arrays.items()}, metadata)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with building.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        building.replace(path)
    except OSError as error:
        raise ModelError(f"{path} cannot be written ({error.strerror}): check the disk, then go on training") from error


def _read(path: Path) -> Arrays:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path} cannot be read ({error}): delete {path.parent}, and train from the start") from error

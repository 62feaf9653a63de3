"""Where a model is trained: the CPU, a GPU, or several that share the work; in which precision; from which seed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import distributed, nn

from endcap.errors import ConfigError
from endcap.nn.settings import Settings

Batch = dict[str, torch.Tensor]
"""What goes through a model at once, by name."""


@dataclass(frozen=True, slots=True)
class Place:
    """One process of a training: its device, and which of how many processes it is."""

    device: torch.device
    precision: torch.dtype
    rank: int = 0
    world: int = 1

    def autocast(self) -> AbstractContextManager[object]:
        """Within it, matrix products are in the lower precision."""
        if self.precision == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.precision)

    def scaler(self) -> torch.amp.GradScaler:
        """Keeps the small gradients of float16 above its smallest number; does nothing in other precisions."""
        return torch.amp.GradScaler(self.device.type, enabled=self.precision == torch.float16)

    def gather(self, model: nn.Module, sums: Sequence[float]) -> list[float]:
        """Adds the gradients of all processes up, and ``sums``, which it gives back. Alone, it changes nothing."""
        if self.world == 1:
            return list(sums)
        for parameter in model.parameters():
            if parameter.requires_grad:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                distributed.all_reduce(parameter.grad)
        together = torch.tensor(sums, dtype=torch.float64, device=self.device)
        distributed.all_reduce(together)
        return [float(value) for value in together]

    def told(self, value: dict[str, float]) -> dict[str, float]:
        """What the first process says, for all: they decide alike."""
        if self.world == 1:
            return value
        said = [value]
        distributed.broadcast_object_list(said, device=self.device)
        return said[0]


def place_of(settings: Settings) -> Place:
    """Where ``settings`` train. Raises ConfigError for a device or a precision that is not there."""
    joined = distributed.is_available() and distributed.is_initialized()
    rank, world = (distributed.get_rank(), distributed.get_world_size()) if joined else (0, 1)
    device = _device(settings.device)
    if world > 1 and device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", rank)))
        torch.cuda.set_device(device)
    return Place(device, _precision(settings.precision, device), rank, world)


def is_first() -> bool:
    """Whether this process writes what a training leaves: it works alone, or is the first of several."""
    return not (distributed.is_available() and distributed.is_initialized()) or distributed.get_rank() == 0


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device is {name!r:.80}, which torch cannot use here: say auto, cpu or cuda") from error
    return device


def _precision(name: str, device: torch.device) -> torch.dtype:
    if name == "float16" and device.type == "cpu":
        raise ConfigError("precision is 'float16', which needs a GPU: say float32 or bfloat16")
    if name != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


@contextmanager
def joined() -> Iterator[None]:
    """Within it the processes that ``torchrun`` started work together; started otherwise, a process works alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
        distributed.barrier()  # the first holds the store that the others say goodbye to
    finally:
        distributed.destroy_process_group()


@contextmanager
def reproducible(settings: Settings) -> Iterator[None]:
    """Within it torch uses ``settings.threads`` threads; what the caller draws afterwards is as if nothing had been."""
    threads = torch.get_num_threads()
    torch.set_num_threads(settings.threads)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.set_num_threads(threads)


def moved(batch: Batch, device: torch.device) -> Batch:
    """``batch`` on ``device``."""
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}


def device_of(model: nn.Module) -> torch.device:
    """Where ``model`` is."""
    return next(model.parameters()).device

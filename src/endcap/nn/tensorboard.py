"""What TensorBoard shows of a training: loss, metrics, learning rate, and vectors with their names (the projector)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch.utils.tensorboard import SummaryWriter

from endcap.types import FloatArray


class Board:
    """Writes to ``folder``; close it. ``tensorboard --logdir FOLDER`` shows it."""

    def __init__(self, folder: Path, step: int = 0) -> None:
        """``step``: how far the training is; what a killed run wrote beyond it is hidden."""
        self._writer = SummaryWriter(str(folder), purge_step=step + 1 if step else None)

    def show(self, step: int, figures: Mapping[str, float]) -> None:
        """``figures`` by name, as they are after ``step`` steps."""
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)

    def project(self, step: int, vectors: FloatArray, labels: Sequence[str], name: str = "vectors") -> None:
        """``vectors`` (n, dim) as points in the projector, each with its label."""
        lines = [" ".join(label.split()) or "-" for label in labels]
        self._writer.add_embedding(torch.from_numpy(vectors), lines, global_step=step, tag=name)

    def close(self) -> None:
        """Writes what is left."""
        self._writer.close()

"""The one loop that trains every neural model.

A step depends on the weights, the optimiser's moments and the number of the step, and on nothing else: the order of the
examples is drawn from the seed and the epoch, what is random within a step (dropout, masks, augmentation) from the seed
and the step. So a training that was killed goes on from its last checkpoint as if nothing had been, to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import nn

from endcap.errors import ModelError
from endcap.nn import checkpoints
from endcap.nn.checkpoints import Epoch, Standing
from endcap.nn.devices import Batch, moved, place_of, reproducible
from endcap.nn.optimizers import make_optimizer, set_rate, trained_parameters
from endcap.nn.settings import Settings, rate_share
from endcap.nn.tensorboard import Board
from endcap.types import IntArray, Progress

Augment = Callable[[Batch, np.random.Generator], Batch]
"""Changes a batch before the model sees it: a hook for any augmentation."""


class Loss(NamedTuple):
    """Of a batch: a sum, and over how many examples (or tokens) it goes. Sums add up over batches and devices."""

    total: torch.Tensor
    weight: float


class Task(Protocol):
    """What a model is trained for: examples by row, a loss, and what tells how good it is."""

    watched: str
    """The metric whose best value says which weights to keep."""
    higher_is_better: bool
    data: str
    """A digest of the examples: a checkpoint made with others is refused."""

    def batches(self, size: int, rng: np.random.Generator) -> Sequence[IntArray]:
        """The rows of an epoch, ``size`` of them together; always as many batches."""
        ...

    def batch(self, rows: IntArray, rng: np.random.Generator) -> Batch:
        """Tensors, on the CPU."""
        ...

    def loss(self, model: nn.Module, batch: Batch) -> Loss: ...

    def evaluate(self, model: nn.Module) -> Mapping[str, float]:
        """Metrics on what was held out; empty where nothing was: then the last weights are the best."""
        ...


@dataclass(frozen=True, slots=True)
class Around:
    """What surrounds a training and changes nothing in it, but for ``augment`` and ``after_step``."""

    folder: Path | None = None
    """Where checkpoints go; one that is there is taken up. None: nothing is kept."""
    progress: Progress | None = None
    """Steps."""
    board: Path | None = None
    """Where TensorBoard finds loss, learning rate, length of the gradient and metrics."""
    augment: Augment | None = None
    after_step: Callable[[nn.Module, float], None] | None = None
    """Changes the weights after each step, by its learning rate: a projection, a penalty that no gradient has."""
    epoch_over: Callable[[Epoch], None] | None = None
    """Called after each epoch, with its figures."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What became of a training; the model holds the best weights."""

    history: Sequence[Epoch]
    best: Epoch
    """The epoch of the weights that the model holds."""
    resumed_from: int
    """The step of the checkpoint that was taken up; 0: it began from the start."""


def train(model: nn.Module, task: Task, settings: Settings, around: Around | None = None) -> Trained:
    """Trains ``model`` in place, as long as ``settings`` say or until it stops getting better.

    The same seed gives the same weights on one thread. Raises ConfigError for a device that is not there, ModelError
    for a checkpoint of another training, for one that is damaged, and when the loss is no number any more: then the
    last good checkpoint stays.
    """
    with reproducible(settings):
        return _Run(model, task, settings, around or Around()).run()


def shuffled(n: int, size: int, rng: np.random.Generator, lengths: IntArray | None = None) -> list[IntArray]:
    """``n`` rows in random batches of ``size``; those of similar ``lengths`` together, so that little is padding."""
    order = rng.permutation(n).astype(np.int32)
    if lengths is None:
        return [order[start : start + size] for start in range(0, n, size)]
    window = size * 64  # within it rows are sorted: random enough, and nearly as dense as sorting them all
    order = np.concatenate(
        [part[np.argsort(lengths[part], kind="stable")] for part in np.split(order, range(window, n, window))]
    )
    batches = [order[start : start + size] for start in range(0, n, size)]
    return [batches[place] for place in rng.permutation(len(batches))]


class _Run:
    """One training, from where it stands."""

    def __init__(self, model: nn.Module, task: Task, settings: Settings, around: Around) -> None:
        self.place = place_of(settings)
        self.model, self.task, self.settings, self.around = model.to(self.place.device), task, settings, around
        self.optimizer = make_optimizer(model, settings)
        self.scaler = self.place.scaler()
        self.at = Standing(checkpoints.identity(model, task.data, settings))
        self.best: checkpoints.Arrays | None = None
        self.board: Board | None = None
        self.steps = 0

    def run(self) -> Trained:
        self._resume()
        resumed_from = self.at.step
        if self.around.board is not None and self.place.rank == 0:
            self.board = Board(self.around.board, resumed_from)
        try:
            while not self.at.done:
                self._epoch()
        finally:
            if self.board is not None:
                self.board.close()
        if self.best is not None:
            checkpoints.put_weights(self.model, self.best)
        history = self.at.history
        return Trained(history, next((one for one in history if one.step == self.at.best), history[-1]), resumed_from)

    def _resume(self) -> None:
        folder = self.around.folder
        if folder is None or checkpoints.read_standing(folder) is None:
            return
        self.at = checkpoints.load_checkpoint(folder, self.model, self.optimizer, self.at.of)
        self.scaler.load_state_dict(self.at.scaler)
        if self.at.best >= 0:
            self.best = checkpoints.load_best(folder, self.at.best)

    def _epoch(self) -> None:
        batches = self.task.batches(
            self.settings.batch_size, np.random.default_rng([self.settings.seed, self.at.epoch])
        )
        if not len(batches):
            raise ModelError("there is nothing to train on: give more examples")
        together = len(batches) if self.settings.optimizer == "gd" else self.settings.accumulate * self.place.world
        in_epoch = math.ceil(len(batches) / together)
        self.steps = in_epoch * self.settings.epochs
        every = self.settings.checkpoint_steps
        while self.at.within < in_epoch:
            start = self.at.within * together
            self._step(batches[start : start + together])
            if self.around.progress is not None:
                self.around.progress(self.at.step, self.steps)
            if every and self.at.step % every == 0 and self.at.within < in_epoch:
                self._keep()
        self._judge()

    def _step(self, batches: Sequence[IntArray]) -> None:
        """One step of the optimiser, down the mean gradient over ``batches``; none where they have no loss."""
        rate = self.settings.learning_rate * rate_share(self.settings, self.at.step, self.steps)
        set_rate(self.optimizer, rate)
        self.optimizer.zero_grad(set_to_none=True)
        self.model.train()
        total, weight = self.place.gather(self.model, self._backward(batches))
        if weight:
            self.scaler.unscale_(self.optimizer)
            norm = self._mean_gradient(self.settings.batch_size / weight)
            self._check(total / weight, norm)
            self.scaler.step(self.optimizer)
            self.scaler.update()
            if self.around.after_step is not None:
                with torch.no_grad():
                    self.around.after_step(self.model, rate)
            figures = {"loss": total / weight, "learning_rate": rate, "gradient_norm": norm}
            self._show(self.at.step + 1, figures)
        self.at.step, self.at.within = self.at.step + 1, self.at.within + 1
        self.at.loss, self.at.weight = self.at.loss + total, self.at.weight + weight

    def _backward(self, batches: Sequence[IntArray]) -> list[float]:
        """Gradients of this process's share of ``batches``, summed; the sum of the losses, and over how many it goes.

        The gradients are kept down by the size of a batch, so that float16 can hold them.
        """
        total, weight = torch.zeros((), device=self.place.device), 0.0
        for place in range(self.place.rank, len(batches), self.place.world):
            draws = np.random.default_rng([self.settings.seed, self.at.step, place, 1])
            torch.manual_seed(int(draws.integers(2**63)))
            batch = self.task.batch(batches[place], draws)
            if self.around.augment is not None:
                batch = self.around.augment(batch, draws)
            with self.place.autocast():
                loss = self.task.loss(self.model, moved(batch, self.place.device))
            if loss.weight:
                self.scaler.scale(loss.total / self.settings.batch_size).backward()  # type: ignore[no-untyped-call]
                total, weight = total + loss.total.detach(), weight + loss.weight
        return [float(total), weight]

    def _mean_gradient(self, factor: float) -> float:
        """Brings the gradient to the mean over all examples, and to ``clip_norm`` if longer. Its length before that."""
        given = [one.grad for one in trained_parameters(self.model).values() if one.grad is not None]
        norm = float(torch.nn.utils.get_total_norm(given)) * factor if given else 0.0
        if 0 < self.settings.clip_norm < norm:
            factor *= self.settings.clip_norm / norm
        for gradient in given:
            gradient.mul_(factor)
        return norm

    def _check(self, loss: float, norm: float) -> None:
        """Raises ModelError when the next weights would be no numbers. A scaler skips such a step by itself."""
        if math.isfinite(loss) and (math.isfinite(norm) or self.scaler.is_enabled()):
            return
        kept = checkpoints.read_standing(self.around.folder) if self.around.folder is not None else None
        where = f"; the weights of step {kept.step} are kept in {self.around.folder}" if kept is not None else ""
        what = f"the loss is {loss}" if not math.isfinite(loss) else f"the gradient's length is {norm}"
        raise ModelError(
            f"{what} at step {self.at.step + 1}{where}: train with a lower learning rate than "
            f"{self.settings.learning_rate:g}, and look for values that are no numbers in the data"
        )

    def _judge(self) -> None:
        """The end of an epoch: metrics, whether it is the best so far, whether to go on, a checkpoint."""
        self.model.eval()
        with torch.inference_mode(), self.place.autocast():
            found = dict(self.task.evaluate(self.model)) if self.place.rank == 0 else {}
        found, at = self.place.told(found), self.at
        rate = float(self.optimizer.param_groups[0]["lr"])
        over = Epoch(at.epoch + 1, at.step, at.loss / max(at.weight, 1e-9), rate, found)
        at.history = [*at.history, over]
        at.epoch, at.within, at.loss, at.weight = at.epoch + 1, 0, 0.0, 0.0
        self._note(found)
        at.done = at.epoch >= self.settings.epochs or (bool(found) and 0 < self.settings.patience <= at.waited)
        self._keep()
        self._show(at.step, {name if "/" in name else f"held_out/{name}": value for name, value in found.items()})
        if self.around.epoch_over is not None:
            self.around.epoch_over(over)

    def _note(self, found: Mapping[str, float]) -> None:
        """Keeps the weights if ``found`` says that they are the best so far."""
        if not found or not self._is_better(found[self.task.watched]):
            self.at.waited += 1
            return
        self.at.best, self.at.best_value, self.at.waited = self.at.step, found[self.task.watched], 0
        self.best = {name: one.clone() for name, one in checkpoints.weights_of(self.model).items()}
        if self.around.folder is not None and self.place.rank == 0:
            checkpoints.save_best(self.around.folder, self.model, self.at.step)

    def _show(self, step: int, figures: Mapping[str, float]) -> None:
        if self.board is not None:
            self.board.show(step, figures)

    def _is_better(self, value: float) -> bool:
        best = self.at.best_value
        if not math.isfinite(value):
            return False
        return best is None or (value > best if self.task.higher_is_better else value < best)

    def _keep(self) -> None:
        if self.around.folder is not None and self.place.rank == 0:
            self.at.scaler = self.scaler.state_dict()
            checkpoints.save_checkpoint(self.around.folder, self.model, self.optimizer, self.at)

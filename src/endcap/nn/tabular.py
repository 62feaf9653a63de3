"""From the columns of a table to a probability: embeddings, figures, and what each two of them say together.

DeepFM: Guo, Tang, Ye, Li, He, "DeepFM: A Factorization-Machine based Neural Network for CTR Prediction", IJCAI 2017,
https://arxiv.org/abs/1703.04247. The logit is a sum of three: a weight for each value (logistic regression), the dot
products of the vectors of each two columns (for a user and an item alone that is matrix factorisation with biases), and
a network over all vectors and figures.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import nn
from torch.nn import functional

from endcap.nn.devices import Batch, device_of
from endcap.nn.training import Loss, shuffled
from endcap.types import FloatArray, IntArray

ROWS = 8_192
"""That go through the model at once where nothing is learnt."""
JUDGED = 100_000
"""Rows of the training part on which it is judged after each epoch, evenly spread."""


class Examples(NamedTuple):
    """n rows of a table."""

    codes: IntArray
    """(n, categories)."""
    numbers: FloatArray
    """(n, width)."""
    labels: FloatArray
    """(n,) 0 or 1."""

    def at(self, rows: IntArray) -> Examples:
        """Only those."""
        return Examples(self.codes[rows], self.numbers[rows], self.labels[rows])


@dataclass(frozen=True, slots=True)
class Shape:
    """Of the model."""

    factors: int = 16
    """Numbers in the vector of a value or a figure."""
    hidden: tuple[int, ...] = (64, 32)
    """Layers of the network; none: factorisation alone."""
    dropout: float = 0.2


class TabularModel(nn.Module):
    """``sizes``: values of each column of codes; ``width``: columns of numbers; ``base``: share of ones."""

    offsets: torch.Tensor

    def __init__(self, sizes: Sequence[int], width: int, shape: Shape, base: float = 0.5) -> None:
        super().__init__()
        self.register_buffer("offsets", torch.tensor([0, *np.cumsum(sizes)[:-1].tolist()]))
        total = int(sum(sizes))
        self.value_weights = nn.Embedding(total, 1)
        self.value_factors = nn.Embedding(total, shape.factors)
        self.number_weights = nn.Linear(width, 1)
        self.number_factors = nn.Parameter(torch.randn(width, shape.factors) * 0.01)
        nn.init.zeros_(self.value_weights.weight)
        nn.init.zeros_(self.number_weights.weight)
        nn.init.normal_(self.value_factors.weight, std=0.01)
        nn.init.constant_(self.number_weights.bias, float(np.log(base / (1 - base))))
        layers: list[nn.Module] = []
        inputs = len(sizes) * shape.factors + width
        for outputs in shape.hidden:
            layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(shape.dropout)]
            inputs = outputs
        self.deep = nn.Sequential(*layers, nn.Linear(inputs, 1, bias=False)) if layers else None

    def forward(self, codes: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        """``codes`` (n, categories) and ``numbers`` (n, width) to (n,) logits."""
        places = codes + self.offsets
        vectors = self.value_factors(places)  # (n, categories, factors)
        logits = self.value_weights(places).sum(1) + self.number_weights(numbers)  # (n, 1)
        whole = vectors.sum(1) + numbers @ self.number_factors  # (n, factors)
        alone = vectors.square().sum(1) + numbers.square() @ self.number_factors.square()
        logits = logits + 0.5 * (whole.square() - alone).sum(1, keepdim=True)  # each two columns: sum of dot products
        if self.deep is not None:
            logits = logits + self.deep(torch.cat([vectors.flatten(1), numbers], 1))
        found: torch.Tensor = logits.squeeze(1)
        return found


class TabularTask:
    """Binary cross-entropy on ``training``, judged after each epoch on it and on ``validation``.

    ``unknown``: share of the codes that a step takes for unknown, so that what is unknown later has a vector too.
    """

    watched = "validation/loss"
    higher_is_better = False

    def __init__(self, training: Examples, validation: Examples, unknown: float = 0.02) -> None:
        self.training, self.validation, self.unknown = training, validation, unknown
        spread = np.linspace(0, len(training.labels) - 1, min(len(training.labels), JUDGED)).astype(np.int32)
        self._judged = {"training": training.at(spread), "validation": validation}
        digest = hashlib.blake2b(repr(unknown).encode(), digest_size=16)
        for array in (*training, *validation):
            digest.update(np.ascontiguousarray(array).data)
        self.data = digest.hexdigest()

    def batches(self, size: int, rng: np.random.Generator) -> Sequence[IntArray]:
        return shuffled(len(self.training.labels), size, rng)

    def batch(self, rows: IntArray, rng: np.random.Generator) -> Batch:
        codes, numbers, labels = self.training.at(rows)
        codes = np.where(rng.random(codes.shape) < self.unknown, 0, codes)
        return {
            "codes": torch.from_numpy(codes).long(),
            "numbers": torch.from_numpy(numbers),
            "labels": torch.from_numpy(labels),
        }

    def loss(self, model: nn.Module, batch: Batch) -> Loss:
        logits = model(batch["codes"], batch["numbers"]).float()
        total = functional.binary_cross_entropy_with_logits(logits, batch["labels"], reduction="sum")
        return Loss(total, float(len(logits)))

    def evaluate(self, model: nn.Module) -> Mapping[str, float]:
        return {
            f"{part}/{name}": value
            for part, examples in self._judged.items()
            for name, value in judged(probabilities(model, examples), examples.labels).items()
        }


def probabilities(model: nn.Module, examples: Examples) -> NDArray[np.float64]:
    """(n,) what ``model``, in evaluation mode, says of each row."""
    device, found = device_of(model), []
    with torch.inference_mode():
        for start in range(0, len(examples.codes), ROWS):
            codes = torch.from_numpy(examples.codes[start : start + ROWS]).long().to(device)
            numbers = torch.from_numpy(examples.numbers[start : start + ROWS]).to(device)
            found.append(torch.sigmoid(model(codes, numbers).double()).cpu().numpy())
    return np.concatenate(found) if found else np.zeros(0)


def judged(said: NDArray[np.float64], labels: FloatArray) -> dict[str, float]:
    """Of n probabilities against ``labels`` (n,): ``loss`` (mean cross-entropy, nats), ``accuracy`` at 0.5, ``auc``.

    The AUC is the share of pairs of a one and a zero that stand in the right order, ties counting half (Hanley and
    McNeil 1982, https://doi.org/10.1148/radiology.143.1.7063747); without both it is left out. Of no rows nothing is
    said.
    """
    if not len(labels):
        return {}
    truth = labels > 0.5
    right = np.clip(np.where(truth, said, 1 - said), 1e-12, 1.0)
    found = {"loss": float(-np.log(right).mean()), "accuracy": float(((said >= 0.5) == truth).mean())}
    ones, zeros = int(truth.sum()), int((~truth).sum())
    if ones and zeros:
        found["auc"] = float((rankdata(said)[truth].sum() - ones * (ones + 1) / 2) / (ones * zeros))
    return found


class _Probability(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, codes: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.model(codes, numbers))


def export(model: nn.Module, examples: Examples, out: Path) -> None:
    """Writes ``model`` to ``out`` as ONNX: ``codes`` (n, categories), ``numbers`` (n, width) to ``probability`` (n,).

    ``examples``: a row or more, of any labels, to trace it with.
    """
    whole = _Probability(model.cpu()).eval()
    given = torch.from_numpy(examples.codes[:2]).long(), torch.from_numpy(examples.numbers[:2])
    names = ["codes", "numbers", "probability"]
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's coming successor
        torch.onnx.export(
            whole,
            given,
            str(out),
            input_names=names[:2],
            output_names=names[2:],
            dynamic_axes={name: {0: "rows"} for name in names},
            opset_version=17,
            dynamo=False,
        )

"""Neural collaborative filtering whose groups of item features are kept or dropped as a whole.

He, Liao, Zhang, Nie, Hu, Chua, "Neural Collaborative Filtering", WWW 2017, https://arxiv.org/abs/1708.05031: NeuMF, the
product of two vectors beside a layer over both. The visitor's vector is the mean of the history's, so that nobody needs
a row. The group lasso (Yuan, Lin, JRSS B 68, 2006) is applied by its proximal step, which reaches 0 exactly.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from endcap.nn.devices import Batch
from endcap.nn.sequence import others
from endcap.nn.settings import Settings
from endcap.nn.shapes import CollaborativeSettings
from endcap.nn.training import Around, Loss, shuffled, train
from endcap.types import FloatArray, IntArray, TimeArray


class Touched(NamedTuple):
    """What users touched, one user after the other; two items or more each."""

    items: IntArray
    """(events,) from 0 to ``n_items`` - 1."""
    edges: TimeArray
    """(users + 1,)."""
    n_items: int
    groups: Sequence[FloatArray]
    """Of features: (n_items, width) each."""


class Collaborative(nn.Module):
    """The logit of "this visitor and this item"."""

    def __init__(self, n_items: int, groups: Sequence[FloatArray], settings: CollaborativeSettings) -> None:
        super().__init__()
        dim = settings.factors
        self.ids = nn.Embedding(n_items, dim)
        nn.init.normal_(self.ids.weight, std=0.1)
        for number, group in enumerate(groups):
            self.register_buffer(f"group{number}", torch.from_numpy(group), persistent=False)
        self.of_groups = nn.ParameterList(
            nn.Parameter(torch.randn(group.shape[1], dim) * 0.1 / max(group.shape[1], 1) ** 0.5) for group in groups
        )
        self.user, self.item = nn.Linear(dim, dim), nn.Linear(dim, dim, bias=False)
        self.product, self.layer = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.randn(dim) * 0.1)
        self.dropout = nn.Dropout(settings.dropout)

    def items(self) -> torch.Tensor:
        """(items, factors)."""
        found = self.ids.weight
        for number, weight in enumerate(self.of_groups):
            found = found + self.get_buffer(f"group{number}") @ weight
        return found

    def forward(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """``users`` (n, factors) with ``items`` (n, k, factors): (n, k) logits."""
        hidden = self.dropout(functional.relu(self.user(users)[:, None, :] + self.item(items)))
        logits: torch.Tensor = items @ (users * self.product)[:, :, None]
        return torch.add(logits.squeeze(2), hidden @ self.layer)

    def shrink(self, by: float) -> None:
        """The proximal step: the weights of each group shorter by ``by``, times the root of their number, or 0."""
        for weight in self.of_groups:
            length = float(weight.norm())
            weight.mul_(max(0.0, 1.0 - by * weight.numel() ** 0.5 / max(length, 1e-12)))


@dataclass
class TouchedOrNot:
    """The task: each item of a user, by the others, against items drawn at random."""

    past: Touched
    settings: CollaborativeSettings
    watched: str = "loss"
    higher_is_better: bool = False

    def __post_init__(self) -> None:
        digest = hashlib.blake2b(repr(self.settings).encode(), digest_size=16)
        for array in (self.past.items, self.past.edges, *self.past.groups):
            digest.update(np.ascontiguousarray(array).data)
        self.data = digest.hexdigest()

    def batches(self, size: int, rng: np.random.Generator) -> Sequence[IntArray]:
        return shuffled(self.past.edges.size - 1, size, rng)

    def batch(self, rows: IntArray, rng: np.random.Generator) -> Batch:
        spans = [self.past.items[self.past.edges[row] : self.past.edges[row + 1]] for row in rows.tolist()]
        items = torch.from_numpy(np.concatenate(spans)).long()
        negatives = others(items, self.past.n_items, self.settings.negatives, rng)
        return {"items": items, "negatives": negatives, "lengths": torch.tensor([len(one) for one in spans])}

    def loss(self, model: nn.Module, batch: Batch) -> Loss:
        network: Collaborative = model  # type: ignore[assignment]
        table, lengths = network.items(), batch["lengths"]
        events = functional.embedding(batch["items"], table)
        owner = torch.repeat_interleave(torch.arange(len(lengths), device=events.device), lengths)
        whole = torch.zeros(len(lengths), events.shape[1], device=events.device).index_add(0, owner, events)
        users = (whole[owner] - events) / (lengths[owner][:, None] - 1)  # the mean of the others
        asked = torch.cat([batch["items"][:, None], batch["negatives"]], 1)
        logits = network(users, functional.embedding(asked, table)).float()
        wanted = torch.zeros_like(logits)
        wanted[:, 0] = 1
        return Loss(functional.binary_cross_entropy_with_logits(logits, wanted, reduction="sum"), float(len(events)))

    def evaluate(self, model: nn.Module) -> Mapping[str, float]:  # noqa: ARG002  # as many epochs as the settings say
        return {}


def learn(past: Touched, settings: CollaborativeSettings) -> Collaborative:
    """The network after its training. Raises as ``train``."""
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        network = Collaborative(past.n_items, past.groups, settings)

    def shrink(model: nn.Module, rate: float) -> None:
        model.shrink(rate * settings.group_lasso)  # type: ignore[operator]

    loop = Settings(
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        seed=settings.seed,
    )
    train(network, TouchedOrNot(past, settings), loop, Around(after_step=shrink))
    return network.cpu().eval()

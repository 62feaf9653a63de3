"""What comes next in a history: one task for the loop, with any of the bodies that read it.

An item's vector, the same where it is read and where it is ranked, is what was learnt of it alone plus a projection of
its features, so that an item without events has one too.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from endcap.nn.convolution import Convolution
from endcap.nn.devices import Batch, device_of, moved
from endcap.nn.losses import calibrated_bce, full_softmax
from endcap.nn.packing import Layout, layout_of, layout_of_one
from endcap.nn.recurrent import Recurrent
from endcap.nn.settings import Settings
from endcap.nn.shapes import SequenceSettings
from endcap.nn.tensorboard import Board
from endcap.nn.towers import Bag
from endcap.nn.training import Around, Loss, Trained, shuffled, train
from endcap.nn.transformer import SelfAttention
from endcap.types import FloatArray, IntArray, TimeArray

BODIES: Mapping[str, Callable[[SequenceSettings], nn.Module]] = {
    "sasrec": SelfAttention,
    "gru": Recurrent,
    "lstm": Recurrent,
    "caser": Convolution,
    "bag": Bag,
}
JUDGED = 2_000
"""Held out users at most."""
TOP = 10
LEAST_STEPS = 16
"""Of an epoch, where there are as many histories: batches are smaller for that. One step an epoch teaches nothing."""


class Histories(NamedTuple):
    """What users did, one after the other."""

    items: IntArray
    """(events,) rows of items, from 0 to ``n_items`` - 1, each of which is there."""
    edges: TimeArray
    """(users + 1,) where each user's events begin and end."""
    n_items: int
    features: FloatArray
    """(n_items, width); without columns where there are none."""
    profile: FloatArray
    """(events, numbers) of the visitor before each event; without columns where it is not read."""


class Network(nn.Module):
    """Items, a body, and what the visitor's profile adds to it."""

    def __init__(self, n_items: int, features: FloatArray, profile: int, settings: SequenceSettings) -> None:
        super().__init__()
        self.settings = settings
        self.ids = nn.Embedding(n_items, settings.factors)
        nn.init.normal_(self.ids.weight, std=0.02)
        self.register_buffer("features", torch.from_numpy(features), persistent=False)
        self.of_features = nn.Linear(features.shape[1], settings.factors, bias=False) if features.shape[1] else None
        self.body = BODIES[settings.body](settings)
        self.of_profile = nn.Linear(profile + settings.factors, settings.factors) if profile else None

    def items(self) -> torch.Tensor:
        """(items, factors); in training, some are only what their features say."""
        ids = self.ids.weight
        if self.of_features is None:
            return ids
        if self.training and self.settings.item_dropout:
            ids = ids * (torch.rand(len(ids), 1, device=ids.device) >= self.settings.item_dropout)
        found: torch.Tensor = ids + self.of_features(self.features)
        return found

    def forward(self, events: torch.Tensor, layout: Layout, profile: torch.Tensor | None = None) -> torch.Tensor:
        """(events, factors) vectors of items to those of what each history is about after each event."""
        vectors: torch.Tensor = self.body(events, layout)
        if self.of_profile is not None and profile is not None:
            interests = layout.back(layout.rectangle(events).cumsum(1)) / (layout.place[:, None] + 1)
            vectors = vectors + self.of_profile(torch.cat([profile, interests], 1))
        return vectors

    def compared(self, vectors: torch.Tensor) -> torch.Tensor:
        """Vectors as they are multiplied with each other: as they are, or of one length."""
        warm = self.settings.temperature
        return functional.normalize(vectors, dim=1) / warm**0.5 if warm else vectors


class NextItem:
    """The task: after every event of a history, the item that came next. The last ones of ``held`` users judge."""

    watched = "ndcg"
    higher_is_better = True

    def __init__(self, histories: Histories, settings: SequenceSettings) -> None:
        self.past, self.settings = histories, settings
        sizes = np.diff(histories.edges)
        self.held = _held_out(sizes, settings)
        ends = histories.edges[1:].copy()
        ends[self.held] -= 1
        starts = np.maximum(histories.edges[:-1], ends - settings.length - 1)
        self.users = np.flatnonzero(ends - starts > 1).astype(np.int32)
        self.starts, self.lengths = starts[self.users], (ends - starts)[self.users] - 1
        digest = hashlib.blake2b(repr(settings).encode(), digest_size=16)
        for array in (histories.items, histories.edges, histories.features, histories.profile):
            digest.update(np.ascontiguousarray(array).data)
        self.data = digest.hexdigest()

    def batches(self, size: int, rng: np.random.Generator) -> Sequence[IntArray]:
        return shuffled(self.users.size, size, rng, self.lengths.astype(np.int32))

    def batch(self, rows: IntArray, rng: np.random.Generator) -> Batch:
        lengths = self.lengths[rows]
        batch = self._read(self.starts[rows], lengths)
        places = _places(self.starts[rows], lengths)
        batch["targets"] = torch.from_numpy(self.past.items[places + 1]).long()
        if self.settings.loss == "gbce":
            batch["negatives"] = others(batch["targets"], self.past.n_items, self.settings.negatives, rng)
        return batch

    def loss(self, model: nn.Module, batch: Batch) -> Loss:
        network: Network = model  # type: ignore[assignment]
        items = network.items()
        vectors = network.compared(_vectors(network, items, batch))
        items = network.compared(items)
        if self.settings.loss == "gbce":
            return calibrated_bce(vectors, items, batch["targets"], batch["negatives"], self.settings.calibration)
        return full_softmax(vectors, items, batch["targets"], self.settings.label_smoothing)

    def evaluate(self, model: nn.Module) -> Mapping[str, float]:
        """NDCG and hit rate at 10 of the item held back, among all items."""
        if not self.held.size:
            return {}
        network: Network = model  # type: ignore[assignment]
        items = network.items()
        gains = []
        for some in np.array_split(self.held, -(-self.held.size // 256)):
            ends = self.past.edges[some + 1] - 1
            starts = np.maximum(self.past.edges[some], ends - self.settings.length)
            batch = moved(self._read(starts, ends - starts), device_of(model))
            last = torch.cumsum(batch["lengths"], 0) - 1
            vectors = network.compared(_vectors(network, items, batch)[last]).float()
            with torch.autocast(vectors.device.type, enabled=False):  # in fewer bits many scores are equal
                scores = vectors @ network.compared(items).float().T
            wanted = torch.from_numpy(self.past.items[ends]).long().to(scores.device)
            above = (scores >= scores.gather(1, wanted[:, None])).sum(1)  # from 1: equal ones stand before it
            gains.append(above.cpu().numpy())
        place = np.concatenate(gains)
        inside = place <= TOP
        return {"ndcg": float((inside / np.log2(place + 1)).mean()), "recall": float(inside.mean())}

    def _read(self, starts: TimeArray, lengths: TimeArray) -> Batch:
        """So many events from ``starts`` on, of several users, and what is known of each user when they asked."""
        places = _places(starts, lengths)
        batch = {
            "items": torch.from_numpy(self.past.items[places]).long(),
            "lengths": torch.from_numpy(lengths.astype(np.int64)),
        }
        if self.past.profile.shape[1]:
            batch["profile"] = torch.from_numpy(self.past.profile[places + 1])
        return batch


def others(targets: torch.Tensor, n_items: int, many: int, rng: np.random.Generator) -> torch.Tensor:
    """(n, many) items drawn evenly, none of them the target (n,) of its row, as long as there is another."""
    drawn = torch.from_numpy(rng.integers(max(n_items - 1, 1), size=(len(targets), many)))
    return (drawn + (drawn >= targets[:, None])) % n_items


def _places(starts: TimeArray, lengths: TimeArray) -> TimeArray:
    first = np.cumsum(lengths) - lengths
    places: TimeArray = np.repeat(starts - first, lengths) + np.arange(lengths.sum())
    return places


def _vectors(network: Network, items: torch.Tensor, batch: Batch) -> torch.Tensor:
    events = functional.embedding(batch["items"], items)
    vectors: torch.Tensor = network(events, layout_of(batch["lengths"]), batch.get("profile"))
    return vectors


def _held_out(sizes: TimeArray, settings: SequenceSettings) -> IntArray:
    """Users of three events or more, drawn from the seed, whose last one is kept back."""
    able = np.flatnonzero(sizes >= 3)
    many = min(int(able.size * settings.held_out), JUDGED)
    return np.sort(np.random.default_rng(settings.seed).permutation(able)[:many]).astype(np.int32)


def learn(histories: Histories, settings: SequenceSettings, around: Around) -> tuple[Network, Trained]:
    """The network after its training, in evaluation mode. Raises as ``train``."""
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        network = Network(histories.n_items, histories.features, histories.profile.shape[1], settings)
    task = NextItem(histories, settings)
    loop = Settings(
        epochs=settings.epochs,
        batch_size=max(1, min(settings.batch_size, task.users.size // LEAST_STEPS)),
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        patience=settings.patience,
        precision=settings.precision,
        seed=settings.seed,
    )
    trained = train(network, task, loop, around)
    return network.cpu().eval(), trained


class _Newest(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, events: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = self.body(events, layout_of_one(events))
        return vectors[-1]


def exported(network: Network) -> bytes:
    """The body as ONNX: ``events`` (n, factors), n from 1 to ``length``, to ``vector`` (factors,) after the newest."""
    settings, file = network.settings, BytesIO()
    given = torch.zeros(min(settings.length, 3), settings.factors)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what tracing warns of: the result is compared in a test
        torch.onnx.export(
            _Newest(network.body).eval(),
            (given,),
            file,  # type: ignore[arg-type]
            input_names=["events"],
            output_names=["vector"],
            dynamic_axes={"events": {0: "n"}},
            opset_version=17,
            dynamo=False,
        )
    return file.getvalue()


def show_items(folder: Path, network: Network, names: Sequence[str], step: int) -> None:
    """The items' vectors in the projector of the TensorBoard in ``folder``, each with its name."""
    board = Board(folder, step)
    with torch.no_grad():
        board.project(step, network.items().numpy(), names, "items")
    board.close()

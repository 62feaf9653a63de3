"""What comes next, by a neural network that reads the history in its order: SASRec, GRU4Rec, LSTM or Caser.

A network (``nn/transformer.py``, ``nn/recurrent.py``, ``nn/convolution.py``) turns the vectors of the last events into
the visitor's vector; an item's score is the product with its own, less that of the mean item. Trained by torch, which
serving does without. Softmax over all items, as in Klenitskiy, Vasilev, "Turning Dross Into Gold Loss: is BERT4Rec
really better than SASRec?", RecSys 2023, https://arxiv.org/abs/2309.07602.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from endcap.encoders.onnx import open_session
from endcap.errors import ModelError, NotFittedError
from endcap.features.described import Described
from endcap.features.interactions import sound, sound_weights, visit_shares
from endcap.features.joined import Features
from endcap.models import attention
from endcap.nn.shapes import SequenceSettings, need_torch
from endcap.protocols import Arrays
from endcap.types import MS_PER_DAY, BoolArray, FloatArray, IntArray, Interactions, Progress, Query, Ranking, TimeArray

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from endcap.nn.sequence import Network

PROFILE = 3
"""Numbers of the visitor: recency, frequency, money."""
Read = Callable[[IntArray, FloatArray], FloatArray]
"""Rows of the events, oldest first, and (items, factors) the vectors of all items, to (factors,)."""


@dataclass(frozen=True, slots=True)
class Around:
    """What surrounds a fit and changes nothing in it."""

    folder: Path | None = None
    """Of checkpoints: a fit that was killed goes on from there."""
    board: Path | None = None
    """Where TensorBoard finds loss, learning rate, metrics, and the items' vectors."""
    progress: Progress | None = None
    """Steps."""


class SequenceModel:
    """Ranks items by what a network makes of the history. It learns an item's vector from its events and its features.

    ``features``: of items (vectors of an encoder, attributes); an item without events is ranked by them alone.
    ``prices``: one number an item, for the visitor's money. Fitting needs the extra ``train`` and takes, an epoch,
    O(events items factors): 18 CPU-seconds for 154,000 events, 12,000 items, 64 factors in float32. The model keeps
    ``12 items factors`` bytes and ``4 (6 blocks + 1) factors^2`` for the network; one of attention also remembers the
    last 512 histories, and reads only what is new of them (``attention.Reader``). A query costs O(length factors^2 +
    items factors), of a remembered history O(factors^2 + length factors + items factors).
    """

    _ids: FloatArray | None = None
    _described: Described
    _items: FloatArray
    _compared: FloatArray
    _has: BoolArray
    _profile: FloatArray
    _body: Arrays
    _read: Read

    def __init__(
        self,
        settings: SequenceSettings | None = None,
        features: tuple[Features, ...] = (),
        prices: Features | None = None,
        around: Around | None = None,
    ) -> None:
        self.settings = self._built(settings)
        self._features, self._prices = features, prices
        self._around = around or Around()
        self._known: tuple[int, ...] | None = None

    @staticmethod
    def _built(settings: SequenceSettings | None) -> SequenceSettings:
        """What becomes of the settings that are given."""
        return settings or SequenceSettings()

    def fit(self, interactions: Interactions) -> Self:
        past = sound(interactions)
        order = np.argsort(past.user, kind="stable")
        past = past.where(order)
        n_items, factors = len(past.items), self.settings.factors
        seen, rows = np.unique(past.item, return_inverse=True)
        visits = visit_shares(past, "user")
        self._described = Described.learn(self._features, visits, n_items, self.settings.columns)
        ids, profile = np.zeros((n_items, factors), np.float32), np.zeros((0, factors), np.float32)
        edges = np.concatenate([[0], np.cumsum(np.bincount(past.user, minlength=len(past.users)))]).astype(np.int64)
        if not (np.diff(edges) > 1).any():  # nothing came after anything
            return self._take(ids, self._described.into(np.zeros((self._described.width, factors))), profile, {})
        described = self._described.rows(self._features, np.arange(n_items, dtype=np.int32))
        network = self._learn(past, rows.astype(np.int32), edges, described[seen])
        ids[seen] = network.ids.weight.detach().numpy()
        into = np.zeros((self._described.width, factors))
        if network.of_features is not None:
            into = network.of_features.weight.detach().numpy().T
        if network.of_profile is not None:
            linear = network.of_profile
            profile = np.ascontiguousarray(np.vstack([linear.weight.detach().numpy().T, linear.bias.detach().numpy()]))
        return self._take(ids, self._described.into(into), profile, _body_of(network))

    def recommend(self, query: Query, k: int) -> Ranking:
        return Ranking.top(self.scores(query), k, above=0.0)

    def scores(self, query: Query) -> FloatArray:
        self._fitted()
        user = self.user_vector(query)
        if not user.any():
            return np.empty(0, np.float32)
        return self._compared @ user

    def user_vector(self, query: Query) -> FloatArray:
        """(factors,) what the history says; zeros if it holds nothing that has a vector."""
        self._fitted()
        self._refresh()
        rows, profile = self._heard(query)
        if rows.size == 0:
            return np.zeros(self.settings.factors, np.float32)
        vector = self._read(rows, self._items)
        if self._profile.size:
            interests = self._items[rows].mean(axis=0)
            vector = vector + np.concatenate([profile, interests, [1.0]]).astype(np.float32) @ self._profile
        user: FloatArray = _compared(vector[None, :], self.settings.temperature)[0]
        return user

    def to_arrays(self) -> Arrays:
        found = {"ids": self._fitted(), **self._described.to_arrays(), "profile": self._profile}
        found |= {f"body.{name}": value for name, value in self._body.items()}
        return {name: value for name, value in found.items() if value.size or name == "ids"}

    def from_arrays(self, arrays: Arrays) -> Self:
        settings, ids = self.settings, arrays.get("ids", np.empty(0))
        factors = settings.factors
        wanted: dict[str, tuple[int, ...]] = {"ids": (len(ids), factors)}
        body = {name.removeprefix("body."): value for name, value in arrays.items() if name.startswith("body.")}
        if ids.any():
            if settings.profile:
                wanted["profile"] = PROFILE + factors + 1, factors
            if settings.body == "sasrec":
                shapes = attention.shapes(factors, settings.blocks, settings.length)
                wanted |= {f"body.{name}": shape for name, shape in shapes.items()}
        for name, shape in wanted.items():
            was = arrays[name].shape if name in arrays else None
            if was != shape:
                raise ModelError(f"{name} has shape {was}, not {shape}: train again with these settings")
        profile = arrays.get("profile", np.zeros((0, factors)))
        described = Described.from_arrays(arrays, factors)
        return self._take(ids.astype(np.float32), described, profile.astype(np.float32), body)

    def like(self, other: SequenceModel) -> Self:
        """With what ``other``, of the same settings, has learnt; the network is ready, so that this takes no time."""
        return self._take(other._fitted(), other._described, other._profile, other._body, other._read)

    def _fitted(self) -> FloatArray:
        if self._ids is None:
            raise NotFittedError(self)
        return self._ids

    def _take(
        self, ids: FloatArray, described: Described, profile: FloatArray, body: Arrays, read: Read | None = None
    ) -> Self:
        self._read = read or _reader(body, self.settings)
        self._ids, self._described, self._profile, self._body = ids, described, profile, body
        self._known = None
        return self

    def _learn(self, past: Interactions, rows: IntArray, edges: TimeArray, features: FloatArray) -> Network:
        need_torch()
        from endcap.nn import sequence, training  # noqa: PLC0415  # an extra

        numbers = np.zeros((rows.size, 0), np.float32)
        if self.settings.profile:
            numbers = _profiles(past, edges, self._money(past.item), self.settings.length)
        histories = sequence.Histories(rows, edges, features.shape[0], features, numbers)
        around = training.Around(self._around.folder, self._around.progress, self._around.board)
        network, trained = sequence.learn(histories, self.settings, around)
        if self._around.board is not None:
            names = [past.items.name(row) for row in np.unique(past.item)]
            sequence.show_items(self._around.board, network, names, trained.best.step)
        return network

    def _money(self, rows: IntArray) -> FloatArray:
        """(rows,) the prices; 0 where there is none."""
        found = np.zeros(rows.size, np.float32)
        if self._prices is not None:
            inside = (rows >= 0) & (rows < self._prices.matrix.shape[0])
            found[inside] = sound_weights(np.asarray(self._prices.matrix[rows[inside]], np.float32).ravel())
        return found

    def _refresh(self) -> None:
        """The items' vectors again, where their features have changed since."""
        known = tuple(block.version for block in self._features)
        if known == self._known:
            return
        ids = self._fitted()
        count = max([len(ids), *(block.matrix.shape[0] for block in self._features)])
        items = np.zeros((count, self.settings.factors), np.float32)
        items[: len(ids)] = ids
        if self._features and self._described.map.any():
            items += self._described.rows(self._features, np.arange(count, dtype=np.int32))
        compared = _compared(items, self.settings.temperature)
        self._has = np.any(items, axis=1)
        learnt = compared[: len(ids)][ids.any(axis=1)]
        if len(learnt):
            compared[self._has] -= learnt.mean(axis=0)  # so that 0 is the mean item's score
        self._items, self._compared, self._known = items, compared, known

    def _heard(self, query: Query) -> tuple[IntArray, FloatArray]:
        """The events that are read, and the visitor's numbers."""
        weights = sound_weights(query.weights) if query.weights.size else np.ones(query.history.size, np.float32)
        known = (query.history >= 0) & (query.history < self._has.size) & (weights > 0)
        known[known] = self._has[query.history[known]]
        places = np.flatnonzero(known)[-self.settings.length :]
        rows = query.history[places]
        if not self._profile.size or not places.size:
            return rows, np.zeros(PROFILE, np.float32)
        since = max(query.now - int(query.times[places[-1]]), 0) if query.times.size and query.now else 0
        return rows, _profile(since, places.size, float(self._money(rows).sum()))


def _compared(vectors: FloatArray, temperature: float) -> FloatArray:
    """(n, factors) as they are multiplied: as they are, or of one length."""
    if not temperature:
        return vectors.astype(np.float32)
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    found: FloatArray = (vectors / lengths / temperature**0.5).astype(np.float32)
    return found


def _profile(since_ms: int, count: int, money: float) -> FloatArray:
    """(3,) recency, frequency, money, each as the logarithm of one more: days, events, prices added up."""
    numbers = np.array([since_ms / MS_PER_DAY, count, money], np.float32)
    return np.log1p(numbers)


def _profiles(past: Interactions, edges: TimeArray, money: FloatArray, length: int) -> FloatArray:
    """(events, 3) the same of each user just before each event, from the ``length`` events before it."""
    place = np.arange(len(past)) - np.repeat(edges[:-1], np.diff(edges))
    first = np.arange(len(past)) - np.minimum(place, length)
    paid = np.concatenate([[0.0], np.cumsum(money, dtype=np.float64)])
    since = np.diff(past.time, prepend=past.time[:1]) * (place > 0)
    spent = np.maximum(paid[:-1] - paid[first], 0.0)
    numbers = [np.maximum(since, 0) / MS_PER_DAY, np.minimum(place, length), spent]
    return np.log1p(np.stack(numbers, axis=1, dtype=np.float32))


def _body_of(network: Network) -> Arrays:
    """What ``_reader`` makes the network of again."""
    if network.settings.body == "sasrec":
        return attention.arrays_of({name: value.numpy() for name, value in network.body.state_dict().items()})
    from endcap.nn.sequence import exported  # noqa: PLC0415  # an extra

    return {"onnx": np.frombuffer(exported(network), np.uint8)}


def _reader(body: Arrays, settings: SequenceSettings) -> Read:
    """The network, ready. Raises ModelError."""
    if not body:
        return lambda _, items: np.zeros(items.shape[1], np.float32)
    if settings.body == "sasrec":
        return attention.Reader(body, settings.heads).newest
    session = open_network(np.asarray(body.get("onnx", np.empty(0, np.uint8))).tobytes(), settings.factors)

    def read(rows: IntArray, items: FloatArray) -> FloatArray:
        vector: FloatArray = session.run(None, {"events": items[rows]})[0]
        return vector

    return read


def open_network(data: bytes, factors: int) -> InferenceSession:
    """The network ``data`` on one thread. Raises ModelError if it is none, or of other ``factors``."""
    missing = "this model is served by ONNX Runtime: pip install 'endcap[onnx]'"
    session = open_session(data, "the network", "train again", missing)
    wide = session.get_inputs()[0].shape[-1]
    if wide != factors:
        raise ModelError(f"the network reads vectors of {wide} numbers, not {factors}: train again with these settings")
    return session

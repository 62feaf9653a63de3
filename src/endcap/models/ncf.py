"""Neural collaborative filtering that drops the groups of item features which tell nothing.

He, Liao, Zhang, Nie, Hu, Chua, "Neural Collaborative Filtering", WWW 2017, https://arxiv.org/abs/1708.05031: the
product of the visitor's and the item's vector beside a layer over both. An item's vector is learnt, plus a projection
of each group of its features; a group lasso (Yuan, Lin, JRSS B 68, 2006) makes those of useless groups exactly 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

import numpy as np

from endcap.errors import ModelError, NotFittedError
from endcap.features.described import Described
from endcap.features.interactions import sound, sound_weights, visit_shares
from endcap.features.joined import Features
from endcap.nn.shapes import CollaborativeSettings, need_torch
from endcap.protocols import Arrays
from endcap.types import FloatArray, Interactions, Query, Ranking

if TYPE_CHECKING:
    from endcap.nn.collaborative import Collaborative

LEAST = 2
"""Items of a user that can be learnt from: one is asked for, by the others."""


class NCF:
    """Ranks items by how far their logit lies above the mean item's. ``groups``: features by name, kept or dropped.

    Nothing of a user is kept. Fitting needs the extra ``train`` and takes O(epochs events negatives factors^2); the
    model keeps ``12 items factors`` bytes. A query costs O(items factors), without torch.
    """

    _ids: FloatArray | None = None
    _groups: Mapping[str, Described]
    _weights: Arrays
    _items: FloatArray
    _hidden: FloatArray

    def __init__(
        self, settings: CollaborativeSettings | None = None, groups: Mapping[str, Features] | None = None
    ) -> None:
        self.settings = settings or CollaborativeSettings()
        self._features = dict(groups or {})
        self._known: tuple[int, ...] | None = None

    @property
    def kept(self) -> tuple[str, ...]:
        """The groups of features that are read, by name. Raises NotFittedError."""
        self._fitted()
        return tuple(name for name, group in self._groups.items() if group.map.any())

    def fit(self, interactions: Interactions) -> Self:
        past = sound(interactions)
        past = past.where(np.argsort(past.user, kind="stable"))
        n_items, factors = len(past.items), self.settings.factors
        visits = visit_shares(past, "user")
        groups = {
            name: Described.learn([block], visits, n_items, self.settings.columns, most=32)
            for name, block in self._features.items()
        }
        sizes = np.bincount(past.user, minlength=len(past.users))
        past = past.where(sizes[past.user] >= LEAST)
        seen, rows = np.unique(past.item, return_inverse=True)
        ids = np.zeros((n_items, factors), np.float32)
        if not rows.size:
            nothing = {name: group.into(np.zeros((group.width, factors))) for name, group in groups.items()}
            return self._take(ids, nothing, _shapes_of_nothing(factors))
        every = np.arange(n_items, dtype=np.int32)
        described = [group.rows([self._features[name]], every)[seen] for name, group in groups.items()]
        edges = np.concatenate([[0], np.cumsum(sizes[sizes >= LEAST])]).astype(np.int64)
        network = self._learn(rows.astype(np.int32), edges, seen.size, described)
        ids[seen] = network.ids.weight.detach().numpy()
        found = zip(groups.items(), network.of_groups, strict=True)
        return self._take(
            ids, {name: group.into(weight.detach().numpy()) for (name, group), weight in found}, _weights_of(network)
        )

    def recommend(self, query: Query, k: int) -> Ranking:
        return Ranking.top(self.scores(query), k, above=0.0)

    def scores(self, query: Query) -> FloatArray:
        self._fitted()
        self._refresh()
        weights = sound_weights(query.weights) if query.weights.size else np.ones(query.history.size, np.float32)
        has = np.any(self._items, axis=1)
        known = (query.history >= 0) & (query.history < has.size) & (weights > 0)
        known[known] = has[query.history[known]]
        rows = query.history[known][-self.settings.recent :]
        if rows.size == 0:
            return np.empty(0, np.float32)
        user, w = self._items[rows].mean(axis=0), self._weights
        hidden = np.maximum(self._hidden + (w["user"] @ user + w["user_bias"]), 0)  # (items, factors)
        logits = self._items @ (w["product"] * user) + hidden @ w["layer"]
        found: FloatArray = np.where(has, logits - logits[has].mean(), 0).astype(np.float32)
        return found

    def to_arrays(self) -> Arrays:
        found = {"ids": self._fitted(), **self._weights}
        for name, group in self._groups.items():
            found |= {f"group.{name}.{part}": array for part, array in group.to_arrays().items()}
        return found

    def from_arrays(self, arrays: Arrays) -> Self:
        factors = self.settings.factors
        ids = arrays.get("ids", np.empty(0))
        wanted = {"ids": (len(ids), factors), **{name: one.shape for name, one in _shapes_of_nothing(factors).items()}}
        for name, shape in wanted.items():
            was = arrays[name].shape if name in arrays else None
            if was != shape:
                raise ModelError(f"{name} has shape {was}, not {shape}: train again with these settings")
        groups = {}
        for name in self._features:
            start = f"group.{name}."
            own = {key.removeprefix(start): array for key, array in arrays.items() if key.startswith(start)}
            groups[name] = Described.from_arrays(own, factors)
        weights = {name: arrays[name].astype(np.float32) for name in wanted if name != "ids"}
        return self._take(ids.astype(np.float32), groups, weights)

    def _fitted(self) -> FloatArray:
        if self._ids is None:
            raise NotFittedError(self)
        return self._ids

    def _take(self, ids: FloatArray, groups: Mapping[str, Described], weights: Arrays) -> Self:
        self._ids, self._groups, self._weights, self._known = ids, groups, weights, None
        return self

    def _learn(self, *past: object) -> Collaborative:
        need_torch()
        from endcap.nn import collaborative  # noqa: PLC0415  # an extra

        return collaborative.learn(collaborative.Touched(*past), self.settings)  # type: ignore[arg-type]

    def _refresh(self) -> None:
        """The items' vectors again, where their features have changed since."""
        known = tuple(block.version for block in self._features.values())
        if known == self._known:
            return
        ids = self._fitted()
        count = max([len(ids), *(block.matrix.shape[0] for block in self._features.values())])
        items = np.zeros((count, self.settings.factors), np.float32)
        items[: len(ids)] = ids
        for name, group in self._groups.items():
            if group.map.any():
                items += group.rows([self._features[name]], np.arange(count, dtype=np.int32))
        self._items, self._hidden = items, items @ self._weights["item"].astype(np.float32).T
        self._known = known


def _shapes_of_nothing(factors: int) -> dict[str, FloatArray]:
    vector, matrix = np.zeros(factors, np.float32), np.zeros((factors, factors), np.float32)
    return {"user": matrix, "user_bias": vector, "item": matrix, "product": vector, "layer": vector}


def _weights_of(network: Collaborative) -> Arrays:
    found = {
        "user": network.user.weight,
        "user_bias": network.user.bias,
        "item": network.item.weight,
        "product": network.product,
        "layer": network.layer,
    }
    return {name: value.detach().numpy() for name, value in found.items()}

"""Neural collaborative filtering: what it learns, and which features it finds useless."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from tests.unit.models.pasts import follow

from endcap.encoders.cache import ItemVectors
from endcap.models.ncf import NCF
from endcap.nn.shapes import CollaborativeSettings
from endcap.types import Interactions, Vocabulary

ITEMS, KINDS = 60, 3
SETTINGS = CollaborativeSettings(batch_size=16)


def tastes(users: int = 150, events: int = 6) -> Interactions:
    """Each user touches items of one kind; item ``i`` is of kind ``i % 3``."""
    random = np.random.default_rng(0)
    items = np.stack([random.permutation(ITEMS // KINDS)[:events] * KINDS + one % KINDS for one in range(users)])
    user = np.repeat(np.arange(users, dtype=np.int32), events)
    return Interactions(
        Vocabulary(f"u{row}" for row in range(users)),
        Vocabulary(f"i{row}" for row in range(ITEMS)),
        user,
        items.ravel().astype(np.int32),
        np.ones(items.size, np.float32),
        np.arange(items.size, dtype=np.int64),
        user,
    )


def _held(vectors: np.ndarray) -> ItemVectors:
    held = ItemVectors(vectors.shape[1])
    held.set(np.arange(len(vectors), dtype=np.int32), vectors.astype(np.float32))
    return held


def _groups(extra: int = 0) -> dict[str, ItemVectors]:
    random = np.random.default_rng(1)
    kinds = np.eye(KINDS)[np.arange(ITEMS + extra) % KINDS]
    return {"kind": _held(kinds), "noise": _held(random.normal(size=(ITEMS, KINDS)))}


def test_a_group_of_noise_is_dropped_and_one_that_tells_is_kept() -> None:
    past = tastes()
    for group_lasso, kept in ((0.4, ("kind",)), (0.0, ("kind", "noise")), (100.0, ())):
        assert NCF(replace(SETTINGS, group_lasso=group_lasso), _groups()).fit(past).kept == kept


def test_it_follows_the_taste_of_a_history() -> None:
    ranking = NCF(SETTINGS).fit(tastes()).recommend(follow(1, 4, 7), 10)
    assert {row % KINDS for row in ranking.items.tolist()} == {1}


def test_a_new_item_ranks_by_the_features_that_are_kept() -> None:
    model = NCF(SETTINGS, _groups(extra=3)).fit(tastes())
    scores = model.scores(follow(1, 4, 7))
    assert scores[61] > 1 + max(scores[60], scores[62])  # kinds 1, 0, 2

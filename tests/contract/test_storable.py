"""What everything with learnt arrays promises: saved and loaded, it answers the same. A new one is listed here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from safetensors.numpy import load, save
from tests.unit.models.pasts import follow, past, random_past

from endcap.encoders.cache import ItemVectors
from endcap.errors import ModelError, NotFittedError
from endcap.models.als import ALS
from endcap.models.buy_again import BuyAgain
from endcap.models.itemknn import ItemKNN, ItemKNNSettings
from endcap.models.projection import Projection
from endcap.protocols import Learner
from endcap.types import Query

PAST = random_past(9)


def _projection() -> Projection:
    held = ItemVectors(8)
    n_items = len(PAST.items)
    held.set(np.arange(n_items, dtype=np.int32), np.random.default_rng(0).random((n_items, 8), np.float32))
    return Projection([held])


LEARNERS: Mapping[str, Callable[[], Learner]] = {
    "ALS": lambda: ALS(factors=6, epochs=3),
    "buy again": BuyAgain,
    "item kNN, BM25": ItemKNN,
    "item kNN, cosine": lambda: ItemKNN(ItemKNNSettings(similarity="cosine", neighbours=3)),
    "projection": _projection,
}


@pytest.fixture(params=list(LEARNERS))
def make(request: pytest.FixtureRequest) -> Callable[[], Learner]:
    return LEARNERS[request.param]


def answers(model: Learner) -> list[tuple[list[int], list[float]]]:
    queries = [Query(), follow(3), follow(1, 4, 1, 99, weights=(1.0, 5.0, 2.0, 1.0))]
    rankings = [model.recommend(query, 20) for query in queries]
    return [(ranking.items.tolist(), ranking.scores.tolist()) for ranking in rankings]


def test_a_round_trip_through_bytes_gives_the_same_answers(make: Callable[[], Learner]) -> None:
    fitted = make().fit(PAST)
    loaded = make().from_arrays(load(save(dict(fitted.to_arrays()))))
    assert answers(loaded) == answers(fitted)
    assert any(items for items, _ in answers(fitted))


def test_loading_forgets_an_earlier_fit(make: Callable[[], Learner]) -> None:
    fitted = make().fit(PAST)
    assert answers(make().fit(random_past(10)).from_arrays(fitted.to_arrays())) == answers(fitted)


def test_an_empty_shop_is_stored_too(make: Callable[[], Learner]) -> None:
    fitted = make().fit(past(n_items=0))
    assert answers(make().from_arrays(load(save(dict(fitted.to_arrays()))))) == answers(fitted)


def test_before_fit_there_is_nothing_to_store(make: Callable[[], Learner]) -> None:
    with pytest.raises(NotFittedError, match="was asked before it was fitted"):
        make().to_arrays()


def test_other_arrays_are_refused(make: Callable[[], Learner]) -> None:
    with pytest.raises(ModelError, match="train"):
        make().from_arrays({"something": np.zeros((2, 2), np.float32)})


def test_arrays_of_another_shape_are_refused(make: Callable[[], Learner]) -> None:
    arrays = make().fit(PAST).to_arrays()
    for name in arrays:
        with pytest.raises(ModelError, match="train"):
            make().from_arrays({**arrays, name: arrays[name][..., :-1]})

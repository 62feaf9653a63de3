"""What everything with learnt arrays promises: saved and loaded, it answers the same. A new one is listed here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load, save
from tests.unit.models.pasts import follow, past, random_past

from endcap.encoders.cache import ItemVectors
from endcap.errors import ModelError, NotFittedError
from endcap.models.als import ALS
from endcap.models.bpr import BPR, BPRSettings
from endcap.models.buy_again import BuyAgain
from endcap.models.ease import EASE
from endcap.models.itemknn import ItemKNN, ItemKNNSettings
from endcap.models.ncf import NCF
from endcap.models.projection import Projection
from endcap.models.sequence import SequenceModel
from endcap.models.structured import StructuredMF, StructuredMFSettings
from endcap.models.transitions import Transitions
from endcap.nn.shapes import CollaborativeSettings, SequenceSettings
from endcap.protocols import Learner
from endcap.types import Query

PAST = random_past(9)
SMALL = SequenceSettings(factors=4, length=8, epochs=1, batch_size=16)


def _vectors() -> ItemVectors:
    held = ItemVectors(8)
    n_items = len(PAST.items)
    held.set(np.arange(n_items, dtype=np.int32), np.random.default_rng(0).random((n_items, 8), np.float32))
    return held


def _projection() -> Projection:
    return Projection([_vectors()])


def _structured() -> StructuredMF:
    return StructuredMF([_vectors()], StructuredMFSettings(factors=6))


def _recurrent() -> SequenceModel:
    return SequenceModel(replace(SMALL, body="gru", profile=True), (_vectors(),))


def _collaborative() -> NCF:
    return NCF(CollaborativeSettings(factors=4, epochs=2), {"text": _vectors()})


LEARNERS: Mapping[str, Callable[[], Learner]] = {
    "ALS": lambda: ALS(factors=6, epochs=3),
    "BPR": lambda: BPR(BPRSettings(factors=6)),
    "buy again": BuyAgain,
    "EASE": EASE,
    "item kNN, BM25": ItemKNN,
    "item kNN, cosine": lambda: ItemKNN(ItemKNNSettings(similarity="cosine", neighbours=3)),
    "structured MF": _structured,
    "transitions": Transitions,
    "projection": _projection,
    "SASRec": lambda: SequenceModel(SMALL),
    "GRU4Rec with features and profile": _recurrent,
    "neural collaborative filtering": _collaborative,
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

"""What a model says of its memory holds: its docstring's formula against what it keeps. A new model is listed here.

What is kept is what Python and numpy have allocated for a model that was loaded (or, where nothing is stored, fitted)
and asked once: with what it makes at the first question. What is not counted is outside of them: a session of ONNX
Runtime, and features, which belong to the catalogue.
"""

from __future__ import annotations

import gc
import re
import tracemalloc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from tests.unit.models.pasts import follow, random_past

from endcap.encoders.cache import ItemVectors
from endcap.models.als import ALS
from endcap.models.bpr import BPR, BPRSettings
from endcap.models.buy_again import BuyAgain
from endcap.models.content import Content
from endcap.models.ease import EASE
from endcap.models.itemknn import ItemKNN
from endcap.models.ncf import NCF
from endcap.models.popularity import Popularity
from endcap.models.projection import Projection
from endcap.models.sequence import SequenceModel
from endcap.models.session_knn import SessionKNN
from endcap.models.structured import StructuredMF, StructuredMFSettings
from endcap.models.transitions import Transitions
from endcap.models.two_tower import TwoTower
from endcap.nn.shapes import CollaborativeSettings, SequenceSettings
from endcap.protocols import Learner, Scorer
from endcap.types import Interactions, Query

ITEMS, DIM, FACTORS = 1_500, 48, 32
PAST = random_past(1, users=1_000, items=ITEMS, size=12_000)
BOUGHT = np.unique(PAST.item).size
"""Items with events."""
TOLERANCE = 0.2
QUERY = follow(3, 8, 3, 0)


def _vectors() -> ItemVectors:
    held = ItemVectors(DIM)
    held.set(np.arange(ITEMS, dtype=np.int32), np.random.default_rng(0).normal(size=(ITEMS, DIM)).astype(np.float32))
    return held


VECTORS = _vectors()
SEQUENCE = SequenceSettings(factors=FACTORS, length=10, epochs=1, patience=0)


@dataclass(frozen=True)
class Stated:
    """A model, and what its docstring says it keeps."""

    make: Callable[[], Learner]
    formulas: tuple[str, ...]
    """As they stand there; they add up."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """The words in them, beside ``items`` and ``factors``."""


def _sequence(settings: SequenceSettings) -> Stated:
    formulas = "12 items factors", "4 (6 blocks + 1) factors^2"
    return Stated(lambda: SequenceModel(settings), formulas, {"blocks": settings.blocks})


STORED: Mapping[str, Stated] = {
    "ALS": Stated(lambda: ALS(factors=FACTORS, epochs=1), ("4 items factors + 8 factors^2",)),
    "BPR": Stated(lambda: BPR(BPRSettings(factors=FACTORS, epochs=1)), ("4 items (factors + 1)",)),
    "buy again": Stated(BuyAgain, ("8 items",)),
    "EASE": Stated(EASE, ("4 items^2",), {"items": BOUGHT}),
    "item kNN": Stated(ItemKNN, ("8 items neighbours",), {"neighbours": 20}),
    "structured MF": Stated(
        lambda: StructuredMF([VECTORS], StructuredMFSettings(factors=FACTORS, epochs=1)),
        ("4 factors (2 items + columns)",),
        {"columns": DIM + 1},
    ),
    "projection": Stated(lambda: Projection([VECTORS]), ("4 rank (items + p + q)",), {"rank": DIM, "p": DIM, "q": DIM}),
    "SASRec": _sequence(SEQUENCE),
    "GRU4Rec": _sequence(replace(SEQUENCE, body="gru")),
    "NCF": Stated(lambda: NCF(CollaborativeSettings(factors=FACTORS, epochs=1)), ("12 items factors",)),
}


def worth(formula: str, **numbers: float) -> float:
    """``formula``, in which factors stand side by side, as in "4 items (factors + 1)^2"."""
    times = re.sub(r"(?<=[\w)])\s+(?=[\w(])", " * ", formula)
    value: float = eval(times.replace("^", "**"), {"__builtins__": {}}, dict(numbers))  # our own words
    return value


def stated(model: object, *formulas: str) -> None:
    """The docstring holds them."""
    words = " ".join((type(model).__doc__ or "").split())
    for formula in formulas:
        assert f"``{formula}``" in words


def kept(make: Callable[[], Scorer]) -> int:
    """The bytes that are held after the model was made, and asked once; what compiles is there before."""
    make().scores(QUERY)
    gc.collect()
    tracemalloc.start()
    try:
        model = make()
        model.scores(QUERY)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def test_a_formula_is_read_as_it_is_written() -> None:
    assert worth("4 items (2 factors + 1) + factors^2", items=3, factors=2) == 4 * 3 * 5 + 4


@pytest.mark.parametrize("name", STORED)
def test_a_loaded_model_keeps_what_it_says(name: str) -> None:
    one = STORED[name]
    stated(one.make(), *one.formulas)
    arrays = one.make().fit(PAST).to_arrays()
    numbers = {"items": ITEMS, "factors": FACTORS, **one.numbers}
    expected = sum(worth(formula, **numbers) for formula in one.formulas)
    found = kept(lambda: one.make().from_arrays({name: array.copy() for name, array in arrays.items()}))
    assert found == pytest.approx(expected, rel=TOLERANCE)


def test_transitions_keep_what_they_say() -> None:
    arrays = Transitions().fit(PAST).to_arrays()
    stated(Transitions(), formula := "8 pairs + 8 items")
    found = kept(lambda: Transitions().from_arrays({name: array.copy() for name, array in arrays.items()}))
    assert found == pytest.approx(worth(formula, pairs=arrays["near"].size, items=ITEMS), rel=TOLERANCE)


def test_counts_keep_what_they_say() -> None:
    stated(Popularity(), formula := "20 items")
    assert kept(lambda: Popularity().fit(PAST)) == pytest.approx(worth(formula, items=ITEMS), rel=TOLERANCE)


def test_an_index_of_sessions_keeps_what_it_says() -> None:
    stated(SessionKNN(), formula := "8 links + 110 (sessions + items)")
    links = np.unique(PAST.session.astype(np.int64) * ITEMS + PAST.item).size
    expected = worth(formula, links=links, sessions=np.unique(PAST.session).size, items=ITEMS)
    assert kept(lambda: SessionKNN().fit(PAST)) == pytest.approx(expected, rel=TOLERANCE)


def test_content_keeps_what_it_says() -> None:
    neighbours = 30
    stated(Content(VECTORS), formula := "8 items neighbours")
    everything = Query(history=np.arange(ITEMS, dtype=np.int32))

    def asked_for_all() -> Content:
        model = Content(VECTORS, neighbours=neighbours, recent=ITEMS)
        model.scores(everything)
        return model

    assert kept(asked_for_all) == pytest.approx(worth(formula, items=ITEMS, neighbours=neighbours), rel=TOLERANCE)


def test_two_towers_keep_what_the_model_they_are_says() -> None:
    settings = replace(SEQUENCE, profile=True)
    arrays = TwoTower(settings).fit(PAST).to_arrays()
    stated(SequenceModel(), formula := "12 items factors")
    found = kept(lambda: TwoTower(settings).from_arrays({name: array.copy() for name, array in arrays.items()}))
    assert found == pytest.approx(worth(formula, items=ITEMS, factors=FACTORS), rel=TOLERANCE)


def peak(fit: Callable[[Interactions], object], past: Interactions) -> int:
    """The most bytes that were held at once while fitting, beyond the past itself."""
    fit(past)
    gc.collect()
    tracemalloc.start()
    try:
        fit(past)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_ease_takes_what_it_says_while_fitting() -> None:
    past = random_past(2, users=1_000, items=3_000, size=30_000)  # many of its blocks of 1,024 items
    stated(EASE(), formula := "1.5 x 4 items^2")
    expected = worth(formula.replace(" x", ""), items=np.unique(past.item).size)
    assert peak(EASE().fit, past) == pytest.approx(expected, rel=TOLERANCE)

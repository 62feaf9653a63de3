"""The models of ``quality.py`` by name, and the configurations that are tried of each.

Models are found when their stage runs: one whose module is not there has no stage. What is tried: the defaults, then
one value of one setting after the other, keeping what is best by validation (coordinate ascent).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from endcap.evaluation.past import Past
from endcap.features.attributes import ItemAttributes
from endcap.features.joined import Features
from endcap.protocols import Scorer
from quality_data import Kind
from quality_peers import Environment, Peer

Values = Mapping[str, object]
Make = Callable[[Any, Any, Past], Scorer]
"""(module, settings, past) -> fitted"""
OWN = Environment("own")


def _plain(name: str) -> Make:
    """``name(settings).fit(interactions)``."""

    def make(module: Any, settings: Any, past: Past) -> Scorer:
        model: Scorer = getattr(module, name)(settings).fit(past.interactions)
        return model

    return make


@dataclass(frozen=True, slots=True)
class Family:
    """One model with what is tried of it."""

    module: str
    make: Make
    settings: str = ""
    """The name of its settings in ``module``; empty: it is made from the bare values."""
    start: Values = field(default_factory=dict)
    """What the search starts from, beside the defaults."""
    by_kind: Mapping[Kind, Values] = field(default_factory=dict)
    """The same, for one kind of data."""
    axes: Mapping[str, Sequence[object]] = field(default_factory=dict)
    kinds: tuple[Kind, ...] = ("next item", "session", "time")
    reads_items: bool = False
    """Whether it takes texts and attributes where there are any."""
    needs_items: bool = False
    """Whether it can say nothing without."""
    peer: Environment | None = None
    """Somebody else's: ``module`` is its script in ``peers``."""

    def there(self) -> bool:
        """Whether its module is."""
        return self.peer is not None or find_spec(f"endcap.models.{self.module}") is not None

    def first(self, kind: Kind) -> dict[str, object]:
        """The values that the search starts from."""
        return {**self.start, **self.by_kind.get(kind, {})}

    def fitted(self, values: Values, past: Past, work: Path) -> Scorer | Peer:
        """The model with ``values``, fitted on ``past``; the environment of a peer is made below ``work``."""
        if self.peer is not None:
            return Peer(self.peer.python(work / "peers"), self.module, dict(values), past.interactions)
        module = import_module(f"endcap.models.{self.module}")
        settings = getattr(module, self.settings)(**values) if self.settings else dict(values)
        return self.make(module, settings, past)


def steps(first: Values, axes: Mapping[str, Sequence[object]]) -> Generator[dict[str, object], bool, None]:
    """What is tried, in order. Each is answered with ``send(True)`` if it is the best so far, which the next ones keep.

    The first one is ``first``; then each setting in turn, twice round; nothing is tried twice.
    """
    best, tried = dict(first), [dict(first)]
    yield dict(first)
    for _ in range(2):
        for name, options in axes.items():
            for value in options:
                one = {**best, name: value}
                if one not in tried:
                    tried.append(one)
                    if (yield dict(one)):
                        best = one


def _nothing(_module: Any, _settings: Any, _past: Past) -> Scorer:
    raise NotImplementedError  # a peer is made by its environment


def _popularity(module: Any, settings: Any, past: Past) -> Scorer:
    model: Scorer = module.Popularity(window=settings["window"]).fit(past.interactions)
    return model


def _als(module: Any, settings: Any, past: Past) -> Scorer:
    model: Scorer = module.ALS(**settings).fit(past.interactions)
    return model


def _session_knn(module: Any, settings: Any, past: Past) -> Scorer:
    model: Scorer = module.SessionKNN(past.state.sessions, settings)
    return model


def _content(module: Any, settings: Any, past: Past) -> Scorer:
    model: Scorer = module.Content(past.vectors, past.words, **settings)
    return model


def _features(past: Past) -> tuple[Features, ...]:
    """What is known of the items, if anything is."""
    return () if past.vectors is None else (past.vectors, ItemAttributes(past.state.shop))


def _projection(module: Any, settings: Any, past: Past) -> Scorer:
    model: Scorer = module.Projection(_features(past), settings=settings).fit(past.interactions)
    return model


def _structured(module: Any, settings: Any, past: Past) -> Scorer:
    model: Scorer = module.StructuredMF(_features(past), settings).fit(past.interactions)
    return model


def _sequence(module: Any, settings: Any, past: Past) -> Scorer:
    model: Scorer = module.SequenceModel(settings, _features(past)).fit(past.interactions)
    return model


def _two_tower(module: Any, settings: Any, past: Past) -> Scorer:
    model: Scorer = module.TwoTower(settings, _features(past)).fit(past.interactions)
    return model


def _ncf(module: Any, settings: Any, past: Past) -> Scorer:
    groups = dict(zip(("text", "attributes"), _features(past), strict=False))  # none where nothing is known
    model: Scorer = module.NCF(settings, groups).fit(past.interactions)
    return model


def _of_sequence(
    body: str, axes: Mapping[str, Sequence[object]], by_kind: Mapping[Kind, Values] | None = None
) -> Family:
    """A network that reads the history; the search starts from the defaults."""
    return Family("sequence", _sequence, "SequenceSettings", {"body": body}, by_kind or {}, axes=axes, reads_items=True)


FAMILIES: dict[str, Family] = {
    "popularity": Family("popularity", _popularity, start={"window": "popular"}, axes={"window": ("trending",)}),
    "itemknn": Family(
        "itemknn",
        _plain("ItemKNN"),
        "ItemKNNSettings",
        axes={
            "similarity": ("cosine",),
            "decay": (0.5, 0.8, 0.9, 1.0),
            "neighbours": (50, 100, 200),
            "by": ("session",),
            "b": (0.25, 1.0),
        },
    ),
    "session_knn": Family(
        "session_knn",
        _session_knn,
        "SessionKNNSettings",
        by_kind={
            "next item": {"follow": "history", "half_life_days": None},
            "session": {"half_life_days": None, "decay": 0.5},
        },
        axes={
            "decay": (0.5, 0.3, 0.7, 0.85, None),
            "sessions": (300, 1_000),
            "neighbours": (50, 300, 1_000),
            "idf": (False,),
            "lift": (0.25, 0.5),
            "match_step": (0.0, 0.05, 0.2),
            "items": (5, 20),
        },
    ),
    "transitions": Family(
        "transitions",
        _plain("Transitions"),
        "TransitionsSettings",
        by_kind={"session": {"by": "session"}},
        axes={
            "recency": (0.3, 0.7, 0.8, 0.6, 0.85, 0.95, 1.0),
            "damp_from": (0.0, 0.5),
            "damp_to": (0.0, 0.25, 0.4),
            "decay": (0.5, 0.7, 0.9),
            "back": (0.0, 0.15, 0.6, 1.0),
            "window": (3, 5, 20),
            "neighbours": (2_000,),
            "by": ("session", "user"),
        },
    ),
    "als": Family(
        "als",
        _als,
        start={"factors": 128},
        axes={"alpha": (1.0, 10.0), "l2": (10.0, 30.0), "factors": (256,), "epochs": (10,)},
    ),
    "ease": Family(
        "ease",
        _plain("EASE"),
        "EASESettings",
        axes={"l2": (300.0, 30.0), "recency": (0.5, 0.65, 0.9), "dropout": (0.3,)},
    ),
    "bpr": Family(
        "bpr", _plain("BPR"), "BPRSettings", axes={"l2": (0.005, 0.05), "factors": (128,), "popular": (0.0, 0.75)}
    ),
    "structured": Family(
        "structured",
        _structured,
        "StructuredMFSettings",
        start={"factors": 128},
        axes={"alpha": (3.0, 10.0), "l2": (10.0, 30.0), "feature_l2": (1.0, 10.0), "recency": (0.5,)},
        reads_items=True,
        needs_items=True,
    ),
    "content": Family(
        "content",
        _content,
        axes={"neighbours": (100, 200), "decay": (0.5, 0.8), "recent": (10,)},
        reads_items=True,
        needs_items=True,
    ),
    "projection": Family(
        "projection",
        _projection,
        "ProjectionSettings",
        by_kind={"next item": {"by": "user"}},
        axes={"decay": (0.5, 0.8), "shrink": (0.1, 2.0), "rank": (256,), "columns": (2_048,)},
        reads_items=True,
        needs_items=True,
    ),
    "sasrec": _of_sequence(
        "sasrec",
        {"epochs": (20,), "factors": (128,), "dropout": (0.5,), "temperature": (0.05,), "seed": (1,)},
        {"next item": {"epochs": 8}},
    ),
    "gru": _of_sequence("gru", {"factors": (128,), "dropout": (0.5,), "blocks": (1,)}),
    "lstm": _of_sequence("lstm", {"factors": (128,), "dropout": (0.5,)}),
    "caser": _of_sequence("caser", {"factors": (128,), "dropout": (0.5,), "window": (3,)}),
    "two_tower": Family(
        "two_tower",
        _two_tower,
        "SequenceSettings",
        start={"temperature": 0.1},
        axes={"profile": (True,), "factors": (128,), "dropout": (0.5,)},
        reads_items=True,
    ),
    "ncf": Family(
        "ncf", _ncf, "CollaborativeSettings", axes={"factors": (64,), "group_lasso": (0.0, 1.0)}, reads_items=True
    ),
    "implicit_als": Family(
        "implicit_lists.py",
        _nothing,
        start={"model": "als", "factors": 128, "regularization": 3.0, "alpha": 10.0, "random_state": 0},
        axes={"alpha": (1.0, 3.0), "regularization": (1.0, 10.0, 30.0), "factors": (256,)},
        peer=OWN,
    ),
    "implicit_bm25": Family(
        "implicit_lists.py",
        _nothing,
        start={"model": "bm25"},
        axes={"K": (50, 100, 200), "K1": (0.6, 2.4), "B": (0.0, 0.4, 1.0)},
        peer=OWN,
    ),
    "implicit_cosine": Family(
        "implicit_lists.py", _nothing, start={"model": "cosine"}, axes={"K": (50, 100, 200)}, peer=OWN
    ),
    "implicit_bpr": Family(
        "implicit_lists.py",
        _nothing,
        start={"model": "bpr", "factors": 64, "random_state": 0},
        axes={"regularization": (0.1, 0.001), "learning_rate": (0.05,), "iterations": (300,)},
        kinds=("next item", "time"),
        peer=OWN,
    ),
}

"""Stacking: a model that has learnt from validation cases whom of its members to believe when, by LambdaMART.

Burges, "From RankNet to LambdaRank to LambdaMART: an overview", MSR-TR-2010-82; stacking: Wolpert, "Stacked
generalization", Neural Networks 5, 1992. LightGBM grows the trees. Unlike a blend it may trust one member for short
histories and another for long ones, and learn that what was seen is taken again, or is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from endcap.errors import ModelError
from endcap.models.ensemble import candidates, reciprocal_ranks
from endcap.protocols import Arrays, Scorer
from endcap.types import FloatArray, IntArray, Query, Ranking

CONTEXT = ("history length", "popularity", "times in the history", "how lately there", "members that propose it")
"""Features beside each member's score and the reciprocal of its place."""
MOST_SEEN = 50
"""Events of the history that are looked through for a candidate."""
TIES = 1e-3
"""How much the mean of the members' scores counts beside the trees', which are the same for many candidates."""


@dataclass(frozen=True, slots=True)
class StackingSettings:
    """How the trees are grown."""

    pool: int = 60
    """Items of each member that are candidates."""
    trees: int = 400
    """At most; fewer where the held out cases get no better."""
    leaves: int = 15
    learning_rate: float = 0.05
    least: int = 50
    """Candidates in a leaf, at least."""
    l2: float = 5.0
    least_cases: int = 100
    """With fewer that say something the trees would learn luck: there are none."""
    held_out: float = 0.2
    """Share of the cases that say when to stop."""
    patience: int = 30
    """Trees without a gain there, after which no more are grown."""
    k: int = 10
    """NDCG@k is what is optimised."""
    seed: int = 0


class Stacking:
    """Ranks the candidates of all members by trees over what each member says of them and over the query.

    ``popularity()`` is (rows,) how often each item is taken, live. It must ``learn`` from cases; before that, and
    where there were none, it is a blend of equal weights. A query costs the members' and 1 to 3 ms for the trees.
    """

    def __init__(
        self,
        members: Mapping[str, Scorer],
        popularity: Callable[[], FloatArray],
        settings: StackingSettings | None = None,
    ) -> None:
        self.settings = settings or StackingSettings()
        self._members = dict(members)
        self._popularity = popularity
        self._trees = Trees()

    def learn(self, cases: Sequence[tuple[Query, IntArray]], hidden: Sequence[IntArray] | None = None) -> Self:
        """From (query, wanted items); ``hidden`` are the rows that are taken off the list of each case first."""
        popularity, members = self._popularity(), list(self._members.values())
        tables, labels = [], []
        for at, (query, wanted) in enumerate(cases):
            gone = np.empty(0, np.int32) if hidden is None else hidden[at]
            rows, parts = candidates(members, query, gone, self.settings.pool)
            found = np.isin(rows, wanted)
            if found.any():  # the others say nothing, and there are many
                tables.append(features(rows, parts, query.history, popularity))
                labels.append(found)
        self._trees = grow(tables, labels, self.settings)
        return self

    def recommend(self, query: Query, k: int) -> Ranking:
        return Ranking.top(self.scores(query), k, above=0.0)

    def scores(self, query: Query) -> FloatArray:
        """(rows,) between 0 and 1; 0 for what no member proposes."""
        rows, parts = candidates(list(self._members.values()), query, np.empty(0, np.int32), self.settings.pool)
        if rows.size == 0:
            return np.empty(0, np.float32)
        found = np.zeros(int(rows[-1]) + 1, np.float32)
        found[rows] = self._trees.scores(features(rows, parts, query.history, self._popularity()), parts)
        return found

    def to_arrays(self) -> Arrays:
        return {"trees": np.frombuffer(self._trees.text.encode(), np.uint8).copy()}

    def from_arrays(self, arrays: Arrays) -> Self:
        """Raises ModelError if the trees are not those of these members."""
        text = np.asarray(arrays.get("trees", np.empty(0)), np.uint8).tobytes().decode("utf-8", "replace")
        trees = Trees(text)
        width = 2 * len(self._members) + len(CONTEXT)
        if text and trees.width != width:
            raise ModelError(f"the trees ask for {trees.width} features and these members give {width}: train again")
        self._trees = trees
        return self


def features(rows: IntArray, parts: FloatArray, history: IntArray, popularity: FloatArray) -> FloatArray:
    """(n, 2 members + CONTEXT) what the trees see of each of the candidates ``rows`` (n,).

    ``parts`` (members, n) as ``candidates`` gives them, ``history`` item rows, oldest first, ``popularity`` (rows,).
    """
    known = np.zeros(rows.size, np.float32)
    inside = rows < popularity.size
    known[inside] = np.log1p(np.maximum(popularity[rows[inside]], 0.0))
    there = rows[:, None] == history[None, -MOST_SEEN:]  # (n, history)
    ages = np.arange(there.shape[1], 0, -1, dtype=np.float32)  # 1 for the newest
    lately = (there / ages).max(axis=1, initial=0.0) if history.size else np.zeros(rows.size)
    context = [
        np.full(rows.size, np.log1p(history.size)),
        known,
        there.sum(axis=1),
        lately,
        (parts > 0).sum(axis=0),
    ]
    return np.column_stack([*parts, *reciprocal_ranks(parts), *context]).astype(np.float32)


class Trees:
    """Grown trees, as LightGBM writes them; none: every member counts the same."""

    def __init__(self, text: str = "") -> None:
        self.text = text
        self._booster: Any = None
        if text:
            lightgbm = _lightgbm()
            try:
                self._booster = lightgbm.Booster(model_str=text)
            except lightgbm.basic.LightGBMError as error:
                raise ModelError(f"the trees cannot be read ({error}): train again") from error

    @property
    def width(self) -> int:
        """Features that they ask for."""
        return int(self._booster.num_feature()) if self._booster is not None else 0

    def scores(self, table: FloatArray, parts: FloatArray) -> FloatArray:
        """(n,) above 0, at most 1: how each row of ``table`` (n, features) ranks; ``parts`` (members, n) it is of."""
        if self._booster is None:
            mean: FloatArray = parts.mean(axis=0)
            return mean
        raw = self._booster.predict(table, num_threads=1)
        squashed: FloatArray = 1.0 / (1.0 + np.exp(-np.clip(raw, -30.0, 30.0))) + TIES * parts.mean(axis=0)
        return (squashed / (1.0 + TIES)).astype(np.float32)


def grow(tables: Sequence[FloatArray], labels: Sequence[NDArray[np.bool_]], settings: StackingSettings) -> Trees:
    """Trees over ``tables`` (n, features), one a case, that put the rows of ``labels`` (n,) first.

    Cases without a wanted candidate say nothing and are left out; without any others there are no trees. Of the rest
    a seeded share is held out to say when to stop. Same input, same trees.
    """
    told = [at for at, wanted in enumerate(labels) if wanted.any() and not wanted.all()]
    if len(told) < settings.least_cases:
        return Trees()
    lightgbm = _lightgbm()
    told = np.random.default_rng(settings.seed).permutation(told).tolist()
    aside = max(1, round(settings.held_out * len(told)))

    def joined(chosen: Sequence[int], reference: Any = None) -> Any:
        return lightgbm.Dataset(
            np.concatenate([tables[at] for at in chosen]),
            np.concatenate([labels[at] for at in chosen]).astype(np.int32),
            group=[len(labels[at]) for at in chosen],
            reference=reference,
            params={"verbose": -1},
        )

    learnt = joined(told[aside:])
    booster = lightgbm.train(
        {
            "objective": "lambdarank",
            "metric": "ndcg",
            "eval_at": [settings.k],
            "lambdarank_truncation_level": 2 * settings.k,
            "num_leaves": settings.leaves,
            "learning_rate": settings.learning_rate,
            "min_data_in_leaf": settings.least,
            "lambda_l2": settings.l2,
            "feature_fraction": 0.8,
            "seed": settings.seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "verbose": -1,
        },
        learnt,
        settings.trees,
        valid_sets=[joined(told[:aside], learnt)],
        callbacks=[lightgbm.early_stopping(settings.patience, verbose=False)],
    )
    return Trees(booster.model_to_string(num_iteration=booster.best_iteration))


def _lightgbm() -> Any:
    try:
        import lightgbm  # noqa: PLC0415  # an optional package, and half a second
    except ImportError as error:
        raise ModelError(
            "stacking grows trees with lightgbm, which is not installed: pip install lightgbm, or take the blend"
        ) from error
    return lightgbm

"""Stacking: a model that has learnt from validation cases whom of its members to believe when, by LambdaMART.

Burges, "From RankNet to LambdaRank to LambdaMART: an overview", MSR-TR-2010-82; stacking: Wolpert, "Stacked
generalization", Neural Networks 5, 1992. LightGBM grows the trees. Unlike a blend it may trust one member for short
histories and another for long ones, and learn that what was seen is taken again, or is not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from endcap.compiled import compiled, top_rows
from endcap.errors import ModelError
from endcap.models.ensemble import DAMPING, Blend, Proposals
from endcap.models.trees import Trees
from endcap.protocols import Arrays, Scorer
from endcap.types import MS_PER_DAY, BoolArray, FloatArray, IntArray, Query, TimeArray

CONTEXT = (
    "events of the history",
    "popularity",
    "times in the history",
    "how lately there",
    "members that propose it",
    "in this visit",
    "events of this visit",
    "days since it was there",
    "days since the visit before",
)
"""Features beside each member's score and the reciprocal of its place."""
PLACES = 60
"""Of each member's list that count as proposed."""
VISIT_MS = 30 * 60_000
"""A visit ends with so much silence."""
LEAST_WEIGHT = 0.02
"""Of a member that the trees listen to, over the greatest."""
BEHIND = 0.999
"""What is no candidate scores at most this share of the last candidate."""
TIES = 1e-3
"""How much the mean of the members' scores counts beside the trees', which are the same for many candidates."""
Lesson = tuple[FloatArray, BoolArray]
"""(n, features) and (n,)."""
NOTHING: Lesson = np.empty((0, 0), np.float32), np.empty(0, np.bool_)
"""Of a case in which no candidate is wanted."""


@dataclass(frozen=True, slots=True)
class StackingSettings:
    """How the trees are grown."""

    pool: int = 60
    """Items of each member that are candidates."""
    trees: int = 150
    """At most; fewer where the held out cases get no better."""
    leaves: int = 15
    """Of a tree, 32 at most."""
    learning_rate: float = 0.1
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


class Stacking(Blend):
    """A blend whose best candidates stand in the order of trees over what each member says of them and over the query.

    ``weights`` are the blend's, ``popularity`` says how often each item is taken. It must ``learn`` from cases; before
    that, and where they said too little, it is the blend. An item's parts are the blend's, all by the one factor that
    makes them add up to what the trees say: who speaks for it stays as it was, how much they are believed does not. A
    query costs the blend's and 0.2 to 0.4 ms for the trees.
    """

    def __init__(
        self,
        members: Mapping[str, Scorer],
        weights: Mapping[str, float],
        popularity: Scorer,
        settings: StackingSettings | None = None,
        trees: Trees | None = None,
    ) -> None:
        super().__init__(members, weights)
        self.settings = settings or StackingSettings()
        self.trees = trees or Trees.none()
        self._popularity = popularity
        self._refuse_others()

    def learn(self, cases: Sequence[tuple[Query, IntArray]], hidden: Sequence[IntArray] | None = None) -> Self:
        """From (query, wanted items); ``hidden`` are the rows that are taken off the list of each case."""
        self.trees = grow(self.lessons(cases, hidden), self.settings)
        return self

    def with_trees(self, trees: Trees) -> Stacking:
        """The same with other trees."""
        return Stacking(self._members, self.weights, self._popularity, self.settings, trees)

    def lessons(
        self, cases: Sequence[tuple[Query, IntArray]], hidden: Sequence[IntArray] | None = None
    ) -> list[Lesson]:
        """What trees are grown from, one of each case: the features of its candidates, and which of them are wanted.

        NOTHING where none of them is.
        """
        told = []
        for at, (query, wanted) in enumerate(cases):
            rows, parts = self._candidates(super().propose(query))
            shown = np.ones(rows.size, np.bool_) if hidden is None else ~np.isin(rows, hidden[at])
            found = np.isin(rows[shown], wanted)
            if not found.any():  # it says nothing, and there are many
                told.append(NOTHING)
                continue
            table = features(rows, parts, query, self._popularity.scores(query))
            told.append((table[shown], found))
        return told

    def propose(self, query: Query) -> Proposals:
        """What the blend proposes: its candidates by the trees, between 0 and 1, and the rest behind, as it was."""
        blended = super().propose(query)
        if not len(self.trees):
            return blended
        rows, parts = self._candidates(blended)
        if rows.size == 0:
            return blended
        said = ordered(self.trees, features(rows, parts, query, self._popularity.scores(query)), parts)
        total = blended.scores()
        candidates = total[rows]
        total[rows] = 0.0
        most = float(total.max(initial=0.0))
        factor = np.full(total.size, BEHIND * float(said.min()) / most if most > 0 else 0.0, np.float32)
        factor[rows] = said / candidates
        return Proposals(np.multiply(blended.parts, factor, out=blended.parts), blended.names)

    def to_arrays(self) -> Arrays:
        return self.trees.to_arrays()

    def from_arrays(self, arrays: Arrays) -> Self:
        """Raises ModelError if the trees are not those of these members."""
        self.trees = Trees.from_arrays(arrays)
        self._refuse_others()
        return self

    def _refuse_others(self) -> None:
        width = 2 * len(self._members) + len(CONTEXT)
        if len(self.trees) and self.trees.width != width:
            raise ModelError(
                f"the trees ask for {self.trees.width} features and these members give {width}: train again"
            )

    def _candidates(self, blended: Proposals) -> tuple[IntArray, FloatArray]:
        """The best rows of each member, in row order, and (members, n) what each says of them, the best of all 1."""
        chosen = np.zeros(blended.parts.shape[1], np.bool_)
        for part in blended.parts:
            chosen[top_rows(part, self.settings.pool, 0.0)] = True
        rows = np.flatnonzero(chosen).astype(np.int32)
        weights = np.array(list(self.weights.values()), np.float32)
        return rows, blended.parts[:, rows] / weights[:, None]


def with_more(weights: Mapping[str, float], more: Collection[str]) -> dict[str, float]:
    """``weights`` of a blend, with a little for those of ``more`` that have none: what they say helps the trees."""
    least = LEAST_WEIGHT * max(weights.values(), default=0.0)
    raised = {name: max(weight, least) if name in more else weight for name, weight in weights.items()}
    whole = sum(raised.values())
    return {name: weight / whole for name, weight in raised.items()}


def features(rows: IntArray, parts: FloatArray, query: Query, popularity: FloatArray) -> FloatArray:
    """(n, 2 members + CONTEXT) what the trees see of each of the candidates ``rows`` (n,), ascending.

    ``parts`` (members, n) is what each member says of them, ``popularity`` (rows,) how often each item is taken. What
    is not known, since it was never there or has no time, is -1 days ago. 30 us for 200 candidates of 6 members.
    """
    columns = np.zeros((2 * len(parts) + len(CONTEXT), rows.size), np.float32)
    context = columns[2 * len(parts) :]
    context[0] = np.log1p(query.history.size)
    known = rows < popularity.size
    context[1, known] = popularity[rows[known]] / max(float(popularity.max(initial=0.0)), 1e-12)
    _say(columns, np.ascontiguousarray(parts, np.float32))
    _recall(context, rows, query.history, query.times, query.session, query.now)
    return columns.T


_READ = "Array({}, {}, 'C', True)"


@compiled(f"void(float32[:, ::1], {_READ.format('float32', 2)})", on_request=True)
def _say(columns: FloatArray, parts: FloatArray) -> None:
    """Fill in what the members say, where in its list each has an item, and how many have it."""
    members = parts.shape[0]
    columns[:members] = parts
    for member in range(members):
        best = top_rows(parts[member], PLACES, 0.0)
        for place in range(best.size):
            columns[members + member, best[place]] = 1.0 / (DAMPING + 1.0 + place)
            columns[2 * members + 4, best[place]] += 1


@compiled(
    "void(float32[:, ::1], {0}, {0}, {1}, {0}, int64)".format(_READ.format("int32", 1), _READ.format("int64", 1)),
    on_request=True,
)
def _recall(  # arrays one by one: the loop takes no objects
    context: FloatArray, rows: IntArray, history: IntArray, times: TimeArray, session: IntArray, now: int
) -> None:
    """Fill in what the history says of each of ``rows``, ascending, and of this visit."""
    context[7:] = -1
    for event in range(history.size):  # of several the newest, which comes last, is what counts
        at = np.searchsorted(rows, history[event])
        if at < rows.size and rows[at] == history[event]:
            context[2, at] += 1
            context[3, at] = 1.0 / (history.size - event)
            if times.size:
                context[7, at] = max(now - times[event], 0) / MS_PER_DAY
    for item in session:
        at = np.searchsorted(rows, item)
        if at < rows.size and rows[at] == item:
            context[5, at] = 1
    later, event = now, times.size - 1
    while event >= 0 and later - times[event] <= VISIT_MS:
        later, event = times[event], event - 1
    context[6] = times.size - 1 - event
    if event >= 0:
        context[8] = (now - times[event]) / MS_PER_DAY


def ordered(trees: Trees, table: FloatArray, parts: FloatArray) -> FloatArray:
    """(n,) above 0, at most 1: how each row of ``table`` (n, features) ranks; ``parts`` (members, n) it is of.

    Without trees the mean of the parts.
    """
    mean: FloatArray = parts.mean(axis=0)
    if not len(trees):
        return mean
    squashed = 1.0 / (1.0 + np.exp(-np.clip(trees.add_up(table), -30.0, 30.0)))
    found: FloatArray = ((squashed + TIES * mean) / (1.0 + TIES)).astype(np.float32)
    return found


def grow(lessons: Sequence[Lesson], settings: StackingSettings) -> Trees:
    """Trees that put what is wanted first, from the features of each case's candidates and which of them are wanted.

    Cases without a wanted candidate say nothing and are left out; without enough others there are no trees. Of the
    rest a seeded share is held out to say when to stop. Same input, same trees.
    """
    told = [at for at, (_, wanted) in enumerate(lessons) if wanted.any() and not wanted.all()]
    if len(told) < settings.least_cases:
        return Trees.none()
    lightgbm = _lightgbm()
    told = np.random.default_rng(settings.seed).permutation(told).tolist()
    aside = max(1, round(settings.held_out * len(told)))

    def joined(chosen: Sequence[int], reference: Any = None) -> Any:
        return lightgbm.Dataset(
            np.concatenate([lessons[at][0] for at in chosen]),
            np.concatenate([lessons[at][1] for at in chosen]).astype(np.int32),
            group=[lessons[at][1].size for at in chosen],
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
    return Trees.of_lightgbm(booster)


def _lightgbm() -> Any:
    try:
        import lightgbm  # noqa: PLC0415  # an optional package, and half a second
    except (ImportError, OSError) as error:  # OSError: without the system's libgomp
        raise ModelError(
            "stacking grows trees with lightgbm, which is not installed: pip install lightgbm, or take the blend"
        ) from error
    return lightgbm

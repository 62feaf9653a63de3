"""The ensembles that an evaluation may name: what they learn from validation cases, and their members, joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from endcap.evaluation.offline import Case
from endcap.evaluation.past import Past
from endcap.models.ensemble import Blend, ReciprocalRank, learn_weights
from endcap.models.popularity import Popularity
from endcap.models.stacking import Stacking
from endcap.protocols import Arrays, Scorer
from endcap.types import IntArray, Query

BLEND, RRF, STACKING = "blend", "rrf", "stacking"
ENSEMBLES = (BLEND, RRF, STACKING)
MAX_CASES = {BLEND: 2_000, STACKING: 10_000}
"""Validation cases that are learnt from: more would not move the weights, and they are held in memory for every member;
of those of trees only the ones that say something are."""


@dataclass(frozen=True, slots=True)
class Lessons:
    """What the ensembles have learnt."""

    weights: Mapping[str, float] = field(default_factory=dict)
    """Of the blend."""
    trees: Arrays = field(default_factory=dict)
    """Of the stack."""


def learn(
    wanted: Sequence[str], members: Mapping[str, Scorer], past: Past, cases: Sequence[Case], hide_seen: bool, seed: int
) -> Lessons:
    """What the ``wanted`` ensembles of ``members``, fitted on ``past``, learn from a seeded sample of ``cases``."""
    weights: Mapping[str, float] = {}
    trees: Arrays = {}
    if BLEND in wanted:
        asked, hidden = _sample(cases, MAX_CASES[BLEND], hide_seen, seed)
        weights = learn_weights(members, asked, hidden=hidden)
    if STACKING in wanted:
        asked, hidden = _sample(cases, MAX_CASES[STACKING], hide_seen, seed)
        trees = _stack(members, past).learn(asked, hidden).to_arrays()
    return Lessons(weights, trees)


def join(name: str, members: Mapping[str, Scorer], lessons: Lessons, past: Past) -> Scorer:
    """The ensemble ``name`` of ``members``, as it answers questions at the end of ``past``."""
    if name == BLEND:
        return Blend(members, lessons.weights)
    if name == RRF:
        return ReciprocalRank(members)
    return _stack(members, past).from_arrays(lessons.trees)


def _stack(members: Mapping[str, Scorer], past: Past) -> Stacking:
    weights = dict.fromkeys(members, 1.0 / len(members))
    return Stacking(members, weights, Popularity(past.state.popularity, "popular"))


def _sample(
    cases: Sequence[Case], most: int, hide_seen: bool, seed: int
) -> tuple[list[tuple[Query, IntArray]], list[IntArray] | None]:
    """(query, wanted) of at most ``most`` of ``cases``, and what is hidden from each."""
    chosen = [cases[at] for at in np.sort(np.random.default_rng(seed).permutation(len(cases))[:most])]
    return [(case.query, case.relevant) for case in chosen], [case.seen for case in chosen] if hide_seen else None

"""The ensembles of ``quality.py``, made of the members' lists, and who beats whom on each data set.

An ensemble tunes itself on the validation cases. Since it learns from them, its own validation figures are those of two
halves, each answered by what was learnt on the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from endcap.evaluation.offline import Case
from endcap.evaluation.significance import compare
from endcap.models.ensemble import best_weights, reciprocal_ranks
from endcap.models.stacking import StackingSettings, features, grow, ordered
from endcap.types import FloatArray, IntArray
from quality_data import DATA, Data, Setting
from quality_lists import LENGTH, Pool, Proposed, cpu_seconds, figures, per_case, pools, top
from quality_models import FAMILIES
from quality_stages import Clock, Final, Place, Stage, Tried, begun, read, say, write

DEEP = 60
"""Items of each member that are candidates."""
LENGTHS = (4, 9)
"""Where histories are cut into short, middle and long for a blend of its own each."""
SAMPLES = 10_000
"""Of the bootstrap."""

Values = dict[str, Any]
Score = Callable[[Pool, Case, FloatArray], NDArray[np.floating]]
"""(candidates, case, popularity) -> (candidates,) above 0"""


@dataclass(frozen=True, slots=True)
class Told:
    """What an ensemble learns from, or answers."""

    names: Sequence[str]
    pools: Sequence[Pool]
    cases: Sequence[Case]
    popularity: FloatArray
    order: Sequence[int] = ()
    """The members, the best by validation first."""

    def part(self, rows: NDArray[np.int64]) -> Told:
        """Those cases only."""
        chosen = rows.tolist()
        pools_, cases = [self.pools[at] for at in chosen], [self.cases[at] for at in chosen]
        return Told(self.names, pools_, cases, self.popularity, self.order)


def _blend(told: Told, values: Values) -> Score:
    """A weighted sum; with ``by_length`` the weights depend on how long the history is."""
    cuts = LENGTHS if values.get("by_length") else ()
    bins = np.digitize([case.query.history.size for case in told.cases], [cut + 1 for cut in cuts])
    whole = _weights(told)
    learnt = [_weights(told.part(np.flatnonzero(bins == one))) if cuts else whole for one in range(len(cuts) + 1)]

    def score(pool: Pool, case: Case, _popularity: FloatArray) -> NDArray[np.floating]:
        weights = learnt[int(np.digitize(case.query.history.size, [cut + 1 for cut in cuts]))]
        blended: FloatArray = weights @ pool.parts
        return blended

    values["weights"] = [
        {name: round(float(weight), 3) for name, weight in zip(told.names, one, strict=True)} for one in learnt
    ]
    return score


def _weights(told: Told) -> FloatArray:
    found = [(pool.rows, pool.parts) for pool in told.pools]
    if not found:
        return np.full(len(told.names), 1.0 / len(told.names), np.float32)
    return np.array(best_weights(found, [case.relevant for case in told.cases], k=20), np.float32)


def _rrf(told: Told, values: Values) -> Score:
    """The sum of reciprocal places over the best ``members``."""
    chosen = list(told.order)[: values["members"]]
    values["of"] = [told.names[at] for at in chosen]

    def score(pool: Pool, _case: Case, _popularity: FloatArray) -> NDArray[np.floating]:
        fused: FloatArray = reciprocal_ranks(pool.parts[chosen], values.get("damping", 60.0)).sum(axis=0)
        return fused

    return score


def _stacking(told: Told, values: Values) -> Score:
    """LambdaMART over what the members say and over the query."""
    own = {one.name for one in fields(StackingSettings)}
    settings = StackingSettings(pool=DEEP, **{name: value for name, value in values.items() if name in own})
    lessons = []
    for pool, case in zip(told.pools, told.cases, strict=True):
        wanted = np.isin(pool.rows, case.relevant)
        if wanted.any():  # the others say nothing, and there are many
            lessons.append((features(pool.rows, pool.parts, case.query, told.popularity), wanted))
    trees = grow(lessons, settings)

    def score(pool: Pool, case: Case, popularity: FloatArray) -> NDArray[np.floating]:
        if not pool.rows.size:
            return np.empty(0, np.float32)
        return ordered(trees, features(pool.rows, pool.parts, case.query, popularity), pool.parts)

    return score


Learn = Callable[[Told, Values], Score]
ENSEMBLES: dict[str, tuple[Learn, tuple[Values, ...]]] = {
    "blend": (_blend, ({}, {"unseen": True}, {"by_length": True}, {"unseen": True, "by_length": True})),
    "rrf": (_rrf, ({"members": 2}, {"members": 3}, {"members": 4}, {"members": 99}, {"members": 3, "damping": 10.0})),
    "stacking": (
        _stacking,
        ({"unseen": True}, {}, {"unseen": True, "leaves": 31}, {"unseen": True, "leaves": 7, "l2": 20.0}),
    ),
}


def members_of(place: Place, data: str) -> list[str]:
    """The models whose lists are there."""
    parts = ("validation", *DATA[data].fits)
    own = [name for name, family in FAMILIES.items() if not family.peer]
    return [name for name in own if all(place.lists(data, name, part).exists() for part in parts)]


def run_ensemble(place: Place, setting: Setting, data: str, name: str) -> None:
    """Tries each variant of the ensemble ``name``; the best by validation answers the test, learnt on all of it.

    It begins anew if the members are others than last time, or were tuned again.
    """
    protocol, names = DATA[data], members_of(place, data)
    if len(names) < 2:
        print(f"{data} {name}: it takes two models", flush=True)
        return
    stage = begun(place, data, name)
    of = ", ".join(f"{one} {read(place.result(data, one)).chosen.validation[protocol.chosen_by]:.6f}" for one in names)
    if stage.note != of:
        place.result(data, name).unlink(missing_ok=True)
        stage = begun(place, data, name)
        stage.note = of
    clock = Clock(stage)
    for variant in ENSEMBLES[name][1][len(stage.tried) : place.most_tried]:
        stage.tried.append(_try(place, setting, (data, name), variant, stage))
        clock.tick()
        write(place.result(data, name), stage)
        say(stage, stage.tried[-1], protocol)
    _finish(place, setting, stage)
    clock.tick()
    write(place.result(data, name), stage)
    for fit, final in stage.final.items():
        print(f"{data} {name} {fit}:", {one: round(final.figures[one], 4) for one in protocol.shown}, flush=True)


def _told(place: Place, setting: Setting, data: str, part: str, unseen: bool) -> Told:
    """What the members say of ``validation``, or of the test as ``train`` or ``refit``."""
    protocol, names = DATA[data], members_of(place, data)
    lists = [Proposed.load(place.lists(data, one, part)) for one in names]
    cases = setting.cases("validation" if part == "validation" else "test")
    past = setting.past("refit" if part == "refit" else "train")  # popularity counts what the members learnt from
    found = [read(place.result(data, one)).chosen.validation[protocol.chosen_by] for one in names]
    order = np.argsort(-np.array(found), kind="stable").tolist()
    return Told(names, list(pools(lists, DEEP, unseen)), cases, past.popularity().astype(np.float32), order)


def _answers(score: Score, told: Told, k: int) -> IntArray:
    return np.stack(
        [top(pool, score(pool, case, told.popularity), k) for pool, case in zip(told.pools, told.cases, strict=True)]
    )


def _try(place: Place, setting: Setting, named: tuple[str, str], variant: Values, stage: Stage) -> Tried:
    """One variant: two halves of the validation cases, each by the other, then the test, by all of them."""
    data, name = named
    protocol, learn, values = DATA[data], ENSEMBLES[name][0], dict(variant)
    told = _told(place, setting, data, "validation", bool(variant.get("unseen")))
    stage.validation_cases = len(told.cases)
    half = np.random.default_rng(0).permutation(len(told.cases)) % 2
    answers = np.empty((len(told.cases), max(protocol.ks)), np.int32)
    for one in (0, 1):
        mine, other = np.flatnonzero(half == one), np.flatnonzero(half != one)
        answers[mine] = _answers(learn(told.part(other), dict(variant)), told.part(mine), answers.shape[1])
    validation = figures(answers, told.cases, protocol.ks)
    start = cpu_seconds()
    score = learn(told, values)
    fit_seconds = cpu_seconds() - start
    test = _told(place, setting, data, protocol.fits[0], bool(variant.get("unseen")))
    start = cpu_seconds()
    shown = _answers(score, test, LENGTH)
    list_ms = 1e3 * (cpu_seconds() - start) / len(test.cases)
    best = not stage.tried or validation[protocol.chosen_by] > stage.chosen.validation[protocol.chosen_by]
    if best:
        _keep(place, data, name, protocol.fits[0], shown)
        for fit in protocol.fits[1:]:
            other_test = _told(place, setting, data, fit, bool(variant.get("unseen")))
            _keep(place, data, name, fit, _answers(score, other_test, LENGTH))
    figures_of_test = figures(shown, test.cases, protocol.ks)
    return Tried(values, validation, figures_of_test, round(fit_seconds, 2), round(list_ms, 4), len(test.cases), best)


def _keep(place: Place, data: str, name: str, fit: str, items: IntArray) -> None:
    scores = np.where(items >= 0, 1.0 / np.arange(1, items.shape[1] + 1), 0.0).astype(np.float32)  # the order counts
    Proposed(items, scores, np.ones(len(items), np.float32)).save(place.lists(data, name, fit))


def _finish(place: Place, setting: Setting, stage: Stage) -> None:
    protocol, cases = DATA[stage.data], setting.cases("test")
    for fit in protocol.fits:
        lists = Proposed.load(place.lists(stage.data, stage.model, fit))
        stage.final[fit] = Final(figures(lists.items, cases, protocol.ks), len(cases), stage.chosen.fit_seconds)


class Pair(Struct):
    """Two models on the test cases of one data set."""

    better: str
    worse: str
    difference: float
    low: float
    high: float
    p: float
    p_holm: float


class Compared(Struct):
    """Every two models of one data set."""

    data: str
    metric: str
    samples: int
    ensemble: str
    """The ensemble that validation chooses."""
    pairs: dict[str, list[Pair]]
    """By how they were fitted."""


def compare_stage(place: Place, setting: Setting, data: str) -> None:
    """Paired bootstrap with Holm's correction over all pairs, from the lists; ``DATA.compare.json``."""
    protocol = DATA[data]
    found = {}
    for fit in protocol.fits:
        names = [name for name in (*FAMILIES, *ENSEMBLES) if _ended(place, data, name, fit)]
        values = {name: _values(place, setting, data, (name, fit), protocol) for name in names}
        found[fit] = [
            Pair(
                one.better, one.worse, one.difference.mean, one.difference.low, one.difference.high, one.p, one.adjusted
            )
            for one in compare(values, SAMPLES, 0, setting.groups())
        ]
    chosen = max(
        (read(path) for name in ENSEMBLES if (path := place.result(data, name)).exists()),
        key=lambda stage: stage.chosen.validation[protocol.chosen_by],
        default=None,
    )
    compared = Compared(data, protocol.chosen_by, SAMPLES, chosen.model if chosen else "", found)
    path = place.results / f"{data}.compare.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(compared), indent=1) + b"\n")


def _ended(place: Place, data: str, name: str, fit: str) -> bool:
    path = place.result(data, name)
    return path.exists() and fit in read(path).final and place.lists(data, name, fit).exists()


def _values(place: Place, setting: Setting, data: str, named: tuple[str, str], protocol: Data) -> NDArray[np.float64]:
    lists = Proposed.load(place.lists(data, *named))
    return per_case(lists.items, setting.cases("test"), protocol.ks)[protocol.chosen_by]

"""Train: fold the log, learn the blend on its last days, fit on all of it, save one version.

Reads the log only; the caller activates the version by one more entry.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, cast, get_args

import numpy as np

from endcap.config import Config
from endcap.errors import DataError, ModelError
from endcap.evaluation.metrics.judged import judge
from endcap.evaluation.metrics.ndcg import ndcg
from endcap.evaluation.offline import Case, Settings, serve
from endcap.evaluation.significance import Estimate, Floats, bootstrap_means, estimate, mean
from endcap.evaluation.visits import visit_cases
from endcap.events.log import entries
from endcap.events.schema import Event
from endcap.features.behaviour import Similar, augmented
from endcap.features.interactions import InteractionBuilder
from endcap.models.buy_again import BuyAgain, not_due, seen_before
from endcap.models.ensemble import Blend, learn_weights
from endcap.models.persistence import Manifest, items_digest, save_version, version_name
from endcap.models.popularity import Popularity
from endcap.models.stacking import Stacking, grow, with_more
from endcap.models.trees import Trees
from endcap.protocols import Learner, Log, Scorer, Storable
from endcap.state.batch import apply_batch
from endcap.state.fold import State
from endcap.types import MS_PER_DAY, Entry, IntArray, Interactions, Progress, Query

_logger = logging.getLogger(__name__)

MAX_CASES = 2_000
"""Visits of the validation part on which the blend is learnt; of more, a seeded sample."""
TOP = 20
SAMPLES = 1_000
"""Bootstrap samples for the intervals of the figures: about 0.1 s."""
BRIDGE = "bridge"
"""The file of a version that leads from pictures to texts, where there are pictures."""
THEMES = "themes"
"""The file of a version that says what people are interested in."""
STACK = "stacking"
"""The file of a version with the trees that put the blend's candidates in order, where that makes the lists better."""
BUY_AGAIN = "buy_again"
"""The file of a version that says when what was bought is due again."""
LISTENED_TO = ("session_knn", "itemknn", "transitions", "trending")
"""Members that cost little to ask: the trees hear them also where the blend gives them no weight."""
Hiding = Literal["nothing", "seen", "bought"]
"""What ``for-you`` hides beside what is in this visit. What was bought is hidden, if at all, until it is due again."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """What training works with; wiring fills it."""

    log: Log
    models_dir: Path
    config: Config
    encoders: tuple[str, str]
    """Whose vectors the version goes with: of texts, and of pictures (empty: of none)."""
    members: Callable[[State], Mapping[str, Scorer]]
    """All members of the blend over a state, not fitted, by name."""
    learners: Sequence[str]
    """Which of them must be fitted."""
    prepare: Callable[[State], None]
    """Called with a state before members are made over it: what its items say is encoded, all of it."""
    keep: Callable[[State], None]
    """Called with the state that the whole log adds up to: the next start need not fold it again."""
    themes: Callable[[State, Interactions], Storable]
    """What people are interested in, found in that state and all interactions."""
    reading: Callable[[], Mapping[str, Storable]] = dict
    """More that is learnt of what items say and show, asked after the last ``prepare``."""
    meaning_floor: Callable[[], float] = lambda: 0.5
    """The cosine that says nothing, asked after the last ``prepare``."""
    reasons: Callable[[], Mapping[str, Mapping[str, str]]] = dict
    """The shop's own sentences for reasons."""
    similar: Callable[[], Similar | None] = lambda: None
    """What items may be exchanged for, where ``train.augment`` has ``substitute``; asked after ``prepare``."""


def train(workshop: Workshop, seed: int, now_ms: int, progress: Progress) -> Manifest:
    """One new version in ``models_dir``.

    Raises DataError for a log without events.
    """
    steps = iter(range(1, 8))
    state, builder = State(workshop.config.state), InteractionBuilder()
    cut = _cut(workshop.log, workshop.config.train.validation_days)
    progress(next(steps), 7)
    held_out: list[Entry] = []
    stream = entries(workshop.log)
    apply_batch(state, _before(cut, stream, held_out), builder)
    held_out += stream
    progress(next(steps), 7)
    workshop.prepare(state)
    found = _validate(workshop, state, builder.build(state), held_out, seed)
    progress(next(steps), 7)
    apply_batch(state, held_out, builder)
    progress(next(steps), 7)
    workshop.keep(state)
    workshop.prepare(state)
    past = builder.build(state)
    learners: dict[str, Storable] = {**_fit(workshop, workshop.members(state), past)}
    learners[BUY_AGAIN] = BuyAgain(workshop.config.train.due_after).fit(past)
    learners[THEMES] = workshop.themes(state, past)
    learners |= workshop.reading()
    if len(found.trees):
        learners[STACK] = found.trees
    progress(next(steps), 7)
    manifest = Manifest(
        version=version_name(now_ms, f"{now_ms}:{state.offset}:{seed}".encode()),
        created_ms=now_ms,
        offset=state.offset,
        seed=seed,
        encoder=workshop.encoders[0],
        image_encoder=workshop.encoders[1],
        weights=found.weights,
        n_items=len(state.items),
        items_digest=items_digest(state.items, len(state.items)),
        hides_seen=found.hiding == "seen",
        hides_bought=found.hiding == "bought",
        meaning_floor=workshop.meaning_floor(),
        reasons=workshop.reasons(),
        metrics={name: one.mean for name, one in found.metrics.items()},
        intervals={name: (one.low, one.high) for name, one in found.metrics.items()},
        settings={"state": asdict(workshop.config.state), "train": asdict(workshop.config.train)},
    )
    saved = save_version(workshop.models_dir, learners, manifest)
    progress(7, 7)
    return saved


def _before(cut: int, stream: Iterator[Entry], first: list[Entry]) -> Iterator[Entry]:
    """The entries of ``stream`` before the first event at ``cut`` or later, which goes to ``first``."""
    for entry in stream:
        if isinstance(entry.body, Event) and entry.time >= cut:
            first.append(entry)
            return
        yield entry


def _cut(log: Log, days: float) -> int:
    """When the validation part begins (milliseconds since 1970): ``days`` before the newest event."""
    newest = max((record.time for _, record in log.read() if record.kind == "event"), default=None)
    if newest is None:
        raise DataError("the log holds no events: send or import some, then train")
    return newest - int(days * MS_PER_DAY)


def _fit(workshop: Workshop, members: Mapping[str, Scorer], interactions: Interactions) -> dict[str, Learner]:
    learners = {name: cast(Learner, members[name]) for name in workshop.learners}
    config = workshop.config.train
    past = augmented(interactions, config.augment, config.seed, workshop.similar()) if config.augment else interactions
    for learner in learners.values():
        learner.fit(past)
    return learners


@dataclass(frozen=True, slots=True)
class _Validated:
    """What the held out visits say."""

    weights: Mapping[str, float]
    """Of the blend."""
    hiding: Hiding
    metrics: Mapping[str, Estimate]
    """NDCG@20 of each model, of the blend, and of the trees."""
    trees: Trees
    """None where they do not make the lists better."""


def _validate(workshop: Workshop, state: State, past: Interactions, held_out: Sequence[Entry], seed: int) -> _Validated:
    """The blend's weights, what to hide, whether trees are to put the candidates in order: on the held out visits."""
    members = workshop.members(state)
    _fit(workshop, members, past)
    cases = visit_cases(state, held_out, MAX_CASES, seed)
    if not cases:
        return _Validated(learn_weights(members, [], TOP), "nothing", {}, Trees.none())
    again = BuyAgain(workshop.config.train.due_after).fit(past)
    tried: dict[Hiding, tuple[Floats, dict[str, float], list[Case]]] = {}
    for hiding in get_args(Hiding):
        hidden = [_hidden(hiding, again, case.query) for case in cases]
        judged = [replace(case, seen=rows) for case, rows in zip(cases, hidden, strict=True)]
        weights = learn_weights(members, _asked(judged), TOP, hidden)
        tried[hiding] = _ndcg(Blend(members, weights), judged), weights, judged
    best = max(tried, key=lambda hiding: tried[hiding][0].mean())  # of equal ones the first
    values, weights, judged = tried[best]
    found = {name: _ndcg(member, judged) for name, member in members.items()} | {"blend": values}
    stack = Stacking(members, with_more(weights, LISTENED_TO), Popularity(state.popularity, "popular"))
    trees, stacked = _stacked(stack, judged, seed) if workshop.config.train.stacking else (Trees.none(), None)
    if stacked is not None:
        found[STACK] = stacked
    if stacked is None or not _is_better(stacked, values, seed):
        return _Validated(weights, best, _estimates(found, seed), Trees.none())
    return _Validated(stack.weights, best, _estimates(found, seed), trees)


def _asked(cases: Sequence[Case]) -> list[tuple[Query, IntArray]]:
    return [(case.query, case.relevant) for case in cases]


def _stacked(stack: Stacking, cases: Sequence[Case], seed: int) -> tuple[Trees, Floats | None]:
    """Trees from all ``cases``, and (cases,) the NDCG of those from one half on the other; None: too little is said."""
    lessons = stack.lessons(_asked(cases), [case.seen for case in cases])
    try:
        trees = grow(lessons, stack.settings)
    except ModelError as error:
        _logger.warning("no trees", extra={"reason": str(error)})
        return Trees.none(), None
    half = np.random.default_rng(seed).permutation(len(cases)) < len(cases) // 2
    values = np.zeros(len(cases))
    for part in (half, ~half):
        others = grow([lessons[at] for at in np.flatnonzero(~part).tolist()], stack.settings)
        values[part] = _ndcg(stack.with_trees(others), [cases[at] for at in np.flatnonzero(part).tolist()])
    return trees, values if len(trees) else None


def _is_better(values: Floats, others: Floats, seed: int) -> bool:
    """Whether the mean of ``values`` (cases,) is above that of ``others``, beyond what chance does."""
    gap = values - others
    return estimate(mean(gap), bootstrap_means(gap[:, None], SAMPLES, seed)[:, 0]).low > 0


def _estimates(values: Mapping[str, Floats], seed: int) -> dict[str, Estimate]:
    """By model: the mean of its ``values`` (cases,) with its interval."""
    means = bootstrap_means(np.stack(list(values.values()), axis=1), SAMPLES, seed)  # (samples, models)
    found = zip(values.items(), means.T, strict=True)
    return {f"{name} ndcg@{TOP}": estimate(mean(one), drawn) for (name, one), drawn in found}


def _hidden(hiding: Hiding, again: BuyAgain, query: Query) -> IntArray:
    """The rows that a list of ``for-you`` leaves out: what is in this visit, whatever else."""
    if hiding == "nothing":
        return query.session
    gone = seen_before(again, query) if hiding == "seen" else not_due(again, query)
    return np.union1d(query.session, gone)


def _ndcg(model: Scorer, cases: Sequence[Case]) -> Floats:
    """Of each case's list, without what it has seen."""
    lists = serve(model, cases, Settings((TOP,), hide_seen=True))
    return ndcg(judge(lists.items, [case.relevant for case in cases]), TOP)

"""Train: fold the log, learn the blend on its last days, fit on all of it, save one version.

Reads the log only; the caller activates the version by one more entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

from endcap.config import Config
from endcap.errors import DataError
from endcap.evaluation.metrics.judged import judge
from endcap.evaluation.metrics.ndcg import ndcg
from endcap.evaluation.offline import Case, Settings, serve
from endcap.evaluation.visits import visit_cases
from endcap.events.log import entries
from endcap.events.schema import Event
from endcap.features.interactions import InteractionBuilder
from endcap.models.ensemble import Blend, learn_weights
from endcap.models.persistence import Manifest, items_digest, save_version, version_name
from endcap.protocols import Learner, Log, Scorer
from endcap.state.batch import apply_batch
from endcap.state.fold import State
from endcap.types import MS_PER_DAY, Entry, Interactions, Progress

MAX_CASES = 2_000
"""Visits of the validation part on which the blend is learnt; of more, a seeded sample."""
TOP = 20


@dataclass(frozen=True, slots=True)
class Workshop:
    """What training works with; wiring fills it."""

    log: Log
    models_dir: Path
    config: Config
    encoder: str
    members: Callable[[State], Mapping[str, Scorer]]
    """All members of the blend over a state, not fitted, by name."""
    learners: Sequence[str]
    """Which of them must be fitted."""
    prepare: Callable[[State], None]
    """Called with the folded state before members are made over it: content vectors go where they belong."""
    keep: Callable[[State], None]
    """Called with the state that the whole log adds up to: the next start need not fold it again."""


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
    weights, hides_seen, metrics = _validate(workshop, state, builder.build(state), held_out, seed)
    progress(next(steps), 7)
    apply_batch(state, held_out, builder)
    progress(next(steps), 7)
    workshop.keep(state)
    learners = _fit(workshop, workshop.members(state), builder.build(state))
    progress(next(steps), 7)
    manifest = Manifest(
        version=version_name(now_ms, f"{now_ms}:{state.offset}:{seed}".encode()),
        created_ms=now_ms,
        offset=state.offset,
        seed=seed,
        encoder=workshop.encoder,
        weights=weights,
        n_items=len(state.items),
        items_digest=items_digest(state.items, len(state.items)),
        hides_seen=hides_seen,
        metrics=metrics,
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
    for learner in learners.values():
        learner.fit(interactions)
    return learners


def _validate(
    workshop: Workshop, state: State, past: Interactions, held_out: Sequence[Entry], seed: int
) -> tuple[dict[str, float], bool, dict[str, float]]:
    """The blend's weights, whether to hide what was seen, and the NDCG@20 of each model, on the held out visits."""
    members = workshop.members(state)
    _fit(workshop, members, past)
    cases = visit_cases(state, held_out, MAX_CASES, seed)
    asked = [(case.query, case.relevant) for case in cases]
    weights = {hide: learn_weights(members, asked, TOP, hide_seen=hide) for hide in (False, True)}
    if not cases:
        return weights[False], False, {}
    blends = {hide: _ndcg(Blend(members, weights[hide]), cases, hide) for hide in (False, True)}
    hides_seen = blends[True] > blends[False]
    metrics = {f"{name} ndcg@{TOP}": _ndcg(member, cases, hides_seen) for name, member in members.items()}
    return weights[hides_seen], hides_seen, metrics | {f"blend ndcg@{TOP}": blends[hides_seen]}


def _ndcg(model: Scorer, cases: Sequence[Case], hide_seen: bool) -> float:
    lists = serve(model, cases, Settings((TOP,), hide_seen))
    return float(ndcg(judge(lists.items, [case.relevant for case in cases]), TOP).mean())

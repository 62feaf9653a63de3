"""Judging every model on the past: fold, learn the blend's weights, fit, ask, compare."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np

from endcap.config import StateConfig
from endcap.encoders.cache import ItemVectors
from endcap.errors import DataError
from endcap.evaluation.metrics.diversity import cooccurrence_vectors
from endcap.evaluation.offline import Background, Case, Progress, Settings, evaluate, silent
from endcap.evaluation.past import Past, fold
from endcap.evaluation.problems import Problem, Questions
from endcap.evaluation.report import Report
from endcap.models.ensemble import Blend, learn_weights
from endcap.protocols import Scorer
from endcap.state.fold import State
from endcap.types import BoolArray, Entry

BLEND = "blend"
MAX_VALIDATION_CASES = 2_000
"""More would not move the weights, and they are held in memory for every member."""

Factory = Callable[[Past], Scorer]
"""Makes a model and fits it on a past; it may also read the past's state, which grows no more."""
Fit = Literal["train", "refit"]


@dataclass(frozen=True, slots=True)
class Kit:
    """What is evaluated, as wiring makes it."""

    models: Mapping[str, Factory]
    """By name; each one is also a member of the blend."""
    vectors: Callable[[State], ItemVectors | None]
    """The content vectors of a state's items; None where there is no encoder."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How it is evaluated."""

    fit: Fit = "refit"
    """``train``: on what comes before the validation part only. ``refit``: on the validation part too."""
    settings: Settings = field(default_factory=Settings)
    names: tuple[str, ...] = ()
    """Models of the kit and ``blend``; empty: all of them."""
    state: StateConfig = field(default_factory=StateConfig)
    shift_ms: int = 0
    """How much later the data's times are than what really happened."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What is shown while it runs."""

    cases: Progress = silent
    entries: Callable[[Sequence[Entry], str], Iterable[Entry]] = lambda entries, _what: entries
    step: Callable[[str], None] = lambda _what: None
    """Told the name of each model before it is fitted."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The report, and what predictions are written from."""

    report: Report
    questions: Questions
    past: Past
    """What was known at test time."""


@dataclass(frozen=True, slots=True)
class _Fitted:
    models: dict[str, Scorer]
    seconds: dict[str, float]


def run(problem: Problem, kit: Kit, plan: Plan, watch: Watch | None = None) -> Evaluation:
    """Every model that ``plan`` names on ``problem``, and their blend.

    Where a blend is wanted, its members are fitted on the early part and its weights learnt on the validation
    questions; then, with ``refit``, the members are fitted again on everything before the test. Raises DataError for a
    name that is not known and for a problem without a question.
    """
    shown = watch or Watch()
    members, with_blend = _chosen(kit, plan.names)
    early = _past(problem.early, "learning", kit, plan, shown)
    weights: dict[str, float] = {}
    started = time.perf_counter()
    fitted = _fit(members, early, shown) if with_blend or plan.fit == "train" else _Fitted({}, {})
    if with_blend:
        shown.step("weights of the blend")
        weights = learn_weights(fitted.models, _sample(problem.validation(early).cases, plan.settings.seed))
    learnt = time.perf_counter() - started
    known = _past([*problem.early, *problem.late], "what is known at test time", kit, plan, shown)
    if plan.fit == "refit":
        fitted = _fit(members, known, shown)
        learnt += sum(fitted.seconds.values())
    if with_blend:
        fitted.models[BLEND] = Blend(fitted.models, weights)
        fitted.seconds[BLEND] = learnt
    return _judge(problem, plan, known, _wanted(fitted, plan.names), weights, shown)


def _chosen(kit: Kit, names: Sequence[str]) -> tuple[dict[str, Factory], bool]:
    """The models to fit, and whether they are blended."""
    unknown = [name for name in names if name not in kit.models and name != BLEND]
    if unknown:
        raise DataError(f"there is no model {unknown[0]!r}: choose among {', '.join([*kit.models, BLEND])}")
    members = [name for name in names if name != BLEND] or list(kit.models)
    return {name: kit.models[name] for name in members}, BLEND in names or (not names and len(members) > 1)


def _wanted(fitted: _Fitted, names: Sequence[str]) -> _Fitted:
    """Without the members that were fitted for the blend only."""
    if names:
        return _Fitted({name: fitted.models[name] for name in names}, fitted.seconds)
    return fitted


def _past(entries: Sequence[Entry], what: str, kit: Kit, plan: Plan, watch: Watch) -> Past:
    past = fold(watch.entries(entries, what), plan.state)
    return replace(past, vectors=kit.vectors(past.state))


def _fit(factories: Mapping[str, Factory], past: Past, watch: Watch) -> _Fitted:
    fitted = _Fitted({}, {})
    for name, make in factories.items():
        watch.step(name)
        start = time.perf_counter()
        fitted.models[name] = make(past)
        fitted.seconds[name] = time.perf_counter() - start
    return fitted


def _sample(cases: Sequence[Case], seed: int) -> list[tuple[Any, Any]]:
    """(query, wanted) of at most MAX_VALIDATION_CASES of ``cases``."""
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(len(cases))[:MAX_VALIDATION_CASES])
    return [(cases[at].query, cases[at].relevant) for at in chosen]


def _judge(
    problem: Problem, plan: Plan, known: Past, fitted: _Fitted, weights: Mapping[str, float], watch: Watch
) -> Evaluation:
    questions = problem.test(known)
    if not questions.cases:
        raise DataError(
            "the test has nobody to ask: its shoppers have no user id and no history, or took nothing; "
            "take more days or other data"
        )
    table = evaluate(fitted.models, questions.cases, background(known), plan.settings, fitted.seconds, watch.cases)
    report = Report(
        table,
        plan.fit,
        problem.split,
        questions.notes,
        n_items=len(known.state.items),
        groups=_groups(questions.cases),
        blend_weights=weights,
        config={f"state.{name}": value for name, value in asdict(plan.state).items()},
        shift_ms=plan.shift_ms,
    )
    return Evaluation(report, questions, known)


def background(past: Past) -> Background:
    """The catalogue as it is known at test time; likeness by content where there are vectors, else by co-occurrence."""
    n_users = int(np.unique(past.interactions.user).size)
    vectors = past.vectors
    if vectors is None or not vectors.has.any():
        return Background(n_users, past.popularity(), cooccurrence_vectors(past.interactions), "co-occurrence")
    matrix = np.zeros((len(past.state.items), vectors.dim), np.float32)  # (n_items, dim): a row for every item
    matrix[: len(vectors)] = vectors.matrix
    return Background(n_users, past.popularity(), matrix, "content")


def _groups(cases: Sequence[Case]) -> dict[str, BoolArray]:
    """With and without a history, where there are both."""
    known = np.array([case.query.history.size > 0 for case in cases])
    return {"with a history": known, "new": ~known} if known.any() and not known.all() else {}

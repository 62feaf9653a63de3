"""Judging every model on the past: fold, learn the blend's weights, fit, ask, compare."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

import numpy as np

from endcap.config import StateConfig
from endcap.encoders.cache import ItemVectors
from endcap.errors import DataError
from endcap.evaluation.metrics.diversity import cooccurrence_vectors
from endcap.evaluation.offline import Background, Progress, Settings, Table, evaluate, silent, tabulate
from endcap.evaluation.past import Past, fold
from endcap.evaluation.prequential import live_through, spans
from endcap.evaluation.problems import Problem, Questions
from endcap.evaluation.report import Report
from endcap.evaluation.segments import groups_of
from endcap.pipelines.ensembles import BLEND, ENSEMBLES, Lessons, join, learn
from endcap.protocols import Scorer
from endcap.state.fold import State
from endcap.types import BoolArray, Entry, IntArray

Factory = Callable[[Past], Scorer]
"""Makes a model and fits it on a past; it may also read the past's state, which grows no more."""
Fit = Literal["train", "refit"]


@dataclass(frozen=True, slots=True)
class Kit:
    """What is evaluated, as wiring makes it."""

    models: Mapping[str, Factory]
    """By name; each one is also a member of the ensembles."""
    vectors: Callable[[State], ItemVectors | None]
    """The content vectors of a state's items; None where there is no encoder."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How it is evaluated."""

    fit: Fit = "refit"
    """``train``: on what comes before the validation part only. ``refit``: on the validation part too."""
    settings: Settings = field(default_factory=Settings)
    names: tuple[str, ...] = ()
    """Models of the kit and ensembles of them; empty: all models and their blend."""
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
    """Every model and ensemble that ``plan`` names on ``problem``.

    Where an ensemble is wanted, its members are fitted on the early part and it learns from the validation questions;
    then, with ``refit``, the members are fitted again on everything before the test. Raises DataError for a name that
    is not known and for a problem without a question.
    """
    shown = watch or Watch()
    members, ensembles = _chosen(kit, plan.names)
    early = _past(problem.early, "learning", kit, plan, shown)
    lessons = Lessons()
    started = time.perf_counter()
    fitted = _fit(members, early, shown) if ensembles or plan.fit == "train" else _Fitted({}, {})
    if ensembles:
        shown.step(", ".join(ensembles))
        cases = problem.validation(early).cases
        settings = plan.settings
        lessons = learn(ensembles, fitted.models, early, cases, settings.hide_seen, settings.seed)
    learnt = time.perf_counter() - started
    known = _past([*problem.early, *problem.late], "what is known at test time", kit, plan, shown)
    if plan.fit == "refit":
        fitted = _fit(members, known, shown)
        learnt += sum(fitted.seconds.values())
    joined = {name: join(name, fitted.models, lessons, known) for name in ensembles}
    fitted = _Fitted(fitted.models | joined, fitted.seconds | dict.fromkeys(ensembles, learnt))
    return _judge(problem, plan, known, _wanted(fitted, plan.names), lessons.weights, shown)


def _chosen(kit: Kit, names: Sequence[str]) -> tuple[dict[str, Factory], tuple[str, ...]]:
    """The models to fit, and the ensembles of them; a blend of all models where nothing is named."""
    unknown = [name for name in names if name not in kit.models and name not in ENSEMBLES]
    if unknown:
        raise DataError(f"there is no model {unknown[0]!r}: choose among {', '.join([*kit.models, *ENSEMBLES])}")
    members = [name for name in names if name not in ENSEMBLES] or list(kit.models)
    wanted = [BLEND] if not names and len(members) > 1 else [name for name in ENSEMBLES if name in names]
    return {name: kit.models[name] for name in members}, tuple(wanted)


def _wanted(fitted: _Fitted, names: Sequence[str]) -> _Fitted:
    """Without the members that were fitted for an ensemble only."""
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


def _judge(
    problem: Problem, plan: Plan, known: Past, fitted: _Fitted, weights: Mapping[str, float], watch: Watch
) -> Evaluation:
    table, questions, over_time = _answered(problem, plan, known, fitted, watch)
    report = Report(
        table,
        plan.fit,
        problem.split,
        questions.notes,
        n_items=len(known.state.items),
        groups=groups_of(questions.cases, known.popularity()),
        blend_weights=weights,
        config={f"state.{name}": value for name, value in asdict(plan.state).items()},
        shift_ms=plan.shift_ms,
        over_time=over_time,
    )
    return Evaluation(report, questions, known)


def _answered(
    problem: Problem, plan: Plan, known: Past, fitted: _Fitted, watch: Watch
) -> tuple[Table, Questions, tuple[tuple[int, BoolArray], ...]]:
    """The table of the answers to the test's questions, or to those of its stream and when they were asked."""
    if problem.stream is None:
        questions = problem.test(known)
        _check(questions)
        table = evaluate(fitted.models, questions.cases, background(known), plan.settings, fitted.seconds, watch.cases)
        return table, questions, ()
    lived = live_through(known, list(watch.entries(problem.stream, "the stream")), fitted.models, plan.settings)
    questions = lived.questions
    _check(questions)
    table = tabulate(lived.lists, questions.cases, background(known), plan.settings, fitted.seconds)
    return table, questions, spans(lived.times)


def _check(questions: Questions) -> None:
    if not questions.cases:
        raise DataError(
            "the test has nobody to ask: its shoppers have no user id and no history, or took nothing; "
            "take more days or other data"
        )


def background(past: Past) -> Background:
    """The catalogue as it is known at test time; likeness by content where there are vectors, else by co-occurrence."""
    n_users = int(np.unique(past.interactions.user).size)
    vectors, popularity, groups = past.vectors, past.popularity(), categories(past.state)
    if vectors is None or not vectors.has.any():
        matrix = cooccurrence_vectors(past.interactions)
        return Background(n_users, popularity, matrix, "co-occurrence", groups)
    rows = np.zeros((len(past.state.items), vectors.dim), np.float32)  # (n_items, dim): a row for every item
    rows[: len(vectors)] = vectors.matrix
    return Background(n_users, popularity, rows, "content", groups)


def categories(state: State) -> IntArray | None:
    """(n_items,) the top category of each item as a number, -1 for none; None where no item has one."""
    found: dict[str, int] = {}
    groups = np.full(len(state.items), -1, np.int32)
    for row, item in state.shop.listed_items():
        if item.categories:
            groups[row] = found.setdefault(item.categories[0].split(">", 1)[0].strip(), len(found))
    return groups if found else None

"""Models against each other on the same cases: every item of the catalogue is ranked, nothing is sampled.

Sampled negatives put models in another order than the full ranking does: Krichene and Rendle, On sampled metrics
for item recommendation, KDD 2020.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from endcap.errors import DataError
from endcap.evaluation.metrics.calibration import miscalibration, popularity_groups
from endcap.evaluation.metrics.coverage import coverage
from endcap.evaluation.metrics.diversity import diversity
from endcap.evaluation.metrics.gini import gini
from endcap.evaluation.metrics.judged import PerCase, judge
from endcap.evaluation.metrics.novelty import novelty
from endcap.evaluation.metrics.popularity_bias import popularity_bias
from endcap.evaluation.metrics.registry import ACCURACY
from endcap.evaluation.significance import Comparison, Estimate, bootstrap_means, compare, estimate, mean
from endcap.protocols import Recommender
from endcap.types import FloatArray, IntArray, Query

WARM_UP = 20
"""Lists that are made twice, and timed the second time."""
LOWER_IS_BETTER = frozenset({"miscalibration", "popularity_bias"})
"""Of the metrics that have a value for each case."""


@dataclass(frozen=True, slots=True)
class Case:
    """One question with its answer."""

    query: Query
    """What was known at the moment of the question, and nothing later."""
    relevant: IntArray
    """(n,) different item rows: what was really wanted next."""
    seen: IntArray = field(default_factory=lambda: np.empty(0, np.int32))
    """(m,) item rows touched before: left out of the lists where seen items are hidden."""


Progress = Callable[[Sequence[Case], str], Iterable[Case]]
"""(cases, model name) -> the same cases, shown on their way."""


def silent(cases: Sequence[Case], _model: str) -> Iterable[Case]:
    """No progress is shown."""
    return cases


@dataclass(frozen=True, slots=True)
class Settings:
    """How the lists are made and judged."""

    ks: tuple[int, ...] = (5, 10, 20)
    """List lengths, ascending."""
    hide_seen: bool = False
    samples: int = 1_000
    """Bootstrap samples."""
    seed: int = 0

    @property
    def k(self) -> int:
        """The longest list."""
        return max(self.ks)


@dataclass(frozen=True, slots=True)
class Background:
    """What the metrics beyond accuracy are measured against: the training data, not the test."""

    n_users: int
    popularity: IntArray
    """(n_items,) how many of the users touched each item of the catalogue."""
    vectors: Any
    """(n_items, dim) unit rows, numpy or scipy sparse: what makes two items alike."""
    likeness: str
    """What ``vectors`` are: ``content`` or ``co-occurrence``."""
    groups: IntArray | None = None
    """(n_items,) the category of each item, -1 for none, for the calibration; None: how popular it is."""


@dataclass(frozen=True, slots=True)
class Lists:
    """What one model answered."""

    items: IntArray
    """(cases, k) item rows, best first, padded with -1."""
    scores: FloatArray
    """(cases, k), padded with NaN."""
    serve_us: NDArray[np.float64]
    """(cases,) CPU microseconds of this thread for each list."""


@dataclass(frozen=True, slots=True)
class Row:
    """One model in the table."""

    model: str
    estimates: Mapping[str, Estimate]
    """By metric and length, such as ``recall@20``: the mean with its 95 % interval."""
    gaps: Mapping[str, Estimate]
    """The same names: this model minus the best one of that column, on the same resampled cases."""
    fit_seconds: float
    lists: Lists
    values: Mapping[str, PerCase]
    """The same names: the value of every case."""

    def serve_us(self, percent: float) -> float:
        """A percentile of the CPU microseconds for a list."""
        return float(np.percentile(self.lists.serve_us, percent))


@dataclass(frozen=True, slots=True)
class Table:
    """The result of an evaluation."""

    rows: tuple[Row, ...]
    settings: Settings
    n_cases: int
    likeness: str
    comparisons: tuple[Comparison, ...] = ()
    """Every two models by ``compared_by``."""
    compared_by: str = ""

    def best(self, metric: str) -> Row:
        """The row with the best mean."""
        return max(self.rows, key=lambda row: sign(metric) * row.estimates[metric].mean)


def sign(metric: str) -> int:
    """1 where a higher value of ``metric``, such as ``recall@20``, is better, else -1."""
    return -1 if metric.split("@", maxsplit=1)[0] in LOWER_IS_BETTER else 1


class Asker:
    """Asks one model for the lists of ``n`` cases, one at a time, as a server makes them, and takes the time.

    Each of the first WARM_UP lists is made once before, untimed.
    """

    def __init__(self, model: Recommender, settings: Settings, n: int) -> None:
        shape = (n, settings.k)
        self._model = model
        self._settings = settings
        self._lists = Lists(np.full(shape, -1, np.int32), np.full(shape, np.nan, np.float32), np.zeros(n))
        self._asked = 0

    def ask(self, case: Case) -> None:
        """The next one."""
        k, at = self._settings.k, self._asked
        hidden = case.seen if self._settings.hide_seen else case.seen[:0]
        if at < WARM_UP:
            self._model.recommend(case.query, k)
        start = time.thread_time_ns()
        ranking = self._model.recommend(case.query, k + hidden.size)
        self._lists.serve_us[at] = (time.thread_time_ns() - start) / 1e3
        kept = ~np.isin(ranking.items, hidden) if hidden.size else np.ones(len(ranking), np.bool_)
        items, scores = ranking.items[kept][:k], ranking.scores[kept][:k]
        self._lists.items[at, : items.size] = items
        self._lists.scores[at, : items.size] = scores
        self._asked += 1

    def lists(self) -> Lists:
        """What it answered so far."""
        held = self._lists
        return Lists(held.items[: self._asked], held.scores[: self._asked], held.serve_us[: self._asked])


def serve(
    model: Recommender, cases: Sequence[Case], settings: Settings, progress: Progress = silent, name: str = ""
) -> Lists:
    """The lists of ``model`` for ``cases``, one query at a time, in one thread."""
    asker = Asker(model, settings, len(cases))
    with threadpool_limits(1):
        for case in progress(cases, name):
            asker.ask(case)
    return asker.lists()


def evaluate(
    models: Mapping[str, Recommender],
    cases: Sequence[Case],
    background: Background,
    settings: Settings,
    fit_seconds: Mapping[str, float] | None = None,
    progress: Progress = silent,
) -> Table:
    """Every model of ``models``, already fitted, on ``cases``.

    ``fit_seconds``: how long each took to fit, for the table. Raises DataError without a model or a case.
    """
    lists = {name: serve(model, cases, settings, progress, name) for name, model in models.items()} if cases else {}
    return tabulate(lists, cases, background, settings, fit_seconds)


def tabulate(
    lists: Mapping[str, Lists],
    cases: Sequence[Case],
    background: Background,
    settings: Settings,
    fit_seconds: Mapping[str, float] | None = None,
) -> Table:
    """The table of the ``lists`` that each model gave for ``cases``. Raises as ``evaluate``."""
    if not cases or not lists:
        raise DataError("there is nothing to evaluate: it takes at least one model and one case with a test item")
    values = {name: per_case(answer.items, cases, background, settings) for name, answer in lists.items()}
    names = list(next(iter(values.values())))
    columns = np.stack([values[model][name] for name in names for model in lists], axis=1)
    means = bootstrap_means(columns, settings.samples, settings.seed)
    means = means.reshape(settings.samples, len(names), len(lists))  # from (samples, names * models)
    estimates, gaps = _compare(values, names, means)
    for model, answer in lists.items():
        estimates[model] |= _of_all_lists(answer.items, background, settings)
    times = fit_seconds or {}
    rows = tuple(
        Row(model, estimates[model], gaps[model], times.get(model, 0.0), lists[model], values[model]) for model in lists
    )
    by = f"ndcg@{10 if 10 in settings.ks else settings.k}"
    compared = compare({model: values[model][by] for model in lists}, settings.samples, settings.seed)
    return Table(rows, settings, len(cases), background.likeness, compared, by)


def per_case(items: IntArray, cases: Sequence[Case], background: Background, settings: Settings) -> dict[str, PerCase]:
    """Every metric that has a value for each list, by its name and length: (cases,) each."""
    judged = judge(items, [case.relevant for case in cases])
    histories = [case.seen for case in cases]
    popularity, n_users = background.popularity, background.n_users
    groups = popularity_groups(popularity) if background.groups is None else background.groups
    values = {f"{name}@{k}": metric(judged, k) for name, metric in ACCURACY.items() for k in settings.ks}
    for k in settings.ks:
        listed = items[:, :k]
        values[f"novelty@{k}"] = novelty(listed, popularity, n_users)
        values[f"diversity@{k}"] = diversity(listed, background.vectors)
        values[f"popularity_bias@{k}"] = popularity_bias(listed, histories, popularity, n_users)
        values[f"miscalibration@{k}"] = miscalibration(listed, histories, groups)
    return values


def _of_all_lists(items: IntArray, background: Background, settings: Settings) -> dict[str, Estimate]:
    nan = float("nan")
    n_items = background.popularity.size
    metrics = {"coverage": coverage, "gini": gini}
    return {
        f"{name}@{k}": Estimate(metric(items[:, :k], n_items), nan, nan)
        for name, metric in metrics.items()
        for k in settings.ks
    }


Estimates = dict[str, dict[str, Estimate]]


def _compare(
    values: Mapping[str, Mapping[str, PerCase]], names: Sequence[str], means: NDArray[np.float64]
) -> tuple[Estimates, Estimates]:
    """The interval of every mean, and of its distance to the best. ``means``: (samples, names, models)."""
    estimates: Estimates = {model: {} for model in values}
    gaps: Estimates = {model: {} for model in values}
    for column, name in enumerate(names):
        observed = [mean(values[model][name]) for model in values]
        best = int(np.argmax(np.nan_to_num(sign(name) * np.array(observed), nan=-np.inf)))
        for at, model in enumerate(values):
            sampled = means[:, column, at]
            estimates[model][name] = estimate(observed[at], sampled)
            gaps[model][name] = estimate(observed[at] - observed[best], sampled - means[:, column, best])
    return estimates, gaps

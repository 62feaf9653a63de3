"""Themes of the demo shop, and whether a profile over them makes the lists of ``for-you`` better.

The log is cut as `endcap train` cuts it. An item's score is the share of its theme in the visitor's profile times its
demand. The blend's weights are learnt on one half of the held out visits and judged on the other, with the themes among
its members and without; the difference is taken visit by visit.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import numpy as np
from msgspec import Struct

from endcap import wiring
from endcap.config import Config
from endcap.evaluation.metrics.judged import judge
from endcap.evaluation.metrics.ndcg import ndcg
from endcap.evaluation.offline import Case, Settings, serve
from endcap.evaluation.visits import visit_cases
from endcap.events.log import entries
from endcap.events.schema import Event
from endcap.features.interactions import InteractionBuilder
from endcap.models.buy_again import BuyAgain, not_due
from endcap.models.ensemble import Blend, learn_weights
from endcap.pipelines.train import MAX_CASES, TOP
from endcap.profiles.interests import Themes
from endcap.protocols import Learner, Scorer
from endcap.state.batch import apply_batch
from endcap.state.fold import State
from endcap.types import MS_PER_DAY, FloatArray, Interactions, Query, Ranking
from machine import Machine, describe
from pages import BENCHMARKS, table, where
from script import parser_of, run

SHOWN = 8
"""Themes in the table of the page, the most peopled first."""
DRAWS = 2_000


class Results(Struct):
    """One run."""

    date: str
    machine: Machine
    items: int
    seconds: float
    """To find the themes."""
    themes: list[tuple[str, int, int]]
    """Keywords, items, people."""
    alone: dict[str, float]
    """NDCG of each member of the blend by itself, on the judged half."""
    without: float
    with_themes: float
    weight: float
    """Of the themes in the blend."""
    gain: list[float]
    """The mean difference, and its 95 % interval."""


class ThemeScorer:
    """The share of an item's theme in the visitor's profile times its demand."""

    def __init__(self, themes: Themes, demand: FloatArray) -> None:
        self._themes = themes
        self._of = themes.of(np.arange(demand.size, dtype=np.int32))
        self._demand = demand

    def scores(self, query: Query) -> FloatArray:
        """(items,)."""
        profile = np.append(self._themes.profile(query), np.float32(0.0))  # the last: of no theme
        scores: FloatArray = (profile[self._of] * self._demand).astype(np.float32)
        return scores

    def recommend(self, query: Query, k: int) -> Ranking:
        """The best of them."""
        return Ranking.top(self.scores(query), k, above=0.0)


def _folded(home: Path, config: Config) -> tuple[State, Interactions, list[Case]]:
    """The state and the past before the held out days, and the visits of these."""
    with closing(wiring.open_log(home)) as log:
        everything = list(entries(log))
    newest = max(entry.time for entry in everything if isinstance(entry.body, Event))
    cut = newest - int(config.train.validation_days * MS_PER_DAY)
    first = next(at for at, one in enumerate(everything) if isinstance(one.body, Event) and one.time >= cut)
    state, builder = State(config.state), InteractionBuilder()
    apply_batch(state, iter(everything[:first]), builder)
    past = builder.build(state)
    again = BuyAgain(config.train.due_after).fit(past)
    cases = visit_cases(state, everything[first:], MAX_CASES, config.train.seed)
    hidden = [np.union1d(case.query.session, not_due(again, case.query)).astype(np.int32) for case in cases]
    return state, past, [replace(case, seen=rows) for case, rows in zip(cases, hidden, strict=True)]


def _each(model: Scorer, cases: list[Case]) -> np.ndarray:
    lists = serve(model, cases, Settings((TOP,), hide_seen=True))
    return np.asarray(ndcg(judge(lists.items, [case.relevant for case in cases]), TOP), np.float64)


def _blended(members: Mapping[str, Scorer], learn: list[Case]) -> tuple[Blend, dict[str, float]]:
    asked = [(case.query, case.relevant) for case in learn]
    weights = learn_weights(members, asked, TOP, [case.seen for case in learn])
    return Blend(members, weights), weights


def measure(_: Path, options: argparse.Namespace) -> Results:
    """Find the themes, then judge."""
    config, machine = Config(), describe(Path.cwd())
    state, past, cases = _folded(options.home, config)
    vectors = wiring.contents_of(state, wiring.reading(options.home, config)).vectors
    texts = [(row, item.title) for row, item in state.shop.listed_items()]
    begun = time.perf_counter()
    themes = wiring.no_themes(config).fit(texts, vectors.matrix, past, config.train.seed)
    seconds = time.perf_counter() - begun
    members = wiring.blend_members(state, vectors, config.train)
    for name in wiring.LEARNERS:
        cast(Learner, members[name]).fit(past)
    demand = np.zeros(len(state.items), np.float32)
    scores = state.popularity.scores("trending")
    demand[: scores.size] = np.maximum(scores, 0.0)
    more: dict[str, Scorer] = {**members, "themes": ThemeScorer(themes, demand)}
    half = np.random.default_rng(0).random(len(cases)) < 0.5
    learn = [case for case, first in zip(cases, half, strict=True) if first]
    judged = [case for case, first in zip(cases, half, strict=True) if not first]
    plain, better = _blended(members, learn), _blended(more, learn)
    before, after = _each(plain[0], judged), _each(better[0], judged)
    gaps = after - before
    draws = np.random.default_rng(1).integers(gaps.size, size=(DRAWS, gaps.size))
    low, high = np.quantile(gaps[draws].mean(axis=1), [0.025, 0.975])
    of = themes.of(np.array([row for row, _ in texts], np.int32))
    sizes = np.bincount(of[of >= 0], minlength=len(themes))
    named = [(", ".join(themes.names[at]), int(sizes[at]), int(themes.people[at])) for at in range(len(themes))]
    return Results(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine,
        items=len(texts),
        seconds=round(seconds, 2),
        themes=sorted(named, key=lambda one: -one[2]),
        alone={name: round(float(_each(model, judged).mean()), 4) for name, model in more.items()},
        without=round(float(before.mean()), 4),
        with_themes=round(float(after.mean()), 4),
        weight=round(better[1]["themes"], 3),
        gain=[round(float(one), 4) for one in (gaps.mean(), low, high)],
    )


def figures(results: Results) -> str:
    """The section of the page."""
    named = [[name, f"{items:,}", f"{people:,}"] for name, items, people in results.themes[:SHOWN]]
    alone = [[f"`{name}`", f"{value:.4f}"] for name, value in sorted(results.alone.items(), key=lambda one: -one[1])]
    gain, low, high = results.gain
    return (
        where(results.date, results.machine)
        + f"{len(results.themes)} themes of {results.items:,} items, found in {results.seconds:.1f} s. The "
        + f"{SHOWN} with most people:\n\n"
        + table(["theme", "items", "people"], named)
        + "\n"
        + table(["alone, for `for-you`", f"NDCG@{TOP}"], alone)
        + f"\nThe blend without themes {results.without:.4f}, with them (weight {results.weight:.2f}) "
        f"{results.with_themes:.4f}: a difference of {gain:+.4f} ({low:+.4f} to {high:+.4f}).\n"
    )


def main() -> None:
    """Measure, or write the page."""
    run(parser_of("interests", __doc__), BENCHMARKS, Results, figures, measure)


if __name__ == "__main__":
    main()

"""Themes of the demo shop, topics and clusters, and whether a profile over them makes the lists of ``for-you`` better.

The log is cut as `endcap train` cuts it. An item's score is how much of it the visitor's profile has, theme by theme,
times its demand. What topics are made of is chosen on one half of the held out visits, on which the blend's weights are
learnt too; the rest is judged on the other, with the themes among the blend's members and without; the difference is
taken visit by visit. Whether the five words of a theme belong together: how much oftener than by chance two of them
stand in one title (mean normalised pointwise mutual information; Bouma 2009, Lau, Newman & Baldwin 2014).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Literal, cast, get_args, get_type_hints

import numpy as np
from msgspec import Struct

from endcap import wiring
from endcap.config import Config, TrainConfig
from endcap.evaluation.metrics.judged import judge
from endcap.evaluation.metrics.ndcg import ndcg
from endcap.evaluation.offline import Case, Settings, serve
from endcap.evaluation.visits import visit_cases
from endcap.events.log import entries
from endcap.events.schema import Event
from endcap.features.clusters import keywords, word_table
from endcap.features.interactions import InteractionBuilder
from endcap.models.buy_again import BuyAgain, not_due
from endcap.models.ensemble import Blend, learn_weights
from endcap.pipelines.train import MAX_CASES, TOP
from endcap.profiles.interests import KEYWORDS, Themes
from endcap.protocols import Learner, Scorer
from endcap.state.batch import apply_batch
from endcap.state.fold import State
from endcap.types import MS_PER_DAY, BoolArray, FloatArray, Interactions, Query, Ranking
from machine import Machine, describe
from pages import BENCHMARKS, table, where
from script import parser_of, run

SHOWN = 8
"""Themes in the table of the page, the most peopled first."""
DRAWS = 2_000
NUMBERS = (24, 48, 64)
"""Of topics."""


class Tried(Struct):
    """Topics of a kind."""

    of: Literal["words", "visitors", "both"]
    topics: int
    ndcg: float
    together: float
    """How much the words of a name belong together, -1 to 1."""


class Found(Struct):
    """What themes of one kind are and bring, on the judged half."""

    seconds: float
    """To find them."""
    themes: list[tuple[str, int, int]]
    """Keywords, items, people; the most peopled first."""
    together: float
    """How much the words of a name belong together, -1 to 1."""
    alone: float
    """NDCG."""
    blended: float
    weight: float
    """In the blend."""
    gain: list[float]
    """The mean difference to the blend without, and its 95 % interval."""


class Results(Struct):
    """One run."""

    date: str
    machine: Machine
    items: int
    tried: list[Tried]
    """Topics, on the half that is not judged."""
    kinds: dict[str, Found]
    alone: dict[str, float]
    """NDCG of each member of the blend by itself, on the judged half."""
    without: float
    """The blend without themes."""


class ThemeScorer:
    """The shares of an item's themes in the visitor's profile times its demand."""

    def __init__(self, themes: Themes, demand: FloatArray) -> None:
        self._themes = themes
        self._shares = themes.shares(np.arange(demand.size, dtype=np.int32))
        self._demand = demand

    def scores(self, query: Query) -> FloatArray:
        """(items,)."""
        scores: FloatArray = ((self._shares @ self._themes.profile(query)) * self._demand).astype(np.float32)
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


def together(names: Sequence[Sequence[str]], titles: Sequence[str]) -> float:
    """How much oftener than by chance two words of a name stand in one of ``titles``: the mean over names, -1 to 1."""
    table, words = word_table(titles)
    column = {word: at for at, word in enumerate(words)}
    found = []
    for name in names:
        held = table[:, [column[word] for word in name]].toarray() > 0
        pairs = [_npmi(held[:, one], held[:, other]) for one, other in combinations(range(len(name)), 2)]
        found += [float(np.mean(pairs))] if pairs else []
    return float(np.mean(found))


def _npmi(one: BoolArray, other: BoolArray) -> float:
    both = float((one & other).mean())
    if both in (0.0, 1.0):
        return 2.0 * both - 1.0
    return float(np.log(both / one.mean() / other.mean()) / -np.log(both))


@dataclass(frozen=True)
class Shop:
    """What themes are found in, and what they are tried on."""

    texts: list[tuple[int, str]]
    vectors: FloatArray
    past: Interactions
    demand: FloatArray
    config: Config

    def themes(self, kind: Literal["topics", "clusters"], number: int = 64, of: str = "both") -> Themes:
        """Of words or of visitors alone, or of both."""
        past = self.past.where(np.zeros(len(self.past), np.bool_)) if of == "words" else self.past
        half_life_ms = self.config.state.interest_half_life_days * MS_PER_DAY
        texts = [] if of == "visitors" else self.texts
        return Themes(half_life_ms, kind, number).fit(texts, self.vectors, past, self.config.train.seed)

    def scorer(self, themes: Themes) -> ThemeScorer:
        """Proposes what is in demand of ``themes``."""
        return ThemeScorer(themes, self.demand)

    def together(self, themes: Themes) -> float:
        """The words of their names, taken from all titles."""
        rows = np.array([row for row, _ in self.texts], np.int32)
        titles = [title for _, title in self.texts]
        return round(together(keywords(titles, themes.shares(rows), KEYWORDS), titles), 3)

    def tried(self, cases: list[Case]) -> list[Tried]:
        """Topics by what they are made of, and by their number."""
        found = []
        for of in get_args(get_type_hints(Tried)["of"]):
            for number in NUMBERS:
                themes = self.themes("topics", number, of)
                value = float(_each(self.scorer(themes), cases).mean())
                found.append(Tried(of, number, round(value, 4), self.together(themes)))
        return found


def _shop(home: Path, config: Config) -> tuple[Shop, dict[str, Scorer], list[Case]]:
    """Beside the shop: the members of the blend, fitted, and the held out visits."""
    state, past, cases = _folded(home, config)
    vectors = wiring.contents_of(state, wiring.reading(home, config)).vectors
    members = wiring.blend_members(state, vectors, config.train)
    for name in wiring.LEARNERS:
        cast(Learner, members[name]).fit(past)
    demand = np.zeros(len(state.items), np.float32)
    scores = state.popularity.scores("trending")
    demand[: scores.size] = np.maximum(scores, 0.0)
    texts = [(row, item.title) for row, item in state.shop.listed_items()]
    return Shop(texts, vectors.matrix, past, demand, config), members, cases


def measure(_: Path, options: argparse.Namespace) -> Results:
    """Find the themes, then judge."""
    machine = describe(Path.cwd())
    shop, members, cases = _shop(options.home, Config())
    half = np.random.default_rng(0).random(len(cases)) < 0.5
    learn = [case for case, first in zip(cases, half, strict=True) if first]
    judged = [case for case, first in zip(cases, half, strict=True) if not first]
    before = _each(_blended(members, learn)[0], judged)
    kinds = {}
    for kind in get_args(get_type_hints(TrainConfig)["themes"]):
        begun = time.perf_counter()
        themes = shop.themes(kind)
        seconds = time.perf_counter() - begun
        scorer = shop.scorer(themes)
        blend, weights = _blended({**members, "themes": scorer}, learn)
        after = _each(blend, judged)
        gaps = after - before
        draws = np.random.default_rng(1).integers(gaps.size, size=(DRAWS, gaps.size))
        interval = np.quantile(gaps[draws].mean(axis=1), [0.025, 0.975])
        kinds[kind] = Found(
            seconds=round(seconds, 2),
            themes=_told(shop, themes),
            together=shop.together(themes),
            alone=round(float(_each(scorer, judged).mean()), 4),
            blended=round(float(after.mean()), 4),
            weight=round(weights["themes"], 3),
            gain=[round(float(one), 4) for one in (gaps.mean(), *interval)],
        )
    return Results(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine,
        items=len(shop.texts),
        tried=shop.tried(learn),
        kinds=kinds,
        alone={name: round(float(_each(model, judged).mean()), 4) for name, model in members.items()},
        without=round(float(before.mean()), 4),
    )


def _told(shop: Shop, themes: Themes) -> list[tuple[str, int, int]]:
    of = themes.of(np.array([row for row, _ in shop.texts], np.int32))
    sizes = np.bincount(of[of >= 0], minlength=len(themes))
    found = [(", ".join(themes.names[at]), int(sizes[at]), int(themes.people[at])) for at in range(len(themes))]
    return sorted(found, key=lambda one: -one[2])


def figures(results: Results) -> str:
    """The section of the page."""
    tried = [[f"{one.topics} of {one.of}", f"{one.ndcg:.4f}", f"{one.together:+.2f}"] for one in results.tried]
    alone = results.alone | {kind: found.alone for kind, found in results.kinds.items()}
    ordered = sorted(alone.items(), key=lambda one: -one[1])
    parts = [
        where(results.date, results.machine) + f"{results.items:,} items.\n",
        table(["topics, on the other half", f"NDCG@{TOP}", "words belong together"], tried),
        table(["alone, for `for-you`", f"NDCG@{TOP}"], [[f"`{name}`", f"{value:.4f}"] for name, value in ordered]),
        *(_of_kind(kind, found, results.without) for kind, found in results.kinds.items()),
    ]
    return "\n".join(parts)


def _of_kind(kind: str, found: Found, without: float) -> str:
    named = [[name, f"{items:,}", f"{people:,}"] for name, items, people in found.themes[:SHOWN]]
    gain, low, high = found.gain
    return (
        f"{len(found.themes)} {kind}, found in {found.seconds:.1f} s; their words belong together "
        f"{found.together:+.2f}. The blend without them {without:.4f}, with them (weight {found.weight:.2f}) "
        f"{found.blended:.4f}: a difference of {gain:+.4f} ({low:+.4f} to {high:+.4f}). The {SHOWN} with most "
        "people:\n\n" + table([kind, "items", "people"], named)
    )


def main() -> None:
    """Measure, or write the page."""
    run(parser_of("interests", __doc__), BENCHMARKS, Results, figures, measure)


if __name__ == "__main__":
    main()

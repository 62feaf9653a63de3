"""Does `endcap launch-report` know what will be found? Its judgement of items, beside what became of them.

As in coldstart.py a fifth of the items is held out of what is learnt from, here all of their events. For each of those
that was bought in the last 30 days: in what share of the lists of 20 held out items, made by content for its buyers
from what they had bought before, it stands. Compared are the two halves by how near the nearest texts are, which is
what the report calls expected, and near-duplicates with the others.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from cold_shops import parser_of_shops, shops_of
from coldstart import HELD_OUT, NEIGHBOURS, PAGE, SAMPLES, Estimated, K, Setting, item_cases, settings_of
from endcap.encoders.text import UniversalSentenceEncoder
from endcap.evaluation.launch import judge
from endcap.evaluation.significance import estimate
from endcap.models.content import Content
from machine import Machine, describe
from pages import table, where
from script import run

DEPTH = 2
"""Steps of a category path."""


class Compared(Struct):
    """Two kinds of held out items: the mean share of lists that hold one."""

    items: int
    others: int
    found: Estimated
    otherwise: Estimated
    gap: Estimated


class Results(Struct):
    """One run."""

    date: str
    machine: Machine
    shops: dict[str, dict[str, Compared]]
    """By shop, and by what its items have."""


def measure_shop(setting: Setting) -> dict[str, Compared]:
    """The held out items of one shop by each judgement."""
    n_items = len(setting.past.interactions.items)
    held = np.random.default_rng(0).random(n_items) < HELD_OUT
    vectors = next(iter(setting.vectors.values()))
    listed = setting.past.state.shop.listed_items()
    rows = np.array([row for row, _ in listed])
    judged = judge([item for _, item in listed], vectors.matrix[rows], DEPTH)
    better, twin = np.zeros((2, n_items), np.bool_)
    better[rows], twin[rows[list(judged.twins)]] = judged.better, True
    asked, found = np.zeros(n_items), np.zeros(n_items)
    model = Content(vectors, setting.past.words, NEIGHBOURS)
    for query, wanted in item_cases(setting, held):
        scores = np.where(held[: len(vectors)], model.scores(query), 0.0)
        best = np.argsort(-scores, kind="stable")[:K]
        asked[wanted] += 1
        found[np.intersect1d(best[scores[best] > 0], wanted)] += 1
    rate = found / np.maximum(asked, 1)
    kinds = {"the better half": better, "near-duplicates": twin}
    return {name: compared(rate[(asked > 0) & kind], rate[(asked > 0) & ~kind]) for name, kind in kinds.items()}


def compared(ready: NDArray[np.float64], other: NDArray[np.float64]) -> Compared:
    """Both means over items, and their difference; each side is resampled by itself."""
    random = np.random.default_rng(0)
    means = [
        one[random.integers(0, max(one.size, 1), (SAMPLES, one.size))].mean(axis=1)
        if one.size
        else np.full(SAMPLES, np.nan)
        for one in (ready, other)
    ]
    observed = [float(one.mean()) if one.size else float("nan") for one in (ready, other)]
    pairs = [*zip(observed, means, strict=True), (observed[0] - observed[1], means[0] - means[1])]
    estimated = []
    for value, sampled in pairs:
        one = estimate(value, sampled)
        estimated.append(Estimated(*(round(part, 4) for part in (one.mean, one.low, one.high))))
    return Compared(ready.size, other.size, *estimated)


def figures(results: Results) -> str:
    """For the page."""
    rows = [
        [f"{name}: {kind}", *map(_cell, (one.found, one.otherwise, one.gap)), f"{one.items:,} / {one.others:,}"]
        for name, kinds in results.shops.items()
        for kind, one in kinds.items()
    ]
    head = ["new items that are in", "found", "the others", "difference", "items"]
    return where(results.date, results.machine) + table(head, rows)


def _cell(one: Estimated) -> str:
    return f"{one.mean:.3f} ({one.low:.3f} to {one.high:.3f})"


def measure(work: Path, options: argparse.Namespace) -> Results:
    """Both shops, one after the other."""
    machine, encoder = describe(work), UniversalSentenceEncoder()
    found = {}
    with threadpool_limits(1):
        for name, entries in shops_of(options).items():
            found[name] = measure_shop(settings_of(entries(), {encoder.name: encoder}, work))
    return Results(datetime.now(UTC).isoformat(timespec="seconds"), machine, found)


def main() -> None:
    """Measure, or write the page."""
    parser = parser_of_shops("launch", __doc__)
    run(parser, PAGE, Results, figures, measure)


if __name__ == "__main__":
    main()

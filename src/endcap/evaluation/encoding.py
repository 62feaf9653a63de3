"""Encoders of text against one they should do as well as: how large, how fast, how alike, and how good for a shop.

What counts is ranking by content alone, of items that nobody had touched and no encoder was fitted on: the histories of
a time split's shoppers, without those items, against those of them that they then took.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

import numpy as np
from msgspec import Struct

from endcap.encoders.cache import BATCH, ItemVectors
from endcap.evaluation.metrics.judged import PerCase, judge
from endcap.evaluation.metrics.ndcg import ndcg
from endcap.evaluation.offline import Case, Settings, serve
from endcap.evaluation.significance import bootstrap_means, mean
from endcap.models.content import Content
from endcap.protocols import Encoder
from endcap.types import BoolArray, FloatArray, IntArray, Progress, Query

K = 10
"""Length of the judged lists of items."""
FOUND = 20
"""And of what a search finds."""
NEIGHBOURS = 30
"""New items that an item of the history speaks for, on the average."""
SAMPLES = 1_000
ROUNDS = 3
SINGLES = 100
"""Texts that are encoded one at a time for the latency."""


class Opened(Encoder[str], Protocol):
    """An encoder that can be loaded before its first text."""

    def load(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Opening:
    """An encoder that is judged."""

    open: Callable[[], Opened]
    """Anew each time."""
    ask: Callable[[], Opened]
    """The same for queries."""
    bytes: int
    """On the disk, of what is served."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What encoders are judged on."""

    texts: Sequence[str]
    """(n,) by item row; empty where a row has no text."""
    new: BoolArray
    """(n,) items that no encoder was fitted on."""
    cases: Sequence[Case] = ()
    """By ``new_item_cases``; none where there are no events."""
    queries: Sequence[tuple[str, IntArray]] = ()
    """What is searched for, and the rows that answer it."""
    speed: int = 512
    """Texts that the speed is taken on."""
    seed: int = 0


class Speed(Struct):
    """On one thread; the best of all rounds. CPU time of the thread, and what the clock on the wall says."""

    load_ms: float
    load_wall_ms: float
    titles_per_second: float
    wall_titles_per_second: float
    p50_ms: float
    """One text at a time."""
    wall_p50_ms: float


class Judged(Struct):
    """One encoder."""

    name: str
    dim: int
    megabytes: float
    speed: Speed
    cosine_mean: float
    """To the vectors of the base, of new items' texts. Of fewer dimensions: after the rotation that fits best."""
    cosine_least: float
    recall: float | None
    """Of what answers a query, as much of it as a list of ``FOUND`` can hold; None without queries."""
    ndcg: float | None
    """@``K``, of new items by content alone; None without cases."""
    ndcg_share: tuple[float, float, float] | None
    """Of the base's, with its 95 % interval: a paired bootstrap over the cases."""


def new_item_cases(cases: Sequence[Case], new: BoolArray) -> list[Case]:
    """Those of ``cases`` that have a history of old items and take new ones: only new ones may be proposed."""
    old = np.flatnonzero(~new).astype(np.int32)
    found = []
    for case in cases:
        inside = (case.relevant >= 0) & (case.relevant < new.size)
        wanted = case.relevant[inside][new[case.relevant[inside]]]
        query = _without(case.query, new)
        if wanted.size and query.history.size:
            found.append(Case(query, wanted, old))
    return found


def _without(query: Query, new: BoolArray) -> Query:
    kept = ~new[query.history]
    weights = query.weights[kept] if query.weights.size else query.weights
    return Query(query.history[kept], weights, user=query.user, now=query.now)


def halved_titles(texts: Sequence[str], rows: IntArray, most: int, seed: int) -> list[tuple[str, IntArray]]:
    """Queries where nobody wrote any down: half of the words of a title of ``rows``, which must be found again."""
    random = Random(seed)
    long = [row for row in rows.tolist() if len(texts[row].split()) >= 4]
    chosen = random.sample(long, min(most, len(long)))
    found = []
    for row in chosen:
        words = texts[row].split()
        kept = sorted(random.sample(range(len(words)), len(words) // 2))
        found.append((" ".join(words[place] for place in kept), np.array([row], np.int32)))
    return found


def judge_encoders(
    base: str, encoders: Mapping[str, Opening], trial: Trial, progress: Progress | None = None
) -> list[Judged]:
    """Every encoder of ``encoders``, which has ``base`` in it, in their order. Raises what an encoder raises.

    Their speeds are taken in turn, ``ROUNDS`` times, so that all of them meet the same neighbours on the machine.
    """
    steps = len(encoders) * (ROUNDS + 1)
    speeds: dict[str, list[Speed]] = {name: [] for name in encoders}
    sample = _sample(trial)
    for done in range(len(encoders) * ROUNDS):
        name = list(encoders)[done % len(encoders)]
        speeds[name].append(_speed(encoders[name].open(), sample))
        if progress is not None:
            progress(done + 1, steps)
    vectors: dict[str, FloatArray] = {}
    for done, (name, one) in enumerate(encoders.items(), len(encoders) * ROUNDS):
        vectors[name] = _encoded(one.open(), trial.texts)
        if progress is not None:
            progress(done + 1, steps)
    values = {name: _ndcg(found, trial) for name, found in vectors.items()}
    fitted_on = ~trial.new & vectors[base].any(axis=1)
    judged = trial.new & vectors[base].any(axis=1)
    found = []
    for name, one in encoders.items():
        cosines = _cosines(vectors[base], vectors[name], fitted_on, judged)
        found.append(
            Judged(
                name,
                vectors[name].shape[1],
                round(one.bytes / 1e6, 3),
                _best(speeds[name]),
                float(cosines.mean()) if cosines.size else math.nan,
                float(cosines.min(initial=1.0)),
                _recall(one.ask(), vectors[name], trial.queries),
                mean(values[name]) if trial.cases else None,
                _share(values[name], values[base], trial.seed) if trial.cases else None,
            )
        )
    return found


def _sample(trial: Trial) -> list[str]:
    there = [text for text in trial.texts if text]
    order = np.random.default_rng(trial.seed).permutation(len(there))
    return [there[place] for place in order[: trial.speed]]


def _speed(encoder: Opened, sample: Sequence[str]) -> Speed:
    def taken(work: Callable[[], object]) -> tuple[float, float]:
        cpu, wall = time.thread_time(), time.perf_counter()
        work()
        return time.thread_time() - cpu, time.perf_counter() - wall

    def opened() -> None:
        encoder.load()
        encoder.encode(["ready"])

    load = taken(opened)
    whole = taken(lambda: _encoded(encoder, sample))
    singles = [taken(lambda text=text: encoder.encode([text])) for text in sample[:SINGLES]]  # type: ignore[misc]
    middle = [float(one) for one in np.median(np.array(singles), axis=0)]
    return Speed(
        load[0] * 1e3, load[1] * 1e3, len(sample) / whole[0], len(sample) / whole[1], middle[0] * 1e3, middle[1] * 1e3
    )


def _best(rounds: Sequence[Speed]) -> Speed:
    return Speed(
        min(one.load_ms for one in rounds),
        min(one.load_wall_ms for one in rounds),
        max(one.titles_per_second for one in rounds),
        max(one.wall_titles_per_second for one in rounds),
        min(one.p50_ms for one in rounds),
        min(one.wall_p50_ms for one in rounds),
    )


def _encoded(encoder: Opened, texts: Sequence[str]) -> FloatArray:
    parts = [encoder.encode(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH)]
    return np.concatenate([np.zeros((0, encoder.dim), np.float32), *parts])


def _cosines(base: FloatArray, other: FloatArray, fitted_on: BoolArray, judged: BoolArray) -> FloatArray:
    """(judged,) of each text's two vectors."""
    if base.shape[1] != other.shape[1]:
        other = other @ _rotation(other[fitted_on], base[fitted_on])
    cosines: FloatArray = (base[judged] * other[judged]).sum(axis=1)
    return cosines


def _rotation(small: FloatArray, large: FloatArray) -> FloatArray:
    """(small dim, large dim) with orthonormal rows: it brings ``small`` nearest to ``large`` (Schoenemann 1966)."""
    left, _, right = np.linalg.svd(small.T @ large, full_matrices=False)
    turned: FloatArray = left @ right
    return turned


def _recall(asking: Opened, vectors: FloatArray, queries: Sequence[tuple[str, IntArray]]) -> float | None:
    if not queries:
        return None
    asked = _encoded(asking, [text for text, _ in queries])
    found = []
    for query, (_, rows) in zip(asked, queries, strict=True):
        best = np.argsort(-(vectors @ query), kind="stable")[:FOUND]
        found.append(np.isin(best, rows).sum() / min(FOUND, rows.size))
    return float(np.mean(found))


def _ndcg(vectors: FloatArray, trial: Trial) -> PerCase:
    if not trial.cases:
        return np.empty(0)
    items = ItemVectors(vectors.shape[1])
    items.set(np.arange(len(vectors), dtype=np.int32), vectors)
    share = max(float(trial.new.mean()), 1e-9)
    content = Content(items, neighbours=min(len(vectors), round(NEIGHBOURS / share)))
    lists = serve(content, trial.cases, Settings((K,), hide_seen=True))
    return ndcg(judge(lists.items, [case.relevant for case in trial.cases]), K)


def _share(values: PerCase, base: PerCase, seed: int) -> tuple[float, float, float]:
    """``values``' mean over ``base``'s: as it is, and where 95 % of the resampled ones lie."""
    means = bootstrap_means(np.stack([values, base], axis=1), SAMPLES, seed)
    drawn = means[means[:, 1] > 0]  # where nobody gets anything from the base there is no share
    shares = drawn[:, 0] / drawn[:, 1] if len(drawn) else np.full(1, np.nan)
    low, high = np.quantile(shares, [0.025, 0.975])
    whole = mean(base)
    return mean(values) / whole if whole > 0 else math.nan, float(low), float(high)


@dataclass(frozen=True, slots=True)
class Aim:
    """What a small encoder should reach, next to the base."""

    smaller: float = 4.0
    faster: float = 3.0
    """Titles a second, of CPU time."""
    kept: float = 0.98
    """Of the base's NDCG; where that cannot be measured, of its recall."""


AIM = Aim()


class Ratios(Struct):
    """One encoder over the base."""

    smaller: float
    faster: float
    quicker: float
    """One text at a time."""
    kept: float | None
    """Of the base's NDCG, or without that of its recall."""
    reached: bool


def ratios(one: Judged, base: Judged, aim: Aim) -> Ratios:
    """How ``one`` stands to ``base``, and whether that is what ``aim`` asks for."""
    kept = one.ndcg_share[0] if one.ndcg_share else None
    if kept is None and one.recall is not None and base.recall:
        kept = one.recall / base.recall
    smaller = base.megabytes / max(one.megabytes, 1e-9)
    faster = one.speed.titles_per_second / base.speed.titles_per_second
    reached = kept is not None and smaller >= aim.smaller and faster >= aim.faster and kept >= aim.kept
    return Ratios(smaller, faster, base.speed.p50_ms / one.speed.p50_ms, kept, reached)


def choose(found: Sequence[Judged], aim: Aim) -> tuple[str, str]:
    """The name of the one to serve, and why, in a sentence. The first of ``found`` is the base.

    Of those that reach the aim the one whose searches find most, of equals the fastest; else of those that keep the
    quality the one that saves most, in size times time; else the base. What it loses in searches is said.
    """
    base = found[0]
    all_ratios = {one.name: ratios(one, base, aim) for one in found[1:]}
    reached = {name: one for name, one in all_ratios.items() if one.reached}
    good = {name: one for name, one in all_ratios.items() if one.kept is not None and one.kept >= aim.kept}
    asked = f"at least {aim.smaller:g} times smaller and {aim.faster:g} times faster at {aim.kept:.0%} of the quality"
    if reached:
        recalls = {one.name: one.recall or 0.0 for one in found}
        name = max(reached, key=lambda name: (recalls[name], reached[name].faster))
        others = f", and of the {len(reached)} that are its searches find most" if len(reached) > 1 else ""
        return name, f"it is {asked}{others}{_lost(recalls[name], base, aim)}"
    saving = {name: one.smaller * one.faster for name, one in good.items()}
    if saving and max(saving.values()) > 1:
        name = max(saving, key=lambda name: saving[name])
        one = good[name]
        return name, (
            f"none is {asked}; of those that keep the quality it saves most: {one.smaller:.1f} times smaller, "
            f"{one.faster:.1f} times faster"
        )
    return base.name, f"none of the smaller ones keeps {aim.kept:.0%} of the quality"


def _lost(recall: float, base: Judged, aim: Aim) -> str:
    if not base.recall or recall >= aim.kept * base.recall:
        return ""
    share = f"{recall / base.recall:.0%}"
    return f"; but its searches find {share} of what those of {base.name} find: weigh that where people search"

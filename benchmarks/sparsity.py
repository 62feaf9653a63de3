"""A tenth of the events: what augmentation of behaviour and of texts, and feature selection, are worth then.

From before the last 30 days whole visits are drawn until they hold a tenth of the events, with several seeds. Asked is
the second half of visits of the last 30 days from their first half, so that every model has something to go on.
Each treatment is judged against none on the same questions and the same draws.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import numpy as np
from msgspec import Struct
from threadpoolctl import threadpool_limits

from cold_shops import parser_of_shops, shops_of
from coldstart import PAGE, Estimated, Numbers, Scores, Setting, settings_of
from endcap.encoders.cache import ItemVectors, VectorStore
from endcap.encoders.text import UniversalSentenceEncoder
from endcap.evaluation.significance import bootstrap_means, estimate
from endcap.features.attributes import ItemAttributes
from endcap.features.behaviour import MADE, Nearest, augmented
from endcap.features.rewording import NearWords, Rewording
from endcap.features.selection import SELECTIONS
from endcap.models.als import ALS
from endcap.models.itemknn import ItemKNN, ItemKNNSettings
from endcap.models.projection import Projection, ProjectionSettings
from endcap.models.session_knn import SessionKNN
from endcap.types import IntArray, Interactions, Query, Vocabulary
from machine import Machine, describe
from pages import table, where
from script import run

K = 20
SHARE = 0.1
SEEDS = (0, 1, 2)
MOST_CASES = 500
SAMPLES = 1_000
NONE = "nothing"


class Treated(Struct):
    """One treatment of one model."""

    recall: Estimated
    gap: Estimated
    """To the same model without it, paired."""


class Sparse(Struct):
    """One shop."""

    events: int
    """Of the sample, on average."""
    cases: int
    models: dict[str, dict[str, Treated]]
    """By model and treatment."""


class Results(Struct):
    """One run."""

    date: str
    machine: Machine
    shops: dict[str, Sparse]


Learn = Callable[[Interactions], Scores]


def sample(interactions: Interactions, seed: int) -> Interactions:
    """Whole visits, drawn until they hold a tenth of the events."""
    _, visit, sizes = np.unique(interactions.session, return_inverse=True, return_counts=True)
    drawn = np.random.default_rng(seed).permutation(sizes.size)
    count = int(np.searchsorted(np.cumsum(sizes[drawn]), SHARE * len(interactions))) + 1
    chosen = np.zeros(sizes.size, np.bool_)
    chosen[drawn[:count]] = True
    return interactions.where(chosen[visit])


def cases_of(later: Interactions) -> list[tuple[Query, IntArray]]:
    """From the first half of each visit, the second half."""
    order = np.argsort(later.session, kind="stable")
    _, begins = np.unique(later.session[order], return_index=True)
    found = []
    for items in np.split(later.item[order], begins[1:]):
        different = np.array(list(dict.fromkeys(items.tolist())), np.int32)
        half = different.size // 2
        if half:
            found.append((Query(different[:half], session=different[:half]), different[half:]))
    chosen = np.sort(np.random.default_rng(0).permutation(len(found))[:MOST_CASES])
    return [found[at] for at in chosen]


def recall(model: Scores, cases: Sequence[tuple[Query, IntArray]]) -> Numbers:
    """(cases,) recall@20 of the items that the first half does not hold."""
    values = np.zeros(len(cases))
    for at, (query, wanted) in enumerate(cases):
        scores = model.scores(query).copy()
        scores[query.history[query.history < scores.size]] = 0.0
        best = np.argsort(-scores, kind="stable")[:K]
        values[at] = np.isin(best[scores[best] > 0], wanted).sum() / wanted.size
    return values


def rewordings(texts: Sequence[str]) -> dict[str, Rewording]:
    """The treatments of texts. No translator could be had without a network: back-translation is not measured."""
    synonyms = NearWords.of(texts, UniversalSentenceEncoder())
    return {
        "text: synonyms": Rewording(synonyms=synonyms, replaced=0.3),
        "text: deletion": Rewording(deleted=0.2),
        "text: swap": Rewording(swapped=0.4),
    }


def reworded(setting: Setting, way: Rewording, store: VectorStore) -> Learn:
    """Fits the projection on every visit once more, where half of the items have another text."""
    listed = setting.past.state.shop.listed_items()
    original = next(iter(setting.vectors.values()))
    n = original.matrix.shape[0]
    held = ItemVectors(original.dim)
    held.set(np.arange(n, dtype=np.int32), original.matrix)
    rows = np.array([row + n for row, _ in listed], np.int32)
    held.set(rows, store.vectors(way.reworded([item.text() for _, item in listed], Random(0))))

    def learn(interactions: Interactions) -> Scores:
        both = Vocabulary([*interactions.items, *(f"{name} again" for name in interactions.items)])
        exchanged = np.random.default_rng(0).random(len(interactions)) < 0.5
        item = np.where(exchanged, interactions.item + n, interactions.item).astype(np.int32)
        again = replace(interactions, item=item, session=interactions.session + interactions.session.max() + 1)
        joined = {
            name: np.concatenate([getattr(interactions, name), getattr(again, name)])
            for name in ("user", "item", "weight", "time", "session", "bought")
        }
        learnt = Projection([held]).fit(Interactions(interactions.users, both, **joined))
        return Projection([original]).from_arrays(learnt.to_arrays())

    return learn


def treatments(setting: Setting, store: VectorStore) -> dict[str, dict[str, Learn]]:
    """By model and treatment, how it is fitted."""
    vectors = next(iter(setting.vectors.values()))
    similar = Nearest(vectors.matrix)
    attributes = ItemAttributes(setting.past.state.shop)
    plain: Mapping[str, Learn] = {
        "session_knn": lambda past: SessionKNN().fit(past),
        "itemknn": lambda past: ItemKNN(ItemKNNSettings(by="session")).fit(past),
        "als": lambda past: ALS().fit(past),
        "projection": lambda past: Projection([vectors]).fit(past),
    }

    def widened(learn: Learn, way: str) -> Learn:
        return lambda past: learn(augmented(past, [way], 0, similar))

    found = {name: {NONE: learn} | {way: widened(learn, way) for way in MADE} for name, learn in plain.items()}
    texts = [item.text() for _, item in setting.past.state.shop.listed_items()]
    for name, way in rewordings(texts).items():
        found["projection"][name] = reworded(setting, way, store)
    found["projection with attributes"] = {
        NONE: lambda past: Projection([vectors, attributes], settings=ProjectionSettings(columns=4_096)).fit(past)
    }
    for how in SELECTIONS:
        found["projection with attributes"][f"512 columns by {how}"] = selecting(vectors, attributes, how)
    return found


def selecting(vectors: ItemVectors, attributes: ItemAttributes, how: str) -> Learn:
    """Fits the projection on the 512 columns that ``how`` finds best."""
    settings = ProjectionSettings(select=how)  # type: ignore[arg-type]  # one of them
    return lambda past: Projection([vectors, attributes], settings=settings).fit(past)


def measure_shop(setting: Setting, store: VectorStore) -> Sparse:
    """Every treatment of every model, over all draws."""
    asked = cases_of(setting.later)
    samples = [sample(setting.past.interactions, seed) for seed in SEEDS]
    models = {}
    for name, ways in treatments(setting, store).items():
        values = {}
        for way, learn in ways.items():
            values[way] = np.mean([recall(learn(drawn), asked) for drawn in samples], axis=0)  # (cases,)
            print(name, way, round(float(values[way].mean()), 4), flush=True)
        models[name] = compared(values)
    return Sparse(int(np.mean([len(one) for one in samples])), len(asked), models)


def compared(values: Mapping[str, Numbers]) -> dict[str, Treated]:
    """Each treatment with its interval, and that of its gap to none."""
    columns = np.stack(list(values.values()), axis=1)
    means, base = bootstrap_means(columns, SAMPLES, 0), list(values).index(NONE)
    found = {}
    for at, way in enumerate(values):
        one = estimate(float(columns[:, at].mean()), means[:, at])
        gap = estimate(float((columns[:, at] - columns[:, base]).mean()), means[:, at] - means[:, base])
        found[way] = Treated(*(Estimated(*(round(part, 4) for part in (e.mean, e.low, e.high))) for e in (one, gap)))
    return found


def figures(results: Results) -> str:
    """For the page."""
    parts = [where(results.date, results.machine)]
    for name, shop in results.shops.items():
        parts.append(f"**{name}**: {shop.events:,} events, {shop.cases} questions, {len(SEEDS)} draws.\n\n")
        rows = [
            [f"{model}: {way}", f"{one.recall.mean:.4f}", _gap(one.gap), _verdict(way, one.gap)]
            for model, ways in shop.models.items()
            for way, one in ways.items()
        ]
        parts.append(table(["model: treatment", f"recall@{K}", "gain, 95 % interval", "it"], rows) + "\n")
    return "".join(parts)


def _gap(gap: Estimated) -> str:
    return f"{gap.mean:+.4f} ({gap.low:+.4f} to {gap.high:+.4f})" if gap.low or gap.high else ""


def _verdict(way: str, gap: Estimated) -> str:
    if way == NONE:
        return ""
    return "helps" if gap.low > 0 else "hurts" if gap.high < 0 else "cannot be told from nothing"


def measure(work: Path, options: argparse.Namespace) -> Results:
    """Both shops, one after the other."""
    machine, encoder = describe(work), UniversalSentenceEncoder()
    found = {}
    with threadpool_limits(1):
        for name, entries in shops_of(options).items():
            setting = settings_of(entries(), {encoder.name: encoder}, work)
            found[name] = measure_shop(setting, VectorStore(work / "vectors", encoder))
    return Results(datetime.now(UTC).isoformat(timespec="seconds"), machine, found)


def main() -> None:
    """Measure, or write the page."""
    parser = parser_of_shops("sparsity", __doc__)
    run(parser, PAGE, Results, figures, measure)


if __name__ == "__main__":
    main()

"""New items and new people: who finds what, and from how many events on what was learnt beats what is written.

A fifth of the items is held out: the models learn from what happened before the last 30 days without them, or with
only the first few events of each. Asked is who bought one of them in the last 30 days, from the history without them;
only they are ranked, since no model that counts events can put an item without any before one that has some. A fifth
of the users is held out too, whole: asked from none of their items, from the first, from the first three, for the rest.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy.sparse import csr_array, csr_matrix, diags_array
from threadpoolctl import threadpool_limits

from cold_shops import parser_of_shops, shops_of
from endcap.config import StateConfig
from endcap.encoders.cache import ItemVectors, VectorStore
from endcap.encoders.registry import open_text_folder
from endcap.encoders.text import UniversalSentenceEncoder
from endcap.evaluation.past import Past, fold
from endcap.evaluation.significance import bootstrap_means, estimate
from endcap.features.attributes import ItemAttributes
from endcap.features.interactions import matrix
from endcap.features.text import tokens
from endcap.models.als import ALS
from endcap.models.content import Content
from endcap.models.itemknn import ItemKNN
from endcap.models.popularity import Popularity
from endcap.models.projection import Projection, ProjectionSettings
from endcap.protocols import Encoder
from endcap.types import MS_PER_DAY, BoolArray, Entry, FloatArray, IntArray, Interactions, Query
from machine import Machine, describe
from pages import DOCS, table, where
from script import run

PAGE = DOCS / "how-to" / "cold-start.md"
K = 20
DAYS = 30
"""The last days of each shop, which are asked about."""
HELD_OUT = 0.2
EVENTS = (0, 1, 3, 10, 30, 100)
"""Of a held out item that the models learn from."""
KNOWN = (0, 1, 3)
"""Items of a held out user that are known."""
MOST_CASES = 500
NEIGHBOURS = round(30 / HELD_OUT)
"""Of content: as many of them are held out items as it looks at when it serves."""
SAMPLES = 1_000
REFERENCE = "content"
Numbers = NDArray[np.float64]


class Estimated(Struct):
    """A mean over the cases with its 95 % interval."""

    mean: float
    low: float
    high: float


class Point(Struct):
    """All models on the same questions."""

    events: int
    """Of each held out item, or known items of each held out user."""
    recall: dict[str, Estimated]
    gap: dict[str, Estimated]
    """To content, paired."""


class Shop(Struct):
    """One shop."""

    items: int
    users: int
    events: int
    """Before the last 30 days."""
    item_cases: int
    user_cases: int
    new_items: list[Point]
    new_users: list[Point]
    objective: Point
    """The projection of text alone, by what is whitened; items without events."""


class Results(Struct):
    """One run."""

    date: str
    machine: Machine
    shops: dict[str, Shop]


class Scores(Protocol):
    """What is asked here: a score for every item."""

    def scores(self, query: Query) -> FloatArray: ...


@dataclass(frozen=True)
class Setting:
    """A shop before the cut, and what is known of its items."""

    past: Past
    """The catalogue, and all interactions before the cut."""
    later: Interactions
    """Those of the last days."""
    vectors: Mapping[str, ItemVectors]
    """By encoder; the first is the default one."""


class ImplicitALS:
    """The peer: implicit's own model with its own settings and its own fold-in."""

    def __init__(self) -> None:
        from implicit.als import AlternatingLeastSquares  # noqa: PLC0415  # beside ours, which wraps it

        self._model = AlternatingLeastSquares(factors=64, random_state=0, num_threads=1)

    def fit(self, interactions: Interactions) -> ImplicitALS:
        table_ = matrix(interactions)
        self._model.fit(csr_matrix(table_), show_progress=False)
        return self

    def scores(self, query: Query) -> FloatArray:
        factors = self._model.item_factors
        if not query.history.size:
            return np.empty(0, np.float32)
        row = csr_matrix(
            (np.ones(query.history.size), (np.zeros(query.history.size, int), query.history)), (1, len(factors))
        )
        return (factors @ self._model.recalculate_user(0, row)).ravel()  # type: ignore[no-any-return]


class TfIdf:
    """The peer by text: cosine of TF-IDF weighted words with the mean of the history's, as search engines do it."""

    def __init__(self, texts: Mapping[int, str], n_items: int) -> None:
        words = {row: tokens(text) for row, text in texts.items()}
        number = {word: at for at, word in enumerate(sorted({w for found in words.values() for w in found}))}
        pairs = [(row, number[word]) for row, found in words.items() for word in found]
        rows, columns = (np.array([pair[at] for pair in pairs]) for at in (0, 1))
        counts = csr_array((np.ones(rows.size), (rows, columns)), shape=(n_items, len(number)))
        found = np.bincount(csr_array(counts > 0).indices, minlength=len(number))
        weighted = counts @ diags_array(1.0 + np.log((1.0 + len(texts)) / (1.0 + found)))
        lengths = np.sqrt(np.asarray((weighted * weighted).sum(axis=1)).ravel())
        self._rows = csr_array(diags_array(1.0 / np.maximum(lengths, 1e-12)) @ weighted)

    def scores(self, query: Query) -> FloatArray:
        if not query.history.size:
            return np.empty(0, np.float32)
        mean = np.asarray(self._rows[query.history].sum(axis=0)).ravel()
        return (self._rows @ mean).astype(np.float32)  # type: ignore[no-any-return]


def settings_of(entries: Sequence[Entry], encoders: Mapping[str, Encoder[str]], work: Path) -> Setting:
    """Cut ``entries``, and encode the catalogue by each of ``encoders``."""
    whole = fold(entries, StateConfig())
    listed = whole.state.shop.listed_items()
    vectors = {}
    for name, encoder in encoders.items():
        vectors[name] = ItemVectors(encoder.dim)
        rows, items = np.array([row for row, _ in listed], np.int32), [item for _, item in listed]
        vectors[name].set(rows, VectorStore(work / "vectors", encoder).of_items(items))
    late = whole.interactions.time >= whole.interactions.time.max() - DAYS * MS_PER_DAY
    past = Past(whole.state, whole.interactions.where(~late))
    return Setting(past, whole.interactions.where(late), vectors)


def fixed(setting: Setting) -> dict[str, Scores]:
    """What learns from no event."""
    names, words = list(setting.vectors), setting.past.words
    texts = {row: item.text() for row, item in setting.past.state.shop.listed_items()}
    models: dict[str, Scores] = {
        REFERENCE if name == names[0] else f"content, {name}": Content(setting.vectors[name], words, NEIGHBOURS)
        for name in names
    }
    return models | {"TF-IDF": TfIdf(texts, len(setting.past.interactions.items))}


def fitted(setting: Setting, interactions: Interactions) -> dict[str, Scores]:
    """What learns from events, fitted on ``interactions``."""
    attributes = ItemAttributes(setting.past.state.shop)
    names = list(setting.vectors)
    models: dict[str, Scores] = {
        "popularity": Popularity(window="popular").fit(interactions),
        "itemknn": ItemKNN().fit(interactions),
        "als": ALS().fit(interactions),
        "implicit ALS": ImplicitALS().fit(interactions),
    }
    for name in names:
        shown = "projection" if name == names[0] else f"projection, {name}"
        models[shown] = Projection([setting.vectors[name], attributes, setting.past.words.features()]).fit(interactions)
    return models


def objectives(setting: Setting, interactions: Interactions) -> dict[str, Scores]:
    """The projection of text alone with each way to normalise."""
    vectors = next(iter(setting.vectors.values()))
    names = {"centre": "as it stands, centred", "ridge": "ridge regression", "whiten": "whitened on both sides"}
    return {
        shown: Projection([vectors], settings=ProjectionSettings(normalise=name)).fit(interactions)  # type: ignore[arg-type]
        for name, shown in names.items()
    }


def first_events(interactions: Interactions, held: BoolArray, n: int) -> BoolArray:
    """(interactions,) all of the items that are not ``held``, and the first ``n`` of each that is."""
    order = np.lexsort((np.arange(len(interactions)), interactions.item))
    item = interactions.item[order]
    begins = np.flatnonzero(np.diff(item, prepend=-1))
    number = np.arange(item.size) - np.repeat(begins, np.diff(np.append(begins, item.size)))
    place = np.empty(item.size, np.int64)
    place[order] = number
    keep: BoolArray = ~held[interactions.item] | (place < n)
    return keep


def recalls(models: Mapping[str, Scores], cases: Sequence[tuple[Query, IntArray]], allowed: BoolArray) -> Numbers:
    """(cases, models) recall@20 among the items that are ``allowed``; one that scores 0 or less is not proposed."""
    found = np.zeros((len(cases), len(models)))
    rows = np.flatnonzero(allowed)
    for column, model in enumerate(models.values()):
        for at, (query, wanted) in enumerate(cases):
            scores = model.scores(query)
            known = rows[rows < scores.size]
            values = scores[known]
            best = known[np.argsort(-values, kind="stable")[:K]][: int((values > 0).sum())]
            found[at, column] = np.isin(best, wanted).sum() / wanted.size
    return found


def point(events: int, names: Sequence[str], found: Numbers) -> Point:
    """The means of ``found`` (cases, names) and the gaps to content, with their intervals."""
    means = bootstrap_means(found, SAMPLES, 0)
    base = names.index(REFERENCE)

    def estimated(observed: float, sampled: Numbers) -> Estimated:
        one = estimate(observed, sampled)
        return Estimated(*(round(float(value), 4) for value in (one.mean, one.low, one.high)))

    observed = found.mean(axis=0)
    recall = {name: estimated(observed[at], means[:, at]) for at, name in enumerate(names)}
    gap = {
        name: estimated(observed[at] - observed[base], means[:, at] - means[:, base])
        for at, name in enumerate(names)
        if at != base
    }
    return Point(events, recall, gap)


def item_cases(setting: Setting, held: BoolArray) -> list[tuple[Query, IntArray]]:
    """Who bought a held out item later, from the history of the others."""
    past, later = setting.past.interactions, setting.later
    wanted = _by_user(later.user, later.item, held[later.item])
    history = _by_user(past.user, past.item, ~held[past.item])
    cases = [(Query(history[user][-200:]), np.unique(items)) for user, items in wanted.items() if user in history]
    return _sampled(cases)


def user_cases(setting: Setting, held: BoolArray, known: int) -> list[tuple[Query, IntArray]]:
    """Held out users: ``known`` different items in the order of time, and what else they bought."""
    past = setting.past.interactions
    found = []
    for items in _by_user(past.user, past.item, held[past.user]).values():
        different = np.array(list(dict.fromkeys(items.tolist())), np.int32)
        if different.size > max(KNOWN):  # the same users, and the same wanted items, at each number
            found.append((Query(different[:known]), different[max(KNOWN) :]))
    return _sampled(found)


def _by_user(user: IntArray, item: IntArray, keep: BoolArray) -> dict[int, IntArray]:
    order = np.flatnonzero(keep)[np.argsort(user[keep], kind="stable")]
    users, begins = np.unique(user[order], return_index=True)
    return dict(zip(users.tolist(), np.split(item[order], begins[1:]), strict=True))


def _sampled(cases: list[tuple[Query, IntArray]]) -> list[tuple[Query, IntArray]]:
    chosen = np.sort(np.random.default_rng(0).permutation(len(cases))[:MOST_CASES])
    return [cases[at] for at in chosen]


def measure_shop(setting: Setting) -> Shop:
    """Everything about one shop."""
    past = setting.past.interactions
    n_items, n_users = len(past.items), len(past.users)
    random = np.random.default_rng(0)
    items, users = random.random(n_items) < HELD_OUT, random.random(n_users) < HELD_OUT
    asked, still = item_cases(setting, items), fixed(setting)
    unlearnt = recalls(still, asked, items)
    new_items = []
    for events in EVENTS:
        models = fitted(setting, past.where(first_events(past, items, events)))
        found = np.hstack([unlearnt, recalls(models, asked, items)])
        new_items.append(point(events, [*still, *models], found))
        print(events, {name: value.mean for name, value in new_items[-1].recall.items()}, flush=True)
    tried = objectives(setting, past.where(~items[past.item]))
    objective = point(0, [REFERENCE, *tried], np.hstack([unlearnt[:, :1], recalls(tried, asked, items)]))
    models = still | fitted(setting, past.where(~users[past.user]))
    new_users = []
    for known in KNOWN:
        cases = user_cases(setting, users, known)
        new_users.append(point(known, list(models), recalls(models, cases, np.ones(n_items, np.bool_))))
        print(known, {name: value.mean for name, value in new_users[-1].recall.items()}, flush=True)
    return Shop(n_items, n_users, len(past), len(asked), len(cases), new_items, new_users, objective)


def overtakes(shop: Shop, name: str) -> int | None:
    """The fewest events from which on ``name`` beats content at every number that was tried; None: it never does."""
    found = None
    for one in reversed(shop.new_items):
        if one.gap[name].low <= 0:
            break
        found = one.events
    return found


def figures(results: Results) -> str:
    """For the page."""
    parts = [where(results.date, results.machine)]
    for name, shop in results.shops.items():
        head = f"**{name}**: {shop.items:,} items, {shop.events:,} events before the cut. "
        parts.append(
            f"{head}Recall@{K} among the held out items, by the number of events of each ({shop.item_cases} people "
            "asked), and from how many events on a model beats content:\n\n"
        )
        parts.append(_curve(shop) + "\n")
        parts.append(f"Recall@{K} for {shop.user_cases} held out people, by how many items are known of them:\n\n")
        parts.append(_people(shop) + "\n")
        parts.append(
            f"The projection of text vectors alone, items without events, by how it is normalised: recall@{K}:\n\n"
        )
        rows = [[way, _cell(shop.objective, way)] for way in shop.objective.recall if way != REFERENCE]
        parts.append(table(["R = U . I . M", ""], rows) + "\n")
    return "".join(parts)


def _curve(shop: Shop) -> str:
    columns = [one.events for one in shop.new_items]
    rows = []
    for name in shop.new_items[0].recall:
        from_ = None if name == REFERENCE else overtakes(shop, name)
        cells = [_cell(one, name) for one in shop.new_items]
        rows.append([name, *cells, "" if name == REFERENCE else "never" if from_ is None else str(from_)])
    return table(["events of the item", *map(str, columns), "beats content from"], rows)


def _people(shop: Shop) -> str:
    names = shop.new_users[0].recall
    rows = [[name, *(_cell(one, name) for one in shop.new_users)] for name in names]
    return table(["items known of the person", *(str(one.events) for one in shop.new_users)], rows)


def _cell(one: Point, name: str) -> str:
    value = one.recall[name]
    half = (value.high - value.low) / 2
    return f"{value.mean:.3f} ± {half:.3f}" if value.mean else "0"


def encoders_of(folders: Sequence[Path]) -> dict[str, Encoder[str]]:
    """The default encoder, and those of ``folders``, by the names in them."""
    found: dict[str, Encoder[str]] = {UniversalSentenceEncoder.name: UniversalSentenceEncoder()}
    return found | {folder.name: open_text_folder(folder.parent, folder.name) for folder in folders}


def measure(work: Path, options: argparse.Namespace) -> Results:
    """Both shops, one after the other."""
    machine = describe(work)
    encoders = encoders_of(options.encoder)
    found = {}
    with threadpool_limits(1):
        for name, entries in shops_of(options).items():
            found[name] = measure_shop(settings_of(entries(), encoders, work))
    return Results(datetime.now(UTC).isoformat(timespec="seconds"), machine, found)


def main() -> None:
    """Measure, or write the page."""
    parser = parser_of_shops("coldstart", __doc__)
    parser.add_argument(
        "--encoder", type=Path, action="append", default=[], help="a further encoder's folder, such as a fine-tuned one"
    )
    run(parser, PAGE, Results, figures, measure)


if __name__ == "__main__":
    main()

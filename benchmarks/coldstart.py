"""New items and new people: who finds what, and from how many events on what was learnt beats what is written.

A fifth of the items is held out: the models learn from what happened before the last 30 days without them, or with
only the first few events of each. Asked is who bought one of them in the last 30 days, from the history without them;
only they are ranked, since no model that counts events can put an item without any before one that has some. A fifth
of the users is held out too, whole: asked from none of their items, from the first, from the first three, for the rest.

With ``--sequence`` nothing of that is measured again: a sequence model, which takes long to fit, is asked the
same questions, and its rows are put beside theirs.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import msgspec
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
from endcap.models.sequence import SequenceModel
from endcap.nn.shapes import SequenceSettings
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
AGREED = 0.0002
"""Of two runs on the same questions: equal scores may stand in another order."""
REFERENCE = "content"
SEQUENCE = "sequence"
READ_EVENTS = (0, 3, 100)
"""Where the sequence model is asked: a fit of it takes more than a minute."""
MANY_PEOPLE = 1_000
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


class Added(Struct):
    """Content and the sequence model on the questions of one shop."""

    new_items: list[Point]
    new_users: list[Point]


class Later(Struct):
    """A run that added rows."""

    date: str
    machine: Machine
    shops: dict[str, Added]


class Results(Struct):
    """One run."""

    date: str
    machine: Machine
    shops: dict[str, Shop]
    sequence: Later | None = None


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


def sequence(setting: Setting, interactions: Interactions) -> SequenceModel:
    """Self-attention over items whose vectors begin with what their texts and attributes say, fitted.

    Few people with long histories, as of groceries, are read further back, in smaller batches.
    """
    settings = SequenceSettings(epochs=6)
    if np.unique(interactions.user).size < MANY_PEOPLE:
        settings = replace(settings, length=200, batch_size=8)
    features = (next(iter(setting.vectors.values())), ItemAttributes(setting.past.state.shop))
    return SequenceModel(settings, features).fit(interactions)


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


def held_out(past: Interactions) -> tuple[BoolArray, BoolArray]:
    """(items,) and (users,) that are."""
    random = np.random.default_rng(0)
    return random.random(len(past.items)) < HELD_OUT, random.random(len(past.users)) < HELD_OUT


def measure_shop(setting: Setting) -> Shop:
    """Everything about one shop."""
    past = setting.past.interactions
    n_items, n_users = len(past.items), len(past.users)
    items, users = held_out(past)
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


def add_sequence(setting: Setting, shop: Shop) -> Added:
    """The sequence model on the questions of ``shop``; that they are the same is seen by what content finds."""
    past, content = setting.past.interactions, {REFERENCE: fixed(setting)[REFERENCE]}
    items, users = held_out(past)
    asked = item_cases(setting, items)
    was, now = shop.new_items[0].recall[REFERENCE].mean, float(recalls(content, asked, items).mean())
    if abs(was - now) > AGREED:
        raise SystemExit(f"content finds {now:.4f}, and {was:.4f} in the results: measure them again first")
    new_items, new_users = [], []
    for events in READ_EVENTS:
        models = content | {SEQUENCE: sequence(setting, past.where(first_events(past, items, events)))}
        new_items.append(point(events, [*models], recalls(models, asked, items)))
        print(events, {name: value.mean for name, value in new_items[-1].recall.items()}, flush=True)
    models = content | {SEQUENCE: sequence(setting, past.where(~users[past.user]))}
    for known in KNOWN:
        found = recalls(models, user_cases(setting, users, known), np.ones(items.size, np.bool_))
        new_users.append(point(known, [*models], found))
        print(known, {name: value.mean for name, value in new_users[-1].recall.items()}, flush=True)
    return Added(new_items, new_users)


def overtakes(shop: Shop | Added, name: str) -> int | None:
    """The fewest events from which on ``name`` beats content at every number that was tried; None: it never does."""
    found = None
    for one in reversed(shop.new_items):
        if one.gap[name].low <= 0:
            break
        found = one.events
    return found


def figures(results: Results) -> str:
    """For the page."""
    parts, later = [where(results.date, results.machine)], results.sequence
    if later is not None:
        parts.append(f"The sequence model, on the same questions: {where(later.date, later.machine)}")
    for name, shop in results.shops.items():
        added = None if later is None else later.shops.get(name)
        head = f"**{name}**: {shop.items:,} items, {shop.events:,} events before the cut. "
        parts.append(
            f"{head}Recall@{K} among the held out items, by the number of events of each ({shop.item_cases} people "
            "asked), and from how many events on a model beats content:\n\n"
        )
        parts.append(_curve(shop, added) + "\n")
        parts.append(f"Recall@{K} for {shop.user_cases} held out people, by how many items are known of them:\n\n")
        parts.append(_people(shop, added) + "\n")
        parts.append(
            f"The projection of text vectors alone, items without events, by how it is normalised: recall@{K}:\n\n"
        )
        rows = [[way, _cell(shop.objective, way)] for way in shop.objective.recall if way != REFERENCE]
        parts.append(table(["R = U . I . M", ""], rows) + "\n")
    return "".join(parts)


def _curve(shop: Shop, added: Added | None) -> str:
    columns = [one.events for one in shop.new_items]
    rows = []
    for of, name in _rows(shop, added, shop.new_items[0]):
        from_ = None if name == REFERENCE else overtakes(of, name)
        cells = _cells(of.new_items, columns, name)
        rows.append([name, *cells, "" if name == REFERENCE else "never" if from_ is None else str(from_)])
    return table(["events of the item", *map(str, columns), "beats content from"], rows)


def _people(shop: Shop, added: Added | None) -> str:
    columns = [one.events for one in shop.new_users]
    rows = [[name, *_cells(of.new_users, columns, name)] for of, name in _rows(shop, added, shop.new_users[0])]
    return table(["items known of the person", *map(str, columns)], rows)


def _rows(shop: Shop, added: Added | None, first: Point) -> list[tuple[Shop | Added, str]]:
    """Every model, with the run that measured it."""
    rows: list[tuple[Shop | Added, str]] = [(shop, name) for name in first.recall]
    return rows if added is None else [*rows, (added, SEQUENCE)]


def _cells(points: Sequence[Point], columns: Sequence[int], name: str) -> list[str]:
    found = {one.events: _cell(one, name) for one in points}
    return [found.get(events, "—") for events in columns]


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
    if options.sequence:
        return measure_sequence(work, options, machine)
    encoders = encoders_of(options.encoder)
    found = {}
    with threadpool_limits(1):
        for name, entries in shops_of(options).items():
            found[name] = measure_shop(settings_of(entries(), encoders, work))
    return Results(datetime.now(UTC).isoformat(timespec="seconds"), machine, found)


def measure_sequence(work: Path, options: argparse.Namespace, machine: Machine) -> Results:
    """The results that are there, with the sequence model's beside them."""
    results = msgspec.json.decode(options.out.read_bytes(), type=Results)
    encoders, found = encoders_of([]), {}
    with threadpool_limits(1):
        for name, entries in shops_of(options).items():
            found[name] = add_sequence(settings_of(entries(), encoders, work), results.shops[name])
    results.sequence = Later(datetime.now(UTC).isoformat(timespec="seconds"), machine, found)
    return results


def main() -> None:
    """Measure, or write the page."""
    parser = parser_of_shops("coldstart", __doc__)
    parser.add_argument(
        "--encoder", type=Path, action="append", default=[], help="a further encoder's folder, such as a fine-tuned one"
    )
    parser.add_argument("--sequence", action="store_true", help="add the sequence model to the results that are there")
    run(parser, PAGE, Results, figures, measure)


if __name__ == "__main__":
    main()

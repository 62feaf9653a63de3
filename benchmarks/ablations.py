"""What a visitor's profile and the features of items bring to each neural model, and what a group lasso drops.

    python benchmarks/ablations.py --data DATA              # the pieces that are missing
    python benchmarks/ablations.py --data DATA beauty.gru   # this one anew
    python benchmarks/ablations.py --render                 # writes the figures into docs/reference/benchmarks.md

A piece is one model on one data set. Every model is fitted on ids alone, with one kind of input more, and with all,
for as many epochs each time; nothing is tuned. A tenth of the items, drawn with a seed, is kept from all that is
learnt and from the histories: they are the items without events.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy.sparse import csr_array
from threadpoolctl import threadpool_limits

from endcap.evaluation.metrics.judged import judge
from endcap.evaluation.metrics.registry import ACCURACY
from endcap.evaluation.offline import Case
from endcap.evaluation.past import Past
from endcap.evaluation.significance import LEVEL, bootstrap_means, estimate, holm, mean
from endcap.features.attributes import names_of
from endcap.features.joined import Features
from endcap.models.ncf import NCF
from endcap.models.sequence import SequenceModel
from endcap.nn.shapes import CollaborativeSettings, SequenceSettings
from endcap.protocols import Scorer
from endcap.types import BoolArray, IntArray, Interactions, Query, Ranking
from machine import Machine, describe
from pages import BENCHMARKS, fill, table, where
from quality_data import DATA, Setting
from quality_lists import cpu_seconds
from script import parser_of

SHOPS = ("retail", "beauty")
"""Those of ``quality_data`` with texts."""
BODIES = {"sasrec": "sasrec", "gru": "gru", "caser": "caser", "two_tower": "bag"}
MODELS = (*BODIES, "ncf")
IDS, ALL = "ids", "all"
INPUTS = (IDS, "text", "attributes", "profile", ALL)
EPOCHS, FACTORS, LENGTH = 4, 32, 30
"""Of every fit, half or less of the defaults: what differs is to be told, and there are 50 fits."""
STRENGTHS = (0.0, 0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 1.0)
"""Of the group lasso."""
LASSO = "lasso"
HELD_OUT = 0.1
"""Share of the items that nothing is learnt of."""
MOST_CASES = 5_000
K = 20
SAMPLES = 2_000
COLUMNS = {
    "ndcg": "NDCG@10",
    "recall": "recall@20",
    "cold_recall": "new items, recall@20 among all",
    "cold_alone": "new items, recall@20 among them",
}
Numbers = NDArray[np.float64]


class Gap(Struct):
    """To ids alone, over the same cases."""

    mean: float
    low: float
    """Of the 95 % interval, which is not corrected."""
    high: float
    p: float
    """After Holm's correction over all models and inputs of the column."""


class Variant(Struct):
    """One model with one set of inputs."""

    figures: dict[str, float]
    fit_seconds: float
    """CPU."""
    gaps: dict[str, Gap] = {}
    """By column; of ids alone, none."""


class Strength(Struct):
    """NCF with every group of features, at one strength of the group lasso."""

    strength: float
    kept: list[str]
    ndcg: float


class Shop(Struct):
    """One data set."""

    title: str
    items: int
    new_items: int
    """Those that nothing is learnt of."""
    events: int
    cases: int
    cold_cases: int
    """In which a new item is wanted."""
    models: dict[str, dict[str, Variant]] = {}
    lasso: list[Strength] = []


class Results(Struct):
    """What there is so far."""

    date: str
    machine: Machine
    shops: dict[str, Shop]


class Values(Struct):
    """What one fit leaves in the folder of the pieces: the value of each case, None where it has none."""

    columns: dict[str, list[float | None]]
    fit_seconds: float
    kept: list[str] = []


@dataclass(frozen=True)
class Block:
    """Features that do not change."""

    matrix: Any
    version: int = 0

    @property
    def dim(self) -> int:
        """Columns."""
        return int(self.matrix.shape[1])


@dataclass(frozen=True)
class Given:
    """A data set as all models get it."""

    name: str
    past: Past
    cases: Sequence[Case]
    new: BoolArray
    """(items,) which of them nothing is learnt of."""

    @cached_property
    def learnt(self) -> Interactions:
        """What is learnt from."""
        whole = self.past.interactions
        return whole.where(~self.new[whole.item])

    @cached_property
    def text(self) -> Features:
        """The vectors of the items' texts. Raises ValueError where there are none."""
        if self.past.vectors is None:
            raise ValueError(f"{self.name} has no texts")
        return self.past.vectors

    @cached_property
    def attributes(self) -> Features:
        """Categories, brands, price bands and attributes, without the words of the titles, which are text."""
        listed = self.past.state.shop.listed_items()
        names = {row: [one for one in names_of(item) if not one.startswith("word:")] for row, item in listed}
        number = {name: at for at, name in enumerate(sorted({one for own in names.values() for one in own}))}
        pairs = [(row, number[name]) for row, own in names.items() for name in own]
        rows, columns = (np.array([pair[at] for pair in pairs], np.int64) for at in (0, 1))
        values = 1.0 / np.sqrt(np.bincount(rows, minlength=self.new.size)[rows])
        return Block(csr_array((values.astype(np.float32), (rows, columns)), shape=(self.new.size, len(number))))

    @cached_property
    def prices(self) -> Features:
        """One number an item; 0 where there is no price."""
        found = np.zeros((self.new.size, 1), np.float32)
        for row, item in self.past.state.shop.listed_items():
            found[row] = item.price or 0.0
        return Block(found)

    @cached_property
    def noise(self) -> dict[str, Features]:
        """Two groups that say nothing: numbers at random, and the text vectors of other items."""
        random = np.random.default_rng(0)
        numbers = random.normal(size=(self.new.size, 32)).astype(np.float32)
        vectors = np.zeros((self.new.size, self.text.dim), np.float32)
        own = self.text.matrix
        vectors[: len(own)] = own[random.permutation(len(own))]
        return {"random numbers": Block(numbers), "text of other items": Block(vectors)}


def given(name: str, data: Path, work: Path) -> Given:
    """The data set ``name``: fitted on all before the test, asked for its test."""
    setting = Setting(DATA[name], data, work / "vectors", MOST_CASES)
    past = setting.past("refit", described=True)
    new = np.random.default_rng(0).random(len(past.interactions.items)) < HELD_OUT
    cases = [replace(case, query=without(case.query, new)) for case in setting.cases("test")]
    return Given(name, past, [case for case in cases if case.query.history.size], new)


def without(query: Query, new: BoolArray) -> Query:
    """``query`` as it is where nobody ever touched the items ``new``."""
    kept = ~new[query.history]
    beside = {name: values[kept] for name in ("weights", "times", "bought") if (values := getattr(query, name)).size}
    return replace(query, history=query.history[kept], session=query.session[~new[query.session]], **beside)


def fitted(model: str, inputs: str, shop: Given) -> Scorer:
    """One model with one set of inputs."""
    blocks = {"text": shop.text, "attributes": shop.attributes}
    groups = blocks if inputs == ALL else {name: block for name, block in blocks.items() if name == inputs}
    profile = inputs in ("profile", ALL)
    if model == "ncf":
        return NCF(CollaborativeSettings(factors=FACTORS, epochs=EPOCHS, recent=LENGTH), groups).fit(shop.learnt)
    settings = SequenceSettings(
        body=BODIES[model],  # type: ignore[arg-type]  # one of them
        factors=FACTORS,
        length=LENGTH,
        temperature=0.1 if model == "two_tower" else SequenceSettings().temperature,
        profile=profile,
        epochs=EPOCHS,
        patience=0,
        held_out=0.0,
    )
    return SequenceModel(settings, tuple(groups.values()), shop.prices).fit(shop.learnt)


def columns(model: Scorer, shop: Given) -> dict[str, Numbers]:
    """(cases,) by column; NaN where nothing of its kind is wanted. What scores 0 or less is not proposed."""
    lists, alone = np.full((2, len(shop.cases), K), -1, np.int32)
    new = np.flatnonzero(shop.new).astype(np.int32)
    for at, case in enumerate(shop.cases):
        scores = np.zeros(shop.new.size, np.float32)
        said = model.scores(case.query)
        scores[: said.size] = said
        if DATA[shop.name].hide_seen:
            scores[case.seen] = 0.0
        for into, some in ((lists, None), (alone, new)):
            best = Ranking.top(scores if some is None else scores[some], K, above=0.0, rows=some).items
            into[at, : best.size] = best
    known, cold = ([_part(case, shop.new, which) for case in shop.cases] for which in (False, True))
    return {
        "ndcg": _judged(lists, known, "ndcg", 10),
        "recall": _judged(lists, known, "recall", K),
        "cold_recall": _judged(lists, cold, "recall", K),
        "cold_alone": _judged(alone, cold, "recall", K),
    }


def _part(case: Case, new: BoolArray, which: bool) -> IntArray:
    """The wanted items that are new, or those that are not."""
    rows = case.relevant
    is_new = np.zeros(rows.size, np.bool_)
    inside = rows < new.size
    is_new[inside] = new[rows[inside]]
    part: IntArray = rows[is_new == which]
    return part


def _judged(lists: IntArray, wanted: Sequence[IntArray], metric: str, k: int) -> Numbers:
    values = ACCURACY[metric](judge(lists, wanted), k)
    return np.where([rows.size > 0 for rows in wanted], values, np.nan)


def piece(model: str, inputs: str, shop: Given) -> Values:
    """One fit, judged."""
    start = cpu_seconds()
    made = fitted(model, inputs, shop)
    seconds = cpu_seconds() - start
    found = columns(made, shop)
    return Values({name: _told(values) for name, values in found.items()}, round(seconds, 1))


def lasso_piece(strength: float, shop: Given) -> Values:
    """NCF with all groups of features, two of which say nothing."""
    groups = {"text": shop.text, "attributes": shop.attributes, **shop.noise}
    start = cpu_seconds()
    settings = CollaborativeSettings(factors=FACTORS, epochs=EPOCHS, recent=LENGTH, group_lasso=strength)
    made = NCF(settings, groups).fit(shop.learnt)
    seconds = cpu_seconds() - start
    found = columns(made, shop)
    return Values({name: _told(values) for name, values in found.items()}, round(seconds, 1), list(made.kept))


def _told(values: Numbers) -> list[float | None]:
    return [None if np.isnan(value) else round(float(value), 6) for value in values]


def measure(shop: Given, model: str, work: Path, anew: bool) -> None:
    """The fits of one piece that are not there yet, each to a file of its own."""
    for inputs in map(str, STRENGTHS) if model == LASSO else _inputs(model):
        path = work / f"{shop.name}.{model}.{inputs}.json"
        if path.exists() and not anew:
            continue
        with threadpool_limits(1):
            found = lasso_piece(float(inputs), shop) if model == LASSO else piece(model, inputs, shop)
        path.write_bytes(msgspec.json.encode(found))
        means = {name: round(mean(_numbers(values)), 4) for name, values in found.columns.items()}
        print(shop.name, model, inputs, means, *found.kept, f"{found.fit_seconds:.0f} s", flush=True)


def _inputs(model: str) -> tuple[str, ...]:
    """Those that ``model`` takes: the visitor of NCF is what was touched, and nothing else is said of them."""
    return tuple(one for one in INPUTS if model != "ncf" or one != "profile")


def _numbers(values: Sequence[float | None]) -> Numbers:
    return np.array([np.nan if value is None else value for value in values])


def assembled(shop: Given, work: Path) -> Shop:
    """What the files of a data set add up to."""
    cold = sum(_part(case, shop.new, which=True).size > 0 for case in shop.cases)
    sizes = int((~shop.new).sum()), int(shop.new.sum()), len(shop.learnt), len(shop.cases), cold
    found = Shop(DATA[shop.name].title, *sizes)
    there: dict[tuple[str, str], Values] = {}
    for model in MODELS:
        for inputs in _inputs(model):
            path = work / f"{shop.name}.{model}.{inputs}.json"
            if path.exists():
                there[model, inputs] = msgspec.json.decode(path.read_bytes(), type=Values)
    for (model, inputs), one in there.items():
        means = {name: round(mean(_numbers(values)), 4) for name, values in one.columns.items()}
        found.models.setdefault(model, {})[inputs] = Variant(means, one.fit_seconds)
    for column in COLUMNS:
        values = {key: _numbers(one.columns[column]) for key, one in there.items()}
        for (model, inputs), gap in against_ids(values).items():
            found.models[model][inputs].gaps[column] = gap
    for strength in STRENGTHS:
        path = work / f"{shop.name}.{LASSO}.{strength}.json"
        if path.exists():
            one = msgspec.json.decode(path.read_bytes(), type=Values)
            found.lasso.append(Strength(strength, one.kept, round(mean(_numbers(one.columns["ndcg"])), 4)))
    return found


def against_ids(values: Mapping[tuple[str, str], Numbers]) -> dict[tuple[str, str], Gap]:
    """Each model with each input, by (model, inputs), held against the same model on ids alone, with Holm's correction.

    The p value is the one of ``significance.compare``: of the paired bootstrap with the shift method.
    """
    keys = list(values)
    pairs = [(key, (key[0], IDS)) for key in keys if key[1] != IDS and (key[0], IDS) in values]
    if not pairs:
        return {}
    means = bootstrap_means(np.stack(list(values.values()), axis=1), SAMPLES, 0)
    found = []
    for key, base in pairs:
        observed = mean(values[key]) - mean(values[base])
        drawn = means[:, keys.index(key)] - means[:, keys.index(base)]
        one = estimate(observed, drawn)
        p = (1 + int((np.abs(drawn - observed) >= abs(observed)).sum())) / (1 + SAMPLES)
        found.append((one, p))
    after = holm([p for _, p in found])
    return {
        key: Gap(round(one.mean, 4), round(one.low, 4), round(one.high, 4), round(p, 4))
        for (key, _), (one, _), p in zip(pairs, found, after, strict=True)
    }


def figures(results: Results) -> str:
    """For the page."""
    parts = [where(results.date, results.machine)]
    for shop in results.shops.values():
        parts.append(
            f"**{shop.title}**: {shop.events:,} events of {shop.items:,} items; {shop.new_items:,} more are new, and "
            f"nothing is learnt of them; {shop.cases:,} questions, in {shop.cold_cases:,} of which a new item is "
            "wanted.\n\n"
        )
        rows = [
            [f"{model}: {_shown(inputs)}", *(_cell(one, column) for column in COLUMNS), f"{one.fit_seconds:.0f}"]
            for model, variants in shop.models.items()
            for inputs, one in variants.items()
        ]
        parts.append(table(["model: inputs", *COLUMNS.values(), "fit, CPU s"], rows) + "\n")
        if shop.lasso:
            parts.append(_lasso(shop) + "\n")
    return "".join(parts)


def _shown(inputs: str) -> str:
    return {IDS: "ids only", ALL: "ids + all"}.get(inputs, f"ids + {inputs}")


def _cell(one: Variant, column: str) -> str:
    """The figure and its gap to ids alone; bold where that is significant, for better or worse."""
    value, gap = f"{one.figures[column]:.4f}", one.gaps.get(column)
    if gap is None:
        return value
    said = f"{value} ({gap.mean:+.4f})"
    return f"**{said}**" if gap.p < LEVEL else said


def _lasso(shop: Shop) -> str:
    groups = _groups(shop)
    rows = [
        [f"{one.strength:g}", *("kept" if name in one.kept else "dropped" for name in groups), f"{one.ndcg:.4f}"]
        for one in shop.lasso
    ]
    return table(["NCF, strength of the group lasso", *groups, "NDCG@10"], rows)


def _groups(shop: Shop) -> list[str]:
    """Every group that is kept at some strength, those that go first at the end."""
    names = {name: sum(name in one.kept for one in shop.lasso) for one in shop.lasso for name in one.kept}
    return sorted(names, key=lambda name: (-names[name], name))


def main() -> None:
    """Measure what is missing, or write the page."""
    parser = parser_of("ablations", __doc__)
    parser.add_argument("--data", type=Path, help="the folder of the data sets")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "endcap-ablations")
    parser.add_argument("pieces", nargs="*", help=f"SHOP.MODEL, of {SHOPS} and {(*MODELS, LASSO)}: done anew")
    options = parser.parse_args()
    if options.render:
        fill(BENCHMARKS, "ablations", figures(msgspec.json.decode(options.out.read_bytes(), type=Results)))
        return
    if options.data is None:
        sys.exit("--data PATH is needed: the folder that holds amazon2014")
    options.work.mkdir(parents=True, exist_ok=True)
    results = Results("", describe(options.work), {})
    if options.out.exists():
        results.shops = msgspec.json.decode(options.out.read_bytes(), type=Results).shops
    every = [(shop, model) for shop in SHOPS for model in (*MODELS, LASSO)]
    wanted = [one for one in every if not options.pieces or ".".join(one) in options.pieces]
    for name in dict.fromkeys(shop for shop, _ in wanted):
        shop = given(name, options.data, options.work)
        for model in [model for of, model in wanted if of == name]:
            measure(shop, model, options.work, anew=bool(options.pieces))
            results.shops[name] = assembled(shop, options.work)
            results.date = datetime.now(UTC).isoformat(timespec="seconds")
            options.out.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


if __name__ == "__main__":
    main()

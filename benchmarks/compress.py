"""What an encoder loses and what it saves when it is made smaller, on the demo shop: every way of `endcap compress`.

A fifth of the titles is kept from whatever is fitted. On it: the cosine to the base, retrieval, and ranking by content
alone: the items that shoppers with a history took in the last 30 days, among those items. Retrieval is of 16 English
and 16 Chinese queries (labelled.py) among all titles, capped recall@20. All encoders are measured in one run, in turn;
speeds are CPU time of one thread, the best of three. The base is ONNX Runtime in float32 on one thread, as served.

`--home` keeps the siblings: what is there is not made again.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from msgspec import Struct
from tqdm import tqdm

from endcap.catalog.demo import demo_lines, goods_changes
from endcap.config import Home, StateConfig
from endcap.encoders.adding import PACKAGED
from endcap.evaluation.encoding import AIM, FOUND, Judged, K
from endcap.events.cleaning import clean
from endcap.events.dialects.invoices import invoice_events
from endcap.pipelines.compress import WAYS, Compressed, Job, compress, shop_trial
from endcap.types import Entry, IntArray
from labelled import CHINESE, ENGLISH, answers
from machine import Machine, describe
from pages import BENCHMARKS, table, where
from script import parser_of, run


class Results(Struct):
    """One run."""

    date: str
    machine: Machine
    fitted_on: int
    """Titles."""
    compressed: list[Compressed]
    """By the encoder that was made smaller."""


def demo_entries() -> list[Entry]:
    """The demo's catalogue and its events, at their times."""
    lines = clean(demo_lines())
    opened = int(lines.sales["time"][0])
    goods = [Entry(0, opened, change) for change in goods_changes(lines.goods)]
    return goods + [Entry(0, event.time, event) for event in invoice_events(lines)]


def labelled_queries(texts: Sequence[str]) -> list[tuple[str, IntArray]]:
    """With the rows of the titles that answer them."""
    asked: Mapping[str, str] = ENGLISH | CHINESE
    return [
        (query, np.array([row for row, title in enumerate(texts) if answers(title, words)], np.int32))
        for query, words in asked.items()
    ]


def measure(work: Path, options: argparse.Namespace) -> Results:
    """Every encoder in every way."""
    machine, encoders = describe(work), Home(options.home or work).encoders
    trial, _ = shop_trial(demo_entries(), StateConfig(), 30.0, 0)
    trial = replace(trial, queries=labelled_queries(trial.texts))
    found = []
    for name in options.encoders.split(","):
        if not (encoders / name).exists():
            PACKAGED[name](encoders, name)
        ways = options.ways.split(",")
        if name in options.untrained.split(","):
            ways = [way for way in ways if way not in WAYS or not WAYS[way].torch]
        with tqdm(desc=name, disable=None) as bar:
            found.append(compress(encoders / name, ways, Job(), trial, lambda *_: bar.update()))
    fitted_on = int(sum(bool(text) for text in trial.texts) - trial.new.sum())
    return Results(datetime.now(UTC).isoformat(timespec="seconds"), machine, fitted_on, found)


def figures(results: Results) -> str:
    """The tables of the page."""
    return where(results.date, results.machine) + "\n".join(
        _figures(one, results.fitted_on) for one in results.compressed
    )


def _figures(found: Compressed, fitted_on: int) -> str:
    head = ("encoder", "MB on disk", "smaller", "load, ms", "titles/s", "faster", "one title, ms, p50", "quicker")
    more = ("cosine, mean / least", f"recall@{FOUND}", f"NDCG@{K}", "of the base's, 95 % interval", "reaches the aim")
    on = found.judged_on
    reached = [name for name, ratio in found.ratios.items() if ratio.reached]
    text = (
        f"\nFitted on {fitted_on:,} titles, judged on {on['texts']:,} others, {on['cases']:,} shoppers and "
        f"{on['queries']} queries. The aim: {AIM.smaller:g} times smaller and {AIM.faster:g} times faster at "
        f"{AIM.kept:.0%} of the base's NDCG@{K}. Reached by: {', '.join(f'`{name}`' for name in reached) or 'none'}. "
        f"`endcap compress` would choose `{found.chosen}`: {found.why}.\n"
    )
    return table((*head, *more), [_row(found, one) for one in found.found]) + text


def _row(found: Compressed, one: Judged) -> tuple[str, ...]:
    ratio, speed, share = found.ratios.get(one.name), one.speed, one.ndcg_share
    assert share is not None
    assert one.ndcg is not None
    return (
        f"`{one.name}`",
        f"{one.megabytes:,.1f}",
        f"{ratio.smaller:.1f}" if ratio else "1",
        f"{speed.load_ms:,.0f}",
        f"{speed.titles_per_second:,.0f}",
        f"{ratio.faster:.1f}" if ratio else "1",
        f"{speed.p50_ms:.2f}",
        f"{ratio.quicker:.1f}" if ratio else "1",
        f"{one.cosine_mean:.3f} / {one.cosine_least:.3f}",
        f"{one.recall:.3f}",
        f"{one.ndcg:.4f}",
        f"{share[0]:.1%} ({share[1]:.0%} to {share[2]:.0%})" if ratio else "100 %",
        ("yes" if ratio.reached else "no") if ratio else "",
    )


def main() -> None:
    """Measure, or fill the page."""
    parser = parser_of("compress", __doc__)
    parser.add_argument("--encoders", default="minilm-l6-v2", help="of the home or of the packages")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--untrained", default="", help="of these encoders, only the ways that train no transformer")
    run(parser, BENCHMARKS, Results, figures, measure)


if __name__ == "__main__":
    main()

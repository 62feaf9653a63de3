"""What an evaluation found, as data, as JSON and as a table for the terminal. The page for a browser is page.py."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from endcap.evaluation.metrics.judged import PerCase
from endcap.evaluation.offline import Row, Table
from endcap.evaluation.significance import Comparison, Estimate, mean
from endcap.types import BoolArray

PACKAGES = ("endcap", "numpy", "scipy", "implicit", "polars")
LABELS = {
    "recall": "Recall",
    "precision": "Precision",
    "hit_rate": "Hit rate",
    "ndcg": "NDCG",
    "mrr": "MRR",
    "map": "MAP",
    "coverage": "Coverage",
    "novelty": "Novelty",
    "diversity": "Diversity",
    "gini": "Gini",
    "popularity_bias": "Popularity bias",
    "miscalibration": "Miscalibration",
}
BEYOND = ("coverage", "gini", "novelty", "diversity", "popularity_bias", "miscalibration")
"""What is measured beside accuracy."""

DIGITS = {"novelty": 2, "coverage": 3, "diversity": 3, "gini": 3, "miscalibration": 3}


@dataclass(frozen=True, slots=True)
class Report:
    """A table with all that is needed to judge it and to make it again."""

    table: Table
    fit: str
    """``train``: the models never saw the validation part. ``refit``: they learnt from it too."""
    split: Mapping[str, object]
    """The protocol and its cuts."""
    notes: Mapping[str, int]
    """What was counted on the way."""
    n_items: int
    """All items of the catalogue; each one was ranked for every case."""
    groups: Mapping[str, BoolArray] = field(default_factory=dict)
    """Parts of the cases that are worth looking at alone: (cases,) each."""
    blend_weights: Mapping[str, float] = field(default_factory=dict)
    config: Mapping[str, object] = field(default_factory=dict)
    shift_ms: int = 0
    """How much later the times of the log are than what really happened (a demo shop is moved to the present)."""
    over_time: tuple[tuple[int, BoolArray], ...] = ()
    """Spans of a stream that was lived through: when each begins (milliseconds since 1970), and its cases."""


def label(metric: str) -> str:
    """``recall@20`` as people write it: Recall@20."""
    name, k = metric.split("@")
    return f"{LABELS[name]}@{k}"


def headline(table: Table) -> tuple[str, ...]:
    """The columns that are shown first: recall, MRR and what is beyond accuracy at the longest list, NDCG at 10."""
    k = table.settings.k
    short = 10 if 10 in table.settings.ks else k
    return (f"recall@{k}", f"ndcg@{short}", f"mrr@{k}", f"coverage@{k}", f"novelty@{k}", f"diversity@{k}")


def ordered(table: Table) -> list[Row]:
    """The rows, the highest recall first."""
    metric = headline(table)[0]
    return sorted(table.rows, key=lambda row: -row.estimates[metric].mean)


def as_good_as_best(row: Row, metric: str) -> bool:
    """The 95 % interval of the paired difference to the best one holds 0."""
    gap = row.gaps.get(metric)
    return gap is not None and gap.low <= 0 <= gap.high


def sentences(report: Report) -> list[str]:
    """What was done, in words: the lines above the table."""
    table, notes = report.table, report.notes
    seen = "left out of the lists" if table.settings.hide_seen else "kept in the lists"
    wanted = notes.get("wanted", 0)
    again = notes.get("wanted_again", 0) / wanted if wanted else 0.0
    lines = [
        f"{_when(report)}: {table.n_cases:,} cases, {wanted:,} wanted items, "
        f"{100 * again:.1f} % of them touched before; seen items are {seen}.",
        f"All {report.n_items:,} items are ranked for every case. {_FITS[report.fit]}",
        f"95 % intervals: paired bootstrap over cases, {table.settings.samples:,} samples. "
        f"Diversity is 1 - mean cosine of {_LIKENESS[table.likeness]}.",
    ]
    counted = [text.format(notes[name]) for name, text in _COUNTS.items() if notes.get(name)]
    if counted:
        lines.append(f"Counted: {'; '.join(counted)}.")
    if table.comparisons:
        lines.append(verdict(table))
    if report.blend_weights:
        parts = ", ".join(f"{name} {weight:.2f}" for name, weight in report.blend_weights.items())
        lines.append(f"The blend's weights, learnt on the validation part: {parts}.")
    return lines


_FITS = {
    "train": "The models were fitted without the validation part.",
    "refit": "The models were fitted on everything before the test.",
}
_LIKENESS = {"content": "the items' content vectors", "co-occurrence": "the items' co-occurrence (who touched them)"}
_COUNTS = {
    "new_users": "{:,} users without a history (asked all the same)",
    "visitors_left_out": "{:,} anonymous visitors without a history (left out)",
    "unknown_items": "{:,} wanted items that did not exist before the test (missed by everybody)",
}


def verdict(table: Table) -> str:
    """Who beats whom: the significant differences of all comparisons."""
    beaten: dict[str, list[str]] = {}
    for one in table.comparisons:
        if one.significant:
            beaten.setdefault(one.better, []).append(one.worse)
    won = [f"{row.model} beats {', '.join(beaten[row.model])}" for row in ordered(table) if row.model in beaten]
    how = f"{label(table.compared_by)}, paired bootstrap, Holm's correction over {len(table.comparisons)} comparisons"
    return f"Significant at 5 % ({how}): {'; '.join(won) or 'no difference'}."


def _when(report: Report) -> str:
    protocol = str(report.split["protocol"])
    days = [report.split.get(name) for name in ("test_from_ms", "test_to_ms")]
    spans = [day(ms - report.shift_ms) for ms in days if isinstance(ms, int)]
    return f"Protocol {protocol}, test {' to '.join(spans)}" if spans else f"Protocol {protocol}"


def day(ms: int) -> str:
    """The UTC date of a moment."""
    return datetime.fromtimestamp(ms / 1000, UTC).date().isoformat()


def as_text(report: Report) -> str:
    """The table for the terminal: one row a model, the highest recall first."""
    table = report.table
    columns = headline(table)
    head = ["model", *map(label, columns), "fit s", "serve us p50", "p99"]
    body = [[row.model, *(_cell(row, metric) for metric in columns), *_times(row)] for row in ordered(table)]
    widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
    lines = [
        "  ".join(text.ljust(width) if at == 0 else text.rjust(width) for at, (text, width) in enumerate(cells))
        for cells in (list(zip(texts, widths, strict=True)) for texts in (head, *body))
    ]
    rule = "-" * len(lines[0])
    foot = "±: half of the 95 % interval. *: the paired difference to the best of the column may be zero."
    return "\n".join([*sentences(report), "", lines[0], rule, *lines[1:], rule, foot])


def _cell(row: Row, metric: str) -> str:
    value = row.estimates[metric]
    text = number(metric, value.mean)
    if math.isnan(value.low):
        return text
    mark = "*" if as_good_as_best(row, metric) else " "
    return f"{text} ±{number(metric, (value.high - value.low) / 2)}{mark}"


def number(metric: str, value: float) -> str:
    """``value`` with the digits that its metric deserves; a dash for none."""
    if math.isnan(value):
        return "-"
    digits = DIGITS.get(metric.split("@", maxsplit=1)[0], 4)
    return f"{value:.{digits}f}"


def _times(row: Row) -> list[str]:
    return [f"{row.fit_seconds:.2f}", f"{row.serve_us(50):,.0f}", f"{row.serve_us(99):,.0f}"]


def as_json(report: Report) -> str:
    """Everything: every metric at every length with its interval, the split, the settings, versions and machine."""
    table = report.table
    settings = table.settings
    content = {
        "split": dict(report.split) | {"shift_ms": report.shift_ms},
        "cases": table.n_cases,
        "items": report.n_items,
        "k": list(settings.ks),
        "seen": "hide" if settings.hide_seen else "keep",
        "fit": report.fit,
        "interval": {
            "method": "paired percentile bootstrap over cases",
            "level": 0.95,
            "samples": settings.samples,
            "seed": settings.seed,
        },
        "diversity": table.likeness,
        "notes": dict(report.notes),
        "blend_weights": dict(report.blend_weights),
        "models": {row.model: _model(row) for row in ordered(table)},
        "groups": {name: _group(table.rows, part) for name, part in report.groups.items()},
        "over_time": [
            {"from_ms": start - report.shift_ms, **_group(table.rows, part)} for start, part in report.over_time
        ],
        "comparisons": {"metric": table.compared_by, "pairs": [_comparison(one) for one in table.comparisons]},
        "config": dict(report.config),
        "versions": versions(),
        "machine": machine(),
    }
    return json.dumps(_without_nan(content), indent=2, allow_nan=False)


def _model(row: Row) -> dict[str, object]:
    return {
        "metrics": {metric: _interval(value) for metric, value in row.estimates.items()},
        "difference_to_best": {metric: _interval(value) for metric, value in row.gaps.items()},
        "fit_seconds": row.fit_seconds,
        "serve_us": {"p50": row.serve_us(50), "p99": row.serve_us(99)},
    }


def _interval(value: Estimate) -> dict[str, float]:
    return {"mean": value.mean, "low": value.low, "high": value.high}


def _comparison(one: Comparison) -> dict[str, object]:
    return {
        "better": one.better,
        "worse": one.worse,
        "difference": _interval(one.difference),
        "p": one.p,
        "p_holm": one.adjusted,
        "significant": one.significant,
    }


def _group(rows: Sequence[Row], part: BoolArray) -> dict[str, object]:
    return {"cases": int(part.sum()), "models": {row.model: group_means(row.values, part) for row in rows}}


def group_means(values: Mapping[str, PerCase], part: BoolArray) -> dict[str, float]:
    """Each metric's mean over the cases that ``part`` (cases,) marks."""
    return {metric: mean(column[part]) for metric, column in values.items()}


def _without_nan(value: Any) -> Any:
    """NaN is no JSON: it becomes null."""
    if isinstance(value, dict):
        return {key: _without_nan(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(part) for part in value]
    return None if isinstance(value, (float, np.floating)) and math.isnan(value) else value


def versions() -> dict[str, str]:
    """Python and the packages that the figures depend on; those that are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue  # an optional one
    return found


def machine() -> dict[str, object]:
    """What the times were measured on."""
    return {"system": platform.system(), "processor": _processor(), "cores": os.cpu_count()}


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()

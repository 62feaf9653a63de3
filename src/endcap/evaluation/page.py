"""The report as one HTML file: it opens without a network, in light and dark, from 360 px on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from endcap.evaluation.offline import Row
from endcap.evaluation.plots import against, bars, exposure, groups, over_time, serve_times
from endcap.evaluation.report import (
    BEYOND,
    Report,
    as_good_as_best,
    day,
    group_means,
    headline,
    label,
    machine,
    number,
    ordered,
    sentences,
    versions,
)

STYLE = """
:root { --ink: #1a1c1f; --quiet: #62676f; --accent: #0b62d6; --line: #dfe2e6; --bar: #b4bac3; --paper: #ffffff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e9ebee; --quiet: #9ba1ab; --accent: #6ea8ff; --line: #33373d; --bar: #565c66; --paper: #16181b; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 24px 16px 64px; max-width: 1080px; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Noto Sans CJK SC", sans-serif;
  font-variant-numeric: tabular-nums; }
h1 { font-size: 24px; line-height: 1.25; margin: 0 0 8px; }
h2 { font-size: 17px; margin: 40px 0 8px; }
p { margin: 0 0 8px; max-width: 75ch; }
td.best small { font-weight: 400; }
.quiet, figcaption { color: var(--quiet); font-size: 13px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
.scroll + p { padding-top: 8px; }
th, td { padding: 7px 10px; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--quiet); font-size: 13px; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: var(--paper);
  color: var(--ink); padding-left: 0; }
td small { display: block; color: var(--quiet); font-size: 12px; }
td.best { color: var(--accent); font-weight: 600; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 320px), 1fr)); gap: 28px 32px; }
figure { margin: 0; min-width: 0; }
figure svg { display: block; width: 100%; height: auto; font-family: inherit; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; font-size: 14px; margin: 0; }
dt { color: var(--quiet); }
dd { margin: 0; overflow-wrap: anywhere; }
"""


def as_html(report: Report) -> str:
    """The whole page: the table, the pictures, and what is needed to judge and repeat them."""
    rows = ordered(report.table)
    best = rows[0]
    metric = headline(report.table)[0]
    value = best.estimates[metric]
    lead = (
        f"{best.model} finds the most: {label(metric)} {number(metric, value.mean)} "
        f"({number(metric, value.low)} to {number(metric, value.high)})"
    )
    parts = [
        "<h1>Evaluation</h1>",
        f"<p><strong>{escape(lead)}.</strong></p>",
        *(f'<p class="quiet">{escape(sentence)}</p>' for sentence in sentences(report)),
        "<h2>Models</h2>",
        _table(report, rows),
        "<h2>Accuracy</h2>",
        _figures(_accuracy(report, rows)),
        "<h2>What accuracy costs</h2>",
        _figures(_beyond(report, rows)),
        _beyond_table(report, rows),
        *_groups(report, rows),
        *_stream(report, rows),
        "<h2>Made with</h2>",
        _facts(report),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Evaluation - Endcap</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _table(report: Report, rows: Sequence[Row]) -> str:
    columns = headline(report.table)
    head = "".join(f"<th>{escape(text)}</th>" for text in ["", *map(label, columns), "Fit, s", "Serve, µs p50", "p99"])
    body = "".join(
        f"<tr><td>{escape(row.model)}</td>{''.join(_cell(report, row, metric) for metric in columns)}"
        f"<td>{row.fit_seconds:.2f}</td><td>{row.serve_us(50):,.0f}</td><td>{row.serve_us(99):,.0f}</td></tr>"
        for row in rows
    )
    caption = (
        "Below each figure its 95 % interval. In colour: the best of the column; with =: the paired difference "
        "to the best may be zero. Serve: CPU time of one list in one thread."
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll">{table}</div><p class="quiet">{caption}</p>'


def _cell(report: Report, row: Row, metric: str) -> str:
    value = row.estimates[metric]
    text = number(metric, value.mean)
    if math.isnan(value.low):
        return f"<td>{text}</td>"
    is_best = report.table.best(metric) is row
    mark = "" if is_best or not as_good_as_best(row, metric) else " ="
    interval = f"<small>{number(metric, value.low)} to {number(metric, value.high)}</small>"
    return f"<td{' class=best' if is_best else ''}>{text}{mark}{interval}</td>"


def _accuracy(report: Report, rows: Sequence[Row]) -> list[tuple[str, str]]:
    recall, ndcg = headline(report.table)[:2]
    return [
        (bars(rows, recall), f"{label(recall)}: the share of what was wanted that the list holds."),
        (bars(rows, ndcg), f"{label(ndcg)}: hits further down count less."),
    ]


def _beyond(report: Report, rows: Sequence[Row]) -> list[tuple[str, str]]:
    recall, _, _, coverage, novelty, _ = headline(report.table)
    return [
        (against(rows, coverage, recall), "Coverage: the share of the catalogue that anybody is shown."),
        (against(rows, novelty, recall), "Novelty, in bits: how little known the shown items are."),
        (
            exposure(rows, report.n_items),
            f"Who is shown: in colour {rows[0].model}. Far below the diagonal, few items have most of the places.",
        ),
        (serve_times(rows), "The bar ends at the median, the line at the 99th percentile."),
    ]


def _beyond_table(report: Report, rows: Sequence[Row]) -> str:
    k = report.table.settings.k
    metrics = [f"{name}@{k}" for name in BEYOND]
    head = "".join(f"<th>{label(metric)}</th>" for metric in metrics)
    body = "".join(
        f"<tr><td>{escape(row.model)}</td>"
        + "".join(f"<td>{number(metric, row.estimates[metric].mean)}</td>" for metric in metrics)
        + "</tr>"
        for row in rows
    )
    caption = (
        "Gini: 0 if all items are shown equally often, 1 if one has every place. Popularity bias: how much better "
        "known the shown items are than what the same person took before. Miscalibration: how far the list's mix of "
        "categories (or of popular and rare items, where there are none) is from that of the history; 0 is the same."
    )
    table = f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll">{table}</div><p class="quiet">{caption}</p>'


def _figures(pictures: Sequence[tuple[str, str]]) -> str:
    figures = (f"<figure>{svg}<figcaption>{escape(text)}</figcaption></figure>" for svg, text in pictures)
    return f'<div class="plots">{"".join(figures)}</div>'


def _groups(report: Report, rows: Sequence[Row]) -> list[str]:
    """A small table of the headline recall for each group that has a case."""
    metric = headline(report.table)[0]
    parts = {name: part for name, part in report.groups.items() if part.any()}
    if not parts:
        return []
    head = "".join(f"<th>{escape(name)} ({int(part.sum()):,} cases)</th>" for name, part in parts.items())
    body = "".join(
        f"<tr><td>{escape(row.model)}</td>"
        + "".join(f"<td>{number(metric, group_means(row.values, part)[metric])}</td>" for part in parts.values())
        + "</tr>"
        for row in rows
    )
    table = f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table>"
    picture = (groups(rows, metric, parts), f"The point is {rows[0].model}, the strokes are the others.")
    return [f"<h2>{label(metric)} by group</h2>", f'<div class="scroll">{table}</div>', _figures([picture])]


def _stream(report: Report, rows: Sequence[Row]) -> list[str]:
    """How good each model was along the stream that was lived through."""
    if not report.over_time:
        return []
    spans = [(day(start - report.shift_ms), part) for start, part in report.over_time]
    metric = headline(report.table)[1]
    text = "Each event was asked for, then learnt from. What a model reads from the state is always new."
    return ["<h2>Along the stream</h2>", _figures([(over_time(rows, metric, spans), text)])]


def _facts(report: Report) -> str:
    settings = report.table.settings
    facts = versions() | {name: str(value) for name, value in machine().items()}
    facts |= {"seed": str(settings.seed), "bootstrap samples": str(settings.samples)}
    facts |= {name: str(value) for name, value in report.config.items()}
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    return f"<dl>{items}</dl>"

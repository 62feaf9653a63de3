"""The launch report as one HTML file, in the style of the evaluation's, and for a terminal."""

from __future__ import annotations

import math
from html import escape

from endcap.evaluation.launch import NEAR, CategoryReport, LaunchReport
from endcap.evaluation.page import STYLE

_EXTRA = """
td.words { text-align: left; white-space: normal; min-width: 16em; }
td .bar { display: block; height: 4px; margin: 5px 0 1px auto; background: var(--line); width: 88px; }
td .bar i { display: block; height: 4px; background: var(--accent); }
td.zero { color: var(--quiet); }
ul { margin: 0 0 8px; padding-left: 20px; max-width: 75ch; }
"""
MOST = 20
"""Categories of which it is said what to do, the largest."""
_HEADS = ("Items", "Too little text", "No description", "No image", "No price", "Near-duplicates", "Placed", "Expected")


def as_html(report: LaunchReport) -> str:
    """The whole page."""
    total = report.total
    parts = [
        "<h1>Launch report</h1>",
        f"<p><strong>{escape(lead(total))}</strong></p>",
        '<p class="quiet">From the catalogue alone, before any event. Without events an item is found by its content: '
        f"what that tells apart is what can be recommended. Texts were compared by {escape(report.encoder)}.</p>",
        "<h2>By category</h2>",
        _table(report),
        "<h2>What to do</h2>",
        *_todo(report),
        *_twins(report),
        "<h2>How this was judged</h2>",
        *(f'<p class="quiet">{escape(text)}</p>' for text in explained()),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Launch report - Endcap</title>\n<style>{STYLE}{_EXTRA}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def as_text(report: LaunchReport) -> str:
    """For a terminal: one line a category."""
    rows = [("", *_HEADS), *((one.name, *_cells(one)) for one in (*report.categories, report.total))]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
    return "\n".join([lead(report.total), "", *lines])


def lead(total: CategoryReport) -> str:
    """The report in one sentence."""
    return f"{total.apart:,} of {total.items:,} items have a text that tells them apart."


def explained() -> list[str]:
    """What the columns mean."""
    return [
        "Too little text: a title of one word and no description. Near-duplicates: another item means the same (cosine "
        "of the texts), is written almost the same (shared n-grams), and no group_id says that they are variants.",
        f"Placed: the share of items of whose {NEAR} nearest by text at least half are of the same category (half of "
        "the others that there are, in a small one).",
        f"Expected: the share of items that are in the better half of the catalogue, by how near their {NEAR} nearest "
        "are. An item without events is found through others that read like it: in two shops with events the better "
        "half was found several times as often. It compares categories of one catalogue, and forecasts no sales.",
    ]


def _table(report: LaunchReport) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in ("", *_HEADS))
    body = "".join(map(_row, (*report.categories, report.total)))
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _row(one: CategoryReport) -> str:
    cells = _cells(one)
    plain = "".join(f"<td{' class=zero' if text == '0' else ''}>{text}</td>" for text in cells[:-1])
    share = 0.0 if math.isnan(one.expected) else one.expected
    bar = f'<span class="bar"><i style="width:{100 * share:.0f}%"></i></span>'
    return f"<tr><td>{escape(one.name)}</td>{plain}<td>{cells[-1]}{bar}</td></tr>"


def _cells(one: CategoryReport) -> list[str]:
    counts = (
        one.items,
        one.without_text,
        one.without_description,
        one.without_image,
        one.without_price,
        one.duplicates,
    )
    shares = ("—" if math.isnan(share) else f"{share:.0%}" for share in (one.placed, one.expected))
    return [*(f"{count:,}" for count in counts), *shares]


def _todo(report: LaunchReport) -> list[str]:
    found: list[str] = []
    for one in report.categories or (report.total,):
        advice = one.advice()
        if advice:
            items = "".join(f"<li>{escape(text)}</li>" for text in advice)
            found.append(f"<p><strong>{escape(one.name)}</strong></p><ul>{items}</ul>")
    if len(found) > MOST:
        found[MOST:] = [f"<p>And in {len(found) - MOST:,} smaller categories.</p>"]
    return found or ["<p>Nothing: every item has text, image and price, and none reads like another.</p>"]


def _twins(report: LaunchReport) -> list[str]:
    pairs = dict.fromkeys(pair for one in (*report.categories, report.total) for pair in one.examples)
    if not pairs:
        return []
    rows = "".join(f"<tr>{_item(report, a)}{_item(report, b)}</tr>" for a, b in pairs)
    return [
        "<h2>Near-duplicates, some examples</h2>",
        f'<div class="scroll"><table><tbody>{rows}</tbody></table></div>',
    ]


def _item(report: LaunchReport, item_id: str) -> str:
    return f'<td class="words">{escape(report.titles[item_id])}<small>{escape(item_id)}</small></td>'

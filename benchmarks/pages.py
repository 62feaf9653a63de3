"""Figures in the documentation: what stands between two marks of a page is written by the script that measured it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from machine import Machine

DOCS = Path(__file__).parents[1] / "docs"
OPERATE = DOCS / "how-to" / "operate.md"
BENCHMARKS = DOCS / "reference" / "benchmarks.md"


def filled(text: str, mark: str, figures: str) -> str:
    """``text`` with ``figures`` between ``<!-- mark -->`` and ``<!-- /mark -->``. Raises ValueError without them."""
    begin, end = f"<!-- {mark} -->\n", f"<!-- /{mark} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"the page has no {begin.strip()} ... {end}: put the marks where the figures go")
    return f"{before}{begin}{figures}{end}{after}"


def fill(page: Path, mark: str, figures: str) -> None:
    """The same with the file at ``page``."""
    page.write_text(filled(page.read_text(encoding="utf-8"), mark, figures), encoding="utf-8")


def where(date: str, machine: Machine) -> str:
    """When and on what figures were taken, as a line of a page."""
    commit = (machine.commit or "unknown")[:10] + (" and changes" if machine.modified else "")
    return (
        f"{date[:10]}, {machine.cores} cores of {machine.cpu}, {machine.memory_gb:.0f} GB, {machine.disk}, "
        f"Python {machine.python}, commit {commit}; load average before: {machine.load_average:g}.\n\n"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: the first column is words, the others are figures."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)

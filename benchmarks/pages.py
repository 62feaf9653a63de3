"""Figures in the documentation: what stands between two marks of a page is written by the script that measured it."""

from __future__ import annotations

from pathlib import Path

OPERATE = Path(__file__).parents[1] / "docs" / "how-to" / "operate.md"


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

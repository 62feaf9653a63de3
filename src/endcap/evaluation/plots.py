"""The pictures of a report: SVG to put into a page, whose style sheet gives the colours and the font."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import Any

from endcap.evaluation.offline import Row
from endcap.evaluation.report import label

WIDTH, ROW, HEAD = 3.9, 0.3, 0.75
"""Inches. So narrow that it is still read at 360 px; a wide page puts several side by side."""
COLOURS = {"#010101": "--ink", "#020202": "--quiet", "#030303": "--accent", "#040404": "--line", "#050505": "--bar"}
"""Stand-ins that are drawn with, and the variables of the page that replace them: one picture for light and dark."""
INK, QUIET, ACCENT, LINE, BAR = COLOURS


def bars(rows: Sequence[Row], metric: str) -> str:
    """One bar a model with its 95 % interval, in the order of ``rows``; the longest is accented."""

    def draw(axes: Any) -> None:
        values = [row.estimates[metric] for row in rows]
        best = max(value.mean for value in values)
        axes.barh(
            range(len(rows)), [v.mean for v in values], height=0.6, color=[ACCENT if v.mean == best else BAR for v in values]
        )
        for at, value in enumerate(values):
            axes.plot([value.low, value.high], [at, at], color=INK, linewidth=1.2, solid_capstyle="butt")
        _names(axes, rows)
        axes.set_xlim(left=0)

    return _svg(draw, f"bars-{metric}", f"{label(metric)} by model with 95 % intervals", HEAD + ROW * len(rows))


def against(rows: Sequence[Row], x: str, y: str) -> str:
    """Each model as a point: what one metric costs in the other."""

    def draw(axes: Any) -> None:
        best = max(row.estimates[y].mean for row in rows)
        for row in rows:
            at = (row.estimates[x].mean, row.estimates[y].mean)
            axes.plot(*at, "o", markersize=6, color=ACCENT if at[1] == best else QUIET)
            axes.annotate(row.model, at, (0, 6), textcoords="offset points", ha="center", color=INK, fontsize=8)
        axes.set_xlabel(label(x), color=QUIET)
        axes.set_ylabel(label(y), color=QUIET)
        axes.margins(0.2, 0.2)

    return _svg(draw, f"{y}-{x}", f"{label(y)} against {label(x)}, one point a model", 2.9)


def serve_times(rows: Sequence[Row]) -> str:
    """CPU microseconds for a list: the bar ends at the median, the line at the 99th percentile. Logarithmic."""

    def draw(axes: Any) -> None:
        for at, row in enumerate(rows):
            axes.barh(at, row.serve_us(50), height=0.6, color=BAR)
            axes.plot([row.serve_us(50), row.serve_us(99)], [at, at], color=INK, linewidth=1.2)
            axes.plot(row.serve_us(99), at, "|", color=INK, markersize=7)
        axes.set_xscale("log")
        axes.set_xlim(left=max(min(row.serve_us(50) for row in rows) / 3, 0.1))
        axes.set_xlabel("µs of CPU for a list, p50 and p99", color=QUIET)
        _names(axes, rows)

    return _svg(draw, "serve", "CPU time for a list by model, median and 99th percentile", HEAD + 0.2 + ROW * len(rows))


def _names(axes: Any, rows: Sequence[Row]) -> None:
    axes.set_yticks(range(len(rows)), [row.model for row in rows], color=INK)
    axes.invert_yaxis()


def _svg(draw: Callable[[Any], None], name: str, description: str, height: float) -> str:
    # Here, not at the top: it takes a second and only a report needs it. No pyplot: no global figure, no display.
    from matplotlib import rc_context  # noqa: PLC0415
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    style = {"svg.fonttype": "none", "svg.hashsalt": name, "font.size": 8, "axes.edgecolor": LINE}
    with rc_context(style):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.grid(axis="x", color=LINE, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(length=0, colors=QUIET)
        draw(axes)
        target = io.StringIO()
        figure.savefig(target, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _for_page(target.getvalue(), description)


def _for_page(svg: str, description: str) -> str:
    """The drawing alone, with the page's colours and font, as wide as its place, and a name for who cannot see it."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r"font: ([^;\"]*?)([0-9.]+px) [^;\"]*", r"font-size: \2", svg)
    for colour, variable in COLOURS.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg.replace("<svg", f'<svg role="img" aria-label="{description}"', 1)

"""The pictures of a report: SVG to put into a page, whose style sheet gives the colours and the font."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from endcap.evaluation.offline import Row
from endcap.evaluation.report import group_means, label
from endcap.types import BoolArray

FONT = 9
"""Points."""
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
            range(len(rows)),
            [v.mean for v in values],
            height=0.6,
            color=[ACCENT if v.mean == best else BAR for v in values],
        )
        for at, value in enumerate(values):
            axes.plot([value.low, value.high], [at, at], color=INK, linewidth=1.2, solid_capstyle="butt")
        _names(axes, rows)
        axes.set_xlim(left=0)

    return _svg(draw, f"bars-{metric}", f"{label(metric)} by model with 95 % intervals", HEAD + ROW * len(rows))


def against(rows: Sequence[Row], x: str, y: str) -> str:
    """Each model as a point: what one metric costs in the other."""

    def draw(axes: Any) -> None:
        points = [(row.estimates[x].mean, row.estimates[y].mean) for row in rows]
        best = max(height for _, height in points)
        for point in points:
            axes.plot(*point, "o", markersize=6, color=ACCENT if point[1] == best else QUIET)
        axes.set_xlabel(label(x), color=QUIET)
        axes.set_ylabel(label(y), color=QUIET)
        axes.margins(0.25, 0.2)
        _label_points(axes, points, [row.model for row in rows])

    return _svg(draw, f"{y}-{x}", f"{label(y)} against {label(x)}, one point a model", 2.9)


def serve_times(rows: Sequence[Row]) -> str:
    """CPU microseconds for a list: the bar ends at the median, the line at the 99th percentile. Logarithmic."""

    def draw(axes: Any) -> None:
        for at, row in enumerate(rows):
            axes.barh(at, row.serve_us(50), height=0.6, color=BAR)
            axes.plot([row.serve_us(50), row.serve_us(99)], [at, at], color=INK, linewidth=1.2)
            axes.plot(row.serve_us(99), at, "|", color=INK, markersize=7)
        axes.set_xscale("log", subs=(2, 5))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("{x:g}")
        axes.set_xlim(left=max(min(row.serve_us(50) for row in rows) / 3, 0.1))
        axes.set_xlabel("µs of CPU for a list, p50 and p99", color=QUIET)
        _names(axes, rows)

    return _svg(draw, "serve", "CPU time for a list by model, median and 99th percentile", HEAD + 0.2 + ROW * len(rows))


def groups(rows: Sequence[Row], metric: str, parts: Mapping[str, BoolArray]) -> str:
    """One line of points a group of cases, a point a model; that of the first of ``rows`` is accented."""

    def draw(axes: Any) -> None:
        for at, part in enumerate(parts.values()):
            values = [group_means(row.values, part)[metric] for row in rows]
            axes.plot([min(values), max(values)], [at, at], color=LINE, linewidth=1.2)
            axes.plot(values[1:], [at] * (len(values) - 1), "|", color=QUIET, markersize=8)
            axes.plot(values[0], at, "o", color=ACCENT, markersize=6)
        axes.set_yticks(range(len(parts)), list(parts), color=INK)
        axes.invert_yaxis()
        axes.set_xlim(left=0)
        axes.set_xlabel(label(metric), color=QUIET)

    return _svg(draw, f"groups-{metric}", f"{label(metric)} by group of cases", HEAD + 0.2 + ROW * len(parts))


def exposure(rows: Sequence[Row], n_items: int) -> str:
    """Lorenz curves: the share of all places that the least shown items have. The diagonal shows all alike."""

    def draw(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color=LINE, linewidth=1.2)
        for at, row in enumerate(rows):
            shown = row.lists.items[row.lists.items >= 0]
            places = np.sort(np.bincount(shown, minlength=n_items))
            share = np.concatenate([[0.0], np.cumsum(places) / max(places.sum(), 1)])
            some = np.unique(np.linspace(0, share.size - 1, 200).astype(int))  # enough for the eye
            colour = ACCENT if at == 0 else BAR
            axes.plot(some / (share.size - 1), share[some], color=colour, linewidth=1.6 if at == 0 else 1.0)
        axes.set_xlabel("share of the catalogue, the least shown first", color=QUIET)
        axes.set_ylabel("share of the places", color=QUIET)

    return _svg(draw, "exposure", "Lorenz curves of exposure, one a model", 2.9)


def over_time(rows: Sequence[Row], metric: str, spans: Sequence[tuple[str, BoolArray]]) -> str:
    """One line a model: its ``metric`` in each span of the stream."""

    def draw(axes: Any) -> None:
        lines = [[group_means(row.values, part)[metric] for _, part in spans] for row in rows]
        for at, values in reversed(list(enumerate(lines))):
            axes.plot(range(len(spans)), values, color=ACCENT if at == 0 else BAR, linewidth=1.6 if at == 0 else 1.0)
        best = max(map(max, lines)) or 1.0
        ends = _apart([values[-1] for values in lines], 0.08 * best)
        axes.set_ylim(0, 1.05 * max(best, *ends))
        for row, end in zip(rows, ends, strict=True):
            place = (len(spans) - 1, end)
            axes.annotate(row.model, place, (4, 0), textcoords="offset points", va="center", color=INK, fontsize=FONT)
        axes.set_xticks([0, len(spans) - 1], [spans[0][0], spans[-1][0]], color=QUIET)
        axes.set_ylabel(label(metric), color=QUIET)

    return _svg(draw, f"time-{metric}", f"{label(metric)} along the stream, one line a model", 2.9)


def _apart(values: Sequence[float], gap: float) -> list[float]:
    """``values``, moved up where they would be nearer to each other than ``gap``."""
    moved = list(values)
    below = -gap
    for at in sorted(range(len(values)), key=lambda at: values[at]):
        below = moved[at] = max(values[at], below + gap)
    return moved


def _label_points(axes: Any, points: Sequence[tuple[float, float]], names: Sequence[str]) -> None:
    """Each name beside its point, at the first of eight places where it covers no other name."""
    taken: list[tuple[float, float, float, float]] = []
    scale = 72 / axes.figure.dpi
    for point, name in zip(points, names, strict=True):
        x, y = (value * scale for value in axes.transData.transform(point))
        width, height = 0.58 * FONT * len(name), 1.15 * FONT
        boxes = [(x + dx - width / 2, y + dy, width, height) for dx, dy in _places(width, height)]
        box = next((box for box in boxes if not any(map(partial(_overlap, box), taken))), boxes[0])
        taken.append(box)
        offset = (box[0] + width / 2 - x, box[1] - y)
        axes.annotate(
            name, point, offset, textcoords="offset points", ha="center", va="bottom", color=INK, fontsize=FONT
        )


def _places(width: float, height: float) -> list[tuple[float, float]]:
    """Offsets in points of a name's lower middle: above, below, right, left, then a line further."""
    aside = width / 2 + 6
    near = [(0.0, 5.0), (0.0, -height - 5), (aside, -height / 2), (-aside, -height / 2)]
    return [*near, (0.0, 5 + height), (0.0, -2 * height - 5), (aside, height / 2), (-aside, height / 2)]


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return (
        one[0] < other[0] + other[2]
        and other[0] < one[0] + one[2]
        and one[1] < other[1] + other[3]
        and other[1] < one[1] + one[3]
    )


def _names(axes: Any, rows: Sequence[Row]) -> None:
    axes.set_yticks(range(len(rows)), [row.model for row in rows], color=INK)
    axes.invert_yaxis()


def _svg(draw: Callable[[Any], None], name: str, description: str, height: float) -> str:
    # Here, not at the top: it takes a second and only a report needs it. No pyplot: no global figure, no display.
    from matplotlib import rc_context  # noqa: PLC0415
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.size": FONT, "axes.edgecolor": LINE}):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.grid(axis="x", color=LINE, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(which="both", length=0, colors=QUIET)
        draw(axes)
        target = io.StringIO()
        figure.savefig(target, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _for_page(target.getvalue(), description)


def _for_page(svg: str, description: str) -> str:
    """The drawing alone, with the page's colours and font, as wide as its place, and a name for who cannot see it."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)  # the place decides
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r" font-family: [^;\"]*;", "", svg)
    for colour, variable in COLOURS.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg.replace("<svg", f'<svg role="img" aria-label="{description}"', 1)

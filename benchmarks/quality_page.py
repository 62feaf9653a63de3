"""The figures of ``quality.py`` as the tables of docs/reference/quality.md and quality-tried.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from endcap.evaluation.report import label
from endcap.evaluation.significance import LEVEL
from pages import DOCS, fill, table, where
from quality_data import DATA, Data
from quality_ensembles import ENSEMBLES, Compared
from quality_models import FAMILIES
from quality_stages import Stage, read

PAGE = DOCS / "reference" / "quality.md"
TRIED = DOCS / "reference" / "quality-tried.md"
FITS = {"train": "without the validation items", "refit": "on everything before the test"}


def write_pages(results: Path) -> None:
    """Puts what is in ``results`` between the marks of both pages."""
    found = stages(results)
    fill(PAGE, "quality", "\n".join(_data(name, of, results) for name, of in found.items()))
    fill(TRIED, "quality-tried", "\n".join(_tried(name, of) for name, of in found.items()))


def stages(results: Path) -> dict[str, list[Stage]]:
    """By data set, the stages that have ended, in the order of their families, then the ensembles."""
    order = [*FAMILIES, *ENSEMBLES]
    found = {}
    for data in DATA:
        kept = [read(path) for name in order if (path := results / f"{data}.{name}.json").exists()]
        ended = [stage for stage in kept if stage.final]
        if ended:
            found[data] = ended
    return found


def _data(name: str, of: Sequence[Stage], results: Path) -> str:
    protocol = DATA[name]
    first = of[0]
    cases = next(iter(first.final.values())).cases
    lines = [
        f"## {protocol.title}\n",
        f"{first.validation_cases:,} validation cases, {cases:,} test cases; chosen by {label(protocol.chosen_by)} on "
        f"validation. {where(first.date, first.machine).rstrip()}\n",
        _table(protocol, of),
    ]
    path = results / f"{name}.compare.json"
    if path.exists():
        compared = msgspec.json.decode(path.read_bytes(), type=Compared)
        lines += [_verdict(compared, fit) for fit in compared.pairs]
    return "\n".join(lines)


def _table(protocol: Data, of: Sequence[Stage]) -> str:
    fits = [fit for fit in protocol.fits if any(fit in stage.final for stage in of)]
    shown = " / ".join(map(label, protocol.shown))
    head = ["model", f"validation {label(protocol.chosen_by)}", *(f"test, {fit}: {shown}" for fit in fits)]
    head += ["tried", "fit, CPU s", "a list, CPU ms", "stage, CPU s", "MB"]
    rows = []
    for stage in sorted(of, key=lambda stage: -stage.chosen.validation[protocol.chosen_by]):
        chosen = stage.chosen
        peer = stage.model in FAMILIES and FAMILIES[stage.model].peer is not None
        kind = " (peer)" if peer else " (ensemble)" if stage.model in ENSEMBLES else ""
        figures = [" / ".join(f"{stage.final[fit].figures[name]:.4f}" for name in protocol.shown) for fit in fits]
        rows.append([
            f"`{stage.model}`{kind}",
            f"{chosen.validation[protocol.chosen_by]:.4f}",
            *figures,
            str(len(stage.tried)),
            f"{chosen.fit_seconds:.1f}",
            f"{chosen.list_ms:.2f}",
            f"{stage.seconds:,.0f}",
            f"{stage.memory_mb:,.0f}",
        ])  # fmt: skip
    return table(head, rows)


def _verdict(compared: Compared, fit: str) -> str:
    """What the chosen ensemble beats, and what it does not."""
    ensemble = compared.ensemble
    if not ensemble:
        return ""
    own = [pair for pair in compared.pairs[fit] if ensemble in (pair.better, pair.worse)]
    beaten = [pair for pair in own if pair.better == ensemble and pair.p_holm < LEVEL]
    lost = [pair for pair in own if pair.worse == ensemble and pair.p_holm < LEVEL]
    level = [pair.better if pair.worse == ensemble else pair.worse for pair in own if pair.p_holm >= LEVEL]
    least = min(beaten, key=lambda pair: pair.difference, default=None)
    parts = [
        f"Fitted {FITS[fit]}, the ensemble that validation chooses, `{ensemble}`, beats "
        + (", ".join(f"`{pair.worse}`" for pair in beaten) or "nobody")
    ]
    if least is not None:
        parts.append(
            f"the closest of them, `{least.worse}`, by {least.difference:.4f} ({least.low:.4f} to {least.high:.4f})"
        )
    if level:
        parts.append(f"no significant difference to {', '.join(f'`{name}`' for name in level)}")
    if lost:
        parts.append(f"worse than {', '.join(f'`{pair.better}`' for pair in lost)}")
    of = " of whole sessions" if DATA[compared.data].kind == "session" else ""
    return (
        f"{'; '.join(parts)}. {label(compared.metric)}, paired bootstrap of {compared.samples:,} samples{of}, Holm's "
        f"correction over {len(compared.pairs[fit])} pairs.\n"
    )


def _tried(name: str, of: Sequence[Stage]) -> str:
    protocol = DATA[name]
    chosen_by, shown = protocol.chosen_by, protocol.shown
    head = ["model", "configuration", f"validation {label(chosen_by)}", *(f"test {label(one)}" for one in shown)]
    rows = []
    for stage in of:
        for one in stage.tried:
            values = ", ".join(f"{key} {value}" for key, value in one.values.items()) or "the defaults"
            marks = ("**", "**") if one is stage.chosen else ("", "")
            rows.append([
                f"`{stage.model}`",
                values.replace("|", "/"),
                f"{marks[0]}{one.validation[chosen_by]:.4f}{marks[1]}",
                *(f"{one.test[key]:.4f}" for key in shown),
            ])  # fmt: skip
    return f"## {protocol.title}\n\n{table(head, rows)}"

"""What an import did: counted, with two examples of everything that was not taken as it came."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from endcap.errors import HomeError
from endcap.events.cleaning import RuleResult
from endcap.pipelines.rows import Refusal

MAX_REASONS = 100
"""More reasons than this are counted together: the report stays small whatever comes in."""
_VALUES = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|\b(?:nan|inf)\b|-?\d[\d.,e+-]*")
_OTHER = "for other reasons"


@dataclass(frozen=True, slots=True)
class Refused:
    """Rows that were refused for one reason."""

    reason: str
    field: str
    """Empty where the whole line is wrong."""
    rows: int
    examples: tuple[str, ...]
    """Up to two: file, line, and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What came in, and what became of it. ``rows`` = events or items made + refused + dropped by rules."""

    kind: str
    """``events``, ``items`` or ``demo``."""
    files: tuple[str, ...]
    time: int
    """Milliseconds since 1970: when the import began."""
    rows: int = 0
    """Rows read."""
    stored: int = 0
    """Entries that are new in the log; in a validation, those that would be tried."""
    duplicates: int = 0
    """Events that the log already had."""
    refused: tuple[Refused, ...] = ()
    rules: tuple[RuleResult, ...] = ()
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By file: our field, and the column it was read from."""
    ignored: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By file: columns that hold none of our fields; an item keeps them as attributes."""
    notes: tuple[str, ...] = ()
    unknown: Mapping[str, int] = field(default_factory=dict)
    """Names of another system's events that say nothing here, and how many were kept as ``custom``."""
    shift_weeks: int = 0
    """Whole weeks by which every time was moved; subtract them for the original times."""
    dry_run: bool = False
    """Nothing was stored: ``endcap validate``."""

    @property
    def refused_rows(self) -> int:
        """Rows that were refused, for whatever reason."""
        return sum(reason.rows for reason in self.refused)

    def to_json(self) -> bytes:
        """The report as JSON, readable by a person too."""
        return msgspec.json.format(msgspec.json.encode(asdict(self)), indent=2)


class RefusalCounter:
    """Counts refusals by reason and keeps two examples of each, however many come."""

    def __init__(self) -> None:
        self._rows: Counter[tuple[str, str]] = Counter()
        self._examples: dict[tuple[str, str], list[str]] = {}

    def add(self, path: Path, refusals: Iterable[Refusal]) -> None:
        """Counts ``refusals`` of the file at ``path``."""
        for line, name, reason in refusals:
            key = (_VALUES.sub("...", reason), name)
            if key not in self._rows and len(self._rows) >= MAX_REASONS:
                key = (_OTHER, "")
            self._rows[key] += 1
            examples = self._examples.setdefault(key, [])
            if len(examples) < 2:
                examples.append(f"{path}, line {line}: {reason}")

    @property
    def rows(self) -> int:
        """How many were counted so far."""
        return self._rows.total()

    def refused(self) -> tuple[Refused, ...]:
        """What was counted, the most frequent reason first."""
        return tuple(
            Refused(reason, name, rows, tuple(self._examples[reason, name]))
            for (reason, name), rows in self._rows.most_common()
        )


def write_report(report: ImportReport, home: Path) -> Path:
    """Stores ``report`` as ``home/reports/import-<time>.json``. Raises HomeError if the home cannot be written."""
    moment = datetime.fromtimestamp(report.time / 1000, UTC)
    path = home / "reports" / f"import-{moment:%Y%m%dT%H%M%S}{report.time % 1000:03d}Z.json"
    write_file(path, report.to_json())
    return path


def write_file(path: Path, data: bytes) -> None:
    """Writes ``data`` at ``path`` whole or not at all. Raises HomeError if the home cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        raise HomeError(f"{path} cannot be written ({error.strerror}): check who may write there") from error


def report_lines(report: ImportReport) -> list[str]:
    """The report for a person, line by line."""
    lines = [_summary(report)]
    if report.rules:
        lines += ["", "rules:", *_rule_table(report.rules)]
    if report.refused:
        lines += ["", "refused:"]
        for reason in report.refused:
            lines += [f"{reason.rows:>10,}  {reason.reason}", *(f"{'':12}{text}" for text in reason.examples)]
    if report.notes:
        lines += ["", *report.notes]
    return lines


def mapping_lines(found: Mapping[str, str], others: Sequence[str], where: str, fate: str) -> list[str]:
    """How a file's columns are read, for a person; ``fate``: what becomes of the ``others``."""
    lines = [f"{where}:", *(f"  {ours:<15} from {theirs}" for ours, theirs in found.items())]
    if others:
        lines.append(f"  {fate + ':':<15} {', '.join(others)}")
    return lines


def _summary(report: ImportReport) -> str:
    verb = "good" if report.dry_run else "stored"
    counts = [f"{report.rows:,} rows read", f"{report.stored:,} {report.kind} {verb}"]
    if report.kind == "demo":
        counts[1] = f"{report.stored:,} entries {verb}"
    counts += [f"{report.duplicates:,} already there"] if report.duplicates else []
    counts += [f"{report.refused_rows:,} refused"] if report.refused else []
    return ", ".join(counts)


def _rule_table(rules: Sequence[RuleResult]) -> list[str]:
    lines = []
    for rule in rules:
        lines.append(f"{rule.rows:>10,}  {rule.action:<8} {rule.name}: {rule.meaning}")
        lines += [f"{'':12}{text}" for text in rule.examples]
    return lines

"""``endcap evaluate``: judge every model on the past."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import click
import polars as pl
from tqdm import tqdm

from endcap import wiring
from endcap.config import Config, Home, load_config
from endcap.errors import DataError, HomeError
from endcap.evaluation.offline import Case, Settings
from endcap.evaluation.page import as_html
from endcap.evaluation.problems import (
    Problem,
    TimeCut,
    ahead_problem,
    leave_last_out_problem,
    prequential_problem,
    session_problem,
    time_problem,
)
from endcap.evaluation.report import as_json, as_text
from endcap.events.log import entries
from endcap.pipelines.demo import MS_PER_WEEK, read_marker
from endcap.pipelines.evaluate import Evaluation, Fit, Plan, Watch, run
from endcap.pipelines.evaluation_files import (
    IdTypes,
    has_columns,
    read_prefixes,
    read_sessions,
    read_touches,
    write_predictions,
)
from endcap.pipelines.report import write_file
from endcap.types import Entry

Protocol = Literal["time", "leave-last-out", "session", "prequential"]
STRINGS = IdTypes(pl.String(), pl.String())
MAX_K = 1_000


@dataclass(frozen=True, slots=True)
class Asked:
    """The options as they were given; None: the protocol decides."""

    home: Path
    data: Path | None
    test: Path | None
    protocol: Protocol | None
    fit: Fit | None
    seen: Literal["hide", "keep"] | None
    models: str | None
    k: str
    seed: int
    json_file: Path | None
    predictions: Path | None
    report: Path | None


@click.command("evaluate")
@click.option("--home", type=click.Path(path_type=Path), default=Path("endcap-home"), show_default=True)
@click.option("--data", type=click.Path(path_type=Path), help="Evaluate on this file instead of the home's log.")
@click.option("--test", type=click.Path(path_type=Path), help="What is asked, in a file of its own.")
@click.option(
    "--protocol",
    type=click.Choice(["time", "leave-last-out", "session", "prequential"]),
    help="By default the columns decide.",
)
@click.option("--fit", type=click.Choice(["train", "refit"]), help="Leave the validation part out of training, or not.")
@click.option("--seen", type=click.Choice(["hide", "keep"]), help="Items that the user touched before.")
@click.option("--models", metavar="NAME,...", help="Only these; blend, rrf and stacking are ensembles of the others.")
@click.option("--k", default="5,10,20", show_default=True, metavar="K,...", help="List lengths.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Every figure, as JSON.")
@click.option("--predictions", type=click.Path(path_type=Path), help="Every list: .parquet, .jsonl or .csv.")
@click.option("--report", type=click.Path(path_type=Path), help="A page with plots; it needs no network.")
def evaluate_command(**options: object) -> None:
    """Judge every model on the past: one table, with intervals and times.

    Without --data the home's log is used, and its last 30 days are the test; figures and page are kept in its reports/
    too. The columns of --data: user_id, item_id, time or pos; for sessions a list of item ids in `session`, and in
    --test `prefix` and `target`.

    Defaults: leave-last-out fits on `train` and hides what was seen; the others refit, and keep it. `prequential` asks
    for each event of the last 30 days, then learns from it.
    """
    evaluate(Asked(**options))  # type: ignore[arg-type]  # click has checked each of them


def evaluate(asked: Asked) -> None:
    """Runs what was asked, prints the table, writes the files."""
    kept = _kept(asked.home) if asked.data is None else None
    targets = [path for path in (asked.json_file, asked.predictions, asked.report) if path is not None]
    for path in targets:
        _check_target(path)
    config = load_config(asked.home / "config.toml") if asked.data is None else Config()
    protocol = asked.protocol or _protocol_of(asked.data)
    cut = TimeCut(validation_days=config.train.validation_days)
    problem, ids = _problem(asked, protocol, cut)
    plan = _plan(asked, protocol, config)
    kit = wiring.evaluation_kit(None if asked.data else asked.home, config, plan.names)
    found = run(problem, kit, plan, _watch())
    click.echo(as_text(found.report))
    _write(asked, found, ids)
    if kept is not None:
        _keep(kept, found)
        targets.append(kept)
    for path in targets:
        click.echo(f"wrote {path}", err=True)


def _protocol_of(data: Path | None) -> Protocol:
    if data is None or has_columns(data, "time"):
        return "time"
    return "session" if has_columns(data, "session") else "leave-last-out"


def _plan(asked: Asked, protocol: Protocol, config: Config) -> Plan:
    apart = protocol == "leave-last-out"
    hide = asked.seen == "hide" if asked.seen else apart
    marker = read_marker(asked.home) if asked.data is None else None
    return Plan(
        fit=asked.fit or ("train" if apart else "refit"),
        settings=Settings(_lengths(asked.k), hide, seed=asked.seed),
        names=tuple(name.strip() for name in (asked.models or "").split(",") if name.strip()),
        state=config.state,
        shift_ms=marker.shift_weeks * MS_PER_WEEK if marker else 0,
    )


def _lengths(text: str) -> tuple[int, ...]:
    try:
        ks = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        ks = ()
    if not ks or ks[0] < 1 or ks[-1] > MAX_K:
        raise DataError(f"--k is {text!r}: give list lengths from 1 to {MAX_K}, such as 5,10,20")
    return ks


def _problem(asked: Asked, protocol: Protocol, cut: TimeCut) -> tuple[Problem, IdTypes]:
    if asked.data is None:
        return _problem_of_log(asked, protocol, cut), STRINGS
    if protocol == "session":
        if asked.test is None:
            raise DataError("--protocol session needs --test FILE with the columns prefix and target")
        sessions, ids = read_sessions(asked.data)
        return session_problem(sessions, read_prefixes(asked.test)), ids
    touches, ids = read_touches(asked.data)
    if protocol == "leave-last-out":
        if asked.test is not None:
            raise DataError("--protocol leave-last-out takes its test from --data: leave --test out")
        return leave_last_out_problem(touches), ids
    if not touches.has_clock:
        raise DataError(f"{asked.data} has no column time: --protocol {protocol} needs one; leave-last-out takes pos")
    if protocol == "prequential":
        if asked.test is not None:
            raise DataError("--protocol prequential takes its test from --data: leave --test out")
        return prequential_problem(touches.entries(), cut), ids
    if asked.test is None:
        return time_problem(touches.entries(), cut), ids
    answers, _ = read_touches(asked.test)
    return ahead_problem(touches.entries(), answers.entries(), int(touches.time[-1]) + 1, cut), ids


def _problem_of_log(asked: Asked, protocol: Protocol, cut: TimeCut) -> Problem:
    if asked.test is not None or protocol not in ("time", "prequential"):
        raise DataError(
            "the home's log is evaluated with --protocol time or prequential: give --data FILE for --test "
            "or another one"
        )
    if not Home(asked.home).log.exists():
        raise HomeError(f"there is no shop in {asked.home}: name its --home, import one first, or give --data FILE")
    with closing(wiring.open_log(asked.home)) as log:
        of = prequential_problem if protocol == "prequential" else time_problem
        return of(list(entries(log)), cut)


def _watch() -> Watch:
    """Progress bars on stderr, where somebody looks."""

    def cases(of: Sequence[Case], model: str) -> Iterator[Case]:
        yield from tqdm(of, desc=f"lists of {model}", unit=" lists", file=sys.stderr, disable=None, leave=False)

    def log_entries(of: Sequence[Entry], what: str) -> Iterator[Entry]:
        yield from tqdm(of, desc=what, unit=" entries", file=sys.stderr, disable=None, leave=False, unit_scale=True)

    def step(what: str) -> None:
        if sys.stderr.isatty():
            click.echo(f"fitting {what}", err=True)

    return Watch(cases, log_entries, step)


def _check_target(path: Path) -> None:
    """Before the long work, not after it."""
    folder = path.parent
    if path.is_dir() or not folder.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise DataError(f"{path} cannot be written: name a file in a folder that is there and may be written")


def _kept(home: Path) -> Path:
    """Where the home keeps this evaluation's page; its figures lie beside it, under the same name with .json."""
    return home / "reports" / f"evaluation-{datetime.now(UTC):%Y%m%dT%H%M%S}Z.html"


def _keep(page: Path, found: Evaluation) -> None:
    write_file(page.with_suffix(".json"), as_json(found.report).encode())
    write_file(page, as_html(found.report).encode())


def _write(asked: Asked, found: Evaluation, ids: IdTypes) -> None:
    if asked.json_file is not None:
        asked.json_file.write_text(as_json(found.report) + "\n", encoding="utf-8")
    if asked.predictions is not None:
        table, people, items = found.report.table, found.questions.people, found.past.state.items
        write_predictions(asked.predictions, table, people, items, ids)
    if asked.report is not None:
        asked.report.write_text(as_html(found.report), encoding="utf-8")

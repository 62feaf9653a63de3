"""``endcap tune``: settings that make better lists, found on the shop's own past."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import click
import msgspec

from endcap import wiring
from endcap.config import Config, Home, TrainConfig, load_config, own_settings
from endcap.errors import HomeError, ModelError
from endcap.events.log import entries
from endcap.interfaces.cli.progress import progress_bar
from endcap.pipelines.locking import lock_tuning
from endcap.types import Entry, Progress

if TYPE_CHECKING:
    from endcap.pipelines.evaluate import Kit
    from endcap.pipelines.tune import Job, Outcome

TUNED = "tuned.toml"


@dataclass(frozen=True, slots=True)
class Asked:
    """The options as they were given; None: the rest decides."""

    home: Path
    models: str | None
    minutes: float
    trials: int
    test_days: float
    seed: int
    fresh: bool
    as_json: bool


@click.command("tune")
@click.option("--home", type=click.Path(path_type=Path), default=Path("endcap-home"), show_default=True)
@click.option(
    "--models", metavar="NAME,...", help="Only these members of the blend; by default all that have settings."
)
@click.option(
    "--minutes", type=click.FloatRange(0, min_open=True), default=30.0, show_default=True, help="For all trials."
)
@click.option("--trials", type=click.IntRange(1), default=30, show_default=True, help="For each model.")
@click.option(
    "--test-days", type=click.FloatRange(0, min_open=True), default=30.0, show_default=True, help="Kept apart."
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@click.option("--fresh", is_flag=True, help="Forget a tuning that was cut off.")
@click.option("--json", "as_json", is_flag=True, help="Machine output: every trial.")
def tune_command(**options: object) -> None:
    """Try settings of the models on the shop's past, and keep the best in HOME/tuned.toml.

    Only the validation part decides; the test is asked once, at the end. What serves is left alone: the next
    `endcap train` reads the file. The same command goes on where one that was killed stood.
    """
    tune(Asked(**options))  # type: ignore[arg-type]  # click has checked each of them


def tune(asked: Asked) -> None:
    """Tunes what was asked for, and says what came of it."""
    try:
        from endcap.pipelines import tune as pipeline  # noqa: PLC0415  # optuna: an extra, and seconds
    except ImportError as error:
        raise ModelError(f"tuning needs {error.name}: pip install 'endcap[tune]'") from error
    if not Home(asked.home).log.exists():
        raise HomeError(f"there is no shop in {asked.home}: name its --home, or import one first")
    with closing(lock_tuning(asked.home)):
        outcome = _tuned(asked, pipeline)
    if asked.as_json:
        click.echo(msgspec.json.encode(outcome))
    else:
        _tell(outcome, asked.home)


def _tuned(asked: Asked, pipeline: ModuleType) -> Outcome:
    """Searches, and keeps what was found. ``pipeline`` is ``endcap.pipelines.tune``."""
    home = asked.home
    folder = Home(home).cache / "tune"
    if asked.fresh:
        shutil.rmtree(folder, ignore_errors=True)
    config, own = load_config(home / "config.toml"), own_settings(home / "config.toml", "train")
    members = wiring.chosen_models(config.train.models)
    wiring.check_trainable(members, config.train)
    names = tuple(name.strip() for name in (asked.models or "").split(",") if name.strip())
    spaces = pipeline.spaces(names, members, own)
    workshop = pipeline.Workshop(config, _kit(home, config), members, spaces, folder)
    past, offset = _past(home, pipeline.pinned(folder))
    job = pipeline.Job(tuple(spaces), offset, pipeline.digest(config), asked.trials, asked.test_days, asked.seed)
    with progress_bar("tuning") as show:
        outcome: Outcome = pipeline.tune(
            workshop, past, job, asked.minutes * 60, pipeline.Watch(*_watch(show, asked.trials * len(spaces)))
        )
    pipeline.keep(outcome, Home(home).reports / "tuning.json")
    if outcome.chosen:
        said = f"Written by endcap tune, on the log up to entry {offset:,}. config.toml goes before it."
        pipeline.write_tuned(home / TUNED, replace(config.train, **outcome.chosen), own, said)
    shutil.rmtree(folder, ignore_errors=True)
    return outcome


def _kit(home: Path, config: Config) -> Callable[[TrainConfig], Kit]:
    return lambda train: wiring.evaluation_kit(home, replace(config, train=train))


def _past(home: Path, before: Job | None) -> tuple[list[Entry], int]:
    """The entries of the log, up to where it was when the tuning began, and that offset."""
    with closing(wiring.open_log(home)) as log:
        offset = log.last_offset() if before is None else before.offset
        return [entry for entry in entries(log) if entry.offset <= offset], offset


def _watch(show: Progress, total: int) -> tuple[Callable[[str, int, float | None, float], None], Callable[[str], None]]:
    """What is called after a trial, and before a longer step."""
    done = 0

    def trial(member: str, number: int, value: float | None, best: float) -> None:
        nonlocal done
        done += 1
        show(done, total)
        figure = "given up" if value is None else f"{value:.4f}"
        click.echo(f"{member}, trial {number + 1}: validation NDCG@20 {figure}, best {best:.4f}", err=True)

    return trial, lambda what: click.echo(f"judging {what}", err=True)


def _tell(outcome: Outcome, home: Path) -> None:
    validation, test, cases = outcome.validation, outcome.test, outcome.cases
    if not outcome.chosen or outcome.difference is None:
        click.echo(
            f"Nothing was better than the present settings: blend NDCG@20 {validation['before']:.4f} on validation "
            f"({cases['validation']:,} shoppers), {test['before']:.4f} on the test ({cases['test']:,})."
        )
        return
    for name, value in outcome.chosen.items():
        click.echo(f"{name} = {value if isinstance(value, str) else f'{value:.6g}'}")
    gap, low, high = outcome.difference
    click.echo(
        f"blend NDCG@20: validation {validation['before']:.4f} to {validation['after']:.4f} ({cases['validation']:,} "
        f"shoppers); test, asked once, {test['before']:.4f} to {test['after']:.4f} ({cases['test']:,}), "
        f"difference {gap:+.4f} ({low:+.4f} to {high:+.4f})."
    )
    click.echo(f"Kept in {home / TUNED}: the next endcap train reads it. Nothing that serves has changed.")

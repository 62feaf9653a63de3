"""``endcap train --labelled``: from a table with a label to the probability of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from click.core import ParameterSource

from endcap.config import Home
from endcap.errors import ConfigError, ModelError
from endcap.interfaces.cli.progress import progress_bar

if TYPE_CHECKING:
    from endcap.models.tabular import Card

_OPTIONS = (
    click.option("--label", metavar="COLUMN", help="Of --labelled: what is learnt, 0 or 1."),
    click.option(
        "--positive-from", type=float, metavar="NUMBER", help="Labels are numbers; from this one on they are 1."
    ),
    click.option("--user", metavar="COLUMN", help="Ids of users.  [default: user_id, where there is one]"),
    click.option("--item", metavar="COLUMN", help="Ids of items.  [default: item_id, where there is one]"),
    click.option("--time", metavar="COLUMN", help="When it was; no feature.  [default: time, where there is one]"),
    click.option("--categorical", multiple=True, metavar="COLUMN", help="Holds categories, though written as numbers."),
    click.option("--ignore", multiple=True, metavar="COLUMN", help="Is no feature."),
    click.option(
        "--split", type=click.Choice(["auto", "time", "hash"]), default="auto", help="Which rows validate and test."
    ),
    click.option("--name", metavar="NAME", help="Of the folder in HOME/labelled.  [default: the label]"),
    click.option("--factors", type=click.IntRange(1, 1024), default=16, help="Numbers in a vector.", show_default=True),
    click.option("--hidden", default="64,32", metavar="N,...", help="Layers; 0: none.", show_default=True),
    click.option("--dropout", type=click.FloatRange(0, 0.9), default=0.2, show_default=True),
    click.option("--epochs", type=click.IntRange(1), default=30, show_default=True),
    click.option("--batch-size", type=click.IntRange(1), default=256, show_default=True),
    click.option("--optimizer", type=click.Choice(["gd", "sgd", "adam", "adamw"]), default="adam", show_default=True),
    click.option(
        "--schedule", type=click.Choice(["constant", "linear", "cosine"]), default="constant", show_default=True
    ),
    click.option("--learning-rate", type=float, default=1e-3, show_default=True),
    click.option("--weight-decay", type=float, default=1e-4, show_default=True),
    click.option("--patience", type=click.IntRange(0), default=3, help="Epochs without less loss.", show_default=True),
    click.option("--device", default="auto", help="auto, cpu, cuda.", show_default=True),
    click.option("--threads", type=click.IntRange(1), default=1, help="One gives the same bits.", show_default=True),
    click.option("--fresh", is_flag=True, help="Forget a training of this name that was cut off."),
)
SHOWN = 8
"""Columns named in one line."""
_SETTINGS = (
    "epochs",
    "batch_size",
    "optimizer",
    "schedule",
    "learning_rate",
    "weight_decay",
    "patience",
    "device",
    "threads",
)


def labelled_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that go with ``--labelled``."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def refuse_without_table(context: click.Context, names: Mapping[str, object]) -> None:
    """Raises ConfigError if one of the options ``names`` was given, though no table was."""
    for name in names:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise ConfigError(f"--{name.replace('_', '-')} goes with --labelled FILE: give both, or neither")


@dataclass(frozen=True, slots=True)
class Asked:
    """The options as they were given; None: the rest decides."""

    label: str | None
    positive_from: float | None
    user: str | None
    item: str | None
    time: str | None
    categorical: tuple[str, ...]
    ignore: tuple[str, ...]
    split: str
    name: str | None
    factors: int
    hidden: str
    dropout: float
    epochs: int
    batch_size: int
    optimizer: str
    schedule: str
    learning_rate: float
    weight_decay: float
    patience: int
    device: str
    threads: int
    fresh: bool


def train_table(home: Home, table: Path, asked: Asked, seed: int, as_json: bool) -> None:
    """Trains what was asked for, and says what came of it."""
    if asked.label is None:
        raise ConfigError(f"which column of {table} is the label is not said: name it with --label")
    try:
        from endcap.pipelines import labelled as pipeline  # noqa: PLC0415  # torch: an extra, and seconds
    except ImportError as error:
        raise ModelError(f"training needs {error.name}: pip install 'endcap[train]'") from error
    name = _name(asked.name or asked.label)
    columns = pipeline.Columns(
        asked.label, asked.user, asked.item, asked.time, asked.categorical, asked.ignore, asked.positive_from
    )
    settings = pipeline.Settings(momentum=0.9, warmup=0.0, seed=seed, **{key: getattr(asked, key) for key in _SETTINGS})
    shape = pipeline.Shape(asked.factors, _layers(asked.hidden), asked.dropout)
    job = pipeline.Job(columns, asked.split, shape, settings)  # type: ignore[arg-type]  # click has checked it
    work = home.cache / "labelled" / name
    if asked.fresh:
        shutil.rmtree(work, ignore_errors=True)
    with progress_bar("training") as show:
        around = pipeline.Around(work, show, home.reports / "labelled" / name, epoch_over=_say)
        card = pipeline.train_labelled(job, table, home.labelled / name, around)
    shutil.rmtree(work, ignore_errors=True)
    if as_json:
        click.echo(msgspec.json.encode(card))
    else:
        _tell(card, home.labelled / name)


def _name(text: str) -> str:
    if text != Path(text).name or text.startswith("."):
        raise ConfigError(f"the name {text!r:.80} is no name of a folder: give --name, such as --name clicks")
    return text


def _layers(text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError:
        sizes = (-1,)
    if sizes == (0,):
        return ()
    if min(sizes) < 1:
        raise ConfigError(f"--hidden is {text!r:.80}: give the sizes of layers, such as 64,32, or 0 for none")
    return sizes


def _say(epoch: Any) -> None:
    parts = []
    for part in ("training", "validation"):
        found = {name.partition("/")[2]: value for name, value in epoch.metrics.items() if name.startswith(f"{part}/")}
        parts.append(f"{part} {_figures(found)}")
    click.echo(f"epoch {epoch.epoch}: {'; '.join(parts)}", err=True)


def _figures(found: Mapping[str, float]) -> str:
    return ", ".join(
        f"{name} {found[name]:.4f}" if name in found else f"{name} -" for name in ("loss", "accuracy", "auc")
    )


def _tell(card: Card, folder: Path) -> None:
    counts = card.rows
    click.echo(
        f"{counts['training']:,} rows learnt from, {counts['validation']:,} validate, {counts['test']:,} test "
        f"(split by {card.split}); {counts['refused']:,} refused."
    )
    for reason, rows in card.refused.items():
        click.echo(f"refused, {rows:,} rows: {reason}")
    for why in dict.fromkeys(card.left_out.values()):
        names = [name for name, said in card.left_out.items() if said == why]
        click.echo(f"left out, since {why}: {', '.join(names[:SHOWN])}{' and more' * (len(names) > SHOWN)}")
    click.echo(f"test: {_figures(card.test)}; loss of always saying the share of ones {card.test['base_loss']:.4f}")
    click.echo(
        f"Kept in {folder}, the weights of epoch {card.best_epoch}: endcap.models.tabular.Tabular.open predicts."
    )

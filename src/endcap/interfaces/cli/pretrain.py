"""``endcap pretrain``: an encoder that has learnt from the shop's own text, or from what people take together."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click
import msgspec

from endcap import wiring
from endcap.config import Home, load_config
from endcap.errors import ConfigError, ModelError
from endcap.interfaces.cli.progress import progress_bar
from endcap.pipelines.material import Material, home_groups, home_texts, read_material
from endcap.pipelines.restart import replayed

OBJECTIVES = ("masked", "causal", "next-sentence", "classify", "contrast")


@dataclass(frozen=True, slots=True)
class Asked:
    """The options as they were given; None: the rest decides."""

    name: str
    home: Path
    objective: str
    base: str | None
    size: str
    data: Path | None
    text: tuple[str, ...]
    label: str | None
    group: str | None
    tune: str
    lora_rank: int
    projection: int
    max_tokens: int
    dropout: float
    label_smoothing: float
    held_out: float
    epochs: int
    batch_size: int
    accumulate: int
    optimizer: str
    schedule: str
    learning_rate: float
    momentum: float
    weight_decay: float
    warmup: float
    clip_norm: float
    patience: int
    seed: int
    device: str
    precision: str
    threads: int
    checkpoint_steps: int
    fresh: bool
    as_json: bool


def _option(*names: str, **more: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(*names, show_default=more.get("default") is not None, **more)


@click.command("pretrain")
@click.argument("name")
@_option("--home", type=click.Path(path_type=Path), default=Path("endcap-home"))
@_option("--objective", type=click.Choice(OBJECTIVES), default="masked", help="What is learnt.")
@_option("--from", "base", metavar="ENCODER", help="Its weights; without it, random ones and pieces of the text.")
@_option("--size", type=click.Choice(["tiny", "small", "base", "large"]), default="tiny", help="With random weights.")
@_option("--data", type=click.Path(path_type=Path), help="Learn from this file instead of the home.")
@_option("--text", multiple=True, metavar="COLUMN", help="Of --data; again for more than one.")
@_option("--label", metavar="COLUMN", help="What classify learns; of the home: category or rating.")
@_option("--group", metavar="COLUMN", help="What contrast learns: rows of one basket or visit.")
@_option("--tune", type=click.Choice(["full", "lora"]), default="full", help="All weights, or thin matrices beside.")
@_option("--lora-rank", type=click.IntRange(1, 512), default=8)
@_option("--projection", type=click.IntRange(0, 4096), default=0, help="Dimensions of contrast; 0: the encoder's own.")
@_option("--max-tokens", type=click.IntRange(4, 8192), default=128, help="A text is cut to so many pieces.")
@_option("--dropout", type=click.FloatRange(0, 0.9), default=0.1)
@_option("--label-smoothing", type=click.FloatRange(0, 0.9), default=0.0)
@_option("--held-out", type=click.FloatRange(0, 0.9), default=0.1, help="Share of the texts that judges.")
@_option("--epochs", type=click.IntRange(1), default=5)
@_option("--batch-size", type=click.IntRange(1), default=32)
@_option("--accumulate", type=click.IntRange(1), default=1, help="Batches to a step.")
@_option("--optimizer", type=click.Choice(["gd", "sgd", "adam", "adamw"]), default="adamw")
@_option("--schedule", type=click.Choice(["constant", "linear", "cosine"]), default="linear")
@_option("--learning-rate", type=float, default=5e-4, help="All of given weights: try a tenth of it.")
@_option("--momentum", type=float, default=0.9, help="Of sgd.")
@_option("--warmup", type=float, default=0.06, help="Share of the steps in which the rate comes up.")
@_option("--weight-decay", type=float, default=0.01)
@_option("--clip-norm", type=float, default=1.0, help="Greatest length of the gradient; 0: any.")
@_option("--patience", type=click.IntRange(0), default=2, help="Epochs without a better figure; 0: never stop early.")
@_option("--seed", type=click.IntRange(0, 2**32 - 1), default=0)
@_option("--device", default="auto", help="auto, cpu, cuda.")
@_option("--precision", type=click.Choice(["auto", "float32", "bfloat16", "float16"]), default="auto")
@_option("--threads", type=click.IntRange(1), default=1, help="One gives the same bits each time.")
@_option("--checkpoint-steps", type=click.IntRange(0), default=500, help="And after each epoch.")
@click.option("--fresh", is_flag=True, help="Forget a training of this name that was cut off.")
@click.option("--json", "as_json", is_flag=True, help="Machine output: the encoder's encoder.json.")
def pretrain_command(**options: object) -> None:
    """Train an encoder on the shop's own text, and keep it as HOME/encoders/NAME.

    The same command goes on where one that was killed stood. `[encode] text = "NAME"` in config.toml serves it from
    the next `endcap train` on.
    """
    run(Asked(**options))  # type: ignore[arg-type]  # click has checked each of them


def run(asked: Asked) -> None:
    """Trains what was asked for, and says what came of it."""
    try:
        from endcap.pipelines import pretrain as pipeline  # noqa: PLC0415  # torch: an extra, and seconds
    except ImportError as error:
        raise ModelError(f"training needs {error.name}: pip install 'endcap[train]'") from error
    settings = pipeline.Settings(**{key.name: getattr(asked, key.name) for key in fields(pipeline.Settings)})
    job = pipeline.Job(settings=settings, **{name: getattr(asked, name) for name in _OF_JOB})
    home = Home(asked.home)
    work = home.cache / "pretrain" / asked.name
    if asked.fresh:
        shutil.rmtree(work, ignore_errors=True)
    with progress_bar("training") as show, pipeline.joined():
        around = pipeline.Around(work, show, home.reports / "pretrain" / asked.name, epoch_over=_say)
        spec = pipeline.pretrain(job, _material(asked), home.encoders, asked.name, around)
    if spec is None:  # another process of this training writes it
        return
    shutil.rmtree(work, ignore_errors=True)
    if asked.as_json:
        click.echo(msgspec.json.encode(spec))
    else:
        click.echo(
            f'Trained {spec.name}: the weights of epoch {spec.made["epochs"]}. `[encode] text = "{spec.name}"` in '
            "config.toml serves it from the next `endcap train` on."
        )


_OF_JOB = (
    "objective",
    "base",
    "size",
    "tune",
    "lora_rank",
    "projection",
    "max_tokens",
    "held_out",
    "dropout",
    "label_smoothing",
)


def _say(epoch: Any) -> None:
    figures = "".join(f", {name} {value:.4g}" for name, value in epoch.metrics.items())
    click.echo(f"epoch {epoch.epoch}: loss {epoch.loss:.4g}{figures}", err=True)


def _material(asked: Asked) -> Material:
    contrast = asked.objective == "contrast"
    if asked.data is not None:
        if not asked.text:
            raise ConfigError(f"which columns of {asked.data} hold text is not said: name them with --text")
        return read_material(asked.data, asked.text, asked.label, asked.group)
    given = [name for name in ("text", "group") if getattr(asked, name)]
    if given:
        raise ConfigError(f"--{given[0]} is a column of a file: name the file with --data, or leave it out")
    with closing(wiring.open_log(asked.home)) as log:
        state = replayed(asked.home, load_config(asked.home / "config.toml"), log)
        items = [item for _, item in state.shop.listed_items()]
        if contrast:
            return home_groups(items, log)
        return home_texts(items, log, asked.label or ("category" if asked.objective == "classify" else None))

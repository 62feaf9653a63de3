"""``endcap train``: learn a model from the log and activate it, or one of a labelled table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click
import msgspec

from endcap import wiring
from endcap.config import Config, Home, load_config
from endcap.errors import ConfigError
from endcap.interfaces.cli.labelled import Asked, labelled_options, refuse_without_table, train_table
from endcap.interfaces.cli.progress import progress_bar
from endcap.models.persistence import Manifest


def run_training(home: Path, config: Config, seed: int | None = None) -> Manifest:
    """Encodes what is new, trains, activates; with bars. ``seed`` None: the configured one."""
    chosen = config.train.seed if seed is None else seed
    with progress_bar("training") as show, progress_bar("encoding texts") as encoding:
        return wiring.train(home, config, chosen, wiring.clock(), show, encoding)


@click.command("train")
@click.option("--home", type=click.Path(path_type=Path), default=Path("endcap-home"), show_default=True)
@click.option("--models", metavar="NAME,...", help="Blend only these; by default train.models of config.toml, or all.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Instead of train.seed of config.toml.")
@click.option(
    "--json", "as_json", is_flag=True, help="Machine output: the version's manifest, or the table's model.json."
)
@click.option(
    "--labelled", type=click.Path(path_type=Path), metavar="FILE", help="Learn a label from this table instead."
)
@labelled_options
@click.pass_context
def train_command(
    context: click.Context,
    /,
    home: Path,
    models: str | None,
    seed: int | None,
    as_json: bool,
    labelled: Path | None,
    **options: object,
) -> None:
    """Learn a model from the log and activate it. It may run beside a server, which then serves the new version.

    With --labelled FILE --label COLUMN: from users, items and features of a table (CSV, JSON lines, Parquet) to the
    probability of the label, kept as HOME/labelled/NAME. The same command goes on where one that was killed stood.
    """
    if labelled is not None:
        if models is not None:
            raise ConfigError("--models names members of the blend, and --labelled trains none: leave one of them out")
        train_table(Home(home), labelled, Asked(**options), seed or 0, as_json)  # type: ignore[arg-type]  # by click
        return
    refuse_without_table(context, options)
    config = load_config(home / "config.toml")
    if models is not None:
        config = replace(config, train=replace(config.train, models=_names(models)))
    manifest = run_training(home, config, seed)
    if as_json:
        click.echo(msgspec.json.encode(manifest))
    else:
        click.echo(f"Trained {manifest.version} on the log up to entry {manifest.offset:,}; it serves from now on.")
        for sentence in (said for worded in manifest.reasons.values() for said in worded.values()):
            click.echo(f"A reason in the shop's voice: {sentence}")


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise ConfigError(f"--models is {text!r}: name at least one of {', '.join(wiring.chosen_models(()))}")
    return names

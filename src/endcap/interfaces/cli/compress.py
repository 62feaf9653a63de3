"""``endcap compress``: smaller encoders from one that is there, and a table of what each costs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from endcap import wiring
from endcap.config import Home, load_config
from endcap.encoders.adding import PACKAGED
from endcap.encoders.folder import folder_names
from endcap.errors import ConfigError, HomeError, ModelError, NotFoundError
from endcap.events.log import entries
from endcap.interfaces.cli.progress import progress_bar

if TYPE_CHECKING:
    from endcap.pipelines.compress import Compressed


@dataclass(frozen=True, slots=True)
class Asked:
    """The options as they were given; None: the rest decides."""

    encoder: str | None
    home: Path
    ways: str | None
    heads: float
    weights: float
    layers: int
    dim: int
    epochs: int
    recovery_epochs: int
    learning_rate: float
    days: float
    seed: int
    as_json: bool


@click.command("compress")
@click.argument("encoder", required=False)
@click.option("--home", type=click.Path(path_type=Path), default=Path("endcap-home"), show_default=True)
@click.option("--ways", metavar="A,B", help="Only these; by default all. A wrong name lists them.")
@click.option("--heads", type=float, default=0.5, show_default=True, help="Share of the heads that go.")
@click.option("--weights", type=float, default=0.5, show_default=True, help="Share of the weights that become 0.")
@click.option("--layers", type=click.IntRange(0), default=0, help="Of the student; by default half.")
@click.option("--dim", type=click.IntRange(1), default=256, show_default=True, help="Of a table, at most.")
@click.option("--epochs", type=click.IntRange(1), default=4, show_default=True, help="Of the student's training.")
@click.option("--recovery-epochs", type=click.IntRange(1), default=2, show_default=True, help="Of it after pruning.")
@click.option("--learning-rate", type=float, default=4e-4, show_default=True)
@click.option("--days", type=float, default=30.0, show_default=True, help="The last days judge the ranking.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Machine output.")
def compress_command(**options: object) -> None:
    """Make smaller siblings of ENCODER, measure them on the shop's own catalogue and events, and say which to serve.

    ENCODER is one of the home's or of a package; by default the one that config.toml names. Each sibling is an
    encoder of its own, ENCODER-WAY. Nothing is served by it until config.toml names it and `endcap train` has run.
    """
    run(Asked(**options))  # type: ignore[arg-type]  # click has checked each of them


def run(asked: Asked) -> None:
    """Makes, measures and says what was asked for."""
    try:
        from endcap.pipelines import compress as pipeline  # noqa: PLC0415  # torch: an extra, and seconds
    except ImportError as error:
        raise ModelError(f"making encoders smaller needs {error.name}: pip install 'endcap[train]'") from error
    ways = [way.strip() for way in asked.ways.split(",") if way.strip()] if asked.ways else list(pipeline.WAYS)
    settings = pipeline.Settings(epochs=asked.epochs, learning_rate=asked.learning_rate, seed=asked.seed)
    job = pipeline.Job(
        asked.weights, asked.heads, asked.layers, asked.dim, settings=settings, recovery_epochs=asked.recovery_epochs
    )
    config = load_config(asked.home / "config.toml")
    pipeline.check_ways(ways)
    if not Home(asked.home).log.exists():
        raise HomeError(f"there is no shop in {asked.home}: name its --home, or import a catalogue first")
    folder = _folder(asked, config.encode.text)
    pipeline.check_encoder(folder, ways)
    with closing(wiring.open_log(asked.home)) as log:
        trial, notes = pipeline.shop_trial(list(entries(log)), config.state, asked.days, asked.seed)
    with progress_bar("compressing") as show:
        found = pipeline.compress(folder, ways, job, trial, progress=show)
    found.notes.extend(notes)
    if asked.as_json:
        click.echo(msgspec.json.encode(found))
    else:
        click.echo("\n".join(_lines(found)))


def _folder(asked: Asked, configured: str) -> Path:
    encoders, name = Home(asked.home).encoders, asked.encoder or configured
    if name in folder_names(encoders):
        return encoders / name
    if name in PACKAGED:
        PACKAGED[name](encoders, name)
        return encoders / name
    there = ", ".join(dict.fromkeys([*folder_names(encoders), *PACKAGED]))
    if asked.encoder is None:
        raise ConfigError(f"encode.text is {name!r:.80}, which is no folder of weights: name an ENCODER, of {there}")
    raise NotFoundError(f"there is no encoder {name!r:.80} to make smaller: there are {there}")


HEAD = (
    "encoder",
    "MB",
    "smaller",
    "load ms",
    "titles/s",
    "faster",
    "p50 ms",
    "cosine",
    "least",
    "recall",
    "NDCG",
    "kept",
)


def _lines(found: Compressed) -> Sequence[str]:
    rows = [HEAD, *(_row(found, place) for place in range(len(found.found)))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    table = [" ".join(_padded(row, widths)) for row in rows]
    on = found.judged_on
    about = (
        f"Judged on {on['texts']:,} items that nothing was fitted on, {on['cases']:,} shoppers, {on['queries']:,} "
        "queries. Times are of one thread's CPU; kept: the share of the first one's NDCG@10, with its 95 % interval."
    )
    serve = (
        f'Serve {found.chosen}: {found.why}. `[encode] text = "{found.chosen}"` in config.toml, then `endcap train`.'
        if found.chosen != found.base
        else f"Stay with {found.base}: {found.why}."
    )
    return [*table, "", about, *found.notes, serve]


def _padded(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        cell.rjust(width) if column else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]


def _row(found: Compressed, place: int) -> tuple[str, ...]:
    one = found.found[place]
    ratio = found.ratios.get(one.name)
    share = one.ndcg_share
    return (
        one.name,
        f"{one.megabytes:,.1f}",
        f"{ratio.smaller:.1f}x" if ratio else "",
        f"{one.speed.load_ms:,.0f}",
        f"{one.speed.titles_per_second:,.0f}",
        f"{ratio.faster:.1f}x" if ratio else "",
        f"{one.speed.p50_ms:.2f}",
        f"{one.cosine_mean:.3f}",
        f"{one.cosine_least:.3f}",
        "-" if one.recall is None else f"{one.recall:.3f}",
        "-" if one.ndcg is None else f"{one.ndcg:.4f}",
        f"{share[0]:.1%} ({share[1]:.0%} to {share[2]:.0%})" if ratio and share else "",
    )

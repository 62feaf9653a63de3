"""``endcap encoders``: the pretrained models that turn texts, images and sounds into vectors."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import msgspec

from endcap.config import Config, Home, load_config
from endcap.encoders.adding import PACKAGED, Overrides, add_folder
from endcap.encoders.adding_images import add_joint, is_joint
from endcap.encoders.folder import check_folder, folder_names, read_folder
from endcap.encoders.layout import MODES
from endcap.encoders.registry import BUILT_IN, ENDPOINT, open_text
from endcap.errors import EndcapError, NotFoundError

SAMPLE = ("RED RETROSPOT MUG", "Set of 3 café trays, 20% off", "红色杯子", "")
"""What ``check`` encodes: the last one must have no vector."""
_home = click.option("--home", type=click.Path(path_type=Path), default=Path("endcap-home"), show_default=True)
_json = click.option("--json", "as_json", is_flag=True, help="Machine output.")


@click.group("encoders")
def encoders_command() -> None:
    """Pretrained models, which turn texts, images and sounds into vectors: which there are, adding one, checking one.

    `encode.text` of config.toml names the one that is used; a change takes effect at the next `endcap train`.
    """


@dataclass(frozen=True, slots=True)
class _Listed:
    name: str
    kind: str
    modality: str
    dim: int
    megabytes: float
    """On the disk, what it can be trained further from among it."""
    used: bool
    """Whether config.toml names it."""
    version: str
    problem: str | None = None


@encoders_command.command("list")
@_home
@_json
def list_command(home: Path, as_json: bool) -> None:
    """List the encoders that there are, and what can be added from packages."""
    config = load_config(home / "config.toml")
    found = _listed(home, config)
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    for one in found:
        size = f"{one.megabytes:,.1f} MB" if one.megabytes else "-"
        mark = "*" if one.used else " "
        click.echo(f"{mark} {one.name:<28} {one.modality:<7} {one.kind:<9} {one.dim:>5} dim {size:>12}")
        if one.problem is not None:
            click.echo(f"    cannot be used: {one.problem}")
    click.echo(f"* is used. `endcap encoders add` knows {', '.join(PACKAGED)}, and folders in Hugging Face layout.")


def _listed(home: Path, config: Config) -> Sequence[_Listed]:
    wanted = {config.encode.text, config.encode.image, config.encode.speech}
    found = [
        _Listed(name, "built-in", "text", make().dim, 0.0, name in wanted, name) for name, make in BUILT_IN.items()
    ]
    if config.endpoint.address:
        try:
            version, problem = open_text(home, config, ENDPOINT).name, None
        except EndcapError as error:
            version, problem = "", str(error)
        used = ENDPOINT in wanted
        found.append(_Listed(ENDPOINT, ENDPOINT, "text", config.endpoint.dim, 0.0, used, version, problem))
    folder = Home(home).encoders
    for name in folder_names(folder):
        size = sum(path.stat().st_size for path in (folder / name).rglob("*") if path.is_file()) / 1e6
        try:
            spec = read_folder(folder / name)
            found.append(_Listed(name, spec.kind, spec.modality, spec.dim, size, name in wanted, spec.version))
        except EndcapError as error:
            found.append(_Listed(name, "?", "?", 0, size, name in wanted, "", str(error)))
    return found


@encoders_command.command("add")
@click.argument("source", metavar="NAME|FOLDER")
@_home
@click.option("--name", help="What it is called here; by default as it is called there.")
@click.option("--prefix", help="Put before every text, such as 'passage: '; by default what the folder says.")
@click.option("--query-prefix", help="The same for what is searched for, such as 'query: '.")
@click.option("--pooling", type=click.Choice(MODES), help="By default what the folder says, or mean.")
@click.option("--trainable", is_flag=True, help="Export it with torch even where there is a model.onnx.")
@_json
def add_command(source: str, home: Path, name: str | None, as_json: bool, **overrides: str | bool | None) -> None:
    """Add an encoder: one of the packages' by its name, or of a FOLDER of transformers or sentence-transformers.

    Nothing is downloaded. A folder that has no `onnx/model.onnx` is exported with torch (pip install 'endcap[train]').
    A folder of a CLIP or SigLIP becomes two encoders, NAME for images and NAME-text for texts, in one space.
    """
    folder = Path(source)
    if folder.is_dir() and is_joint(folder):
        spec, _ = add_joint(Home(home).encoders, folder, name or folder.resolve().name.lower())
    elif folder.is_dir():
        spec = add_folder(Home(home).encoders, folder, name, msgspec.convert(overrides, Overrides))
    elif any(overrides.values()):
        raise click.UsageError("how a model is to be read can be said of a FOLDER only", click.get_current_context())
    elif source in PACKAGED:
        spec = PACKAGED[source](Home(home).encoders, name or source)
    else:
        raise NotFoundError(f"{source!r:.120} is neither a folder nor one of the packages' {', '.join(PACKAGED)}")
    if as_json:
        click.echo(msgspec.json.encode(spec))
    else:
        size = f", {spec.dim} dimensions" if spec.dim else ""
        click.echo(f"Added {spec.version}{size}. To use it: encode.{spec.modality} in config.toml.")


@encoders_command.command("check")
@click.argument("name", required=False)
@_home
@_json
def check_command(name: str | None, home: Path, as_json: bool) -> None:
    """Check that an encoder is whole and encodes; by default the one of texts in use; an endpoint must answer.

    Every file is compared with the digest of the day on which it was added.
    """
    config = load_config(home / "config.toml")
    chosen = name or config.encode.text
    folder = Home(home).encoders / Path(chosen).name
    if folder.is_dir() and (spec := read_folder(folder)).modality != "text":
        check_folder(folder, spec)
        found: dict[str, object] = {"name": chosen, "version": spec.version, "dim": spec.dim, "modality": spec.modality}
    else:
        found = _tried(home, config, chosen)
    click.echo(json.dumps(found) if as_json else ", ".join(f"{key} {value}" for key, value in found.items()))


def _tried(home: Path, config: Config, name: str) -> dict[str, object]:
    encoder = open_text(home, config, name)
    begun = time.perf_counter()
    encoder.load()
    loaded = time.perf_counter()
    vectors = encoder.encode(SAMPLE)
    taken = time.perf_counter() - loaded
    return {
        "name": name,
        "version": encoder.name,
        "dim": encoder.dim,
        "load_seconds": round(loaded - begun, 3),
        "ms_a_text": round(1_000 * taken / len(SAMPLE), 2),
        "encoded": f"{int(vectors.any(axis=1).sum())} of {len(SAMPLE)} samples, one of which is empty",
    }

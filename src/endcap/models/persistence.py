"""A model version on disk: one immutable folder of arrays and JSON, whole or not there at all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import msgspec
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from endcap.backends.disk.whole import whole_folder
from endcap.errors import ModelError, NotFoundError
from endcap.protocols import Storable
from endcap.types import Vocabulary

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a version is made of, and from what."""

    version: str
    created_ms: int
    """Milliseconds since 1970."""
    offset: int
    """The newest entry of the log that it has learnt from."""
    seed: int
    encoder: str
    """The encoder whose vectors it goes with."""
    weights: Mapping[str, float]
    """Of the blend, by model: every one that it was trained with, those of weight 0 too."""
    n_items: int
    items_digest: str
    """Of the ids of the first ``n_items`` rows: a version serves only the catalogue that it was trained on."""
    hides_seen: bool = False
    """Whether hiding what a user has had before, until it is due again, made the lists better."""
    hides_bought: bool = False
    """Whether hiding only what was bought, until it is due again, made them better still."""
    image_encoder: str = ""
    """The one of pictures; empty: none were looked at."""
    meaning_floor: float = 0.5
    """The cosine of a query with an item's text that says nothing: each encoder has its own."""
    reasons: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """The shop's own sentences for reasons, by language and name, where a language model has worded them."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """On the validation split, before the last fit."""
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """By the name of a metric: its 95 % interval over the cases of that split."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """The configuration that it was made with."""
    sha256: Mapping[str, str] = field(default_factory=dict)
    """By file."""
    problem: str | None = None
    """Why the folder cannot be served; never written, only listed."""


def version_name(now_ms: int, salt: bytes) -> str:
    """``YYYYMMDD-HHMMSS-xxxx``: names sort by time; ``salt`` tells two of one second apart."""
    moment = datetime.fromtimestamp(now_ms / 1000, UTC)
    return f"{moment:%Y%m%d-%H%M%S}-{hashlib.blake2b(salt, digest_size=2).hexdigest()}"


def items_digest(items: Vocabulary, n: int) -> str:
    """A digest of the first ``n`` ids, in row order."""
    digest = hashlib.blake2b(digest_size=16)
    for name in islice(items, n):
        digest.update(name.encode() + b"\0")
    return digest.hexdigest()


def save_version(models_dir: Path, learners: Mapping[str, Storable], manifest: Manifest) -> Manifest:
    """Write ``models_dir``/<version>; there is never half a folder under that name. The manifest with its digests.

    Raises ModelError if the version exists or the disk refuses.
    """
    final = models_dir / manifest.version
    try:
        with whole_folder(final) as building:
            digests = {}
            for name, learner in learners.items():
                data = save_arrays(dict(learner.to_arrays()))
                digests[f"{name}.safetensors"] = hashlib.sha256(data).hexdigest()
                (building / f"{name}.safetensors").write_bytes(data)
            manifest = replace(manifest, sha256=digests)
            (building / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
    except OSError as error:
        raise ModelError(f"{final} cannot be written ({error.strerror}): check the disk, then train again") from error
    return manifest


def load_version(models_dir: Path, version: str, learners: Mapping[str, Storable], items: Vocabulary) -> Manifest:
    """Fill ``learners`` with what the version holds; its manifest. Those that it was trained without stay empty.

    Raises NotFoundError if there is no such version, ModelError if a file is missing, damaged, or the version
    was trained on another catalogue. Then the learners must not be used.
    """
    folder = models_dir / Path(version).name  # a version is a name, never a way out of the folder
    manifest = read_manifest(folder)
    if items_digest(items, manifest.n_items) != manifest.items_digest:
        raise ModelError(f"{folder} was trained on another catalogue than this log holds: run endcap train")
    for name, learner in learners.items():
        if name in manifest.weights or f"{name}.safetensors" in manifest.sha256:
            _fill(learner, folder / f"{name}.safetensors", manifest)
    return manifest


def _fill(learner: Storable, path: Path, manifest: Manifest) -> None:
    data = _checked(path, manifest)
    try:
        learner.from_arrays(load_arrays(data))
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    except (SafetensorError, ValueError, KeyError) as error:  # its digest fits: it was written like that
        raise ModelError(f"{path} holds no arrays ({error!r:.200}): delete the folder and run endcap train") from error


def list_versions(models_dir: Path) -> list[Manifest]:
    """Every version, the newest first; one that cannot be served says why in ``problem``."""
    found = []
    for folder in filter(Path.is_dir, models_dir.glob("[!.]*")) if models_dir.is_dir() else ():
        try:
            manifest = read_manifest(folder)
            for name in manifest.sha256:
                if not (folder / name).is_file():
                    raise ModelError(f"{folder / name} is missing: delete the folder and run endcap train")
        except (ModelError, NotFoundError) as error:
            manifest = Manifest(folder.name, 0, 0, 0, "", {}, 0, "", problem=str(error))
        found.append(manifest)
    second = len("YYYYMMDD-HHMMSS")  # two of one second are told apart by the manifest, where it can be read
    return sorted(found, key=lambda one: (one.version[:second], one.created_ms, one.version), reverse=True)


def read_manifest(folder: Path) -> Manifest:
    """The manifest in ``folder``. Raises NotFoundError if there is no such folder, ModelError if it is damaged."""
    path = folder / MANIFEST
    try:
        if not folder.is_dir():
            raise NotFoundError(f"there is no model version {folder.name!r}: GET /v1/models lists them")
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}): delete the folder and run endcap train") from error
    except msgspec.MsgspecError as error:
        raise ModelError(f"{path} is damaged ({error}): delete the folder and run endcap train") from error


def _checked(path: Path, manifest: Manifest) -> bytes:
    expected = manifest.sha256.get(path.name)
    if expected is None:
        raise ModelError(f"{path} is not in the manifest: the version has other models; run endcap train")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}): delete the folder and run endcap train") from error
    if hashlib.sha256(data).hexdigest() != expected:
        raise ModelError(f"{path} is damaged (its SHA-256 differs): delete the folder and run endcap train")
    return data

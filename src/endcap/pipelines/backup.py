"""Backup: a home folder, served or not, as one archive that is consistent.

The log is copied first, as it is at one moment. A model is whole on the disk before the log names it, so every
version that the copied log names is there when the folders are read afterwards.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import IO, cast

import msgspec

from endcap.backends.log.copying import copy_log, newest
from endcap.config import Home
from endcap.errors import HomeError, ModelError, NotFoundError
from endcap.events.log import to_entry
from endcap.models.persistence import read_manifest
from endcap.types import Activation, Progress

CONTENTS = "backup.json"
"""The last member of an archive: a list of all others, so that what was cut off is noticed."""
FORMAT = 1
LOG = "log/endcap.db"
FOLDERS = ("models", "labelled", "encoders", "vectors", "reports")
"""Archived whole; of ``state`` the newest snapshot that the log has caught up with; ``cache`` is left out."""


class ArchivedFile(msgspec.Struct, frozen=True):
    """One file of an archive."""

    size: int
    sha256: str


class Archive(msgspec.Struct, frozen=True):
    """What an archive holds, and of when it is."""

    format: int
    endcap: str
    """The version that wrote it."""
    created_ms: int
    """Milliseconds since 1970."""
    offset: int
    """The newest entry of the log."""
    active: str | None
    """The model version that the log says serves; None before the first training."""
    problem: str | None
    """Why that version could not be archived whole; None when it was."""
    files: dict[str, ArchivedFile]
    """By path in the home."""


def backup(home: Path, out: Path, now_ms: int, progress: Progress) -> Archive:
    """Write ``home`` to the tar file ``out``, whole or not at all; a server may go on taking events.

    ``progress`` gets bytes done and bytes in all. Raises HomeError if the home has no log or a damaged one, or if
    ``out`` cannot be written or lies in what is archived.
    """
    paths = Home(home)
    if out.resolve().is_relative_to(home.resolve()):
        raise HomeError(f"{out} lies in the home that it is to keep: write it to another place")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as work:
            log, part = Path(work) / "log.db", Path(work) / "part"
            copy_log(paths.log, log, lambda done, total: progress(done, max(total * 2, 1)))
            archive = _write(part, home, log, now_ms, progress)
            part.replace(out)
    except OSError as error:
        raise HomeError(
            f"{error.filename or out} cannot be archived ({error.strerror}): check its rights and the space at {out}"
        ) from error
    return archive


def _write(part: Path, home: Path, log: Path, now_ms: int, progress: Progress) -> Archive:
    last = newest(log)
    offset = 0 if last is None else last[0]
    sources = {LOG: log, **dict(_sources(home, offset))}
    sizes = {name: path.stat().st_size for name, path in sources.items()}
    total, done, files = sum(sizes.values()), 0, {}
    with part.open("wb") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for name, path in sources.items():
                files[name] = _add(tar, name, path, sizes[name], now_ms)
                done += sizes[name]
                progress(total + done, total * 2)
            active, problem = _active(log, home, files)
            archive = Archive(FORMAT, version("endcap"), now_ms, offset, active, problem, files)
            data = msgspec.json.format(msgspec.json.encode(archive))
            tar.addfile(_header(CONTENTS, len(data), now_ms), io.BytesIO(data))
        file.flush()
        os.fsync(file.fileno())
    return archive


def _sources(home: Path, offset: int) -> Iterator[tuple[str, Path]]:
    """Everything but the log, by its name in the archive."""
    for config in sorted(home.glob("*.toml")):  # settings, and what was tuned
        yield config.name, config
    snapshots = [path for path in Home(home).state.glob("*.npz") if path.stem.isdecimal() and int(path.stem) <= offset]
    for path in sorted(snapshots)[-1:]:
        yield f"state/{path.name}", path
    for folder in FOLDERS:
        for path in sorted((home / folder).rglob("*")):
            name = path.relative_to(home)
            if path.is_file() and not any(part.startswith(".") or part.endswith(".part") for part in name.parts):
                yield name.as_posix(), path


class _Digesting(io.RawIOBase):
    """Reads on from ``file`` and digests what was read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.sha256.update(data)
        return data


def _add(tar: tarfile.TarFile, name: str, path: Path, size: int, now_ms: int) -> ArchivedFile:
    """The first ``size`` bytes of the file: the vectors' file may grow meanwhile."""
    with path.open("rb") as file:
        digesting = _Digesting(file)
        tar.addfile(_header(name, size, now_ms), cast(IO[bytes], digesting))
    return ArchivedFile(size, digesting.sha256.hexdigest())


def _header(name: str, size: int, now_ms: int) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.size, header.mtime, header.mode = size, now_ms // 1000, 0o600
    return header


def _active(log: Path, home: Path, files: Mapping[str, ArchivedFile]) -> tuple[str | None, str | None]:
    """The version that the log says serves, and what of it is not in ``files`` as it should be."""
    found = newest(log, "activation")
    body = None if found is None else to_entry(*found).body
    if not isinstance(body, Activation):
        return None, None
    try:
        manifest = read_manifest(Home(home).models / Path(body.version).name)
    except (ModelError, NotFoundError) as error:
        return body.version, str(error)
    for name, sha256 in manifest.sha256.items():
        stored = files.get(f"models/{body.version}/{name}")
        if stored is None or stored.sha256 != sha256:
            return body.version, f"models/{body.version}/{name} is missing or damaged: run endcap train, then back up"
    return body.version, None

"""Restore: an archive of ``endcap backup`` becomes a home folder, whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import IO

import msgspec

from endcap.backends.disk.whole import place
from endcap.errors import DataError, HomeError
from endcap.pipelines.backup import CONTENTS, FORMAT, LOG, Archive, ArchivedFile
from endcap.types import Progress

_CHUNK = 1 << 20


def restore(archive: Path, home: Path, progress: Progress) -> Archive:
    """Make ``home`` from ``archive``; every file's digest is checked before the home is there.

    Raises DataError for a file that is no archive, is cut off or damaged; HomeError for a home that is not empty or
    cannot be written.
    """
    target = home.resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise HomeError(f"{home} is not empty: restore into a folder that is empty or does not exist")
    with _opened(archive) as tar:
        contents = _contents(tar, archive)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as work:
                building = Path(work) / target.name
                _extract(tar, archive, contents.files, building, progress)
                place(building, target)
        except OSError as error:
            raise _unwritable(home, error) from error
    return contents


def _opened(archive: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(archive, mode="r:")
    except (tarfile.TarError, OSError) as error:
        raise DataError(f"{archive} is no archive of 'endcap backup' ({error}): give one") from error


def _contents(tar: tarfile.TarFile, archive: Path) -> Archive:
    """The list at the end of the archive. Raises DataError if it is not there, or the members are others."""
    try:
        members = tar.getmembers()
        last = tar.extractfile(members[-1]) if members and members[-1].name == CONTENTS else None
        if last is None:
            raise DataError(f"{archive} is cut off: {CONTENTS} is not at its end; take another backup")
        contents = msgspec.json.decode(last.read(), type=Archive)
    except (tarfile.TarError, msgspec.MsgspecError, EOFError) as error:
        raise DataError(f"{archive} is damaged ({error}): take another backup") from error
    if contents.format != FORMAT:
        raise DataError(
            f"{archive} has format {contents.format}, this Endcap reads {FORMAT}: use the one that wrote it"
        )
    names = [member.name for member in members[:-1]]
    wrong = {*names} ^ {*contents.files} | {name for name in names if not _is_inside(name)}
    if wrong or len({*names}) < len(names) or LOG not in contents.files:
        raise DataError(f"{archive} is damaged ({min(wrong, default=LOG)!r:.200} does not belong): take another backup")
    return contents


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def _extract(
    tar: tarfile.TarFile, archive: Path, files: Mapping[str, ArchivedFile], building: Path, progress: Progress
) -> None:
    total, done = sum(file.size for file in files.values()), 0
    for name, stored in files.items():
        source = tar.extractfile(name)  # None for what is no file
        if source is None or _copy(source, building / name) != stored.sha256:
            raise DataError(f"{archive}: {name} is damaged (its SHA-256 differs): take another backup")
        done += stored.size
        progress(done, total)


def _copy(source: IO[bytes], target: Path) -> str:
    """Write ``source`` to ``target``; its SHA-256."""
    digest = hashlib.sha256()
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        while data := source.read(_CHUNK):
            digest.update(data)
            file.write(data)
    return digest.hexdigest()


def _unwritable(home: Path, error: OSError) -> HomeError:
    if error.errno in (errno.EBUSY, errno.EXDEV):
        return HomeError(f"{home} is a mount point, which cannot be replaced: restore into a folder below it")
    return HomeError(f"{home} cannot be written ({error.strerror}): check its rights and its space, or name another")

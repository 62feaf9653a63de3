"""Folders that are whole or not there at all, also after a power cut."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_folder(final: Path) -> Iterator[Path]:
    """An empty folder to fill, which gets the name ``final`` in the end; if anything is raised, nothing is left of it.

    Raises OSError if the disk refuses, or ``final`` is there and not empty.
    """
    building = final.parent / f".{final.name}.part"
    shutil.rmtree(building, ignore_errors=True)  # of a process that was killed
    try:
        building.mkdir(parents=True)
        yield building
        place(building, final)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def place(building: Path, final: Path) -> None:
    """Give the folder ``building`` its name, once all that is in it is on the disk.

    An empty folder of that name is replaced (POSIX rename). Raises OSError.
    """
    for path in (*building.rglob("*"), building):
        _sync(path)
    building.rename(final)
    _sync(final.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

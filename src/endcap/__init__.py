"""Endcap: a self-hosted, real-time recommender for online shops."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from endcap.interfaces.embedded import Shop


def open(home: str | Path) -> Shop:  # noqa: A001  # endcap.open(...) is the name of the door
    """The shop in the folder ``home``, in this process, without a server; a new one if there is none.

    Raises HomeError if the folder cannot be used.
    """
    from endcap.interfaces.embedded import Shop  # noqa: PLC0415  # `import endcap` must stay light

    return Shop(Path(home))

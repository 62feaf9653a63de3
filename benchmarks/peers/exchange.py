"""How ``quality.py`` and a peer in a process, and often a virtual environment, of its own tell each other things.

numpy only. A peer is called, with this folder's parent on its path, as ``peer.py ASKED.npz ANSWER.npz SETTINGS``, the
settings as JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Array = Any
"""A numpy array; numpy 1 and 2 write its type differently."""


@dataclass
class Asked:
    """What is learnt from and what is asked."""

    user: Array
    """(n,) user rows of the interactions, in the order of time."""
    item: Array
    """(n,) item rows."""
    n_users: int
    n_items: int
    asking: Array
    """(cases,) user rows, -1 for somebody unknown."""
    history: Array
    """Item rows of all cases laid end to end, oldest first."""
    edges: Array
    """(cases + 1,) where those of each case begin."""
    hide_seen: bool
    k: int

    def histories(self) -> list[Array]:
        """One array a case."""
        return np.split(self.history, self.edges[1:-1])

    def save(self, path: Path) -> None:
        """For ``load``."""
        np.savez(path, **self.__dict__)

    @classmethod
    def load(cls, path: Path) -> Asked:
        """What ``save`` wrote."""
        with np.load(path) as held:
            found = {name: held[name] for name in cls.__dataclass_fields__}
        for name, kind in (("n_users", int), ("n_items", int), ("hide_seen", bool), ("k", int)):
            found[name] = kind(found[name])
        return cls(**found)


Answer = Callable[[Asked, "dict[str, Any]", Path], "tuple[Array, Array]"]
"""(asked, settings, a folder to keep what was learnt in) -> (cases, k) item rows padded with -1, and scores"""


def main(answer: Answer) -> None:
    """Reads the question that the command line names, answers it, writes the answer."""
    asked, target, settings = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
    items, scores = answer(Asked.load(asked), settings, target.parent)
    np.savez(target, items=items.astype(np.int32), scores=scores.astype(np.float32))

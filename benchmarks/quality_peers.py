"""Other people's recommenders in ``quality.py``: each runs in a process of its own, on the same data and questions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from endcap.evaluation.offline import Case
from endcap.types import Interactions
from peers.exchange import Asked
from quality_lists import LENGTH, Proposed

SCRIPTS = Path(__file__).parent / "peers"
HOURS = 3


@dataclass(frozen=True, slots=True)
class Environment:
    """What a peer needs that Endcap's own environment does not have."""

    name: str
    packages: tuple[str, ...] = ()
    """For pip; none: Endcap's own environment will do."""

    def python(self, folder: Path) -> Path:
        """Its interpreter; the environment is made below ``folder`` where it is not there yet."""
        if not self.packages:
            return Path(sys.executable)
        place = folder / self.name
        if not (place / "whole").exists():
            shutil.rmtree(place, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
            subprocess.run([str(place / "bin" / "pip"), "install", "--quiet", *self.packages], check=True)
            (place / "whole").touch()
        return place / "bin" / "python"


class Peer:
    """A peer with its settings; it is fitted when it is first asked, and may keep what it learnt for the next time."""

    def __init__(self, python: Path, script: str, settings: dict[str, object], past: Interactions) -> None:
        self._command = [str(python), str(SCRIPTS / script)]
        self._settings = settings
        self._past = past
        self._kept = Path(tempfile.mkdtemp(prefix="endcap-peer-"))
        weakref.finalize(self, shutil.rmtree, self._kept, ignore_errors=True)

    def propose(self, cases: Sequence[Case], hide_seen: bool) -> Proposed:
        """Its lists. Raises CalledProcessError, or TimeoutExpired after HOURS."""
        folder = self._kept
        n_items = len(self._past.items)
        histories = [
            case.query.history[case.query.history < n_items] for case in cases
        ]  # a later item is unknown to it
        Asked(
            self._past.user,
            self._past.item,
            len(self._past.users),
            n_items,
            np.array([case.query.user for case in cases], np.int32),
            np.concatenate(histories),
            np.concatenate([[0], np.cumsum([history.size for history in histories])]),
            hide_seen,
            LENGTH,
        ).save(folder / "asked.npz")
        files = [str(folder / "asked.npz"), str(folder / "answer.npz")]
        command = [*self._command, *files, json.dumps(self._settings)]
        around = {**os.environ, "PYTHONPATH": str(SCRIPTS.parent), "OPENBLAS_NUM_THREADS": "1"}
        subprocess.run(command, check=True, timeout=HOURS * 3600, env=around)
        with np.load(folder / "answer.npz") as held:
            return Proposed(held["items"], held["scores"], held["scores"].max(axis=1, initial=0.0))

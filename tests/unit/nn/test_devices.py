"""Several processes that share a training come to what one does alone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from numpy.testing import assert_allclose
from safetensors.torch import load_file
from tests.unit.nn import shared
from tests.unit.nn.lines import Plain, network
from tests.unit.nn.shared import SHARED
from torch import nn

from endcap.nn.devices import Place, is_first, joined
from endcap.nn.training import train


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


def test_two_processes_are_one_with_twice_the_batches(tmp_path: Path) -> None:
    """33 rows in batches of 4: 9 of them, so the second process has nothing to do in the last step of an epoch."""
    around = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "WORLD_SIZE": "2",
    }
    command = [sys.executable, shared.__file__, str(tmp_path)]
    processes = [subprocess.Popen(command, env={**around, "RANK": str(rank)}) for rank in range(2)]
    assert [process.wait(120) for process in processes] == [0, 0]
    alone = network(0.0)
    found = train(alone, Plain(), replace(SHARED, accumulate=2))
    both = [load_file(tmp_path / f"{rank}.safetensors") for rank in range(2)]
    for name, weights in alone.state_dict().items():
        assert torch.equal(both[0][name], both[1][name])
        assert_allclose(weights, both[0][name], atol=1e-6)
    assert (tmp_path / "history").read_text() == repr([round(one.loss, 5) for one in found.history])


def test_alone_nothing_is_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined():
        assert is_first()
    place = Place(torch.device("cpu"), torch.float32)
    assert place.gather(nn.Linear(1, 1), [1.5, 2.0]) == [1.5, 2.0]
    assert place.told({"error": 1.0}) == {"error": 1.0}

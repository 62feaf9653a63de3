"""What TensorBoard reads: figures of each step, hidden after a resume, and the projector."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tests.unit.nn.lines import SETTINGS, Curve, network

from endcap.nn.tensorboard import Board
from endcap.nn.training import Around, train


def test_loss_rate_and_metrics_are_there_by_step(tmp_path: Path) -> None:
    found = train(network(), Curve(), replace(SETTINGS, epochs=2), Around(board=tmp_path))
    read = EventAccumulator(str(tmp_path)).Reload()
    assert set(read.Tags()["scalars"]) == {"loss", "learning_rate", "gradient_norm", "held_out/error"}
    assert [one.step for one in read.Scalars("loss")] == list(range(1, 11))
    errors = [(one.step, one.value) for one in read.Scalars("held_out/error")]
    assert np.allclose(errors, [(epoch.step, epoch.metrics["error"]) for epoch in found.history])


def test_what_a_killed_run_wrote_beyond_its_checkpoint_is_hidden(tmp_path: Path) -> None:
    first = Board(tmp_path)
    for step in range(1, 9):
        first.show(step, {"loss": 9.0})
    first.close()
    second = Board(tmp_path, step=4)
    for step in range(5, 7):
        second.show(step, {"loss": 1.0})
    second.close()
    seen = [(one.step, one.value) for one in EventAccumulator(str(tmp_path)).Reload().Scalars("loss")]
    assert seen == [(1, 9.0), (2, 9.0), (3, 9.0), (4, 9.0), (5, 1.0), (6, 1.0)]


def test_the_projector_has_every_vector_with_its_label(tmp_path: Path) -> None:
    board = Board(tmp_path)
    board.project(3, np.eye(2, dtype=np.float32), ["red\tcup", ""])
    board.close()
    (vectors,) = tmp_path.rglob("tensors.tsv")
    (labels,) = tmp_path.rglob("metadata.tsv")
    assert np.loadtxt(vectors).tolist() == [[1, 0], [0, 1]]
    assert labels.read_text().splitlines() == ["red cup", "-"]

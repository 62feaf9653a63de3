"""From a labelled table to a model of the label: read, split, train by the one loop, test once, export, keep."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import torch

from endcap.backends.disk.whole import whole_folder
from endcap.errors import DataError, ModelError
from endcap.features.columns import Coding, learn_coding
from endcap.models.tabular import CARD, NETWORK, Card, open_network, pack_card, run
from endcap.nn.checkpoints import Epoch
from endcap.nn.settings import Settings
from endcap.nn.tabular import Examples, Shape, TabularModel, TabularTask, export, judged, probabilities
from endcap.nn.training import Around, train
from endcap.pipelines.labelled_rows import Columns, How, LabelledRows, Parts, read_labelled, split_rows
from endcap.types import IntArray

__all__ = ["Around", "Columns", "Epoch", "Job", "Settings", "Shape", "train_labelled"]

AGREES = 1e-5
"""How far what is exported may be from what was trained, in probability."""
TRIED = 1_000
"""Rows on which that is looked at."""


@dataclass(frozen=True, slots=True)
class Job:
    """One training."""

    columns: Columns
    split: How = "auto"
    shape: Shape = field(default_factory=Shape)
    settings: Settings = field(default_factory=Settings)


def train_labelled(job: Job, path: Path, folder: Path, around: Around) -> Card:
    """Trains on the table at ``path`` and leaves ``folder``, whole.

    A training that was killed goes on where ``around.folder`` stands.

    Raises ModelError if the folder is there already, or the loss is no number any more; DataError for a table that
    cannot be learnt from; ConfigError for a setting that does not fit.
    """
    if folder.exists():
        raise ModelError(f"there is a model in {folder} already: give another --name, or delete the folder")
    rows = read_labelled(path, job.columns)
    parts = split_rows(rows, job.split, job.settings.seed)
    learnt = learn_coding(rows.frame[parts.training], rows.ids, job.columns.categorical)
    if not learnt.coding.names:
        raise DataError(f"{path} has no column to learn from: {_left_out(learnt.left_out)}")
    training, validation, test = (
        _examples(rows, learnt.coding, part) for part in (parts.training, parts.validation, parts.test)
    )
    model = _model(job, learnt.coding, float(training.labels.mean()))
    task = TabularTask(training, validation)
    task.data = hashlib.blake2b(f"{task.data} {job.shape!r}".encode(), digest_size=16).hexdigest()
    trained = train(model, task, job.settings, around)
    card = Card(
        name=folder.name,
        label=job.columns.label,
        positive_from=job.columns.positive_from,
        coding=learnt.coding,
        rows=_counts(rows, parts),
        refused={one.reason: one.rows for one in rows.refused},
        split=parts.how,
        settings={**asdict(job.settings), **asdict(job.shape)},
        left_out=learnt.left_out,
        history=[{"training_step_loss": one.loss, **one.metrics} for one in trained.history],
        best_epoch=trained.best.epoch,
        test=_tested(model, test, float(training.labels.mean())),
        sha256="",
    )
    return _write(model, folder, card, validation)


def _left_out(why: dict[str, str]) -> str:
    return "; ".join(f"{name}: {reason}" for name, reason in why.items())[:300]


def _examples(rows: LabelledRows, coding: Coding, part: IntArray) -> Examples:
    coded = coding.encode(rows.frame[part])
    return Examples(coded.codes, coded.numbers, rows.labels[part])


def _model(job: Job, coding: Coding, base: float) -> TabularModel:
    with torch.random.fork_rng():
        torch.manual_seed(job.settings.seed)
        return TabularModel(coding.sizes, coding.width, job.shape, base)


def _counts(rows: LabelledRows, parts: Parts) -> dict[str, int]:
    sizes = {"training": parts.training.size, "validation": parts.validation.size, "test": parts.test.size}
    return sizes | {"refused": sum(one.rows for one in rows.refused)}


def _tested(model: TabularModel, test: Examples, base: float) -> dict[str, float]:
    model.eval()
    always = judged(np.full(len(test.labels), base), test.labels)
    return judged(probabilities(model, test), test.labels) | {"base_loss": always["loss"]}


def _write(model: TabularModel, folder: Path, card: Card, tried: Examples) -> Card:
    """Writes ``folder``; the card with the digest of its network. Raises ModelError."""
    try:
        with whole_folder(folder) as building:
            path = building / NETWORK
            export(model, tried, path)
            data = path.read_bytes()
            few = tried.at(np.arange(min(TRIED, len(tried.labels)), dtype=np.int32))
            said = run(open_network(data, path), few.codes, few.numbers)
            apart = float(np.abs(said - probabilities(model, few)).max())
            if not apart <= AGREES:
                raise ModelError(f"the exported network is {apart:.2g} from the trained one: report this")
            card = msgspec.structs.replace(card, sha256=hashlib.sha256(data).hexdigest())
            (building / CARD).write_bytes(pack_card(card))
    except OSError as error:
        raise ModelError(
            f"{folder} cannot be written ({error.strerror}): check the disk, then give the same command again"
        ) from error
    return card

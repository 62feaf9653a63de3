"""Pretrain: an encoder that has learnt from the shop's own texts, or from what people take together.

From random weights, or from those of an encoder that is there; by the one loop of ``nn/training.py``; kept as a folder
that ``[encode] text`` can name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, TypeVar

import numpy as np
import torch
from torch import nn

from endcap.encoders.adding import PACKAGED, Overrides, add_folder
from endcap.encoders.export import quiet
from endcap.encoders.folder import TOKENIZER, TORCH, Spec, check_folder, read_folder
from endcap.encoders.layout import read_layout
from endcap.encoders.pretraining.body import SIZES, Manner, Pooling, Start, from_scratch, start_from
from endcap.encoders.pretraining.causal import CausalTask
from endcap.encoders.pretraining.classify import ClassTask, Labelled, TextModel
from endcap.encoders.pretraining.contrast import MIN_TOGETHER, ContrastModel, ContrastTask, Pull, together
from endcap.encoders.pretraining.corpus import held_out
from endcap.encoders.pretraining.lora import add_lora, merge_lora
from endcap.encoders.pretraining.masked import MaskedTask, WordModel
from endcap.encoders.pretraining.next_sentence import NextSentenceTask, following, sentences
from endcap.errors import ConfigError, DataError, ModelError
from endcap.nn.devices import is_first, joined
from endcap.nn.settings import Settings
from endcap.nn.tensorboard import Board
from endcap.nn.training import Around, Task, train
from endcap.pipelines.material import Material
from endcap.types import BoolArray

__all__ = ["Around", "Job", "Settings", "build", "joined", "open_start", "pretrain", "write_encoder"]

Value = TypeVar("Value")
Objective = Literal["masked", "causal", "next-sentence", "classify", "contrast"]
Tune = Literal["full", "lora", "head"]
MIN_OF_CLASS = 5
"""Texts that a class needs: of fewer nothing can be learnt and held out."""
SHOWN = 1_000
"""Texts in the projector."""


@dataclass(frozen=True, slots=True)
class Job:
    """One pretraining."""

    objective: Objective
    base: str | None = None
    """An encoder of the home, one that a package carries, or a Hugging Face folder; None: random weights."""
    size: str = "tiny"
    """Of a body with random weights."""
    tune: Tune = "full"
    """All weights, thin matrices beside them (LoRA), or the head alone: what the others are compared with."""
    lora_rank: int = 8
    freeze_words: bool = False
    """Leave the vectors of the pieces as they are: four fifths of all weights in a small multilingual model."""
    max_tokens: int = 128
    held_out: float = 0.1
    """Share of the texts that is never trained on: it says which weights are best."""
    dropout: float = 0.1
    """Share of the numbers inside the model that a training step leaves out."""
    label_smoothing: float = 0.0
    projection: int = 0
    """Dimensions in which texts are compared while contrast is trained; 0: in their own."""
    pull: Pull = field(default_factory=Pull)
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True, slots=True)
class Built:
    """A model and what it is trained for, ready for the loop."""

    start: Start
    model: nn.Module
    task: Task


def pretrain(job: Job, material: Material, encoders: Path, name: str, around: Around) -> Spec | None:
    """Trains, and writes ``encoders``/``name``. A training that was killed goes on where ``around.folder`` stands.

    Of several processes that share the work, the first one writes, and the others give None.

    Raises ModelError if the name is taken, weights cannot be read, or the loss is no number any more; DataError where
    the material does not hold what the objective needs; ConfigError for a setting that does not fit.
    """
    if job.tune == "head":
        raise ConfigError("training the head alone makes no other encoder: use full or lora")
    if (encoders / name).exists():
        raise ModelError(f"there is an encoder {name!r:.80} already, and its vectors are its own: give another name")
    built = build(job, material, open_start(job, material, encoders))
    trained = train(built.model, built.task, job.settings, around)
    if not is_first():
        return None
    if job.tune == "lora":
        merge_lora(built.start.body)
    if around.board is not None and not material.by_people:
        _project(built.start, material, job, around.board)
    made = {
        "from": built.start.manner.name,
        "by": f"endcap pretrain --objective {job.objective}",
        "seed": job.settings.seed,
        "texts": len(material.texts),
        "epochs": trained.best.epoch,
        **trained.best.metrics,
    }
    return write_encoder(built.start, encoders, name, made)


def _project(start: Start, material: Material, job: Job, folder: Path) -> None:
    """Some texts as points, for TensorBoard's projector."""
    texts = material.texts[:SHOWN]
    board = Board(folder)
    board.project(0, start.body.encode(start.tokenize(texts, job.max_tokens), start.marks.pad), texts)
    board.close()


def open_start(job: Job, material: Material, encoders: Path) -> Start:
    """The body and the tokenizer that ``job`` begins with; of a package, the encoder is added to ``encoders`` first.

    Raises as ``pretrain`` does.
    """
    causal = job.objective == "causal"
    if job.base is None:
        if job.size not in SIZES:
            raise ConfigError(f"size is {job.size!r:.80}: choose among {', '.join(SIZES)}")
        return from_scratch(material.texts, job.size, job.max_tokens, job.settings.seed, causal)
    if Path(job.base).is_dir():
        return _start_from_folder(Path(job.base), causal)
    if not (encoders / job.base).is_dir() and job.base in PACKAGED:
        PACKAGED[job.base](encoders, job.base)
    spec = read_folder(encoders / job.base)
    weights = encoders / job.base / TORCH
    if spec.modality != "text" or not weights.is_dir():
        raise ModelError(f"the encoder {job.base!r} cannot be trained further: it has no {TORCH}/ of a text encoder")
    check_folder(encoders / job.base, spec, "torch")
    manner = Manner(job.base, spec.max_tokens, spec.pooling, spec.prefix, spec.query_prefix, spec.lower)
    return start_from(weights, manner, causal)


def _start_from_folder(folder: Path, causal: bool) -> Start:
    layout = read_layout(folder)
    if layout.static or layout.dense or layout.pooling not in ("mean", "cls"):
        raise ModelError(
            f"{folder} is no plain transformer with mean or first-token pooling: it cannot be trained here"
        )
    pooling: Pooling = "cls" if layout.pooling == "cls" else "mean"
    manner = Manner(folder.name, layout.max_tokens, pooling, layout.prefix, layout.query_prefix, layout.lower)
    return start_from(layout.body, manner, causal)


def build(job: Job, material: Material, start: Start) -> Built:
    """The model and the task of ``job``; the same seed gives the same weights. Raises as ``pretrain`` does."""
    kept = held_out(material.texts, job.held_out, job.settings.seed)
    makers = {"next-sentence": _next_sentence, "classify": _classes, "contrast": _contrast}
    with torch.random.fork_rng():
        torch.manual_seed(job.settings.seed)
        if job.tune == "lora":
            add_lora(start.body, job.lora_rank)
        elif job.tune == "head":
            start.body.requires_grad_(False)
        if job.freeze_words:
            start.body.words.requires_grad_(False)
        model, task = makers.get(job.objective, _words)(job, material, start, kept)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = job.dropout
    wanted = f"{task.data} {replace(job, settings=Settings())!r}"
    task.data = hashlib.blake2b(wanted.encode(), digest_size=16).hexdigest()  # a checkpoint is of the same job only
    return Built(start, model, task)


def _words(job: Job, material: Material, start: Start, kept: BoolArray) -> tuple[nn.Module, Task]:
    corpus, judged = (start.tokenize(_chosen(material.texts, which), job.max_tokens) for which in (~kept, kept))
    marks, smoothing = start.marks, job.label_smoothing
    if job.objective == "causal":
        return WordModel(start.body), CausalTask(corpus, judged, marks, smoothing)
    return WordModel(start.body), MaskedTask(corpus, judged, marks, start.body.words.num_embeddings, smoothing)


def _next_sentence(job: Job, material: Material, start: Start, kept: BoolArray) -> tuple[nn.Module, Task]:
    cut = [[one for part in row for one in sentences(part)] for row in material.parts]
    pairs, judged = (following(start, _chosen(cut, which), job.max_tokens) for which in (~kept, kept))
    if not len(pairs):
        raise DataError("no text has two sentences: give descriptions or reviews, or choose another objective")
    return TextModel(start.body, 2), NextSentenceTask(pairs, judged, start.marks, job.label_smoothing)


def _classes(job: Job, material: Material, start: Start, kept: BoolArray) -> tuple[nn.Module, Task]:
    if not material.labels:
        raise DataError("there are no labels to learn: name their column with --label")
    names, numbers, counts = np.unique(np.array(material.labels), return_inverse=True, return_counts=True)
    common = counts >= MIN_OF_CLASS
    if common.sum() < 2:
        raise DataError(
            f"of {len(names)} labels {int(common.sum())} stands at {MIN_OF_CLASS} texts or more: two are needed "
            "to tell apart: name another column, or give more texts"
        )
    places = (np.cumsum(common) - 1).astype(np.int32)[numbers]
    used = common[numbers]
    found = [
        Labelled(start.tokenize(_chosen(material.texts, which), job.max_tokens), places[which])
        for which in (used & ~kept, used & kept)
    ]
    if job.tune == "head":
        found = [replace(one, vectors=start.body.vectors(one.corpus, start.marks.pad)) for one in found]
    model = TextModel(start.body, int(common.sum()))
    return model, ClassTask(found[0], found[1], start.marks.pad, job.label_smoothing)


def _contrast(job: Job, material: Material, start: Start, kept: BoolArray) -> tuple[nn.Module, Task]:
    if not material.groups:
        raise DataError("nothing says which texts go together: name the column of baskets with --group")
    corpus = start.tokenize(material.texts, job.max_tokens)
    counts = together(material.groups, len(corpus))
    trained, judged = (np.flatnonzero(which).astype(np.int32) for which in (~kept, kept))
    task = ContrastTask(corpus, start.marks.pad, counts, trained, judged, job.pull)
    if not task.anchors.size:
        raise DataError(f"no two texts are in {MIN_TOGETHER} groups together: give more baskets or visits")
    task.look(start.body.encode(corpus, start.marks.pad))
    return ContrastModel(start.body, job.projection), task


def _chosen(values: Sequence[Value], which: BoolArray) -> list[Value]:
    return [value for value, wanted in zip(values, which, strict=True) if wanted]


def write_encoder(start: Start, encoders: Path, name: str, made: Mapping[str, object]) -> Spec:
    """Writes ``encoders``/``name`` of what ``start`` has become: torch/, ONNX, tokenizer. Raises as ``add_folder``."""
    manner = start.manner
    encoders.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".pretrained-", dir=encoders) as work:
        folder = Path(work)
        with quiet():
            start.body.model.cpu().save_pretrained(folder)
        start.tokenizer.no_truncation()
        start.tokenizer.save(str(folder / TOKENIZER))
        said = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": manner.max_tokens}
        (folder / "tokenizer_config.json").write_text(json.dumps(said | start.marks.names(start.tokenizer)))
        sentence = {"max_seq_length": manner.max_tokens, "do_lower_case": manner.lower}
        (folder / "sentence_bert_config.json").write_text(json.dumps(sentence))
        overrides = Overrides(manner.prefix, manner.query_prefix, manner.pooling, trainable=True)
        return add_folder(encoders, folder, name, overrides, made)

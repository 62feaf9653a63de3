"""Compress: smaller siblings of an encoder of text, each a folder of its own, and a table that says what each costs.

What is fitted (scales, weights, tables) is fitted on four fifths of the shop's texts; the rest judges.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from safetensors.numpy import save_file
from scipy import sparse
from tokenizers import Tokenizer

from endcap.catalog.items import ItemChange
from endcap.config import StateConfig
from endcap.encoders import export
from endcap.encoders.adding import AGREE
from endcap.encoders.folder import (
    MODEL,
    TABLE,
    TOKENIZER,
    TORCH,
    Spec,
    check_folder,
    read_folder,
    write_folder,
)
from endcap.encoders.onnx import OnnxTextEncoder, Transformer, open_session
from endcap.encoders.pretraining.body import Manner, Start, start_from
from endcap.encoders.pretraining.corpus import held_out
from endcap.encoders.reading import unit
from endcap.encoders.registry import open_text_folder
from endcap.encoders.tokens import Tokens
from endcap.errors import ConfigError, DataError, ModelError
from endcap.evaluation.encoding import (
    AIM,
    Judged,
    Opening,
    Ratios,
    Trial,
    choose,
    halved_titles,
    judge_encoders,
    new_item_cases,
    ratios,
)
from endcap.evaluation.offline import Case
from endcap.evaluation.past import Past, fold
from endcap.evaluation.problems import TimeCut, time_problem
from endcap.nn.compression.distil import DistilTask, Lesson, drop_layers
from endcap.nn.compression.prune import bake_masks, mask_weights, prune_heads
from endcap.nn.compression.quantise import quantise_dynamic, quantise_static
from endcap.nn.compression.table import eight_bits, fit_table, means_of, principal, sif_weights
from endcap.nn.settings import Settings
from endcap.nn.training import Around, train
from endcap.pipelines.pretrain import write_encoder
from endcap.types import Entry, FloatArray, Progress

__all__ = ["WAYS", "Job", "Settings", "check_encoder", "check_ways", "compress", "shop_trial"]

NEW = 0.2
"""Share of the texts that judges."""
JUDGES_EPOCHS = 0.1
"""Share of the others that says which epoch of a training is best."""
FEWEST = 20
"""Texts that siblings can be fitted on."""
MOST_ITEMS = 5_000
"""Of a large catalogue those that most people touched."""
MOST_CASES = 2_000
MOST_QUERIES = 300
_AT_ONCE = 128
TYPICAL = 200
"""Texts that static quantisation takes its scales from."""
MOST_FITTED = 4_000
"""Texts that a table is fitted to, for its cost is that of their number to the third: 2 s."""


@dataclass(frozen=True, slots=True)
class Job:
    """How siblings are made."""

    weights_pruned: float = 0.5
    """Share, by ``magnitude``."""
    heads_pruned: float = 0.5
    layers: int = 0
    """Of the student; 0: half of those there are."""
    dim: int = 256
    """Of a table, at most."""
    l2: float = 1.0
    """How hard it is to move a table when it is fitted."""
    settings: Settings = field(default_factory=lambda: Settings(epochs=4, learning_rate=4e-4))
    """Of a student's distillation."""
    recovery_epochs: int = 2
    """Of the same after pruning."""

    def __post_init__(self) -> None:
        for name in ("weights_pruned", "heads_pruned"):
            if not 0 < getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)!r:.80}: it must be between 0 and 1")
        if self.l2 <= 0 or self.dim < 1:
            raise ConfigError(f"l2 is {self.l2:g} and dim {self.dim}: both must be above 0")


class Workshop:
    """An encoder, and the texts that its siblings are fitted on."""

    def __init__(self, folder: Path, texts: Sequence[str], job: Job, progress: Progress | None = None) -> None:
        self.folder, self.job, self.progress = folder, job, progress
        self.spec = read_folder(folder)
        self.texts = list(dict.fromkeys(text for text in texts if text))

    @cached_property
    def vectors(self) -> FloatArray:
        """(texts, dim): what the encoder says of them."""
        return OnnxTextEncoder(self.folder).encode(self.texts)

    @cached_property
    def pieces(self) -> FloatArray:
        """(pieces, dim): what the encoder says of each piece alone, between the marks of beginning and end."""
        tokenizer = _tokenizer(self.folder)
        model, empty = Transformer(self.folder, self.spec), tokenizer.encode("").ids
        found = np.zeros((Tokens(self.folder, self.spec).largest + 1, self.spec.dim), np.float32)
        for start in range(0, len(found), _AT_ONCE):
            pieces = range(start, min(start + _AT_ONCE, len(found)))
            found[start : pieces.stop] = model.together([[*empty[:1], piece, *empty[1:]] for piece in pieces])
            if self.progress is not None:
                self.progress(pieces.stop, len(found))
        return found

    def start(self) -> Start:
        """Its weights, to be changed. Raises ModelError where the folder has none."""
        check_folder(self.folder, self.spec, "torch")
        spec = self.spec
        manner = Manner(spec.name, spec.max_tokens, spec.pooling, spec.prefix, spec.query_prefix, spec.lower)
        start = start_from(self.folder / TORCH, manner)
        start.body.model.set_attn_implementation("eager")  # what can be exported
        return start

    def recover(self, start: Start, epochs: int) -> Mapping[str, object]:
        """Trains ``start`` to give the encoder's vectors again. What to note of it.

        The vectors that pieces begin with stay: most of them stand in no text of the shop, and must fit the others.
        """
        start.body.words.requires_grad_(False)
        corpus = start.tokenize(self.texts, start.manner.max_tokens)
        judges = held_out(self.texts, JUDGES_EPOCHS, self.job.settings.seed + 1)  # another cut than that of new items
        lessons = [
            Lesson(corpus.take(np.flatnonzero(which).astype(np.int32)), self.vectors[which])
            for which in (~judges, judges)
        ]
        task = DistilTask(lessons[0], lessons[1], start.marks.pad)
        trained = train(start.body, task, replace(self.job.settings, epochs=epochs), Around(progress=self.progress))
        start.body.eval()
        return {"texts": len(self.texts), "epochs": trained.best.epoch, **trained.best.metrics}

    def run(self, start: Start) -> None:
        """Sends typical texts through ``start``."""
        start.body.encode(start.tokenize(self.typical, start.manner.max_tokens), start.marks.pad)

    @property
    def typical(self) -> list[str]:
        order = np.random.default_rng(self.job.settings.seed).permutation(len(self.texts))
        return [self.texts[place] for place in order[:TYPICAL]]


Make = Callable[[Workshop, Path, Spec], Spec]
"""Makes the encoder that a spec names in the folder of encoders."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to make an encoder smaller."""

    make: Make
    torch: bool = False
    """Whether it needs weights that torch can train."""
    of: str | None = None
    """The way whose sibling it begins with; None: the encoder itself."""


def _filled(fill: Make) -> Make:
    """A ``Make`` of what fills one folder."""
    return lambda shop, encoders, spec: write_folder(encoders, spec, lambda folder: fill(shop, folder, spec))


def _int8_dynamic(shop: Workshop, folder: Path, spec: Spec) -> Spec:
    quantise_dynamic(shop.folder / MODEL, folder / MODEL)
    shutil.copyfile(shop.folder / TOKENIZER, folder / TOKENIZER)
    return spec


def _int8_static(shop: Workshop, folder: Path, spec: Spec) -> Spec:
    tokens = Tokens(shop.folder, shop.spec)
    names = {one.name for one in open_session(shop.folder / MODEL).get_inputs()}
    rows = [np.array([numbers], np.int64) for text in shop.typical if (numbers := tokens.numbers(text))]
    given = [{name: value for name, value in _inputs(row).items() if name in names} for row in rows]
    quantise_static(shop.folder / MODEL, folder / MODEL, given)
    shutil.copyfile(shop.folder / TOKENIZER, folder / TOKENIZER)
    return replace(spec, made={**spec.made, "calibrated_on": len(given)})


def _inputs(row: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    """Whatever a model of texts asks for, of ``row`` (1, tokens)."""
    return {
        "input_ids": row,
        "attention_mask": np.ones_like(row),
        "token_type_ids": np.zeros_like(row),
        "position_ids": np.arange(row.shape[1])[np.newaxis],
    }


def _magnitude(shop: Workshop, encoders: Path, spec: Spec) -> Spec:
    start = shop.start()
    mask_weights(start.body.model, shop.job.weights_pruned)
    noted = shop.recover(start, shop.job.recovery_epochs)
    zeros = bake_masks(start.body.model)
    return write_encoder(start, encoders, spec.name, {**spec.made, **noted, "zeros": round(zeros, 4)})


def _student(shop: Workshop, encoders: Path, spec: Spec) -> Spec:
    start = shop.start()
    layers = shop.job.layers or max(1, start.body.model.config.num_hidden_layers // 2)
    drop_layers(start.body.model, layers)
    noted = shop.recover(start, shop.job.settings.epochs)
    return write_encoder(start, encoders, spec.name, {**spec.made, **noted, "layers": layers})


def _heads(shop: Workshop, folder: Path, spec: Spec) -> Spec:
    start = shop.start()
    kept = prune_heads(start.body.model, shop.job.heads_pruned, lambda: shop.run(start))
    noted = shop.recover(start, shop.job.recovery_epochs)
    export.export_onnx(start.body.model, folder / MODEL, spec.pooling)
    shutil.copyfile(shop.folder / TOKENIZER, folder / TOKENIZER)
    _agree(start, folder, spec, shop.typical[:4])
    return replace(spec, made={**spec.made, **noted, "heads": [rows.tolist() for rows in kept]})


def _agree(start: Start, folder: Path, spec: Spec, texts: Sequence[str]) -> None:
    """Raises ModelError if what was exported gives other vectors than torch does."""
    tokens, model = Tokens(folder, spec), Transformer(folder, spec)
    expected = start.body.encode(start.tokenize(texts, spec.max_tokens or start.manner.max_tokens), start.marks.pad)
    found = model.vectors([tokens.numbers(text) for text in texts])
    agreed = min(float(unit(one) @ other) for one, other in zip(found, expected, strict=True))
    if agreed < AGREE:
        raise ModelError(f"{folder / MODEL} gives other vectors than torch does (cosine {agreed:.4f})")


def _table(shop: Workshop, folder: Path, spec: Spec) -> Spec:
    """The model2vec way: no text but for how often pieces stand in the shop's."""
    return _write_table(shop, folder, spec, fitted=False)


def _fitted_table(shop: Workshop, folder: Path, spec: Spec) -> Spec:
    return _write_table(shop, folder, spec, fitted=True)


def _write_table(shop: Workshop, folder: Path, spec: Spec, *, fitted: bool) -> Spec:
    spec = replace(spec, kind="static", prefix="", query_prefix=None, max_tokens=0)
    shutil.copyfile(shop.folder / TOKENIZER, folder / TOKENIZER)
    said = shop.pieces  # (pieces, wide)
    texts = _counted(Tokens(folder, spec), shop.texts, len(said))
    weights = sif_weights(np.asarray(texts.sum(axis=0)).ravel().astype(np.int64))
    weights[_marks(_tokenizer(folder))] = 0.0
    dim = min(shop.job.dim, said.shape[1])
    if fitted:
        chosen = np.sort(np.random.default_rng(shop.job.settings.seed).permutation(len(shop.texts))[:MOST_FITTED])
        _, directions = principal(shop.vectors, dim, centred=False)
        means = means_of(texts[chosen], weights)
        table = fit_table(said @ directions, means, shop.vectors[chosen] @ directions, shop.job.l2)
    else:
        mean, directions = principal(said, dim)
        table = ((said - mean) @ directions).astype(np.float32)
    numbers, steps = eight_bits(table)
    save_file({"embeddings": numbers, "weights": (weights * steps).astype(np.float32)}, folder / TABLE)
    return replace(spec, dim=dim)


def _tokenizer(folder: Path) -> Tokenizer:
    found = Tokenizer.from_file(str(folder / TOKENIZER))
    found.no_padding()  # files may say otherwise
    return found


def _marks(tokenizer: Tokenizer) -> list[int]:
    """Pieces that say nothing: marks, and the one for what is unknown."""
    return [number for number, added in tokenizer.get_added_tokens_decoder().items() if added.special]


def _counted(tokens: Tokens, texts: Sequence[str], pieces: int) -> sparse.csr_array:
    """(texts, pieces): how often each stands in each."""
    numbers = [tokens.numbers(text) for text in texts]
    rows = np.repeat(np.arange(len(texts)), [len(one) for one in numbers])
    flat = np.array([number for one in numbers for number in one], np.int64)
    return sparse.csr_array((np.ones(flat.size, np.float32), (rows, flat)), (len(texts), pieces))


WAYS: Mapping[str, Way] = {
    "int8-dynamic": Way(_filled(_int8_dynamic)),
    "int8-static": Way(_filled(_int8_static)),
    "magnitude": Way(_magnitude, torch=True),
    "heads": Way(_filled(_heads), torch=True),
    "heads-int8": Way(_filled(_int8_dynamic), torch=True, of="heads"),
    "student": Way(_student, torch=True),
    "student-int8": Way(_filled(_int8_dynamic), torch=True, of="student"),
    "static": Way(_filled(_table)),
    "static-fitted": Way(_filled(_fitted_table)),
}
"""By name."""


class Compressed(Struct):
    """What came of it."""

    base: str
    found: list[Judged]
    """The base first."""
    ratios: dict[str, Ratios]
    """Of the others, by name."""
    made: dict[str, Mapping[str, object]]
    """How each was made, by name."""
    chosen: str
    why: str
    judged_on: dict[str, int]
    """How many texts, cases and queries."""
    notes: list[str] = []


def compress(folder: Path, ways: Sequence[str], job: Job, trial: Trial, progress: Progress | None = None) -> Compressed:
    """Makes the siblings of the encoder in ``folder``, beside it, and judges them all on ``trial``.

    Siblings that are there, from the same encoder and with the same settings, are judged as they are. Raises
    ConfigError for a way that is not known, ModelError for an encoder that cannot be made smaller so, DataError where
    there are too few texts.
    """
    check_ways(ways)
    check_encoder(folder, ways)
    texts = [text for text, new in zip(trial.texts, trial.new, strict=True) if text and not new]
    if len(texts) < FEWEST or not any(text and new for text, new in zip(trial.texts, trial.new, strict=True)):
        raise DataError(
            f"there are {len(texts)} texts to fit on beside those that judge: import a catalogue of {2 * FEWEST} items"
        )
    shop = Workshop(folder, texts, job, progress)
    made = {shop.spec.name: shop.spec} | {spec.name: spec for spec in (make_sibling(shop, way) for way in ways)}
    openings = {name: _opening(folder.parent / name) for name in made}
    found = judge_encoders(shop.spec.name, openings, trial, progress)
    chosen, why = choose(found, AIM)
    return Compressed(
        shop.spec.name,
        found,
        {one.name: ratios(one, found[0], AIM) for one in found[1:]},
        {name: spec.made for name, spec in made.items()},
        chosen,
        why,
        {"texts": int(trial.new.sum()), "cases": len(trial.cases), "queries": len(trial.queries)},
    )


def check_ways(ways: Sequence[str]) -> None:
    """Raises ConfigError for a way that is not known."""
    unknown = [way for way in ways if way not in WAYS]
    if unknown or not ways:
        named = repr(unknown[0])[:80] if unknown else "named"
        raise ConfigError(f"there is no way {named} to make an encoder smaller: choose among {', '.join(WAYS)}")


def check_encoder(folder: Path, ways: Sequence[str]) -> None:
    """Raises ModelError for an encoder that cannot be made smaller in ``ways``."""
    spec = read_folder(folder)
    if spec.modality != "text" or spec.kind != "onnx":
        what = "is a table already" if spec.kind == "static" else f"encodes {spec.modality}"
        raise ModelError(f"the encoder {spec.name!r} {what}: name a transformer of texts to be made smaller")
    wanting = [way for way in ways if WAYS[way].torch]
    if wanting and not (folder / TORCH).is_dir():
        others = ",".join(name for name, way in WAYS.items() if not way.torch)
        raise ModelError(
            f"the encoder {spec.name!r} has no {TORCH}/, whose weights {wanting[0]} needs: add it again with `endcap "
            f"encoders add FOLDER --trainable`, or choose --ways {others}"
        )


def make_sibling(shop: Workshop, way: str) -> Spec:
    """The sibling of ``shop``'s encoder by ``way``; what it begins with is made first. One that is there stays.

    Raises ModelError where another encoder has its name.
    """
    encoders, name, first = shop.folder.parent, f"{shop.spec.name}-{way}", WAYS[way].of
    if first is not None:
        shop = Workshop(encoders / make_sibling(shop, first).name, shop.texts, shop.job, shop.progress)
    made = {"from": shop.spec.version, "by": "endcap compress", "way": way, "asked": msgspec.to_builtins(shop.job)}
    if (encoders / name).exists():
        there = read_folder(encoders / name)
        if any(there.made.get(key) != value for key, value in made.items()):
            raise ModelError(
                f"there is an encoder {name!r} already, of another encoder or with other settings: delete its folder "
                "in encoders/ if nothing uses it, and ask again"
            )
        return there
    return WAYS[way].make(shop, encoders, replace(shop.spec, name=name, made=made, sha256={}))


def _opening(folder: Path) -> Opening:
    served = [path for path in folder.rglob("*") if path.is_file() and TORCH not in path.relative_to(folder).parts]
    return Opening(
        lambda: open_text_folder(folder.parent, folder.name),
        lambda: open_text_folder(folder.parent, folder.name, query=True),
        sum(path.stat().st_size for path in served),
    )


def shop_trial(log_entries: Sequence[Entry], config: StateConfig, days: float, seed: int) -> tuple[Trial, list[str]]:
    """What a shop's encoders are judged on, and notes on what its log has not.

    Raises DataError where no item has a text.
    """
    notes = []
    cases: Sequence[Case] = ()
    try:
        problem = time_problem(log_entries, TimeCut(days))
        past = fold([*problem.early, *problem.late], config)
        cases = problem.test(past).cases
    except DataError as error:
        notes.append(f"ranking is not judged: {error}")
        past = fold([entry for entry in log_entries if isinstance(entry.body, ItemChange)], config)
    texts = _texts(past)
    if not any(texts):
        raise DataError("the shop has no items with a text: import a catalogue first")
    new = held_out(texts, NEW, seed) & np.array([bool(text) for text in texts])
    order = np.random.default_rng(seed).permutation(len(found := new_item_cases(cases, new)))
    chosen = [found[place] for place in np.sort(order[:MOST_CASES])]
    if not notes and not chosen:
        notes.append("ranking is not judged: nobody with a history took an item of those that judge")
    queries = halved_titles(texts, np.flatnonzero(new).astype(np.int32), MOST_QUERIES, seed)
    return Trial(texts, new, chosen, queries, seed=seed), notes


def _texts(past: Past) -> list[str]:
    """By item row; empty where there is none, and beyond ``MOST_ITEMS``."""
    texts = [""] * len(past.state.items)
    popularity = past.popularity()
    listed = sorted(past.state.shop.listed_items(), key=lambda pair: (-popularity[pair[0]], pair[0]))
    for row, item in listed[:MOST_ITEMS]:
        texts[row] = item.text()
    return texts

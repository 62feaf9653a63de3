"""Classes and next sentences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from tests.unit.encoders.pretraining.wording import COLOURS, KINDS, THINGS, TITLES, every, small_start
from torch import nn

from endcap.encoders.pretraining.classify import ClassTask, Labelled, TextModel, macro_f1, predict
from endcap.encoders.pretraining.next_sentence import NextSentenceTask, following, sentences
from endcap.nn.devices import Batch
from endcap.nn.settings import Settings
from endcap.nn.training import train

SETTINGS = Settings(epochs=5, batch_size=16, learning_rate=5e-3)
TARGETS = np.array([THINGS.index(kind) for kind in KINDS], np.int32)


def test_f1_by_hand() -> None:
    true = np.array([0, 0, 1, 1, 1, 4], np.int32)
    said = np.array([0, 1, 1, 1, 0, 0], np.int32)
    assert_allclose(macro_f1(said, true), np.mean([2 * 1 / (3 + 2), 2 * 2 / (3 + 3), 0.0]))


def test_classes_are_learnt_and_a_frozen_body_is_asked_once() -> None:
    start = small_start()
    order = np.random.default_rng(0).permutation(len(TITLES))
    parts = [
        Labelled(start.tokenize([TITLES[row] for row in rows], 16), TARGETS[rows])
        for rows in (order[:110], order[110:])
    ]
    frozen = [replace(part, vectors=start.body.vectors(part.corpus, start.marks.pad)) for part in parts]
    model = TextModel(start.body, len(THINGS))
    model.eval()
    assert_allclose(predict(model, parts[1], start.marks.pad), predict(model, frozen[1], start.marks.pad))
    task = ClassTask(parts[0], parts[1], start.marks.pad, label_smoothing=0.1)
    found = train(model, task, replace(SETTINGS, epochs=8))
    assert found.best.metrics["accuracy"] == 1.0
    assert found.best.metrics["macro_f1"] == 1.0


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Good. Very good! Is it? Yes; it is", ["Good.", "Very good!", "Is it?", "Yes;", "it is"]),
        ("很好。非常好!还会再买", ["很好。", "非常好!还会再买"]),
        ("很好。非常好\uff01还会再买", ["很好。", "非常好\uff01", "还会再买"]),
        ("1.5 cm wide", ["1.5 cm wide"]),
        ("Line\n  another ", ["Line", "another"]),
        (" \n ", []),
    ],
)
def test_sentences(text: str, parts: list[str]) -> None:
    assert sentences(text) == parts


def test_pairs_are_neighbours_or_of_two_texts() -> None:
    start = small_start()
    texts = [[f"red cup {room}", f"blue lamp {room}", "green bowl"] for room in ("kitchen", "garden")]
    pairs = following(start, texts, max_tokens=9)
    assert pairs.text.tolist() == [0, 0, 1, 1]
    task = NextSentenceTask(pairs, pairs, start.marks)
    marks = start.marks
    torn = 0
    for seed in range(40):
        batch = task.batch(every(4), np.random.default_rng(seed))
        for row in range(4):
            ids = batch["ids"][row][batch["attention"][row] == 1].tolist()
            first, second = pairs.first.text(row).tolist(), pairs.second.text(row).tolist()
            middle = 1 + len(first)
            assert ids[: middle + 1] == [marks.begin, *first, marks.end]
            assert batch["segments"][row].sum() == len(ids) - middle - 1
            assert not batch["segments"][row][: middle + 1].any()
            follows = ids[middle + 1 : -1] == second
            torn += not batch["targets"][row]
            assert follows or not batch["targets"][row]
    assert 0 < torn < 80  # half of 160, less those whose other sentence was from the same text


class _Knows(nn.Module):
    """Tells a pair by comparing the last piece of either sentence; the figures must say that it is always right."""

    def __init__(self, end: int) -> None:
        super().__init__()
        self.end = end
        self.none = nn.Parameter(torch.zeros(1))

    def forward(self, batch: Batch) -> torch.Tensor:
        scores = torch.zeros(len(batch["ids"]), 2)
        for row, ids in enumerate(batch["ids"]):
            first, second = np.flatnonzero(ids.numpy() == self.end).tolist()
            scores[row, int(ids[first - 1] == ids[second - 1])] = 1.0
        return scores


def test_whoever_knows_all_pairs_is_always_right() -> None:
    start = small_start()
    texts = [[f"{colour} {thing}", f"so {thing}"] for colour, thing in zip(COLOURS, THINGS, strict=True)]
    pairs = following(start, texts, 16)
    task = NextSentenceTask(pairs, pairs, start.marks)
    assert task.evaluate(_Knows(start.marks.end)) == {"accuracy": 1.0}
    batches = [task.batch(every(6), np.random.default_rng(seed)) for seed in range(10)]
    assert 0.3 < np.mean([float(batch["targets"].float().mean()) for batch in batches]) < 0.8
    step = task.loss(TextModel(start.body, 2), batches[0])
    assert step.weight == 6


def test_no_pairs_held_out_is_no_figure() -> None:
    start = small_start()
    task = NextSentenceTask(following(start, [["a", "b"]], 16), following(start, [["a"]], 16), start.marks)
    assert task.evaluate(TextModel(start.body, 2)) == {}

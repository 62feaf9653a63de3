"""Pruning, distillation and tables against slow obvious versions of what they claim to be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import sparse
from tests.unit.encoders.pretraining.wording import TITLES, every
from torch import nn
from transformers import BertConfig, BertModel

from endcap.encoders.pretraining.body import SIZES, Size, Start, from_scratch
from endcap.errors import ConfigError, ModelError
from endcap.nn.compression.distil import DistilTask, Lesson, drop_layers
from endcap.nn.compression.prune import bake_masks, mask_weights, prune_heads
from endcap.nn.compression.table import eight_bits, fit_table, means_of, principal, sif_weights
from endcap.nn.settings import Settings
from endcap.nn.training import train


def two_layers(layers: int = 2) -> Start:
    """Two layers of 32 with four heads each, of random weights."""
    SIZES["two-layers"] = Size(layers, 32, 4, 200)
    return from_scratch(TITLES, "two-layers", 16, 0)


def test_masked_weights_are_the_smallest_and_stay_zero_while_the_others_learn() -> None:
    torch.manual_seed(0)
    first, last = nn.Linear(20, 30), nn.Linear(30, 1)
    model = nn.Sequential(first, nn.Tanh(), last)
    before = [one.weight.detach().clone() for one in (first, last)]
    edge = torch.cat([one.abs().flatten() for one in before]).median()
    mask_weights(model, 0.5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(torch.ones(4, 20)).sum().backward()
    optimizer.step()
    assert bake_masks(model) == pytest.approx(0.5, abs=0.002)
    for was, one in zip(before, (first, last), strict=True):
        assert torch.equal(one.weight == 0, torch.le(was.abs(), edge))
        assert not torch.equal(one.weight[was.abs() > edge], was[was.abs() > edge])
        assert "weight" in dict(one.named_parameters())


def test_without_heads_that_add_nothing_the_vectors_stay() -> None:
    start = two_layers()
    corpus = start.tokenize(TITLES[:20], 16)
    model = start.body.model
    for layer, silent in zip(model.encoder.layer, ((0, 2), (1, 3)), strict=True):
        for head in silent:
            layer.attention.output.dense.weight.data[:, head * 8 : head * 8 + 8] = 0.0
    before = start.body.encode(corpus, start.marks.pad)
    kept = prune_heads(model, 0.5, lambda: void(start.body.encode(corpus, start.marks.pad)))
    assert [rows.tolist() for rows in kept] == [[1, 3], [0, 2]]
    assert model.encoder.layer[0].attention.self.query.weight.shape == (16, 32)
    assert_allclose(start.body.encode(corpus, start.marks.pad), before, atol=1e-5)


def void(_value: object) -> None:
    """Forgets it."""


def test_the_last_head_stays() -> None:
    start = two_layers()
    corpus = start.tokenize(TITLES[:4], 16)
    kept = prune_heads(start.body.model, 0.99, lambda: void(start.body.encode(corpus, start.marks.pad)))
    assert [rows.size for rows in kept] == [1, 1]


def test_what_is_no_bert_is_refused() -> None:
    with pytest.raises(ModelError, match="Sequential has no heads that can be taken out here: it takes a BERT"):
        prune_heads(nn.Sequential(), 0.5, lambda: None)
    with pytest.raises(ModelError, match="Sequential has no layers that can be dropped here"):
        drop_layers(nn.Sequential(), 1)


@pytest.mark.parametrize(("there", "wanted", "places"), [(6, 3, [1, 3, 5]), (6, 1, [5]), (12, 4, [2, 5, 8, 11])])
def test_the_layers_that_stay_are_spread_and_end_with_the_last(there: int, wanted: int, places: list[int]) -> None:
    config = BertConfig(
        vocab_size=9, hidden_size=8, num_hidden_layers=there, num_attention_heads=2, intermediate_size=8
    )
    model = BertModel(config, add_pooling_layer=False)
    expected = [model.encoder.layer[place] for place in places]
    drop_layers(model, wanted)
    assert list(model.encoder.layer) == expected
    assert model.config.num_hidden_layers == wanted
    with pytest.raises(ConfigError, match=f"layers is {wanted}, of a model with {wanted}: give fewer"):
        drop_layers(model, wanted)


def test_a_student_learns_to_say_what_its_teacher_says() -> None:
    teacher, student = two_layers(), from_scratch(TITLES, "two-layers", 16, seed=1)
    corpus = teacher.tokenize(TITLES, 16)
    wanted = teacher.body.encode(corpus, teacher.marks.pad)
    drop_layers(student.body.model, 1)
    lessons = [Lesson(corpus.take(rows), wanted[rows]) for rows in (every(100), every(144)[100:])]
    task = DistilTask(lessons[0], lessons[1], teacher.marks.pad)
    with torch.inference_mode():
        start = float(task.evaluate(student.body.eval())["cosine"])
    found = student.body.encode(corpus, student.marks.pad)[100:]
    assert start == pytest.approx((found * wanted[100:]).sum(1).mean(), abs=1e-5)
    batch = task.batch(every(3), np.random.default_rng(0))
    total, weight = task.loss(student.body, batch)
    assert float(total.detach()) == pytest.approx(3 - (student.body.encode(corpus, 0)[:3] * wanted[:3]).sum(), abs=1e-5)
    assert weight == 3
    trained = train(student.body, task, Settings(epochs=3, batch_size=16, learning_rate=5e-3))
    assert trained.best.metrics["cosine"] > start + 0.5 * (1 - start)


def test_frequent_pieces_count_less() -> None:
    counts = np.array([0, 9, 989], np.int64)  # of 1,001 with one more each
    assert sif_weights(counts).tolist() == pytest.approx([1e-3 / (1e-3 + n / 1001) for n in (1, 10, 990)])


def test_the_principal_directions_are_those_of_the_singular_values() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32) * [9, 1, 5, 1, 1, 1] + 3
    mean, directions = principal(rows.astype(np.float32), 2)
    _, _, right = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    assert_allclose(mean, rows.mean(0), rtol=1e-4)
    assert_allclose(np.abs(right[:2] @ directions), np.eye(2), atol=1e-3)
    assert principal(rows.astype(np.float32), 2, centred=False)[0].tolist() == [0.0] * 6


def test_a_fitted_table_is_the_ridge_solution() -> None:
    """Against one least-squares problem: the texts' rows, and below them one row a piece that pulls it back."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(7, 3)).astype(np.float32)
    counts = rng.integers(0, 3, size=(5, 7)).astype(np.float32) + np.eye(5, 7, dtype=np.float32)
    wanted = rng.normal(size=(5, 3)).astype(np.float32)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    weights = rng.random(7).astype(np.float32)
    means = means_of(sparse.csr_array(counts), weights)
    assert_allclose(means.toarray(), counts * weights / counts.sum(1, keepdims=True), rtol=1e-5)
    x = means.toarray() / np.sqrt((means.toarray() ** 2).sum(1).mean())
    begun = table / np.linalg.norm(x @ table, axis=1).mean()
    stacked = np.vstack([x, np.sqrt(0.3) * np.eye(7)])
    expected = np.linalg.lstsq(stacked, np.vstack([wanted, np.sqrt(0.3) * begun]), rcond=None)[0]
    assert_allclose(fit_table(table, means, wanted, 0.3), expected, atol=1e-4)


def test_eight_bits_are_off_by_half_a_step_at_most() -> None:
    table = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)
    table[3] = 0.0
    numbers, steps = eight_bits(table)
    assert numbers.dtype == np.int8
    assert np.abs(numbers).max(axis=1).tolist() == [127] * 3 + [0] + [127] * 5
    assert (np.abs(numbers * steps[:, None] - table) <= steps[:, None] / 2 + 1e-7).all()

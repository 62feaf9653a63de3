"""Contrast: what counts as together, what is drawn, and that companions come near."""

from __future__ import annotations

import numpy as np
import torch
from numpy.testing import assert_allclose
from tests.unit.encoders.pretraining.wording import ROOMS, TITLES, every, small_start

from endcap.encoders.pretraining.contrast import (
    ContrastModel,
    ContrastTask,
    Pull,
    companion_recall,
    companions,
    together,
)
from endcap.encoders.pretraining.lora import add_lora, merge_lora
from endcap.nn.losses import info_nce
from endcap.nn.settings import Settings
from endcap.nn.training import train

ROOM = np.array([ROOMS.index(title.split()[-1]) for title in TITLES])
"""What belongs together here, though colour and thing make up most of a title."""


def baskets(n: int = 1_500) -> list[np.ndarray]:
    """Four things for one room."""
    rng = np.random.default_rng(0)
    return [rng.choice(np.flatnonzero(rng.integers(4) == ROOM), 4, replace=False).astype(np.int32) for _ in range(n)]


def test_together_by_hand() -> None:
    groups = [np.array(group, np.int32) for group in ([0, 1, 1], [0, 1, 2], [3], [0, 1, 2, 3, 4])]
    counts = together(groups, 5, largest=4).toarray()
    assert counts.tolist() == [[2, 2, 1, 0, 0], [2, 2, 1, 0, 0], [1, 1, 1, 0, 0], [0] * 5, [0] * 5]


def test_companions_are_those_with_the_nearest_baskets() -> None:
    rng = np.random.default_rng(1)
    taken = (rng.random((200, 12)) < rng.random(12)).astype(np.float64)
    counts = together([np.flatnonzero(row).astype(np.int32) for row in taken], 12)
    found = companions(counts, most=3).toarray()
    kept = taken[taken.sum(1) > 1]
    common = kept.T @ kept
    cosine = common / np.sqrt(np.outer(common.diagonal(), common.diagonal()))
    cosine[common < 3] = 0
    np.fill_diagonal(cosine, 0)
    for row in range(12):
        best = np.argsort(-cosine[row], kind="stable")[:3]
        assert set(np.flatnonzero(found[row])) == {place for place in best if cosine[row, place] > 0}
        assert_allclose(found[row][best], cosine[row][best], rtol=1e-6)


def test_recall_by_hand() -> None:
    vectors = np.eye(30, dtype=np.float32)
    vectors[0] = np.linspace(1, 0.1, 30)  # the lower the row, the nearer to 0
    true = companions(together([np.array([0, near], np.int32) for near in (1, 5, 25)] * 3, 30), 20)
    asked = np.array([0, 7], np.int32)
    assert_allclose(companion_recall(vectors, asked, true, every(30)), [2 / 3, np.nan])  # of 1..20: 1 and 5
    assert_allclose(companion_recall(vectors, asked, true, every(21)), [1.0, np.nan])


def test_info_nce_is_its_definition() -> None:
    rng = np.random.default_rng(0)
    similarity, share = rng.normal(size=(3, 4)), np.array([[0, 2.0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 5.0]])
    masked = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]], np.bool_)
    found = info_nce(*(torch.from_numpy(one) for one in (similarity, share, masked)))
    one = np.exp(similarity[0, 1:]) / np.exp(similarity[0, 1:]).sum()
    two = np.exp(similarity[2, [0, 1, 3]]) / np.exp(similarity[2, [0, 1, 3]]).sum()
    assert_allclose(float(found.total), -(2 / 3 * np.log(one[0]) + 1 / 3 * np.log(one[1])) - np.log(two[2]), rtol=1e-6)
    assert found.weight == 2


def task_of(start, pull: Pull | None = None) -> ContrastTask:  # type: ignore[no-untyped-def]  # noqa: ANN001
    rows = np.random.default_rng(2).permutation(len(TITLES)).astype(np.int32)
    corpus = start.tokenize(TITLES, 16)
    return ContrastTask(corpus, start.marks.pad, together(baskets(), len(TITLES)), rows[30:], rows[:30], pull)


def test_nothing_that_is_held_out_is_drawn_and_hard_negatives_are_no_companions() -> None:
    start = small_start()
    task = task_of(start, Pull(hard=4))
    task.look(start.body.encode(task.corpus, start.marks.pad))
    drawn: set[int] = set()
    original = task.corpus.padded
    seen: list[np.ndarray] = []
    object.__setattr__(task, "corpus", _Watched(task.corpus, seen))
    for rows in task.batches(16, np.random.default_rng(0)):
        batch = task.batch(rows, np.random.default_rng(0))
        items = seen[-1]
        assert np.unique(items).size == items.size  # each text is encoded once
        assert set(rows) <= set(items)
        assert torch.equal(batch["positive"] > 0, torch.from_numpy(task.true[items][:, items].toarray() > 0))
        assert batch["masked"].diagonal().all()
        assert not (batch["masked"] & (batch["positive"] > 0)).any()
        drawn |= set(items.tolist())
    assert original is not None
    assert not drawn & set(task.judged.tolist())
    for row in task.trained:
        assert task.hard[row].size
        assert not task.wide.toarray()[row, task.hard[row]].any()


class _Watched:
    """A corpus that notes which rows it is asked for."""

    def __init__(self, corpus, seen: list[np.ndarray]) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
        self._corpus, self._seen = corpus, seen

    def padded(self, rows: np.ndarray, pad: int) -> np.ndarray:
        self._seen.append(rows)
        padded: np.ndarray = self._corpus.padded(rows, pad)
        return padded


def test_companions_of_items_never_seen_come_near() -> None:
    """By text alone, rooms hardly show in a random body; after training the unseen titles find their room."""
    start = small_start()
    task = task_of(start)
    model = ContrastModel(start.body, projection=16)
    before = task.evaluate(model)["recall@20"]
    found = train(model, task, Settings(epochs=6, batch_size=24, learning_rate=3e-3))
    assert found.best.metrics["recall@20"] > 1.5 * before


def test_lora_trains_little_and_becomes_an_ordinary_body() -> None:
    start = small_start()
    corpus, pad = start.tokenize(TITLES[:20], 16), start.marks.pad
    before = start.body.encode(corpus, pad)
    whole = sum(one.numel() for one in start.body.parameters())
    add_lora(start.body, rank=2)
    assert_allclose(start.body.encode(corpus, pad), before, atol=1e-6)  # nothing yet
    trained = sum(one.numel() for one in start.body.parameters() if one.requires_grad)
    assert 0 < trained < whole / 5
    task = task_of(start)
    train(ContrastModel(start.body), task, Settings(epochs=1, batch_size=24, learning_rate=1e-2))
    learnt = start.body.encode(corpus, pad)
    merge_lora(start.body)
    assert not [name for name, _ in start.body.named_parameters() if "lora" in name]
    assert_allclose(start.body.encode(corpus, pad), learnt, atol=1e-5)
    assert np.abs(learnt - before).max() > 1e-3

"""Networks that read histories, against one history at a time; their losses against the definitions."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from onnxruntime import InferenceSession
from torch.nn import functional

from endcap.errors import ConfigError
from endcap.models import attention
from endcap.nn.losses import calibrated_bce, full_softmax
from endcap.nn.packing import layout_of, layout_of_one
from endcap.nn.sequence import BODIES, Histories, Network, NextItem, exported
from endcap.nn.shapes import SequenceSettings

SETTINGS = SequenceSettings(factors=8, length=6, window=3, held_out=0.3, temperature=0.0)


def network(body: str, n_items: int = 20) -> Network:
    torch.manual_seed(0)
    made = Network(n_items, np.zeros((n_items, 0), np.float32), 0, replace(SETTINGS, body=body))  # type: ignore[arg-type]
    for one in made.parameters():
        torch.nn.init.normal_(one, std=0.5)
    return made.eval()


@pytest.mark.parametrize("body", BODIES)
def test_a_packed_history_is_read_as_if_it_were_alone_and_never_ahead(body: str) -> None:
    made, events = network(body), torch.randn(9, 8)
    with torch.no_grad():
        packed = made(events, layout_of(torch.tensor([2, 6, 1])))
        for first, last in ((0, 2), (2, 8), (8, 9)):
            for end in range(first + 1, last + 1):  # what comes later changes nothing
                alone = made(events[first:end], layout_of_one(events[first:end]))
                torch.testing.assert_close(packed[first:end], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("body", BODIES)
def test_what_is_exported_reads_as_what_was_trained(body: str) -> None:
    made = network(body)
    session = InferenceSession(exported(made))
    for length in range(1, 7):
        events = torch.randn(length, 8)
        with torch.no_grad():
            wanted = made(events, layout_of_one(events))[-1].numpy()
        np.testing.assert_allclose(session.run(None, {"events": events.numpy()})[0], wanted, atol=1e-4)


def test_the_compiled_attention_is_that_of_torch() -> None:
    made = network("sasrec")
    weights = attention.arrays_of({name: one.numpy() for name, one in made.body.state_dict().items()})
    assert {name: one.shape for name, one in weights.items()} == attention.shapes(8, 2, 6)
    for length in range(1, 7):
        events = torch.randn(length, 8)
        with torch.no_grad():
            wanted = made(events, layout_of_one(events))[-1].numpy()
        rows = np.arange(length, dtype=np.int32)
        found = attention.Reader(weights, SETTINGS.heads).newest(rows, events.numpy())
        np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_full_softmax_is_the_cross_entropy(smoothing: float) -> None:
    torch.manual_seed(0)
    vectors, items = torch.randn(300, 5, requires_grad=True), torch.randn(40, 5, requires_grad=True)
    targets = torch.randint(40, (300,))
    wanted = functional.cross_entropy(vectors @ items.T, targets, reduction="sum", label_smoothing=smoothing)
    found = full_softmax(vectors, items, targets, smoothing)
    torch.testing.assert_close(found.total, wanted)
    assert found.weight == 300
    slopes = torch.autograd.grad(2 * found.total, (vectors, items))
    torch.testing.assert_close(slopes, torch.autograd.grad(2 * wanted, (vectors, items)))


def test_a_target_that_is_all_but_impossible_has_a_finite_loss() -> None:
    vectors, items = torch.full((1, 1), 1e4), torch.tensor([[1.0], [-1.0]])
    found = full_softmax(vectors, items, torch.tensor([1]), 0.0)
    assert 80 < float(found.total) < float("inf")


@pytest.mark.parametrize(("calibration", "power"), [(0.0, 1.0), (1.0, 3 / 9), (0.5, (1.0 + 3 / 9) / 2)])
def test_gbce_raises_the_targets_probability_to_a_power(calibration: float, power: float) -> None:
    torch.manual_seed(0)
    vectors, items = torch.randn(2, 4), torch.randn(10, 4)
    targets, negatives = torch.tensor([1, 2]), torch.tensor([[3, 4, 5], [6, 7, 8]])
    wanted = 0.0
    for row in range(2):
        wanted -= float(torch.log(torch.sigmoid(vectors[row] @ items[targets[row]]) ** power))
        wanted -= sum(float(torch.log(1 - torch.sigmoid(vectors[row] @ items[other]))) for other in negatives[row])
    found = calibrated_bce(vectors, items, targets, negatives, calibration)
    assert float(found.total) == pytest.approx(wanted, rel=1e-4)


def _histories(rng: np.random.Generator) -> Histories:
    lengths = rng.integers(1, 12, size=30)
    items = rng.integers(20, size=lengths.sum()).astype(np.int32)
    edges = np.concatenate([[0], np.cumsum(lengths)])
    return Histories(items, edges, 20, np.zeros((20, 0), np.float32), np.zeros((items.size, 0), np.float32))


def test_an_epoch_asks_for_every_next_item_once_but_those_that_are_kept_back() -> None:
    past = _histories(np.random.default_rng(1))
    task, wanted, found = NextItem(past, SETTINGS), list[tuple[int, int]](), list[tuple[int, int]]()
    for user, (first, last) in enumerate(zip(past.edges[:-1], past.edges[1:], strict=True)):
        history = past.items[first : last - (user in task.held)].tolist()[-SETTINGS.length - 1 :]
        wanted += pairwise(history)
    for rows in task.batches(4, np.random.default_rng(0)):
        batch = task.batch(rows, np.random.default_rng(0))
        assert int(batch["lengths"].sum()) == len(batch["items"])  # no padding
        found += list(zip(batch["items"].tolist(), batch["targets"].tolist(), strict=True))
    assert task.held.size > 3
    assert sorted(found) == sorted(wanted)


def test_what_was_kept_back_is_ranked_among_all_items() -> None:
    past, made = _histories(np.random.default_rng(1)), network("sasrec")
    task, gains = NextItem(past, SETTINGS), []
    with torch.no_grad():
        for user in task.held:
            history = past.items[past.edges[user] : past.edges[user + 1]]
            events = made.ids.weight[torch.from_numpy(history[:-1][-SETTINGS.length :]).long()]
            scores = (made.ids.weight @ made(events, layout_of_one(events))[-1]).tolist()
            place = sum(score >= scores[history[-1]] for score in scores)
            gains.append(1 / np.log2(place + 1) if place <= 10 else 0.0)
        assert task.evaluate(made)["ndcg"] == pytest.approx(np.mean(gains), abs=1e-5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"factors": 0}, "factors is 0: it must be at least 1"),
        ({"heads": 3}, "heads is 3: it must be a divisor of factors, 64"),
        ({"body": "mamba"}, "body is 'mamba': it must be one of sasrec"),
        ({"dropout": float("nan")}, "dropout is nan: it must be from 0 to below 1"),
    ],
)
def test_settings_out_of_range(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SequenceSettings(**wrong)  # type: ignore[arg-type]

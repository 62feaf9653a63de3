"""Losses as sums over examples, so that they add up over batches."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from endcap.nn.training import Loss


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor, label_smoothing: float = 0.0) -> Loss:
    """Of ``logits`` (n, classes) against ``targets`` (n,); ``label_smoothing`` of each target goes to all classes."""
    total = functional.cross_entropy(logits.float(), targets, reduction="sum", label_smoothing=label_smoothing)
    return Loss(total, float(targets.numel()))


def info_nce(similarity: torch.Tensor, positive: torch.Tensor, masked: torch.Tensor) -> Loss:
    """Contrastive loss of n anchors against m candidates (van den Oord et al. 2018, arXiv:1807.03748).

    ``similarity`` (n, m): divided by the temperature already. ``positive`` (n, m): how much each candidate belongs to
    the anchor, 0 for a negative; the softmax is to spread over them in these shares. ``masked`` (n, m), bool:
    candidates that are neither, the anchor itself above all. Anchors without a positive count nothing.
    """
    share = positive.masked_fill(masked, 0.0)
    whole = share.sum(1)
    asked = whole > 0
    logs = functional.log_softmax(similarity.float().masked_fill(masked, -1e9), 1)
    losses = -(share * logs).sum(1)[asked] / whole[asked]
    return Loss(losses.sum(), float(asked.sum()))


def full_softmax(vectors: torch.Tensor, items: torch.Tensor, targets: torch.Tensor, label_smoothing: float) -> Loss:
    """``cross_entropy`` of ``vectors @ items.T``, the same loss and gradients in a tenth of the memory.

    ``vectors`` (n, dim), ``items`` (m, dim), ``targets`` (n,). Loss and gradients are found together, block by block
    of ``vectors``: scores stay in the cache of the processor and are computed once, and none is kept.
    """
    total: torch.Tensor = _FullSoftmax.apply(vectors, items, targets, label_smoothing)  # type: ignore[no-untyped-call]
    return Loss(total, float(targets.numel()))


BLOCK = 256
"""Vectors whose scores are in memory at a time."""


class _FullSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, vectors: torch.Tensor, items: torch.Tensor, targets: torch.Tensor, label_smoothing: float
    ) -> torch.Tensor:
        kind = torch.get_autocast_dtype(vectors.device.type) if torch.is_autocast_enabled(vectors.device.type) else None
        vectors, items = vectors.to(kind or torch.float32), items.to(kind or torch.float32)
        slope_vectors, slope_items = torch.empty_like(vectors), torch.zeros(items.shape, device=items.device)
        total = torch.zeros((), device=vectors.device)
        even, mean = label_smoothing / len(items), items.float().mean(0)
        for start in range(0, len(vectors), BLOCK):
            some, wanted = vectors[start : start + BLOCK], targets[start : start + BLOCK, None]
            scores = some @ items.T  # (block, items)
            hit = scores.gather(1, wanted).float()
            slopes = torch.softmax(scores, 1)
            whole = hit - slopes.gather(1, wanted).float().clamp(min=1e-37).log()  # the logarithm of the sum
            total += (whole - (1 - label_smoothing) * hit).sum() - label_smoothing * (some.float() @ mean).sum()
            if even:
                slopes.sub_(even)
            slopes.scatter_add_(1, wanted, torch.full_like(wanted, label_smoothing - 1, dtype=slopes.dtype))
            slope_vectors[start : start + BLOCK] = slopes @ items
            slope_items += slopes.T @ some
        ctx.save_for_backward(slope_vectors, slope_items)
        return total

    @staticmethod
    def backward(ctx: Any, slope: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None, None]:
        vectors, items = ctx.saved_tensors
        return vectors.float() * slope, items * slope, None, None


def calibrated_bce(
    vectors: torch.Tensor, items: torch.Tensor, targets: torch.Tensor, negatives: torch.Tensor, calibration: float
) -> Loss:
    """gBCE: binary cross-entropy against sampled negatives, without the overconfidence that sampling brings.

    ``negatives`` (n, k) drawn evenly from ``items`` (m, dim). Petrov, Macdonald, "gSASRec", RecSys 2023,
    https://arxiv.org/abs/2308.07192, section 5: the probability of a target is raised to the power beta, which
    ``calibration``, its t, takes from 1 (at 0) to the share k / (m - 1) that was sampled (at 1).
    """
    share = min(negatives.shape[1] / max(len(items) - 1, 1), 1.0)
    beta = share * (calibration * (1 - 1 / share) + 1 / share)
    hit = (vectors * items[targets]).sum(1)
    missed = torch.einsum("nd,nkd->nk", vectors, items[negatives])
    total = -beta * functional.logsigmoid(hit.float()).sum() - functional.logsigmoid(-missed.float()).sum()
    return Loss(total, float(targets.numel()))

"""Losses as sums over examples, so that they add up over batches."""

from __future__ import annotations

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

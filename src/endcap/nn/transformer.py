"""Causal self-attention over a history.

Kang, McAuley, "Self-Attentive Sequential Recommendation" (SASRec), ICDM 2018, https://arxiv.org/abs/1808.09781,
sections III.A to III.C; the norm stands before each part, and places are counted from the oldest event that is read.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from endcap.nn.packing import Layout
from endcap.nn.shapes import SequenceSettings


class SelfAttention(nn.Module):
    """Vectors of events to vectors of what each history is about after each of them, (events, factors) both."""

    def __init__(self, settings: SequenceSettings) -> None:
        super().__init__()
        self.places = nn.Embedding(settings.length, settings.factors)
        nn.init.normal_(self.places.weight, std=0.02)
        self.dropout = nn.Dropout(settings.dropout)
        self.blocks = nn.ModuleList(Block(settings) for _ in range(settings.blocks))
        self.norm = nn.LayerNorm(settings.factors)

    def forward(self, events: torch.Tensor, layout: Layout) -> torch.Tensor:
        x = self.dropout(events + self.places(layout.place))
        for block in self.blocks:
            x = block(x, layout)
        vectors: torch.Tensor = self.norm(x)
        return vectors


class Block(nn.Module):
    """Attention to what was before, then two layers on each event by itself."""

    def __init__(self, settings: SequenceSettings) -> None:
        super().__init__()
        dim = settings.factors
        self.heads = settings.heads
        self.norm_in, self.norm_mid = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.look, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.first, self.second = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, x: torch.Tensor, layout: Layout) -> torch.Tensor:
        """(events, factors) to the same."""
        x = x + self.dropout(self.out(self._attend(self.look(self.norm_in(x)), layout)))
        hidden = self.dropout(functional.relu(self.first(self.norm_mid(x))))
        found: torch.Tensor = x + self.dropout(self.second(hidden))
        return found

    def _attend(self, looked: torch.Tensor, layout: Layout) -> torch.Tensor:
        wide = layout.rectangle(looked)  # (histories, longest, 3 factors)
        parts = wide.reshape(*wide.shape[:2], 3, self.heads, -1).permute(
            2, 0, 3, 1, 4
        )  # (3, histories, heads, longest, dim)
        query, key, value = parts.unbind(0)
        seen = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return layout.back(seen.transpose(1, 2).flatten(2))

"""A recurrent network over a history.

GRU: Hidasi, Karatzoglou, Baltrunas, Tikk, "Session-based Recommendations with Recurrent Neural Networks" (GRU4Rec),
ICLR 2016, https://arxiv.org/abs/1511.06939; LSTM: Hochreiter, Schmidhuber, Neural Computation 9, 1997.
"""

from __future__ import annotations

import torch
from torch import nn

from endcap.nn.packing import Layout
from endcap.nn.shapes import SequenceSettings


class Recurrent(nn.Module):
    """Vectors of events to vectors of what each history is about after each of them, (events, factors) both."""

    def __init__(self, settings: SequenceSettings) -> None:
        super().__init__()
        kind = nn.LSTM if settings.body == "lstm" else nn.GRU
        between = settings.dropout if settings.blocks > 1 else 0.0
        self.cells = kind(settings.factors, settings.factors, settings.blocks, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(settings.dropout)
        self.out = nn.Linear(settings.factors, settings.factors)

    def forward(self, events: torch.Tensor, layout: Layout) -> torch.Tensor:
        found, _ = self.cells(layout.rectangle(self.dropout(events)))
        vectors: torch.Tensor = self.out(self.dropout(layout.back(found)))
        return vectors

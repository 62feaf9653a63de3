"""The visitor's side of a two-tower model: the history as a bag, through two layers.

Yi, Yang, Hong et al., "Sampling-bias-corrected neural modeling for large corpus item recommendations", RecSys 2019,
https://doi.org/10.1145/3298689.3346996. Where the softmax goes over all items, no sampling has to be corrected.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from endcap.nn.packing import Layout
from endcap.nn.shapes import SequenceSettings


class Bag(nn.Module):
    """Vectors of events to vectors of what each history is about after each of them, (events, factors) both."""

    def __init__(self, settings: SequenceSettings) -> None:
        super().__init__()
        dim = settings.factors
        self.dropout = nn.Dropout(settings.dropout)
        self.first, self.second = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)

    def forward(self, events: torch.Tensor, layout: Layout) -> torch.Tensor:
        mean = layout.back(layout.rectangle(events).cumsum(1)) / (layout.place[:, None] + 1)
        hidden = self.dropout(functional.relu(self.first(self.dropout(mean))))
        vectors: torch.Tensor = mean + self.second(hidden)
        return vectors

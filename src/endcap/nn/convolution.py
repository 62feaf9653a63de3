"""Convolutions over the last events of a history, read as a picture: events by factors.

Tang, Wang, "Personalized Top-N Sequential Recommendation via Convolutional Sequence Embedding" (Caser), WSDM 2018,
https://arxiv.org/abs/1809.07426, sections 3.2 and 3.3. Its vector for each user is left out: a new visitor has none.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from endcap.nn.packing import Layout
from endcap.nn.shapes import SequenceSettings

ACROSS, ALONG = 16, 4
"""Filters of each height over whole events, and filters along each factor."""


class Convolution(nn.Module):
    """Vectors of events to vectors of what each history is about after each of them, (events, factors) both."""

    def __init__(self, settings: SequenceSettings) -> None:
        super().__init__()
        dim, self.window = settings.factors, settings.window
        self.across = nn.ModuleList(nn.Conv1d(dim, ACROSS, height) for height in range(1, self.window + 1))
        self.along = nn.Linear(self.window, ALONG, bias=False)
        self.dropout = nn.Dropout(settings.dropout)
        self.out = nn.Linear(ACROSS * self.window + ALONG * dim + dim, dim)

    def forward(self, events: torch.Tensor, layout: Layout) -> torch.Tensor:
        back = torch.arange(self.window - 1, -1, -1, device=events.device)
        place = torch.arange(events.shape[0], device=events.device)[:, None] - back
        there = (layout.place[:, None] >= back).unsqueeze(-1)  # (events, window, 1) what is before the first is nothing
        events = self.dropout(events)
        picture = (events[place.clamp(min=0)] * there).transpose(1, 2)  # (events, factors, window)
        found = [functional.relu(filters(picture)).amax(2) for filters in self.across]
        wide = torch.cat([*found, self.along(picture).flatten(1), events], 1)
        vectors: torch.Tensor = self.out(self.dropout(wide))
        return vectors

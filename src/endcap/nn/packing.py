"""Histories of different lengths side by side, without padding: all their events as one flat list.

Layers that look at one event at a time see real ones only. Those that look along a history see it padded at its end,
where a causal layer never looks: they need no mask, and what is there is thrown away.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the events of each history are: in the flat list, and in a rectangle."""

    padded: torch.Tensor
    """(histories, longest) place in the flat list; any beyond the end of a history."""
    flat: torch.Tensor
    """(events,) place in the rectangle, row by row."""
    place: torch.Tensor
    """(events,) of each in its own history, from 0."""

    def rectangle(self, events: torch.Tensor) -> torch.Tensor:
        """(events, dim) to (histories, longest, dim)."""
        return events[self.padded]

    def back(self, rectangle: torch.Tensor) -> torch.Tensor:
        """(histories, longest, dim) to (events, dim)."""
        return rectangle.flatten(0, 1)[self.flat]


def layout_of(lengths: torch.Tensor) -> Layout:
    """Of histories of these ``lengths`` (histories,), at least 1 each, one after the other."""
    first = torch.cumsum(lengths, 0) - lengths
    longest = int(lengths.max())
    history = torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), lengths)
    place = torch.arange(len(history), device=lengths.device) - first[history]
    beyond = torch.arange(longest, device=lengths.device)[None, :]
    padded = first[:, None] + torch.minimum(beyond, lengths[:, None] - 1)
    return Layout(padded, history * longest + place, place)


def layout_of_one(events: torch.Tensor) -> Layout:
    """Of a single history, ``events`` (length, dim): nothing of it depends on the values, so that it can be traced."""
    place = torch.arange(events.shape[0], device=events.device)
    return Layout(place[None, :], place, place)

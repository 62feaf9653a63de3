"""What the server's own visitor looked at. Standard library only, because the fold reads it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CanaryView:
    """The canary saw an item. A kind of entry of its own: what counts, trains, reports or exports never meets it."""

    item_id: str
    time: int
    """Milliseconds since 1970."""

"""What the server showed: enough to make the list again. Standard library only, because the fold reads it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Served:
    """One list as it left the server. It changes no state: neither counts nor histories know of it."""

    request_id: str
    now: int
    """Milliseconds since 1970: the moment the list is of."""
    offset: int
    """The newest entry that the list reflects."""
    model: str
    """The version that served."""
    rows: tuple[int, ...]
    """The item rows of the list, best first."""
    asked: dict[str, object]
    """The fields of the request that were set."""
    settled: bool = True
    """Whether every item had its vector; if not, the same list may not come again."""

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
    page_row: int = 0
    """Which row of a page it was, from 1; 0: of no page."""
    experiment: str | None = None
    """The experiment and the variant that made it; None: none did."""
    seed: int | None = None
    """What chance was drawn with; None: nothing was left to chance."""
    propensities: tuple[float, ...] = ()
    """(rows,) how probable it was that each item would be shown in its place; empty: 1 for each."""


@dataclass(frozen=True, slots=True)
class Shown:
    """How many lists of one kind were served on one day."""

    day: int
    """Days since 1970, UTC."""
    recipe: str
    model: str
    page_row: int
    lists: int
    items: int
    """In all these lists."""


@dataclass(frozen=True, slots=True)
class Tally:
    """The served lists up to an entry, counted: the lists themselves expire, their number stays."""

    until: int
    """The newest served list that is counted here, or in a tally before."""
    shown: tuple[Shown, ...]

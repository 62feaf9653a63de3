"""The way of one item through the making of one list: who proposed it, what hid it, who stood before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from endcap.models.ensemble import Proposals
from endcap.ranking.moves import RULE
from endcap.ranking.rank import Ranked, with_boosts
from endcap.types import BoolArray, IntArray

Verdict = Literal["shown", "pinned", "filled", "hidden", "variant", "outranked", "moved", "not_proposed"]
"""Where the way of the item ended."""


@dataclass(frozen=True, slots=True)
class Proposed:
    """What one model said of the item."""

    model: str
    part: float
    """Its share of the score."""
    rank: int
    """Among all that this model proposed, from 1."""
    of: int
    """How many those were."""


@dataclass(frozen=True, slots=True)
class Boosted:
    """What a rule of the shop adds to the score."""

    name: str
    """Of the part: ``rule:`` and the rule's id."""
    part: float


@dataclass(frozen=True, slots=True)
class Trace:
    """Every stage that the item came through, in order."""

    verdict: Verdict
    place: int | None
    """In the list, from 1; None where it is not in it."""
    score: float
    """The parts of ``proposed`` and of ``boosts`` together."""
    proposed: tuple[Proposed, ...]
    """By whom; empty: by nobody."""
    rank: int | None
    """By score among all that was proposed, from 1, before anything was hidden; None where it was not proposed."""
    hidden_by: tuple[str, ...]
    """The rules that hide it from this list."""
    rank_visible: int | None
    """By score among what may be shown, the boosts of shop rules among it."""
    variant_of: int | None
    """The row of the item of its group that is shown in its place."""
    behind: float | None
    """By how much the last item of the list is ahead; None where the list holds it, or it could not be in it."""
    boosts: tuple[Boosted, ...] = ()
    """Of an item that may be shown."""
    due: int | None = None
    """Milliseconds since 1970: when an item that is hidden since it was bought is due again; None: never, or not so."""


def trace(
    row: int, proposals: Proposals, visible: BoolArray, hidden_by: Sequence[str], groups: IntArray, ranked: Ranked
) -> Trace:
    """The way of the item at ``row`` to ``ranked``, or to where it was lost.

    ``visible`` (items,) is what may be shown; ``hidden_by`` names what hides this item.
    """
    scores = proposals.scores()
    known = row < scores.size
    score = float(scores[row]) if known else 0.0
    places = np.flatnonzero(ranked.rows == row)
    place = int(places[0]) + 1 if places.size else None
    shown = np.where(visible[: scores.size], scores[: visible.size], np.float32(0.0))
    best = shown.max(initial=np.float32(0.0))
    shown = with_boosts(shown, ranked.moves, best)
    may = not hidden_by and known and score > 0
    score = float(shown[row]) if may else score
    variant_of = _variant(row, groups, ranked) if may and place is None else None
    last = float(ranked.parts[:, -1].sum()) if ranked.rows.size else 0.0
    return Trace(
        verdict=_verdict(place, score, last, bool(hidden_by), variant_of is not None, _pinned(row, ranked)),
        place=place,
        score=float(ranked.parts[:, place - 1].sum()) if place is not None else score,
        proposed=tuple(_proposed(row, proposals)) if known else (),
        rank=_rank(row, scores) if known and score > 0 else None,
        hidden_by=tuple(hidden_by),
        rank_visible=_rank(row, shown) if may else None,
        variant_of=variant_of,
        behind=last - score if may and place is None and variant_of is None else None,
        boosts=_boosts(row, place, ranked, best if may else np.float32(0.0)),
    )


def _verdict(place: int | None, score: float, last: float, hidden: bool, variant: bool, pinned: bool) -> Verdict:
    if place is not None:
        return "pinned" if pinned else "shown" if score > 0 else "filled"
    if hidden:
        return "hidden"
    if score <= 0:
        return "not_proposed"
    if variant:
        return "variant"
    return "moved" if score > last else "outranked"  # it scored more, and gave way to what is unlike it, or to a cap


def _proposed(row: int, proposals: Proposals) -> list[Proposed]:
    return [
        Proposed(name, float(part[row]), _rank(row, part), int((part > 0).sum()))
        for name, part in zip(proposals.names, proposals.parts, strict=True)
        if part[row] > 0
    ]


def _pinned(row: int, ranked: Ranked) -> bool:
    return any(row in pin.rows for pin in ranked.moves.pins)


def _boosts(row: int, place: int | None, ranked: Ranked, best: np.float32) -> tuple[Boosted, ...]:
    """As the list has them; of an item that is not in it what they would add where the best score is ``best``."""
    if place is not None:
        parts = zip(ranked.names, ranked.parts[:, place - 1].tolist(), strict=True)
        return tuple(Boosted(name, part) for name, part in parts if part and name.startswith(RULE))
    if not best:
        return ()
    found = (ranked.moves.boosts[at] for at in ranked.moves.boosted(row))
    return tuple(Boosted(one.name, float(one.value * best)) for one in found)


def _rank(row: int, scores: np.ndarray[tuple[int, ...], np.dtype[np.floating]]) -> int:
    """From 1; equal scores in row order."""
    return 1 + int((scores > scores[row]).sum()) + int((scores[:row] == scores[row]).sum())


def _variant(row: int, groups: IntArray, ranked: Ranked) -> int | None:
    group = groups[row]
    same = ranked.rows[groups[ranked.rows] == group] if group >= 0 else ranked.rows[:0]
    return int(same[0]) if same.size else None

"""The request path: who asks, what is proposed, what may be shown, in which order, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from endcap.catalog.items import KINDS, ItemChange
from endcap.errors import InvalidFieldError
from endcap.explain.why import NAMES_AN_ITEM, Language, reason
from endcap.models.ensemble import Blend
from endcap.protocols import Encoder, Evidence
from endcap.ranking.rank import Ranked, fill, rank
from endcap.ranking.rules import Visibility
from endcap.serving.contents import Contents
from endcap.state.fold import State, apply
from endcap.types import BoolArray, Entry, IntArray, Query

RECIPES = ("for-you", "similar", "bought-together", "next", "trending", "popular", "search", "rerank")
NEEDS_ITEMS = frozenset({"similar", "bought-together", "rerank"})


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for. See API.md."""

    recipe: str
    user_id: str | None = None
    visitor_id: str | None = None
    session_id: str | None = None
    item_ids: tuple[str, ...] = ()
    query: str = ""
    kind: str | None = None
    k: int = 10
    where: str | None = None
    exclude: tuple[str, ...] = ()
    explain: bool = False
    language: Language = "en"


@dataclass(frozen=True, slots=True)
class Recommended:
    """One item of an answer."""

    item_id: str
    score: float
    reason: str
    parts: dict[str, float] | None
    """By model name; they add up to ``score``. Only where the request asked for an explanation."""
    evidence: dict[str, str] | None
    """By model name: the item of the visitor's own history that speaks most for it. Only with an explanation."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One list."""

    request_id: str
    items: tuple[Recommended, ...]
    model: str
    """The version that served."""
    offset: int
    """The newest entry of the log that the list reflects."""


@dataclass(frozen=True, slots=True)
class ServingModel:
    """What proposes, for each recipe. Immutable: another version is another object."""

    version: str
    proposers: Mapping[str, Blend]
    evidence: Mapping[str, Evidence]
    """The models that can say which item of the history speaks for a proposal, by part name."""
    hides_seen: bool
    """Whether ``for-you`` hides what the user has had before; learnt, since people of some shops come back for it."""


class Engine:
    """Answers requests from the state, and takes in entries. One thread at a time, the one that owns the state."""

    def __init__(
        self, state: State, contents: Contents, model: ServingModel, encoder: Encoder, new_id: Callable[[], str]
    ) -> None:
        self.state = state
        self.contents = contents
        self.model = model
        self._encoder = encoder
        self._new_id = new_id
        self._visibility = Visibility(state.shop)

    def apply(self, entry: Entry) -> None:
        """Add one entry of the log."""
        apply(self.state, entry)
        if isinstance(entry.body, ItemChange):
            row = self.state.items.row(entry.body.item_id)
            self.contents.change(row, self.state.shop.item(row))

    def recommend(self, request: Request, now: int) -> Answer:
        """The list for ``request`` at ``now`` (milliseconds since 1970).

        New visitors, unknown ids and an empty shop get what there is: what is in demand, or an empty list.
        Raises InvalidFieldError for a recipe or a kind that does not exist, a recipe that lacks what it needs, a
        ``where`` that cannot be read, and a ``k`` below 1.
        """
        model = self.model
        query, hidden = self._ask(request, now)
        visible = self._visible(request, now, hidden)
        ranked = self._rank(model, request, query, visible)
        return Answer(self._new_id(), self._explained(model, request, query, ranked), model.version, self.state.offset)

    def _ask(self, request: Request, now: int) -> tuple[Query, IntArray]:
        """What the models are asked, and the rows that this visitor is not to see in this list."""
        state = self.state
        _check(request)
        user = state.user_row(request.user_id, request.visitor_id)
        personal = state.query(user, now)
        if request.session_id is not None and user >= 0 and state.history(user).session_id != request.session_id:
            personal = replace(personal, session=personal.session[:0])
        about = state.items.rows(request.item_ids)
        dismissed = state.dismissed(user)
        if request.recipe in ("similar", "bought-together"):
            hidden = np.concatenate([about, self._variants(about), dismissed])
            return Query(history=about, session=about, user=user, now=now), hidden
        if request.recipe == "next":
            session = about if request.item_ids else personal.session
            return Query(history=session, session=session, user=user, now=now), np.concatenate([session, dismissed])
        if request.recipe == "search":
            vector = self._encoder.encode([request.query])[0]
            return Query(text=request.query, vector=vector, user=user, now=now), dismissed[:0]
        if request.recipe == "for-you":
            seen = personal.history if self.model.hides_seen else personal.session
            return personal, np.concatenate([seen, dismissed])
        return personal, dismissed[:0]

    def _variants(self, rows: IntArray) -> IntArray:
        """Every item of the groups that ``rows`` are of."""
        groups = self.state.shop.groups
        wanted = groups[rows]
        wanted = wanted[wanted >= 0]
        return np.flatnonzero(np.isin(groups, wanted)).astype(np.int32) if wanted.size else rows[:0]

    def _visible(self, request: Request, now: int, hidden: IntArray) -> BoolArray:
        """(items,) what may be in this list."""
        visible = self._visibility.mask(now, request.kind, request.where)
        excluded = self.state.items.rows(request.exclude)
        if request.recipe == "rerank":
            among = np.zeros_like(visible)
            among[self.state.items.rows(request.item_ids)] = True
            visible = visible & among
        if hidden.size or excluded.size:
            visible = visible.copy()
            visible[hidden] = False
            visible[excluded] = False
        return visible

    def _rank(self, model: ServingModel, request: Request, query: Query, visible: BoolArray) -> Ranked:
        proposals = model.proposers[request.recipe].propose(query)
        ranked = rank(proposals, visible, self.state.shop.groups, request.k)
        if request.recipe == "search" or ranked.rows.size >= request.k:
            return ranked
        in_demand = self.state.popularity.scores("trending")
        return fill(ranked, "trending", in_demand, visible, self.state.shop.groups, request.k)

    def _explained(
        self, model: ServingModel, request: Request, query: Query, ranked: Ranked
    ) -> tuple[Recommended, ...]:
        if ranked.rows.size == 0:
            return ()
        scores = ranked.parts.sum(axis=0)
        leading = np.where(scores > 0, ranked.parts.argmax(axis=0), -1)  # (k,)
        spoken = {
            name: self._witnesses(model.evidence[name], query, ranked.rows, asked)
            for name, asked in _asked(model, request, ranked, leading).items()
        }
        shown = []
        for place, (row, score, part) in enumerate(
            zip(ranked.rows.tolist(), scores.tolist(), leading.tolist(), strict=True)
        ):
            name = ranked.names[part] if part >= 0 else None
            about = request.query if name == "search" else self._title(spoken.get(name or "", {}).get(place))
            sentence = reason(name, about, request.language)
            parts = evidence = None
            if request.explain:
                parts = {
                    one: float(share) for one, share in zip(ranked.names, ranked.parts[:, place], strict=True) if share
                }
                evidence = {one: self.state.items.name(rows[place]) for one, rows in spoken.items() if place in rows}
            shown.append(Recommended(self.state.items.name(row), score, sentence, parts, evidence))
        return tuple(shown)

    def _witnesses(self, witness: Evidence, query: Query, rows: IntArray, places: IntArray) -> dict[int, int]:
        """By place in the list, of ``places``: the row of the item of the history that speaks most for it, if any."""
        if query.history.size == 0 or places.size == 0:
            return {}
        shares = witness.contributions(query, rows[places])  # (history, places)
        speaker = query.history[shares.argmax(axis=0)]
        speaks = shares.max(axis=0) > 0
        return dict(zip(places[speaks].tolist(), speaker[speaks].tolist(), strict=True))

    def _title(self, row: int | None) -> str | None:
        item = None if row is None else self.state.shop.item(row)
        return None if item is None else item.title


def _asked(model: ServingModel, request: Request, ranked: Ranked, leading: IntArray) -> dict[str, IntArray]:
    """By part: the places whose witness is wanted: all that have the part, or those whose reason names the item."""
    places = {}
    for at, name in enumerate(ranked.names):
        if name in model.evidence and (request.explain or name in NAMES_AN_ITEM):
            wanted = ranked.parts[at] > 0 if request.explain else leading == at
            places[name] = np.flatnonzero(wanted).astype(np.int32)
    return places


def _check(request: Request) -> None:
    if request.recipe not in RECIPES:
        raise InvalidFieldError("recipe", f"recipe is {request.recipe!r}: use one of {', '.join(RECIPES)}")
    if request.k < 1:
        raise InvalidFieldError("k", f"k is {request.k}: ask for at least 1 item")
    if request.kind is not None and request.kind not in KINDS:
        raise InvalidFieldError("kind", f"kind is {request.kind!r:.80}: use one of {', '.join(KINDS)}")
    if request.recipe in NEEDS_ITEMS and not request.item_ids:
        raise InvalidFieldError("item_ids", f"the recipe {request.recipe!r} needs item_ids: what the list is about")
    if request.recipe == "search" and not request.query.strip():
        raise InvalidFieldError("query", "the recipe 'search' needs a query: what the visitor typed")

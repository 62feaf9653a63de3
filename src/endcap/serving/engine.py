"""The request path: who asks, what is proposed, what may be shown, in which order, and why."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, replace

import numpy as np

from endcap.backends.trace.off import NoTracer
from endcap.catalog.items import KINDS, ItemChange
from endcap.catalog.rules import RuleChange
from endcap.compiled import get_ready
from endcap.encoders.packing import unpacked
from endcap.errors import InvalidFieldError
from endcap.explain.evidence import Witnesses
from endcap.explain.trace import Trace, trace
from endcap.explain.why import NAMES_AN_ITEM, Language, reason
from endcap.models.buy_again import BuyAgain, not_due, seen_before
from endcap.models.ensemble import Blend, Proposals
from endcap.profiles.interests import Themes
from endcap.protocols import Evidence, Tracer
from endcap.ranking.diversity import POOL, spread
from endcap.ranking.judge import Asked, Judge
from endcap.ranking.rank import Ranked, fill, rank
from endcap.ranking.rules import STANDING, Visibility
from endcap.serving.contents import Contents
from endcap.state.fold import State, apply
from endcap.state.shop import NEVER
from endcap.types import BoolArray, Entry, FloatArray, IntArray, Query

_logger = logging.getLogger(__name__)

RECIPES = ("for-you", "similar", "bought-together", "next", "trending", "popular", "search", "rerank", "buy-again")
NEEDS_ITEMS = frozenset({"similar", "bought-together", "rerank"})
NOT_FILLED = frozenset({"search", "buy-again"})
"""Recipes whose lists hold only what was found or bought: nothing fills them up, and no pin adds to them."""


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
    diversity: float = 0.0
    """How far items that are like others of the list give way, 0 to 1; 0: not at all."""
    image: str = ""
    """The vector of the photo to search with, packed (encoders/packing.py): so the log can say what was asked."""
    by_letters: bool = False
    """Whether the meaning of the query is left out, because what reads it was not there in time."""
    rewritten: str = ""
    """The query in better words, by a language model: what is searched for instead; empty: the query itself."""
    order: tuple[str, ...] = ()
    """Items that a language model has put in order, the best first: those of the list's first ones that are not pinned
    stand in that order."""


@dataclass(frozen=True, slots=True)
class Recommended:
    """One item of an answer."""

    item_id: str
    score: float
    reason: str
    parts: dict[str, float] | None
    """By model name; they add up to ``score``. Only where the request asked for an explanation."""
    evidence: dict[str, str] | None
    """By model name: the item of the visitor's own history without which part and score would be less, the first that
    is, from the one that speaks most. Only with an explanation."""


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
    """Whether ``for-you`` hides what the user has had before; learnt, since people of some shops come back for it.

    What was bought it hides until it is due again.
    """
    hides_bought: bool
    """Whether it hides only what was bought, until it is due again; learnt."""
    again: BuyAgain
    """When that is."""
    contents: Contents
    """What the items say, in the vectors that this version goes with."""
    themes: Themes
    """What people are interested in; describes, and proposes nothing."""
    wording: Mapping[str, Mapping[str, str]]
    """The shop's own sentences for reasons, by language and name."""


class Engine:
    """Answers requests from the state, and takes in entries. One thread at a time, the one that owns the state."""

    def __init__(self, state: State, model: ServingModel, new_id: Callable[[], str]) -> None:
        self.state = state
        self.model = model
        self._new_id = new_id
        self.visibility = Visibility(state.shop)
        self.violations: Counter[str] = Counter(dict.fromkeys(STANDING, 0))
        """Items that were taken off a list at the last moment, by the rule that they broke: a fault of ours."""
        self.tracer: Tracer = NoTracer()
        """Told how long each stage of a list takes."""
        self._judge = Judge(state.shop)

    @property
    def contents(self) -> Contents:
        """What the items say, in the vectors that the model goes with."""
        return self.model.contents

    def warm(self, now: int) -> None:
        """Get ready: what is made once a start, so that the first request is as quick as the next."""
        get_ready()
        self.visibility.warm(now)
        listed = self.state.shop.listed_items()
        if listed:
            self._judge.violations([row for row, _ in listed[:1]], Asked("popular", now, None, None, {}))

    def with_rule(self, change: RuleChange) -> Engine:
        """An engine that answers as this one would after ``change``: good until this one's state changes."""
        state = copy(self.state)
        state.shop = self.state.shop.with_rule(change)
        other = Engine(state, self.model, self._new_id)
        other.visibility = self.visibility.over(state.shop)
        return other

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
        model, stage = self.model, self.tracer.stage
        query, hidden = self._ask(request, now)
        with stage("rules"):
            visible = self._visible(request, now, hidden)
        with stage("propose"):
            proposals = model.proposers[request.recipe].propose(query)
        with stage("rank"):
            ranked = self._rank(request, now, proposals, visible)
        with stage("rules"):
            ranked = self._judged(ranked, request, now, hidden)
        with stage("explain"):
            shown = self._explained(model, request, query, ranked)
        return Answer(self._new_id(), shown, model.version, self.state.offset)

    def why(self, request: Request, now: int, row: int) -> Trace:
        """The way of the item at ``row`` into the list for ``request`` at ``now``, or to where it was lost."""
        query, hidden = self._ask(request, now)
        visible = self._visible(request, now, hidden)
        proposals = self.model.proposers[request.recipe].propose(query)
        ranked = self._rank(request, now, proposals, visible)
        hidden["excluded"] = self.state.items.rows(request.exclude)
        hidden_by = [name for name, rows in hidden.items() if row in rows]
        if request.recipe == "rerank" and row not in self.state.items.rows(request.item_ids):
            hidden_by.append("not_in_the_given_list")
        hidden_by += self.visibility.reasons(row, now, request.recipe, request.kind, request.where)
        found = trace(row, proposals, visible, hidden_by, self.state.shop.groups, ranked)
        return replace(found, due=self._due(query, row)) if "bought_not_due" in hidden_by else found

    def _due(self, query: Query, row: int) -> int | None:
        """When the bought item at ``row`` is due again; None: never."""
        rows, due = self.model.again.due(query)
        found = int(due[rows == row][0])
        return None if found == NEVER else found

    def _ask(self, request: Request, now: int) -> tuple[Query, dict[str, IntArray]]:
        """What the models are asked, and by reason the rows that this visitor is not to see in this list."""
        state = self.state
        _check(request)
        personal, dismissed = state.ask(request.user_id, request.visitor_id, request.session_id, now)
        user = personal.user
        about = state.items.rows(request.item_ids)
        if request.recipe in ("similar", "bought-together"):
            hidden = {"on_the_page": about, "variant_of_the_page": self._variants(about), "dismissed": dismissed}
            return Query(history=about, session=about, user=user, now=now), hidden
        if request.recipe == "next":
            session = about if request.item_ids else personal.session
            hidden = {"in_this_visit": session, "dismissed": dismissed}
            return Query(history=session, session=session, user=user, now=now), hidden
        if request.recipe == "search":
            vector, image = self._meaning(request), self._photo(request)
            return Query(text=_searched(request), vector=vector, image=image, user=user, now=now), {}
        if request.recipe == "buy-again":
            return personal, {"bought_not_due": not_due(self.model.again, personal), "dismissed": dismissed}
        if request.recipe == "for-you":
            return personal, {**self._had(personal), "dismissed": dismissed}
        return personal, {}

    def _meaning(self, request: Request) -> FloatArray | None:
        """(dim,) the vector of what was typed; None where nothing was, or it is to go by its letters alone."""
        if request.by_letters or not request.query.strip():
            return None
        vector: FloatArray = self.contents.reading.queries.encode([_searched(request)])[0]
        return vector

    def _photo(self, request: Request) -> FloatArray | None:
        """(dim,) the vector of the photo; None where there is none."""
        images = self.contents.images
        if not request.image:
            return None
        photo: FloatArray = unpacked(request.image)
        if images is None or photo.size != images.dim:
            raise InvalidFieldError("image", "the image was read by another encoder than serves now: send it again")
        return photo

    def _had(self, query: Query) -> dict[str, IntArray]:
        """By reason, what the visitor has had and ``for-you`` does not offer again now."""
        hidden, model = {"in_this_visit": query.session}, self.model
        if model.hides_seen or model.hides_bought:
            hidden["bought_not_due"] = not_due(model.again, query)
        if model.hides_seen:
            hidden["seen"] = np.setdiff1d(seen_before(model.again, query), hidden["bought_not_due"])
        return hidden

    def _variants(self, rows: IntArray) -> IntArray:
        """Every item of the groups that ``rows`` are of."""
        groups = self.state.shop.groups
        wanted = groups[rows]
        wanted = wanted[wanted >= 0]
        return np.flatnonzero(np.isin(groups, wanted)).astype(np.int32) if wanted.size else rows[:0]

    def _visible(self, request: Request, now: int, hidden: Mapping[str, IntArray]) -> BoolArray:
        """(items,) what may be in this list."""
        visible = self.visibility.mask(now, request.kind, request.where, request.recipe)
        if request.recipe == "rerank":
            among = np.zeros_like(visible)
            among[self.state.items.rows(request.item_ids)] = True
            visible = visible & among
        gone = [rows for rows in (*hidden.values(), self.state.items.rows(request.exclude)) if rows.size]
        if gone:
            visible = visible.copy()
            visible[np.concatenate(gone)] = False
        return visible

    def _rank(self, request: Request, now: int, proposals: Proposals, visible: BoolArray) -> Ranked:
        groups, closed = self.state.shop.groups, request.recipe in NOT_FILLED
        moves = self.visibility.moves(now, request.recipe)
        k = max(request.k, len(request.order))
        ranked = rank(
            proposals, visible, groups, k * POOL if request.diversity > 0 else k, moves, pins_proposed_only=closed
        )
        if request.diversity > 0:
            ranked = self._spread(ranked, k, request.diversity)
        if not closed and ranked.rows.size < k:
            in_demand = self.state.popularity.scores("trending")
            ranked = fill(ranked, "trending", in_demand, visible, groups, k)
        if request.order:
            ranked = ranked.reordered(self.state.items.rows(request.order))
            ranked = ranked.only(range(min(request.k, ranked.rows.size)))
        return ranked.settled()

    def _spread(self, ranked: Ranked, k: int, diversity: float) -> Ranked:
        """The first ``k`` of ``ranked`` when what is like another gives way; what is pinned stays."""
        first, vectors = len(ranked.pinned), self.contents.vectors
        rows = ranked.rows[first:]
        known = rows < len(vectors)
        units = np.zeros((rows.size, vectors.dim), np.float32)
        units[known] = vectors.matrix[rows[known]]
        scores = ranked.parts[:, first:].sum(axis=0)
        order = spread(scores, units, max(k - first, 0), diversity)
        return ranked.only([*range(min(first, k)), *(first + order).tolist()])

    def _judged(self, ranked: Ranked, request: Request, now: int, hidden: Mapping[str, IntArray]) -> Ranked:
        """``ranked`` without what breaks a rule: there is no such item, unless what made the list is wrong."""
        rows = self.state.items.rows
        gone = {**hidden, "excluded": rows(request.exclude)}
        among = rows(request.item_ids) if request.recipe == "rerank" else None
        asked = Asked(request.recipe, now, request.kind, request.where, gone, among)
        broken = self._judge.violations(ranked.rows.tolist(), asked)
        if not broken:
            return ranked
        for place, rule in broken.items():
            self.violations[rule] += 1
            item = self.state.items.name(int(ranked.rows[place]))
            _logger.error("rule violated", extra={"rule": rule, "item": item, "recipe": request.recipe})
        return ranked.without(broken)

    def _explained(
        self, model: ServingModel, request: Request, query: Query, ranked: Ranked
    ) -> tuple[Recommended, ...]:
        if ranked.rows.size == 0:
            return ()
        scores = ranked.parts.sum(axis=0)
        leading = ranked.leading()
        wanted = _asked(model, request, ranked, leading)
        spoken = {name: _said_most(model.evidence[name], query, ranked.rows, at) for name, at in wanted.items()}
        cited = _cited(model, request, query, ranked.rows, wanted) if request.explain else {}
        shown = []
        for place, (row, score, part) in enumerate(
            zip(ranked.rows.tolist(), scores.tolist(), leading.tolist(), strict=True)
        ):
            name = ranked.names[part] if part >= 0 else None
            about = request.query if name == "search" else self._title(spoken.get(name or "", {}).get(place))
            sentence = reason(name, about, request.language, model.wording)
            parts = evidence = None
            if request.explain:
                parts = {
                    one: float(share) for one, share in zip(ranked.names, ranked.parts[:, place], strict=True) if share
                }
                evidence = {one: self.state.items.name(rows[place]) for one, rows in cited.items() if place in rows}
            shown.append(Recommended(self.state.items.name(row), score, sentence, parts, evidence))
        return tuple(shown)

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


def _said_most(witness: Evidence, query: Query, rows: IntArray, places: IntArray) -> dict[int, int]:
    """By place in the list, of ``places``: the row of the item of the history that speaks most for it, if any."""
    if query.history.size == 0 or places.size == 0:
        return {}
    shares = witness.contributions(query, rows[places])  # (history, places)
    speaker = query.history[shares.argmax(axis=0)]
    speaks = shares.max(axis=0) > 0
    return dict(zip(places[speaks].tolist(), speaker[speaks].tolist(), strict=True))


def _cited(
    model: ServingModel, request: Request, query: Query, rows: IntArray, wanted: Mapping[str, IntArray]
) -> dict[str, dict[int, int]]:
    """By part and place in the list ``rows``: the row of the item of the history without which both would be less."""
    witnesses = Witnesses(model.proposers[request.recipe], query)
    return {name: witnesses.cited(name, model.evidence[name], rows, places) for name, places in wanted.items()}


def _searched(request: Request) -> str:
    return request.rewritten or request.query


def _check(request: Request) -> None:
    if request.recipe not in RECIPES:
        raise InvalidFieldError("recipe", f"recipe is {request.recipe!r}: use one of {', '.join(RECIPES)}")
    if not 0.0 <= request.diversity <= 1.0:
        raise InvalidFieldError("diversity", f"diversity is {request.diversity:g}: give a number from 0 to 1")
    if request.k < 1:
        raise InvalidFieldError("k", f"k is {request.k}: ask for at least 1 item")
    if request.kind is not None and request.kind not in KINDS:
        raise InvalidFieldError("kind", f"kind is {request.kind!r:.80}: use one of {', '.join(KINDS)}")
    if request.recipe in NEEDS_ITEMS and not request.item_ids:
        raise InvalidFieldError("item_ids", f"the recipe {request.recipe!r} needs item_ids: what the list is about")
    if request.recipe == "search" and not (request.query.strip() or request.image):
        raise InvalidFieldError("query", "the recipe 'search' needs a query: what the visitor typed, said or showed")

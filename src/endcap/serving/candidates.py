"""What proposes the items of each recipe: a version that was read from disk, over a state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import cast

from endcap.encoders.bridge import Bridge
from endcap.models.buy_again import BuyAgain
from endcap.models.ensemble import Blend
from endcap.models.photo import Photo
from endcap.models.popularity import Popularity
from endcap.models.search import Search
from endcap.models.session_knn import BOUGHT_TOGETHER, SessionKNN
from endcap.models.stacking import Stacking
from endcap.models.trees import Trees
from endcap.profiles.interests import Themes
from endcap.protocols import Evidence, Scorer
from endcap.serving.contents import Contents
from endcap.serving.engine import ServingModel
from endcap.state.fold import State

PERSONAL = ("session_knn", "transitions", "itemknn", "ease", "als", "content", "projection")
"""Members that follow from the visitor's history, and can say which item of it speaks for a proposal."""
SIMILAR = {"content": 0.6, "itemknn": 0.4}
TOGETHER = replace(BOUGHT_TOGETHER, items=10)
"""A cart has several items; each of the newest ten speaks."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """A version as it was read from disk. It knows nothing of the state."""

    version: str
    again: BuyAgain
    themes: Themes
    weights: Mapping[str, float] | None = None
    """Of the blend; None: all members weigh the same."""
    hides_seen: bool = False
    hides_bought: bool = False
    wording: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    bridge: Bridge | None = None
    """From pictures to texts; None: there was not enough to learn it from."""
    trees: Trees = field(default_factory=Trees.none)
    """Put the blend's candidates in order, where there are any."""
    meaning_floor: float = 0.5
    """The cosine of a query with a text that says nothing."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A version in memory, that can serve over any state of the shop."""

    encoders: tuple[str, str] | None
    """Those whose vectors it goes with, of texts and of pictures; None: any."""
    over: Callable[[State, Contents], ServingModel]
    """As it serves over a state, and contents of those encoders. Of the state only what is said of items is read."""


def model_over(learnt: Learnt, members: Mapping[str, Scorer], state: State, contents: Contents) -> ServingModel:
    """``learnt`` as it serves over ``state``; ``members`` are those of its blend. Nothing of the state is read."""
    weights = dict.fromkeys(members, 1.0 / len(members)) if learnt.weights is None else dict(learnt.weights)
    personal = Stacking(members, weights, Popularity(state.popularity, "popular"), trees=learnt.trees)
    together = SessionKNN(state.baskets, TOGETHER)
    by_words = Search(contents.texts, contents.letters, state.items, floor=learnt.meaning_floor)
    search: dict[str, Scorer] = {"search": by_words}
    if contents.images is not None:
        search["photo"] = Photo(contents.images, contents.texts, learnt.bridge)
    return ServingModel(
        learnt.version,
        proposers={
            "for-you": personal,
            "rerank": personal,
            "similar": Blend(members, SIMILAR),
            "bought-together": Blend({"bought_together": together}, {"bought_together": 1.0}),
            "next": _alone(members, "session_knn"),
            "trending": _alone(members, "trending"),
            "popular": _alone(members, "popular"),
            "search": Blend(search, dict.fromkeys(search, 1.0)),
            "buy-again": Blend({"buy_again": learnt.again}, {"buy_again": 1.0}),
        },
        evidence={"bought_together": together, **_evidence(members)},
        hides_seen=learnt.hides_seen,
        hides_bought=learnt.hides_bought,
        again=learnt.again,
        contents=contents,
        themes=learnt.themes,
        wording=learnt.wording,
    )


def _alone(members: Mapping[str, Scorer], name: str) -> Blend:
    return Blend({name: members[name]}, {name: 1.0})


def _evidence(members: Mapping[str, Scorer]) -> dict[str, Evidence]:
    return {name: cast(Evidence, members[name]) for name in PERSONAL if name in members}

"""GET /v1/interests: what people of this shop are interested in."""

from __future__ import annotations

import numpy as np
from starlette.responses import Response

from endcap.interfaces.api.context import Context
from endcap.interfaces.api.operation import Incoming
from endcap.interfaces.api.replies import json_reply
from endcap.interfaces.api.schema import InterestsAnswer, Theme
from endcap.serving.engine import Engine

THEME = "theme"
"""What an interest of that kind is called."""
EXAMPLES = 6
STRONGEST = 8
"""Themes of one user that are told."""
LEAST_SHARE = 0.01
"""A smaller share of what somebody did is no interest."""


def get_interests(context: Context, incoming: Incoming) -> Response:  # noqa: ARG001  # every handler takes both
    """The themes of the version that serves; none where none has found any."""
    engine = context.live.engine
    return json_reply(InterestsAnswer(engine.model.version, _themes(engine)))


def user_themes(engine: Engine, user: int, now: int) -> list[tuple[str, float]]:
    """The strongest themes of the user at row ``user``: their words, and their share of all that the user did."""
    themes = engine.model.themes
    profile = themes.profile(engine.state.query(user, now), engine.contents.vectors.matrix)
    order = np.argsort(-profile, kind="stable")[:STRONGEST]
    return [(", ".join(themes.names[at]), float(profile[at])) for at in order if profile[at] >= LEAST_SHARE]


def _themes(engine: Engine) -> list[Theme]:
    state, themes = engine.state, engine.model.themes
    rows = np.flatnonzero(state.shop.listed).astype(np.int32)
    of = themes.of(rows, engine.contents.vectors.matrix)
    wanted = np.zeros(rows.size)
    scores = state.popularity.scores("popular")
    known = rows < scores.size
    wanted[known] = np.maximum(scores[rows[known]], 0.0)
    found = []
    for number, keywords in enumerate(themes.names):
        own = np.flatnonzero(of == number)
        best = own[np.argsort(-wanted[own], kind="stable")[:EXAMPLES]]
        demand = float(wanted[own].sum() / (wanted.sum() or 1.0))
        examples = [state.items.name(int(row)) for row in rows[best]]
        found.append(Theme(list(keywords), int(own.size), int(themes.people[number]), demand, examples))
    return sorted(found, key=lambda theme: -theme.demand)

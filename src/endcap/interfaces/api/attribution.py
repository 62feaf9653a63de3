"""GET /v1/reports/attribution: what the lists bring, to the last event."""

from __future__ import annotations

from starlette.responses import Response

from endcap.checks import parse_moment
from endcap.errors import InvalidFieldError
from endcap.evaluation.attribution import asked, report
from endcap.interfaces.api.context import Context
from endcap.interfaces.api.operation import Incoming, Parameter
from endcap.interfaces.api.replies import json_reply

ATTRIBUTION_PARAMETERS = (
    Parameter(
        "from", "The first day of the lists, as a moment in it (RFC 3339, milliseconds); by default 27 days ago."
    ),
    Parameter("until", "A moment in the last day; by default now."),
    Parameter("by", "What a row stands for: recipe (the default), day, model or page_row."),
    Parameter("recipe", "Only lists of this recipe."),
)
_NAMES = tuple(parameter.name for parameter in ATTRIBUTION_PARAMETERS)


def get_attribution(context: Context, incoming: Incoming) -> Response:
    """What was viewed, clicked and bought from the lists that were served on some days (UTC)."""
    given = dict(incoming.parameters())
    unknown = given.keys() - set(_NAMES)
    if unknown:
        raise InvalidFieldError(min(unknown), f"unknown parameter {min(unknown)!r:.80}: there are {', '.join(_NAMES)}")
    first, last = (_moment(name, given.get(name)) for name in ("from", "until"))
    wanted = asked(first, last, given.get("by", "recipe"), given.get("recipe"), context.now_ms())
    state = context.state
    window_days = state.config.attribution_days
    return json_reply(report(state.attribution, context.live.untallied(), wanted, window_days, state.items))


def _moment(name: str, value: str | None) -> int | None:
    return None if value is None else parse_moment(name, int(value) if value.isdecimal() else value)

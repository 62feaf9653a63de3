"""/v1/models: which version serves, and the way to another."""

from __future__ import annotations

from starlette.responses import Response

from endcap.config import Home
from endcap.interfaces.api.context import Context
from endcap.interfaces.api.operation import Incoming
from endcap.interfaces.api.replies import json_reply
from endcap.interfaces.api.schema import ActivationReceipt, ModelInfo, ModelsAnswer
from endcap.models.persistence import list_versions


def get_models(context: Context, incoming: Incoming) -> Response:  # noqa: ARG001  # every handler takes both
    """Every version in the home folder, newest first."""
    active = context.model_version
    found = [
        ModelInfo(
            one.version,
            one.version == active,
            one.created_ms,
            one.offset,
            len(context.live.erased_under(one.offset)),
            dict(one.metrics),
            dict(one.intervals),
            one.problem,
        )
        for one in list_versions(Home(context.home).models)
    ]
    return json_reply(ModelsAnswer(active, context.live.model_problem, found))


async def post_activation(context: Context, incoming: Incoming) -> Response:
    """Let a version serve from now on. The old one goes on serving if this one cannot be loaded."""
    version = incoming.path("version")
    receipt = await context.live.activate(version)
    return json_reply(ActivationReceipt(version, receipt.offset))

"""Whether the server lives, is ready, and how it does: /health, /metrics, /v1/stats."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from endcap.interfaces.api.context import Context
from endcap.interfaces.api.meters import WINDOW_SECONDS, Durations
from endcap.interfaces.api.operation import Incoming
from endcap.interfaces.api.replies import json_reply
from endcap.interfaces.api.schema import (
    ErrorAnswer,
    ErrorDetail,
    Health,
    Percentiles,
    Series,
    StatsAnswer,
    TrainingStats,
)
from endcap.serving.canary import TARGET_SECONDS
from endcap.serving.retraining import Retraining


def get_live(context: Context, incoming: Incoming) -> Response:  # noqa: ARG001  # every handler takes both
    """The process answers; also what it can be asked with, which a page has to know before it offers that."""
    return json_reply(Health("live", context.sensed))


def get_ready(context: Context, incoming: Incoming) -> Response:  # noqa: ARG001  # every handler takes both
    """A model is in place, and the state is what the log adds up to; 503 where not."""
    if (broken := context.live.refolding.problem) is not None:
        return json_reply(ErrorAnswer(ErrorDetail("not_ready", broken)), 503)
    if context.model_version is None:
        problem = context.live.model_problem or "nothing has been learnt yet"
        message = f"no model serves ({problem}): run 'endcap train'; until then lists show what is in demand"
        return json_reply(ErrorAnswer(ErrorDetail("not_ready", message)), 503)
    return json_reply(Health("ready"))


def get_metrics(context: Context, incoming: Incoming) -> Response:  # noqa: ARG001  # every handler takes both
    """Everything that is counted, for Prometheus."""
    text = context.meters.exposition(context.live.freshness.commits, context.timer())
    return Response(text, headers={"content-type": CONTENT_TYPE_LATEST})


def get_stats(context: Context, incoming: Incoming) -> Response:  # noqa: ARG001  # every handler takes both
    """The last minute, and where the server stands."""
    meters, state, now = context.meters, context.state, context.timer()
    series = Series(meters.requests.last_minute(now), meters.events.last_minute(now), meters.errors.last_minute(now))
    answer = StatsAnswer(
        window_seconds=WINDOW_SECONDS,
        requests_per_second=_rate(series.requests, now - meters.started),
        events_per_second=_rate(series.events, now - meters.started),
        errors_per_second=_rate(series.errors, now - meters.started),
        recommend_ms=_percentiles(meters.recommend, now),
        freshness_ms=_percentiles(meters.freshness, now),
        freshness_target_ms=TARGET_SECONDS * 1000,
        streams=context.streams.open,
        offset=state.offset,
        model=context.model_version,
        model_age_seconds=context.model_age_seconds,
        items=state.shop.size,
        users=len(state.users),
        events=state.events,
        unreadable=state.unreadable,
        unreadable_first=next(iter(state.unreadable_first.values()), None),
        state_problem=context.live.refolding.problem,
        rule_violations=context.live.engine.violations.total(),
        uptime_seconds=round(now - meters.started, 3),
        series=series,
        training=_training(context.training),
        check=context.nightly.last(),
    )
    return json_reply(answer)


def _training(training: Retraining | None) -> TrainingStats | None:
    if training is None:
        return None
    last = training.last
    return TrainingStats(
        every_seconds=training.every_seconds,
        running=training.running,
        next_ms=training.next_ms,
        last_ms=None if last is None else last.started_ms,
        last_seconds=None if last is None else last.seconds,
        ok=None if last is None else last.problem is None,
        problem=None if last is None else last.problem,
    )


def _rate(counts: list[int], uptime: float) -> float:
    """Per second, over the whole seconds that the server has been up for."""
    return round(sum(counts) / min(max(uptime, 1.0), WINDOW_SECONDS), 3)


def _percentiles(durations: Durations, now: float) -> Percentiles:
    p50, p99 = durations.percentiles(now)
    return Percentiles(*(None if value is None else round(value * 1000, 3) for value in (p50, p99)))

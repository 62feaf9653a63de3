"""The composition root: turns Config into live objects, and is the one room that chooses a class by a setting."""

from threadpoolctl import threadpool_limits

from endcap.wiring.encoders import contents_of, reading
from endcap.wiring.engines import attribution, open_engine, recommend, served_again, why_at, why_served
from endcap.wiring.home import clock, new_id, open_log
from endcap.wiring.jobs import erase, evaluation_kit, export, repair, replay, set_aside, train
from endcap.wiring.llm import advice, describe
from endcap.wiring.models import (
    LEARNERS,
    UNTRAINED,
    blend_members,
    check_trainable,
    chosen_models,
    load_model,
    no_themes,
    serving_model,
)
from endcap.wiring.shop import open_live, shop_of

__all__ = [
    "LEARNERS",
    "UNTRAINED",
    "advice",
    "attribution",
    "blend_members",
    "check_trainable",
    "chosen_models",
    "clock",
    "contents_of",
    "describe",
    "erase",
    "evaluation_kit",
    "export",
    "load_model",
    "new_id",
    "no_themes",
    "open_engine",
    "open_live",
    "open_log",
    "reading",
    "recommend",
    "repair",
    "replay",
    "served_again",
    "serving_model",
    "set_aside",
    "shop_of",
    "train",
    "why_at",
    "why_served",
]

threadpool_limits(1)
"""One thread in the numeric kernels: the same bits each time, and no waiting for a busy neighbour core."""

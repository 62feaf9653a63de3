"""The JSON bodies of the HTTP API, as types: what msgspec decodes and encodes, and what /openapi.json is made of.

Events and items are checked by ``events/schema.py`` and ``catalog/items.py``, which name the field and the
remedy; their types here document them.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from endcap.catalog.items import KINDS, Item
from endcap.catalog.rules import ACTIONS, MAX_WHERE_LENGTH, PER
from endcap.events.schema import EVENT_TYPES
from endcap.serving.engine import RECIPES

MAX_K = 1_000
MAX_BATCH = 1_000
MAX_LIST = 10_000
"""Item ids in one request: the caller's own list, or what is to be left out."""

Id = Annotated[str | int, Meta(description="1 to 256 characters; a whole number is taken as its digits")]
Moment = Annotated[str | int, Meta(description="RFC 3339, or whole milliseconds since 1970")]
EventType = Annotated[str, Meta(extra_json_schema={"enum": list(EVENT_TYPES)})]
Kind = Annotated[str, Meta(extra_json_schema={"enum": list(KINDS)})]
Recipe = Annotated[str, Meta(extra_json_schema={"enum": [*RECIPES, "page"]})]
Ids = Annotated[list[Id], Meta(max_length=MAX_LIST)]


class EventLine(Struct, forbid_unknown_fields=True):
    """One line of a basket."""

    item_id: Id
    quantity: float = 1.0
    price: float | None = None


class EventBody(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One thing that happened. ``user_id`` or ``visitor_id`` is required."""

    type: EventType
    event_id: Id | None = None
    user_id: Id | None = None
    visitor_id: Id | None = None
    session_id: Id | None = None
    item_id: Id | None = None
    items: list[EventLine] | None = None
    value: float | None = None
    currency: str | None = None
    query: str | None = None
    rating: float | None = None
    text: str | None = None
    request_id: Id | None = None
    consent: bool | None = None
    time: Moment | None = None


class EventBatch(Struct, forbid_unknown_fields=True):
    """Up to 1,000 events; the good ones are kept, the others are refused by index."""

    events: Annotated[list[EventBody], Meta(max_length=MAX_BATCH)]


class GoogleAnalyticsBody(Struct):
    """A body of the Measurement Protocol of GA4; or ``events`` holds rows of its BigQuery export."""

    events: Annotated[list[dict[str, Any]], Meta(max_length=MAX_BATCH)]
    client_id: Id | None = None
    user_id: Id | None = None
    timestamp_micros: int | str | None = None


class SegmentMessage(Struct):
    """One message of Segment's Spec."""

    type: str
    userId: Id | None = None  # noqa: N815  # Segment's name
    anonymousId: Id | None = None  # noqa: N815
    messageId: Id | None = None  # noqa: N815
    timestamp: str | None = None
    event: str | None = None
    properties: dict[str, Any] | None = None


class SegmentBatch(Struct):
    """A batch of them, as the HTTP API of Segment takes it."""

    batch: Annotated[list[dict[str, Any]], Meta(max_length=MAX_BATCH)]


class RetailEvent(Struct):
    """A user event of Google's Retail API."""

    eventType: str  # noqa: N815  # Google's name
    visitorId: Id | None = None  # noqa: N815
    eventTime: str | None = None  # noqa: N815
    productDetails: list[dict[str, Any]] | None = None  # noqa: N815


class RetailBatch(Struct):
    """Several of them."""

    userEvents: Annotated[list[dict[str, Any]], Meta(max_length=MAX_BATCH)]  # noqa: N815


class ShopifyMessage(Struct):
    """What a webhook of Shopify carries; the header ``X-Shopify-Topic`` says what it is about."""

    id: Id | None = None
    token: str | None = None


class ItemBody(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Anything that can be recommended."""

    item_id: Id
    title: str
    kind: Kind | None = None
    description: str | None = None
    brand: str | None = None
    categories: tuple[str, ...] = ()
    price: float | None = None
    sale_price: float | None = None
    currency: str | None = None
    in_stock: bool | None = None
    url: str | None = None
    image: str | None = None
    group_id: Id | None = None
    attributes: dict[str, Any] | None = None
    available_from: Moment | None = None
    expires: Moment | None = None
    about: Id | None = None


class ItemFields(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Some fields of an item; null clears one."""

    title: str | None = None
    kind: Kind | None = None
    description: str | None = None
    brand: str | None = None
    categories: tuple[str, ...] | None = None
    price: float | None = None
    sale_price: float | None = None
    currency: str | None = None
    in_stock: bool | None = None
    url: str | None = None
    image: str | None = None
    group_id: Id | None = None
    attributes: dict[str, Any] | None = None
    available_from: Moment | None = None
    expires: Moment | None = None
    about: Id | None = None


class ItemBatch(Struct, forbid_unknown_fields=True):
    """Up to 1,000 items; the good ones are kept, the others are refused by index."""

    items: Annotated[list[ItemBody], Meta(max_length=MAX_BATCH)]


class ItemAnswer(Struct):
    """Items of the catalogue, in the order asked for; an id that is not in it is absent."""

    items: list[ItemBody]


class RuleBody(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What the shop tells the lists to do with the items that ``where`` is true for."""

    action: Annotated[str, Meta(extra_json_schema={"enum": list(ACTIONS)})]
    where: Annotated[str, Meta(max_length=MAX_WHERE_LENGTH)]
    id: Id | None = None
    recipe: Recipe | None = None
    kind: Kind | None = None
    value: float | None = None
    per: Annotated[str, Meta(extra_json_schema={"enum": list(PER)})] | None = None
    from_: Moment | None = msgspec.field(default=None, name="from")
    until: Moment | None = None


class RuleStatus(Struct):
    """A rule as it was put, and how it does now."""

    rule: RuleBody
    in_force: bool
    """Whether its dates hold now."""
    matches: int
    """Items of the catalogue that it concerns."""
    problem: str | None
    """Why it concerns none: the catalogue has become such that it cannot be evaluated; null where it can."""


class RulesAnswer(Struct):
    """The rules, in the order in which they were first put."""

    rules: list[RuleStatus]


class RuleReceipt(Struct):
    """The change is durable, and every list from ``offset`` on honours it."""

    id: str
    offset: int


class RuleSample(Struct):
    """An item that a condition is true for."""

    item_id: str
    title: str


class RulePreview(Struct):
    """What a condition is true for: of ``items`` in the catalogue; ``shown`` of them may be in a list now."""

    matches: int
    shown: int
    items: int
    samples: list[RuleSample]


class Refusal(Struct, omit_defaults=True):
    """Why one part of a batch was not kept."""

    index: int
    message: str
    field: str | None = None


class ErrorDetail(Struct, omit_defaults=True):
    """What was wrong, the value, and what to do."""

    code: str
    message: str
    field: str | None = None


class ErrorAnswer(Struct, omit_defaults=True):
    """The one shape of every error. ``errors``: the reasons by index, where a whole batch was refused."""

    error: ErrorDetail
    errors: list[Refusal] | None = None


class EventReceipt(Struct, omit_defaults=True):
    """The events are durable, and every list that follows reflects them."""

    accepted: int
    duplicates: int
    offset: int
    errors: list[Refusal] | None = None
    unknown: dict[str, int] | None = None
    """In another system's dialect: names that say nothing here, kept as ``custom`` events, and how many of each."""


class ItemReceipt(Struct, omit_defaults=True):
    """The changes are durable, and every list that follows honours them."""

    accepted: int
    offset: int
    errors: list[Refusal] | None = None


class RecommendRequest(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What to show, to whom, about what."""

    recipe: Recipe
    user_id: Id | None = None
    visitor_id: Id | None = None
    session_id: Id | None = None
    item_ids: Ids | None = None
    query: Annotated[str, Meta(max_length=1_000)] | None = None
    kind: Kind | None = None
    k: Annotated[int, Meta(ge=1, le=MAX_K)] = 10
    where: Annotated[str, Meta(max_length=2_000)] | None = None
    exclude: Ids | None = None
    diversity: Annotated[float, Meta(ge=0, le=1)] = 0.0
    explain: bool = False


class RecommendedItem(Struct, omit_defaults=True):
    """One item of a list; ``parts`` add up to the score.

    ``evidence``: for a part, the item of the visitor's own history that speaks most for it.
    """

    item_id: str
    score: float
    reason: str | None = None
    parts: dict[str, float] | None = None
    evidence: dict[str, str] | None = None


class PageRow(Struct):
    """One row of a page: a list like any other, with an id of its own."""

    title: str
    recipe: str
    request_id: str
    items: list[RecommendedItem]


class RecommendAnswer(Struct):
    """A list, best first. ``model`` and ``offset``: what it was made from.

    A page has its lists in ``rows`` instead, and the ``request_id`` of the first of them.
    """

    request_id: str
    items: list[RecommendedItem]
    model: str | None
    offset: int
    took_ms: float
    rows: list[PageRow] | UnsetType = UNSET


class UserEvent(Struct):
    """One remembered event of a user."""

    item_id: str
    type: str
    time: int
    quantity: float


class Interest(Struct):
    """A category, a brand or a price band, and how much its events weigh now."""

    name: str
    weight: float


class UserAnswer(Struct):
    """What is known of a user: events by type, the newest events first, the items of the open visit, interests."""

    id: str
    kind: Annotated[str, Meta(extra_json_schema={"enum": ["user", "visitor"]})]
    counts: dict[str, int]
    last_time: int
    events: list[UserEvent]
    session: list[str]
    interests: dict[str, list[Interest]]
    """By ``category``, ``brand`` and ``price`` (from a power of two to the next), the strongest first."""


class ModelInfo(Struct):
    """One model version in the home folder."""

    version: str
    active: bool
    created: int
    """Milliseconds since 1970."""
    offset: int
    """The log offset that it was learnt up to."""
    metrics: dict[str, float]
    problem: str | None
    """Why it cannot serve; null where nothing is known against it."""


class ModelsAnswer(Struct):
    """The model versions, newest first, and the one that serves."""

    active: str | None
    problem: str | None
    """Why the version that was activated last does not serve; null when it does."""
    models: list[ModelInfo]


class ActivationReceipt(Struct):
    """The version serves from ``offset`` on."""

    version: str
    offset: int


class TokenRequest(Struct, forbid_unknown_fields=True):
    """Whom a browser with an ``events`` key may speak for."""

    visitor_id: Id
    user_id: Id | None = None
    ttl_seconds: Annotated[int, Meta(ge=1, le=31_536_000)] = 86_400


class TokenAnswer(Struct):
    """Send it as the header ``X-Endcap-Visitor``."""

    token: str
    expires: int
    """Milliseconds since 1970."""


class Report(Struct):
    """One report of the home folder, as it was written."""

    name: str
    report: msgspec.Raw


class ReportsAnswer(Struct):
    """The reports of the home folder, newest first."""

    reports: list[Report]


class Percentiles(Struct):
    """Of the last minute; null where nothing was measured."""

    p50: float | None
    p99: float | None


class Series(Struct):
    """One number a second, oldest first; the last is the last whole second."""

    requests: list[int]
    events: list[int]
    errors: list[int]


class TrainingStats(Struct):
    """What `serve --retrain-every` does."""

    every_seconds: float
    running: bool
    next_ms: int
    """Milliseconds since 1970: when the next training begins, or the one that runs began."""
    last_ms: int | None
    """When the last training began; None before the first."""
    last_seconds: float | None
    ok: bool | None
    """Whether it made a model."""
    problem: str | None
    """Why not."""


class StatsAnswer(Struct):
    """How the server does now, over the last minute."""

    window_seconds: int
    requests_per_second: float
    events_per_second: float
    errors_per_second: float
    recommend_ms: Percentiles
    freshness_ms: Percentiles
    """From the arrival of an event to its being in every list, the disk included."""
    streams: int
    offset: int
    model: str | None
    model_age_seconds: float | None
    items: int
    users: int
    events: int
    uptime_seconds: float
    series: Series
    training: TrainingStats | None
    """None where the server trains nothing."""


class Health(Struct):
    """The state of the server."""

    status: str


def item_body(item: Item) -> ItemBody:
    """``item`` as it is sent."""
    values = {name: getattr(item, name) for name in ItemBody.__struct_fields__ if name != "attributes"}
    return ItemBody(**values, attributes=dict(item.attributes) or None)

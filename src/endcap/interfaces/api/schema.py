"""The JSON bodies of the HTTP API, as types: what msgspec decodes and encodes, and what /openapi.json is made of.

Events and items are checked by ``events/schema.py`` and ``catalog/items.py``, which name the field and the
remedy; their types here document them.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from endcap.catalog.items import KINDS, Item
from endcap.events.schema import EVENT_TYPES
from endcap.interfaces.api.nightly import DigestCheck
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
Photo = Annotated[str, Meta(description="A picture (JPEG, PNG, WebP, GIF, AVIF, TIFF, BMP) as base64 or data: address")]
Recording = Annotated[
    str, Meta(description="At most 30 seconds of speech (WAV, MP3, M4A, OGG, WebM, FLAC) as base64 or data: address")
]
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


class Rates(Struct):
    """Events a day of one type."""

    recent: float
    """Over the last days: those of a week ago count half."""
    usual: float
    """Over the last months: those of 90 days ago count half."""


class ItemStats(Struct):
    """How much an item is wanted. The half-lives are ``state.trending_half_life_days`` and ``popular_...``."""

    item_id: str
    per_day: dict[str, Rates]
    """By type of event, those that there were."""
    trend: float
    """All events by their weights, a day: recent over usual. 1 is steady, above is rising; 0 without any."""


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
    """What to show, to whom, about what.

    ``image`` and ``audio`` go with the recipe ``search``, beside ``query`` or in its place. Neither is kept.
    """

    recipe: Recipe
    user_id: Id | None = None
    visitor_id: Id | None = None
    session_id: Id | None = None
    item_ids: Ids | None = None
    query: Annotated[str, Meta(max_length=1_000)] | None = None
    image: Photo | None = None
    audio: Recording | None = None
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

    A page has its lists in ``rows`` instead, and the ``request_id`` of the first of them. ``query``: what was heard.
    """

    request_id: str
    items: list[RecommendedItem]
    model: str | None
    offset: int
    took_ms: float
    rows: list[PageRow] | UnsetType = UNSET
    query: str | UnsetType = UNSET


class UserEvent(Struct):
    """One remembered event of a user."""

    item_id: str
    type: str
    time: int
    quantity: float


class Interest(Struct):
    """A category, a brand, a price band or a theme, and how much its events weigh now."""

    name: str
    weight: float


class Theme(Struct):
    """A topic or a cluster of items, found without labels."""

    keywords: list[str]
    """The words that set its items apart, the best first."""
    items: int
    """Listed items that have more of it than of any other."""
    people: int
    """Users who did something with one of them, up to the training."""
    demand: float
    """Its share, 0 to 1, of what all items are wanted now."""
    examples: list[str]
    """Its listed items that are wanted most."""


class InterestsAnswer(Struct):
    """What the people of this shop are interested in, the greatest demand first."""

    model: str
    """The version that found it."""
    themes: list[Theme]


class UserAnswer(Struct):
    """What is known of a user: events by type, the newest events first, the items of the open visit, interests."""

    id: str
    kind: Annotated[str, Meta(extra_json_schema={"enum": ["user", "visitor"]})]
    user_id: str | None
    """Whose all this is: a visitor that was identified answers with its user; null where it is nobody's but its own."""
    counts: dict[str, int]
    last_time: int
    events: list[UserEvent]
    remembered: int
    """How many events lists follow from; ``events`` are the newest 50 of them."""
    session: list[str]
    interests: dict[str, list[Interest]]
    """By ``category``, ``brand``, ``price`` (from a power of two to the next) and ``theme`` (its keywords; the weight
    is its share of all that they did), the strongest first."""
    dismissed: list[str]
    """Items that they do not want to see again, the newest first."""
    without_consent: bool
    """Whether something of the open visit was done without consent: it is in no count, interest or model."""


class ModelInfo(Struct):
    """One model version in the home folder."""

    version: str
    active: bool
    created: int
    """Milliseconds since 1970."""
    offset: int
    """The log offset that it was learnt up to."""
    erasures: int
    """Since then, of people whom it had learnt from; above 0 it should be replaced: run endcap train."""
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    """By the name of a metric: its 95 % interval. A version from before there were any has none."""
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
    """From an event of the server's own visitor to its first changed list, the disk included."""
    freshness_target_ms: float
    """What their p99 should not exceed."""
    streams: int
    offset: int
    model: str | None
    model_age_seconds: float | None
    items: int
    users: int
    events: int
    unreadable: int
    """Entries of the log that were set aside because they cannot be read; 0 in a sound one."""
    unreadable_first: str | None
    """What is wrong with the first of them, and what to do."""
    state_problem: str | None
    """Why the state that serves is not what the log adds up to, and what to do; null while it is."""
    rule_violations: int
    """Items that broke a rule and were taken off in the last look at a list; above 0 it is a fault of Endcap."""
    uptime_seconds: float
    series: Series
    training: TrainingStats | None
    """None where the server trains nothing."""
    check: DigestCheck | None
    """What ``endcap replay --check`` found last; null before the first."""


class Health(Struct, omit_defaults=True):
    """The state of the server. ``senses``: what can be searched with besides words, of ``image`` and ``audio``."""

    status: str
    senses: list[str] | None = None


def item_body(item: Item) -> ItemBody:
    """``item`` as it is sent."""
    values = {name: getattr(item, name) for name in ItemBody.__struct_fields__ if name != "attributes"}
    return ItemBody(**values, attributes=dict(item.attributes) or None)

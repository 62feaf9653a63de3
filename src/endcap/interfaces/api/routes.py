"""Every route of the API, once: the router and /openapi.json are made of this table.

The two that a shop calls most stand first, because the router looks from the top.
"""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from endcap.evaluation.attribution import Report as AttributionReport
from endcap.events.dialects.ga4 import GA4
from endcap.events.dialects.retail import RETAIL
from endcap.events.dialects.segment import SEGMENT
from endcap.interfaces.api import (
    attribution,
    console,
    dialects,
    erasure,
    events,
    health,
    interests,
    items,
    models,
    openapi,
    pictures,
    recommend,
    reports,
    rules,
    stream,
    users,
    why,
)
from endcap.interfaces.api import rule_schema as r
from endcap.interfaces.api import schema as s
from endcap.interfaces.api.context import Context
from endcap.interfaces.api.operation import ADMIN, LISTS, PUBLIC, READ, WRITES, Incoming, Operation, Parameter
from endcap.interfaces.api.visitors import post_token
from endcap.pipelines.erase import Receipt as Erased
from endcap.pipelines.export import Export
from endcap.serving.rebuild import Why

_EVENT = {"type": "view", "visitor_id": "v1", "item_id": "22423", "event_id": "e1"}
_ITEM = {
    "item_id": "22423",
    "title": "Regency cake stand, 3 tiers",
    "categories": ["Kitchen > Baking"],
    "price": 12.75,
    "currency": "GBP",
    "in_stock": True,
}
_FILES = console.static_files()


def get_openapi(context: Context, incoming: Incoming) -> Response:  # noqa: ARG001  # every handler takes both
    """This API as OpenAPI 3.1."""
    return Response(_DOCUMENT, media_type="application/json")


LISTS_AND_EVENTS = (
    Operation(
        "POST",
        "/v1/recommend",
        recommend.post_recommend,
        "A list: what to show next, to whom, about what",
        LISTS,
        s.RecommendAnswer,
        body=(s.RecommendRequest,),
        example={"recipe": "for-you", "visitor_id": "v1", "k": 10},
    ),
    Operation(
        "POST",
        "/v1/events",
        events.post_events,
        "What visitors did: one event, or up to 1,000; answered when durable and in every list",
        WRITES,
        s.EventReceipt,
        202,
        (s.EventBody, s.EventBatch),
        example={"events": [_EVENT]},
    ),
    Operation(
        "GET",
        "/v1/recommend/{recipe}",
        recommend.get_recommend,
        "The same for a browser and for curl",
        LISTS,
        s.RecommendAnswer,
        parameters=recommend.LIST_PARAMETERS,
    ),
    Operation(
        "GET",
        "/v1/stream",
        stream.get_stream,
        "Server-sent events: the list at once, then again whenever it changes",
        LISTS,
        parameters=(Parameter("recipe", "for-you if it is not given."), *recommend.LIST_PARAMETERS),
        media_type="text/event-stream",
    ),
)

DIALECTS = (
    Operation(
        "POST",
        "/v1/events/ga4",
        dialects.post_in(GA4),
        "The same as Google Analytics 4 says it: Measurement Protocol, or rows of the BigQuery export",
        WRITES,
        s.EventReceipt,
        202,
        (s.GoogleAnalyticsBody,),
        example={"client_id": "v1", "events": [{"name": "view_item", "params": {"items": [{"item_id": "22423"}]}}]},
    ),
    Operation(
        "POST",
        "/v1/events/segment",
        dialects.post_in(SEGMENT),
        "The same as Segment says it: one message, or a batch",
        WRITES,
        s.EventReceipt,
        202,
        (s.SegmentMessage, s.SegmentBatch),
        example={
            "type": "track",
            "anonymousId": "v1",
            "event": "Product Viewed",
            "properties": {"product_id": "22423"},
        },
    ),
    Operation(
        "POST",
        "/v1/events/retail",
        dialects.post_in(RETAIL),
        "The same as Google's Retail API says it: one user event, or several",
        WRITES,
        s.EventReceipt,
        202,
        (s.RetailEvent, s.RetailBatch),
        example={
            "eventType": "detail-page-view",
            "visitorId": "v1",
            "productDetails": [{"product": {"id": "22423"}}],
        },
    ),
    Operation(
        "POST",
        "/v1/events/shopify",
        dialects.post_shopify,
        "A webhook of Shopify, signed in the header X-Shopify-Hmac-Sha256",
        PUBLIC,
        s.EventReceipt,
        202,
        (s.ShopifyMessage,),
        example={"token": "68778783ad298f1c80c3bafcddeea02f", "line_items": [{"product_id": 22423, "quantity": 1}]},
        signed=True,
    ),
)

CATALOGUE = (
    Operation(
        "PUT",
        "/v1/items",
        items.put_items,
        "One item, or up to 1,000",
        ADMIN,
        s.ItemReceipt,
        body=(s.ItemBody, s.ItemBatch),
        example={"items": [_ITEM]},
    ),
    Operation(
        "GET",
        "/v1/items",
        items.get_items,
        "The items named",
        READ,
        s.ItemAnswer,
        parameters=(Parameter("ids", "Percent-encoded ids with commas between them, up to 1,000.", required=True),),
    ),
    Operation("GET", "/v1/items/{item_id:path}", items.get_item, "One item", READ, s.ItemBody),
    Operation(
        "PUT",
        "/v1/items/{item_id:path}",
        items.put_item,
        "The whole item; what was there is replaced",
        ADMIN,
        s.ItemReceipt,
        body=(s.ItemBody,),
        example=_ITEM,
    ),
    Operation(
        "GET",
        "/v1/item-images/{item_id:path}",
        pictures.get_picture,
        "The picture of an item, where it lies in the image folder",
        READ,
        media_type="image/*",
    ),
    Operation(
        "GET",
        "/v1/item-stats/{item_id:path}",
        items.get_stats,
        "How much an item is wanted, and whether that rises",
        READ,
        s.ItemStats,
    ),
    Operation(
        "PATCH",
        "/v1/items/{item_id:path}",
        items.patch_item,
        "Some fields of an item; null clears one",
        ADMIN,
        s.ItemReceipt,
        body=(s.ItemFields,),
        example={"in_stock": False},
    ),
    Operation(
        "DELETE", "/v1/items/{item_id:path}", items.delete_item, "Takes an item out of every list", ADMIN, s.ItemReceipt
    ),
)

RULES = (
    Operation("GET", "/v1/rules", rules.get_rules, "What the shop has told the lists to do", READ, r.RulesAnswer),
    Operation("GET", "/v1/rules/{id:path}", rules.get_rule, "One rule", READ, r.RuleStatus),
    Operation(
        "PUT",
        "/v1/rules/{id:path}",
        rules.put_rule,
        "The whole rule; what was there is replaced",
        ADMIN,
        r.RuleReceipt,
        body=(r.RuleBody,),
        example={"action": "boost", "where": "price > 10 AND title LIKE '%stand%'", "value": 0.2},
    ),
    Operation("DELETE", "/v1/rules/{id:path}", rules.delete_rule, "The end of a rule", ADMIN, r.RuleReceipt),
    Operation(
        "GET",
        "/v1/rule-preview",
        rules.get_preview,
        "How many items a condition is true for",
        READ,
        r.RulePreview,
        parameters=rules.PREVIEW_PARAMETERS,
    ),
    Operation(
        "POST",
        "/v1/rule-preview",
        rules.post_preview,
        "What lists become with a rule that is not put yet",
        READ,
        r.TrialAnswer,
        body=(r.TrialRequest,),
        example={"rule": {"action": "exclude", "where": "price > 10"}, "recipes": ["popular"]},
    ),
)

OPERATOR = (
    Operation(
        "GET",
        "/v1/users/{id:path}/export",
        erasure.get_export,
        "All that is held of a person: events, served lists, profile",
        ADMIN,
        Export,
        parameters=erasure.PERSON_PARAMETERS,
    ),
    Operation(
        "GET",
        "/v1/users/{id:path}",
        users.get_user,
        "What is known of a user",
        READ,
        s.UserAnswer,
        parameters=erasure.PERSON_PARAMETERS,
    ),
    Operation(
        "DELETE",
        "/v1/users/{id:path}",
        erasure.delete_user,
        "Erase a person from the log, the state, every file of the home and the server's memory, for ever",
        ADMIN,
        Erased,
        parameters=erasure.PERSON_PARAMETERS,
    ),
    Operation(
        "GET",
        "/v1/interests",
        interests.get_interests,
        "What people of this shop are interested in: themes of its items, found without labels",
        READ,
        s.InterestsAnswer,
    ),
    Operation(
        "GET",
        "/v1/why",
        why.get_why,
        "Why an item was in a list of the past, or at which step it was left out",
        READ,
        Why,
        parameters=why.WHY_PARAMETERS,
    ),
    Operation("GET", "/v1/models", models.get_models, "The model versions", READ, s.ModelsAnswer),
    Operation(
        "POST",
        "/v1/models/{version}/activate",
        models.post_activation,
        "Let a version serve, a newer or an older one",
        ADMIN,
        s.ActivationReceipt,
    ),
    Operation(
        "GET",
        "/v1/reports",
        reports.get_reports,
        "What the imports kept and dropped, and what evaluations found",
        READ,
        s.ReportsAnswer,
    ),
    Operation(
        "GET",
        "/v1/reports/attribution",
        attribution.get_attribution,
        "What the lists bring: views, clicks, purchases and revenue by recipe, day, model or row of a page",
        READ,
        AttributionReport,
        parameters=attribution.ATTRIBUTION_PARAMETERS,
    ),
    Operation("GET", "/v1/stats", health.get_stats, "The last minute, for charts", READ, s.StatsAnswer),
    Operation(
        "POST",
        "/v1/visitor-tokens",
        post_token,
        "A token that lets a browser speak for one visitor",
        READ,
        s.TokenAnswer,
        body=(s.TokenRequest,),
        example={"visitor_id": "v1", "ttl_seconds": 3600},
    ),
)

SERVER = (
    Operation("GET", "/health/live", health.get_live, "The process answers", PUBLIC, s.Health),
    Operation("GET", "/health/ready", health.get_ready, "A model and the state are in place", PUBLIC, s.Health),
    Operation("GET", "/metrics", health.get_metrics, "Prometheus metrics", READ, media_type="text/plain"),
    Operation("GET", "/openapi.json", get_openapi, "This document", PUBLIC),
)

PAGES = tuple(
    Operation("GET", path, handler, summary, PUBLIC, media_type=kind)
    for path, handler, summary, kind in (
        ("/", console.page(_FILES, "index.html"), "The console", "text/html"),
        ("/shop", console.page(_FILES, "shop.html"), "The storefront", "text/html"),
        ("/docs", console.page(_FILES, "docs/docs.html"), "This document, to read and to try", "text/html"),
        ("/static/{path:path}", console.folder(_FILES), "The parts of these pages", "*/*"),
    )
)

OPERATIONS = (*LISTS_AND_EVENTS, *DIALECTS, *CATALOGUE, *RULES, *OPERATOR, *SERVER, *PAGES)

_DOCUMENT = msgspec.json.encode(openapi.document(OPERATIONS))

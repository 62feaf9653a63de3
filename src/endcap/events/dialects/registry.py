"""The dialects that anybody may send or import, by name. Shopify's webhooks are signed and stand apart."""

from __future__ import annotations

from collections.abc import Mapping

from endcap.events.dialects.ga4 import GA4
from endcap.events.dialects.message import Dialect
from endcap.events.dialects.retail import RETAIL
from endcap.events.dialects.segment import SEGMENT

DIALECTS: Mapping[str, Dialect] = {"ga4": GA4, "segment": SEGMENT, "retail": RETAIL}

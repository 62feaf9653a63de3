"""Webhooks of Shopify: each is signed, because Shopify cannot send a key.

``ENDCAP_SHOPIFY_SECRET`` holds the app's client secret, or two with a comma between them while one replaces the
other. The signature is the base64 of HMAC-SHA256 (RFC 2104) over the body as it came
(https://shopify.dev/docs/apps/build/webhooks/verify-deliveries).
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Sequence
from typing import Self

from endcap.errors import ConfigError, UnauthorizedError
from endcap.interfaces.api.auth import Headers

SHOPIFY_VARIABLE = "ENDCAP_SHOPIFY_SECRET"
SIGNATURE_HEADER = b"x-shopify-hmac-sha256"
MIN_SECRET_LENGTH = 16


class ShopifySecrets:
    """The secrets that Shopify may sign with; none: no webhook is taken."""

    def __init__(self, secrets: Sequence[bytes] = ()) -> None:
        self._secrets = tuple(secrets)

    @classmethod
    def parse(cls, value: str) -> Self:
        """The secrets in ``value``. Raises ConfigError, which does not show it, for one that is too short."""
        secrets = [part.strip() for part in value.split(",") if part.strip()]
        if any(len(secret) < MIN_SECRET_LENGTH for secret in secrets):
            raise ConfigError(
                f"{SHOPIFY_VARIABLE} has fewer than {MIN_SECRET_LENGTH} characters: give the client secret of the app"
            )
        return cls([secret.encode() for secret in secrets])

    def check(self, body: bytes, headers: Headers) -> None:
        """Raises UnauthorizedError unless ``headers`` hold the signature of ``body``. Takes the same time for each."""
        if not self._secrets:
            raise UnauthorizedError(
                f"no webhook is taken, because no secret is configured: set {SHOPIFY_VARIABLE} and restart"
            )
        given = headers.get(SIGNATURE_HEADER, b"").strip()
        expected = [base64.b64encode(hmac.digest(secret, body, "sha256")) for secret in self._secrets]
        right = [one for one in expected if hmac.compare_digest(given, one)]  # all are compared
        if not right:
            raise UnauthorizedError(
                f"X-Shopify-Hmac-Sha256 is not the signature of this body: {SHOPIFY_VARIABLE} must hold the "
                "client secret of the app that sends the webhook"
            )


NO_SECRETS = ShopifySecrets()

"""Texts to vectors by another server, in the way of OpenAI's ``POST /v1/embeddings``, which many servers speak."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from endcap.backends.http.posting import check_address, post_json
from endcap.config import EndpointConfig
from endcap.encoders.reading import readable, unit
from endcap.errors import ConfigError, EndpointError
from endcap.types import FloatArray

MAX_CHARS = 1_000
"""A text is cut to this many characters: servers refuse what is longer than their models read."""
WAITS = (0.5, 2.0, 8.0)
"""Seconds before another try, each time after a failure that may pass."""
LONGEST_WAIT = 30.0
"""Seconds that a server may ask for."""
_PASSING = {408, 425, 429, 500, 502, 503, 504}


class _Vector(msgspec.Struct):
    embedding: list[float]
    index: int | None = None


class _Answer(msgspec.Struct):
    data: list[_Vector]


class EndpointEncoder:
    """The encoder behind ``config.address``. A text costs a part of one request: keep its vectors in a ``VectorStore``.

    ``key`` goes into the header ``Authorization``. ``waits`` empty: one try, for somebody who waits for a list. Raises
    ConfigError if the address, the model or the dimensions are not given.
    """

    def __init__(
        self,
        config: EndpointConfig,
        key: str | None = None,
        waits: Sequence[float] = WAITS,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        check_address("endpoint.address", config.address)
        if not config.model or config.dim <= 0:
            raise ConfigError(
                f"endpoint.model is {config.model!r:.80} and endpoint.dim {config.dim}: say which model of "
                f"{config.address} is meant, and how many numbers its vectors have"
            )
        self._config = config
        self._address = config.address.rstrip("/") + "/embeddings"
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._waits, self._pause = tuple(waits), pause
        meant = f"{self._address}\0{config.model}\0{config.dim}".encode()
        self.name = f"endpoint:{config.model}@{hashlib.sha256(meant).hexdigest()[:12]}"
        self.dim = config.dim

    def load(self) -> None:
        """Asks once, so that a server that is gone or a wrong dimension shows now. Raises as ``encode`` does."""
        self.encode(["ready"])

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """(n, dim) unit rows; a zero row where nothing is to be read, without asking.

        Raises EndpointError if the server is gone, slow or refuses, also when it is asked again, or if its answer is
        not one vector of ``dim`` numbers a text: then none of the texts has a vector.
        """
        vectors = np.zeros((len(texts), self.dim), np.float32)
        clean = [readable(text, MAX_CHARS) for text in texts]
        rows = [row for row, text in enumerate(clean) if text]
        for start in range(0, len(rows), self._config.batch):
            batch = rows[start : start + self._config.batch]
            vectors[batch] = self._vectors([clean[row] for row in batch])
        return vectors

    def _vectors(self, texts: list[str]) -> FloatArray:
        body = msgspec.json.encode({"model": self._config.model, "input": texts, "encoding_format": "float"})
        try:
            answer = msgspec.json.decode(self._ask(body), type=_Answer)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise EndpointError(f"{self._address} answered something else than vectors ({error!s:.200})") from error
        found = answer.data
        if len(found) != len(texts):
            raise EndpointError(f"{self._address} gave {len(found)} vectors for {len(texts)} texts: none is kept")
        if any(one.index is not None for one in found):
            found = sorted(found, key=lambda one: -1 if one.index is None else one.index)
            if [one.index for one in found] != list(range(len(texts))):
                raise EndpointError(f"{self._address} does not say which vector is of which text: none is kept")
        for one in found:
            if len(one.embedding) != self.dim:
                raise EndpointError(
                    f"{self._address} gave a vector of {len(one.embedding)} dimensions instead of {self.dim}: if "
                    "the model is the right one, set endpoint.dim to it; everything is encoded again then"
                )
        rows = np.array([one.embedding for one in found], np.float64)
        if not rows.any(axis=1).all():
            raise EndpointError(f"{self._address} gave a vector of zeros for a text that can be read: none is kept")
        return np.stack([unit(row) for row in rows])

    def _ask(self, body: bytes) -> bytes:
        """The body of the answer, after as many tries as there are waits, and one."""
        for wait in (*self._waits, None):
            try:
                reply = post_json(self._address, body, self._headers, self._config.timeout_seconds)
            except EndpointError:
                if wait is None:
                    raise
                self._pause(wait)
                continue
            if reply.status == 200:
                return reply.body
            if wait is None or reply.status not in _PASSING:
                break
            self._pause(_asked_for(reply.retry_after, wait))
        said = reply.body[:200].decode("utf-8", "replace").strip()
        raise EndpointError(
            f"{self._address} answered with status {reply.status} ({said}): see its log, and [endpoint]"
        )


def _asked_for(retry_after: str | None, wait: float) -> float:
    """Seconds to wait; a server's wish in the form of a date is not read."""
    wished = float(retry_after) if retry_after is not None and retry_after.isdecimal() else 0.0
    return min(max(wait, wished), LONGEST_WAIT)

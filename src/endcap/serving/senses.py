"""What a request brings besides words: a photo becomes a vector, speech becomes words, in time or not at all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import monotonic
from typing import TypeVar

from endcap.encoders.packing import packed
from endcap.encoders.prompting import telling_words
from endcap.errors import EndcapError, InvalidFieldError, OverloadedError
from endcap.protocols import Transcriber
from endcap.serving.contents import Reading

SEE_SECONDS = 1.0
"""How long a request waits for the vector of its photo: about 15 ms of work, behind others'."""
HEAR_SECONDS = 8.0
"""How long it waits for its words: about a second of work for a query of two."""
READ_SECONDS = 0.5
"""How long it waits for another server to read its query; then it goes by its letters."""
SEE_WAITING = 16
HEAR_WAITING = 4
READ_WAITING = 32
"""Requests that may wait at a time; more could not be answered in time, and are told at once."""
WORDS_SECONDS = 600.0
"""So often the words that speech is compared with are taken from the catalogue."""

Result = TypeVar("Result")

_logger = logging.getLogger(__name__)


class Senses:
    """Reads photos, recordings and what another server must read, each in a thread of its own.

    ``speech``: None where the shop hears nothing. Belongs to one loop.
    """

    def __init__(self, speech: Transcriber | None = None, timer: Callable[[], float] = monotonic) -> None:
        self._speech = speech
        self._timer = timer
        self._words: Sequence[str] = ()
        self._words_at = -WORDS_SECONDS
        self._seeing = Desk("image", SEE_WAITING, SEE_SECONDS)
        self._hearing = Desk("audio", HEAR_WAITING, HEAR_SECONDS)
        self._reading = Desk("query", READ_WAITING, READ_SECONDS)

    @property
    def hears(self) -> bool:
        """Whether recordings are heard here."""
        return self._speech is not None

    async def see(self, photo: bytes, reading: Reading) -> str:
        """The vector of ``photo``, packed.

        Raises InvalidFieldError for what is no picture, or where none is looked at; and OverloadedError.
        """
        if reading.images is None:
            raise InvalidFieldError("image", "this shop looks at no images: set encode.image, then run endcap train")
        return packed(await self._seeing.ask(partial(reading.images.query, photo)))

    async def hear(self, recording: bytes, titles: Callable[[], Sequence[str]]) -> str:
        """What is said in ``recording``; ``titles`` are those of the items, whose words are expected.

        Raises InvalidFieldError for what is no sound, for silence, or where nothing is heard; and OverloadedError.
        """
        if self._speech is None:
            raise InvalidFieldError("audio", "this shop hears no speech: set encode.speech, start the server again")
        new = self._timer() - self._words_at >= WORDS_SECONDS
        said = await self._hearing.ask(partial(self._heard, self._speech, recording, titles() if new else None))
        if not said.strip():
            raise InvalidFieldError("audio", "nothing is said in the audio: speak louder, or type what is wanted")
        return said.strip()

    def _heard(self, speech: Transcriber, recording: bytes, titles: Sequence[str] | None) -> str:
        if titles is not None:
            self._words, self._words_at = telling_words(titles), self._timer()
        return speech.transcribe(recording, self._words)

    async def read(self, query: str, reading: Reading) -> bool:
        """Whether the encoder of ``reading`` has read ``query`` in time, so that its vector is there when asked for."""
        try:
            await self._reading.ask(partial(reading.queries.encode, [query]))
        except EndcapError as error:
            _logger.warning("query not read", extra={"reason": str(error)})
            return False
        return True

    def close(self) -> None:
        """Finish what is under way."""
        for desk in (self._seeing, self._hearing, self._reading):
            desk.close()


class Desk:
    """One thread that does one kind of work for those who wait, within ``seconds`` each. Belongs to one loop."""

    def __init__(self, field: str, most: int, seconds: float) -> None:
        self._field = field
        self._most = most
        self._seconds = seconds
        self._waiting = 0
        self._thread = ThreadPoolExecutor(1, f"endcap-{field}")

    async def ask(self, work: Callable[[], Result]) -> Result:
        """What ``work`` gives. Raises OverloadedError if others wait already, or it takes too long; and as it does.

        Work whose caller has gone, or was told that it takes too long, does not begin any more.
        """
        if self._waiting >= self._most:
            raise OverloadedError(f"{self._waiting} requests with {self._field} are waiting: send it again in a second")
        self._waiting += 1
        asked = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            finished, _ = await asyncio.wait([asked], timeout=self._seconds)
        finally:
            self._waiting -= 1
            asked.cancel()  # which leaves what has ended as it is
        if not finished:
            raise OverloadedError(f"the {self._field} was not read within {self._seconds:g} s: send it again")
        return asked.result()

    def close(self) -> None:
        """Finish what is under way; whoever still waits is told no."""
        self._thread.shutdown(wait=True, cancel_futures=True)

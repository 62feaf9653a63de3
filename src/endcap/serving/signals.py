"""Who is waiting for which visitor's lists to change."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from endcap.events.schema import Event
from endcap.state.fold import State


class Signals:
    """One ``asyncio.Event`` a waiting reader, set whenever the lists of the visitor it waits for may have changed."""

    def __init__(self, state: State) -> None:
        self.state = state
        """What says whose event it is; another one may take its place."""
        self._waiting: dict[str | None, set[asyncio.Event]] = {}
        """By the key of the user in the state; None: every reader."""

    @contextlib.contextmanager
    def subscribed(self, user_id: str | None, visitor_id: str | None) -> Iterator[asyncio.Event]:
        """A signal for the lists of this user, or of this visitor; the reader clears it."""
        signal = asyncio.Event()
        for key in (None, self.state.user_key(user_id, visitor_id)):
            self._waiting.setdefault(key, set()).add(signal)
        try:
            yield signal
        finally:
            # A reader of a visitor who became a user meanwhile is filed under both.
            for key in [key for key, signals in self._waiting.items() if signal in signals]:
                self._waiting[key].discard(signal)
                if not self._waiting[key]:
                    del self._waiting[key]

    def event(self, event: Event) -> None:
        """Wake who waits for the visitor of ``event``, which was applied just now."""
        key = self.state.user_key(event.user_id, event.visitor_id)
        if event.type == "identify" and event.visitor_id is not None:
            joined = self._waiting.get(f"v:{event.visitor_id}")
            if joined and key is not None:
                self._waiting.setdefault(key, set()).update(joined)
        self._wake(key)

    def everyone(self) -> None:
        """Wake every reader."""
        self._wake(None)

    def _wake(self, key: str | None) -> None:
        for signal in self._waiting.get(key, ()):
            signal.set()

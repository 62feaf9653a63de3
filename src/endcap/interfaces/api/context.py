"""What every handler works on: the running shop and what the server keeps about itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from math import nan
from pathlib import Path

from endcap.config import Home, ServeConfig
from endcap.interfaces.api.auth import Keys
from endcap.interfaces.api.meters import Meters
from endcap.interfaces.api.origins import Origins
from endcap.models.persistence import list_versions
from endcap.serving.live import Live
from endcap.state.fold import State
from endcap.wiring import UNTRAINED


@dataclass(slots=True)
class Streams:
    """The open event streams."""

    open: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Lists are made for one stream at a time, so that requests get in between."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class Context:
    """Shared by all handlers, all on the event loop's thread."""

    live: Live
    home: Path
    config: ServeConfig
    keys: Keys
    origins: Origins
    meters: Meters
    now_ms: Callable[[], int]
    """The wall clock, milliseconds since 1970."""
    timer: Callable[[], float]
    """A monotonic clock, seconds."""
    streams: Streams = field(default_factory=Streams)
    _created_ms: dict[str, int] = field(default_factory=dict)

    @property
    def state(self) -> State:
        """The shop's state."""
        return self.live.engine.state

    @property
    def model_version(self) -> str | None:
        """The version that serves; None where nothing has been learnt yet."""
        version = self.live.engine.model.version
        return None if version == UNTRAINED else version

    @property
    def model_age_seconds(self) -> float | None:
        """Since the version that serves was made; None where there is none."""
        version = self.model_version
        if version is None:
            return None
        if version not in self._created_ms:
            self._created_ms.update((one.version, one.created_ms) for one in list_versions(Home(self.home).models))
        created = self._created_ms.setdefault(version, self.now_ms())
        return round((self.now_ms() - created) / 1000, 3)

    def watch(self) -> None:
        """Add what is read from the shop when somebody looks at the metrics."""
        meters = self.meters
        meters.gauge("endcap_offset", "The newest log entry that every list reflects.", lambda: self.state.offset)
        meters.gauge("endcap_model_age_seconds", "Since the model that serves was made.", self._age_or_nan)
        meters.gauge("endcap_streams", "Open event streams.", lambda: self.streams.open)
        meters.gauge("endcap_items", "Items in the catalogue.", lambda: self.state.shop.size)

    def _age_or_nan(self) -> float:
        age = self.model_age_seconds
        return nan if age is None else age

"""What every handler works on: the running shop and what the server keeps about itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from math import nan
from pathlib import Path
from time import monotonic, thread_time

from endcap.config import Home, ServeConfig
from endcap.interfaces.api.admission import Admission
from endcap.interfaces.api.auth import Keys
from endcap.interfaces.api.meters import Meters
from endcap.interfaces.api.nightly import Nightly
from endcap.interfaces.api.origins import Origins
from endcap.interfaces.api.webhooks import NO_SECRETS, ShopifySecrets
from endcap.models.persistence import list_versions
from endcap.serving.advice import Advice
from endcap.serving.canary import TARGET_SECONDS, Canary
from endcap.serving.live import Live
from endcap.serving.retraining import Retraining
from endcap.serving.senses import Senses
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
    shopify: ShopifySecrets = NO_SECRETS
    training: Retraining | None = None
    """None where the server trains nothing."""
    canary: Canary | None = None
    """None where freshness is not measured."""
    senses: Senses = field(default_factory=Senses)
    """Reads photos and recordings."""
    advice: Advice | None = None
    """None where no language model is asked on the way to a list."""
    pictures: Path | None = None
    """Where the files lie that items name as their pictures; None: nowhere."""
    streams: Streams = field(default_factory=Streams)
    admission: Admission = field(default_factory=lambda: Admission(monotonic, thread_time))
    nightly: Nightly = field(init=False)
    _created_ms: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "nightly", Nightly(Home(self.home).reports / "replay.json"))

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
    def sensed(self) -> list[str]:
        """What can be searched with besides words: ``image``, ``audio``."""
        images = self.live.engine.contents.images
        return [name for name, there in (("image", images is not None), ("audio", self.senses.hears)) if there]

    @property
    def model_age_seconds(self) -> float | None:
        """Since the version that serves was made; None where there is none."""
        version = self.model_version
        if version is None:
            return None
        if version not in self._created_ms:
            self._created_ms.update((one.version, one.created_ms) for one in list_versions(Home(self.home).models))
        created = self._created_ms.setdefault(version, self.now_ms())
        return max(0.0, round((self.now_ms() - created) / 1000, 3))  # a clock may go back

    def watch(self) -> None:
        """Add what is read from the shop when somebody looks at the metrics."""
        meters = self.meters
        meters.gauge("endcap_offset", "The newest log entry that every list reflects.", lambda: self.state.offset)
        meters.gauge("endcap_model_age_seconds", "Since the model that serves was made.", self._age_or_nan)
        meters.gauge("endcap_streams", "Open event streams.", lambda: self.streams.open)
        meters.gauge("endcap_items", "Items in the catalogue.", lambda: self.state.shop.size)
        meters.gauge(
            "endcap_unreadable_entries", "Entries of the log that were set aside.", lambda: self.state.unreadable
        )
        self._watch_fold()
        meters.gauge("endcap_loop_late_seconds", "How late what is due comes, smoothed.", self._late)
        meters.counter(
            "endcap_requests_shed", "Requests refused because more was asked than can be answered.", "cause", self._shed
        )
        meters.counter(
            "endcap_rule_violations",
            "Items taken off a list at the last moment because they broke a rule; anything above 0 is a fault of ours.",
            "rule",
            lambda: self.live.engine.violations,
        )
        meters.gauge(
            "endcap_freshness_target_seconds",
            "What the p99 of the freshness should not exceed.",
            lambda: TARGET_SECONDS,
        )
        meters.counter("endcap_canary_readings", "Measurements of the freshness.", "outcome", self._readings)
        meters.gauge(
            "endcap_digest_check_ok",
            "Whether the last 'endcap replay --check' found the same in all it compared; NaN before the first.",
            lambda: nan if (found := self.nightly.last()) is None else float(found.ok),
        )
        meters.gauge(
            "endcap_digest_check_age_seconds",
            "Since that check; NaN before the first.",
            lambda: nan if (found := self.nightly.last()) is None else (self.now_ms() - found.at) / 1000,
        )
        meters.counter("endcap_llm_questions", "What a language model added to lists.", "outcome", self._advised)
        meters.gauge("endcap_training_running", "Whether the server's own training runs now.", self._trains_now)
        meters.counter("endcap_trainings", "Its trainings since the start.", "outcome", self._trainings)
        meters.gauge(
            "endcap_training_last_success_timestamp_seconds",
            "When its last training that made a model began; NaN before one has.",
            self._last_success,
        )

    def _watch_fold(self) -> None:
        meters, refolding = self.meters, self.live.refolding
        meters.gauge(
            "endcap_state_broken",
            "Whether the state that serves is not what the log adds up to, and could not be folded again.",
            lambda: float(refolding.problem is not None),
        )
        meters.gauge(
            "endcap_state_outdated",
            "Whether the state is to be folded again: after an erasure, or after an entry that could not be applied.",
            lambda: float(self.state.outdated),
        )
        meters.counter(
            "endcap_refolds", "Folds of the state beside serving, since the start.", "outcome", lambda: refolding.folds
        )

    def _late(self) -> float:
        return self.admission.late_seconds

    def _shed(self) -> dict[str, int]:
        return {"load": self.admission.refused}

    def _readings(self) -> dict[str, int]:
        if self.canary is None:
            return {"ok": 0, "failed": 0}
        return {"ok": self.canary.readings, "failed": self.canary.failures}

    def _advised(self) -> dict[str, int]:
        return {} if self.advice is None else self.advice.counts

    def _trains_now(self) -> float:
        return float(self.training is not None and self.training.running)

    def _trainings(self) -> dict[str, int]:
        if self.training is None:
            return {"ok": 0, "failed": 0}
        return {"ok": self.training.succeeded, "failed": self.training.failed}

    def _last_success(self) -> float:
        ended = None if self.training is None else self.training.last_success_ms
        return nan if ended is None else ended / 1000

    def _age_or_nan(self) -> float:
        age = self.model_age_seconds
        return nan if age is None else age

"""One typed configuration, read once from ``config.toml``. An unknown key is an error; no setting does nothing."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from endcap.errors import ConfigError


def _default_weights() -> dict[str, float]:
    return {"click": 1.0, "view": 1.0, "wishlist": 2.0, "cart": 3.0, "like": 3.0, "review": 2.0, "purchase": 5.0}


@dataclass(frozen=True, slots=True)
class StateConfig:
    """What the fold keeps. A change takes effect at the next start, which replays the log."""

    weights: dict[str, float] = field(default_factory=_default_weights)
    """How much an event of each type says about taste; a type that is not named says nothing."""
    max_history: int = 200
    """Events kept per user; the oldest go first."""
    max_session_items: int = 100
    """Different items of one session that count as together; later ones do not."""
    sessions_per_item: int = 1_000
    """Sessions kept per item in the session index; the oldest go first."""
    session_gap_minutes: float = 30.0
    """Silence after which a visit is over and a new session starts, whether or not the shop named it."""
    max_open_visits: int = 4
    """Visits of one user that go on at a time, on several devices; the one touched longest ago goes first."""
    max_interests: int = 32
    """Categories, brands and price bands remembered per user; the weakest go, at the latest at twice as many."""
    max_dismissed: int = 1_000
    """Items that a user does not want to see again; the oldest go first."""
    max_identified: int = 1_000_000
    """Visitors known to be a user; the one identified longest ago is somebody new again."""
    max_private_visits: int = 10_000
    """People who are served without consent at a time; the visits touched longest ago go first."""
    attribution_days: float = 7.0
    """An event counts for a list that was served at most so long before it: long enough to come back and decide."""
    report_days: int = 400
    """Days whose lists are reported on: a year, and the month to compare it with. The oldest go first."""
    max_attributed_lists: int = 100_000
    """Lists known to have been rendered, clicked or bought from; one that goes would count as a new one."""
    max_attributed_items: int = 100_000
    """Items that a list has led somebody to, for purchases that name no list; those of whom it was longest ago go."""
    rating_middle: float = 3.0
    """A rate or a review whose rating is below this says nothing about taste."""
    trending_half_life_days: float = 7.0
    popular_half_life_days: float = 90.0
    interest_half_life_days: float = 60.0


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """The HTTP server."""

    host: str = "127.0.0.1"
    port: int = 8080
    max_body_bytes: int = 2_000_000
    allowed_origins: tuple[str, ...] = ()
    """Web origins whose pages may call the API with an ``events`` key."""
    max_streams: int = 1_000
    """Open event streams at a time."""
    keep_served_days: float = 30.0
    """How long the log keeps what was shown, for ``endcap why``; 0: nothing of it is written."""
    canary_seconds: float = 1.0
    """How often the server measures how soon a list follows an event; 0: never. A busy server commits up to ten times
    a second anyway; an idle one measures every half minute, so that it does not write to its disk for ever."""


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """What ``endcap train`` learns."""

    tuned: str = "tuned.toml"
    """What ``endcap tune`` chose: a file beside config.toml, which goes before it; empty: not read."""
    models: tuple[str, ...] = ()
    """Members of the blend, by name; none named: all."""
    validation_days: float = 14.0
    """The last days of the log, on which the weights of the blend are learnt."""
    stacking: bool = True
    """Whether trees put the blend's best candidates in order, where that is surely better on those days."""
    als_factors: int = 64
    als_l2: float = 3.0
    als_alpha: float = 0.1
    """Confidence of an interaction of weight w: 1 + als_alpha * w (Hu, Koren, Volinsky 2008)."""
    als_epochs: int = 15
    itemknn_similarity: Literal["bm25", "cosine"] = "bm25"
    itemknn_by: Literal["user", "session"] = "user"
    """Two items meet in one user's past, or in one visit."""
    itemknn_neighbours: int = 20
    itemknn_decay: float = 0.98
    """An event of the history counts so many times as much as the one after it; the same in ``projection_decay``."""
    session_knn_items: int = 10
    """The newest different items that a list follows from."""
    session_knn_sessions: int = 100
    """The newest sessions looked at for each of them."""
    session_knn_neighbours: int = 100
    """The most similar of those that speak."""
    session_knn_half_life_days: float = 90.0
    projection_shrink: float = 0.5
    """Share of the mean variance that is added to the variance of every feature."""
    projection_rank: int = 128
    projection_recent: int = 100
    """Events of the history that speak."""
    projection_decay: float = 0.98
    transitions_window: int = 10
    """Places that a transition may span."""
    transitions_decay: float = 0.8
    """A transition over one place more counts so many times as much."""
    transitions_back: float = 0.3
    """A transition against the order counts that much."""
    transitions_damp_from: float = 0.25
    """How much an item that is often left says less each time, 0 to 1."""
    transitions_damp_to: float = 0.1
    """How much an item that is often reached is taken down, 0 to 1."""
    transitions_recency: float = 0.5
    """As ``itemknn_decay``; the same in ``ease_recency`` and ``structured_recency``."""
    ease_l2: float = 100.0
    ease_dropout: float = 0.0
    """Share of a history that is thought away while fitting; more takes down what frequent items say."""
    ease_items: int = 15_000
    """The most frequent ones that are learnt; memory grows with the square."""
    ease_recency: float = 0.8
    bpr_factors: int = 64
    bpr_l2: float = 0.02
    bpr_learning_rate: float = 0.1
    bpr_popular: float = 0.5
    """The other item of a pair is drawn with a chance in proportion to (its users) to this power; 0: all alike."""
    bpr_epochs: int = 60
    structured_factors: int = 64
    structured_l2: float = 10.0
    structured_feature_l2: float = 3.0
    """Holds what is learnt of words and attributes at zero, as ``structured_l2`` holds users there."""
    structured_alpha: float = 10.0
    """As ``als_alpha``."""
    structured_recency: float = 0.6
    structured_epochs: int = 15
    sequence_factors: int = 64
    """Of sasrec, gru, lstm, caser and two_tower alike, as all that begins with ``sequence``."""
    sequence_blocks: int = 2
    """Layers of attention or recurrence."""
    sequence_length: int = 50
    """Events of the history that are read, the newest."""
    sequence_dropout: float = 0.3
    sequence_learning_rate: float = 2e-3
    sequence_batch_size: int = 64
    """Histories to a step; fewer where an epoch would have less than 16 steps."""
    sequence_epochs: int = 20
    """At most: training stops where lists of users held out have not become better for three."""
    due_after: float = 0.25
    """Share of the typical time between two purchases of an item after which what was bought is due again: about
    one repeat in nine comes sooner, and lists of what is bought again lose next to nothing by waiting for it."""
    augment: tuple[str, ...] = ()
    """Further visits that are made of those there are: of crop, mask, reorder, substitute."""
    themes: Literal["topics", "clusters"] = "topics"
    """What people are interested in: topics of words and visitors together, or clusters of item vectors."""
    topics: int = 64
    """Topics, at most: one for 8 items where that is less."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class EncodeConfig:
    """Which pretrained models turn content into vectors. A change takes effect at the next ``endcap train``."""

    text: str = "use-multilingual-v3-lower"
    """A built-in encoder, one of the home's ``encoders`` folder, or ``endpoint``."""
    image: str = ""
    """One of the home's ``encoders`` folder; empty: images are not looked at."""
    speech: str = ""
    """One of the home's ``encoders`` folder that hears spoken queries, or ``pocketsphinx``; empty: they are refused."""
    language: str = ""
    """Of spoken queries, as ISO 639-1 has it, such as en or zh; empty: found out each time, which takes a second."""
    image_folder: str = ""
    """Where an item's ``image`` that is no address is looked for; empty: nowhere."""
    image_hosts: tuple[str, ...] = ()
    """Hosts from which images may be fetched; none named: none is fetched."""


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """A server that gives vectors of texts, in the way of OpenAI's ``/v1/embeddings``."""

    address: str = ""
    """Up to and with ``/v1``."""
    model: str = ""
    """As the server calls it."""
    key_env: str = ""
    """The variable of the environment that holds its key; empty: it needs none."""
    dim: int = 0
    """Of its vectors; others are refused."""
    batch: int = 64
    """Texts in one request, at most."""
    timeout_seconds: float = 10.0
    """Of one request, from its start to the last byte of the answer."""


@dataclass(frozen=True, slots=True)
class LLMConfig:
    """A language model behind a server, in the way of OpenAI's ``/v1/chat/completions``. No ``uses``: off."""

    address: str = ""
    """Up to and with ``/v1``."""
    model: str = ""
    """As the server calls it."""
    key_env: str = ""
    """The variable of the environment that holds its key; empty: it needs none."""
    uses: tuple[str, ...] = ()
    """What it is asked for: ``attributes``, ``rewrite``, ``rerank``, ``reasons``."""
    voice: str = ""
    """How the shop speaks, for the wording of reasons: ``warm and short, as to a regular``."""
    timeout_ms: float = 300.0
    """How long a list waits for one answer; then it goes out without."""
    patience_seconds: float = 30.0
    """How long an answer may take where nobody waits."""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set. The field names are the TOML tables and keys."""

    state: StateConfig = field(default_factory=StateConfig)
    serve: ServeConfig = field(default_factory=ServeConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    encode: EncodeConfig = field(default_factory=EncodeConfig)
    endpoint: EndpointConfig = field(default_factory=EndpointConfig)
    llm: LLMConfig = field(default_factory=LLMConfig)


@dataclass(frozen=True, slots=True)
class Home:
    """The home folder: where everything that a shop keeps lies."""

    path: Path

    @property
    def log(self) -> Path:
        """The log's file."""
        return self.path / "log" / "endcap.db"

    @property
    def spool(self) -> Path:
        """Served lists that wait for the log's next commit."""
        return self.path / "log" / "served.spool"

    @property
    def models(self) -> Path:
        """One folder a model version."""
        return self.path / "models"

    @property
    def encoders(self) -> Path:
        """One folder an encoder: what it is made of."""
        return self.path / "encoders"

    @property
    def labelled(self) -> Path:
        """One folder a model of a labelled table."""
        return self.path / "labelled"

    @property
    def vectors(self) -> Path:
        """One folder an encoder: what it has encoded."""
        return self.path / "vectors"

    @property
    def state(self) -> Path:
        """Snapshots of the state."""
        return self.path / "state"

    @property
    def live_digest(self) -> Path:
        """The digest of what the server held in memory when it last kept a snapshot."""
        return self.state / "live.json"

    @property
    def lock(self) -> Path:
        """Held by the process that serves the home."""
        return self.path / "serve.lock"

    @property
    def erasure_key(self) -> Path:
        """Hashes the ids of those who were erased; in no backup."""
        return self.path / "erasure.key"

    @property
    def erasure_pending(self) -> Path:
        """There as long as an erasure has left the log, but not yet every byte of its files."""
        return self.path / "log" / "erasure.pending"

    @property
    def erasure_lists(self) -> Path:
        """Whose served lists an erasure must not leave, as keyed hashes: as long as some may be under way."""
        return self.path / "log" / "erasure.lists"

    @property
    def reports(self) -> Path:
        """What imports and evaluations found."""
        return self.path / "reports"

    @property
    def exports(self) -> Path:
        """What is held of people who asked for it through Shopify, until somebody has sent it to them."""
        return self.path / "exports"

    @property
    def cache(self) -> Path:
        """May be deleted."""
        return self.path / "cache"


Section = TypeVar("Section", StateConfig, ServeConfig, TrainConfig, EncodeConfig, EndpointConfig, LLMConfig)


def load_config(path: Path) -> Config:
    """The configuration at ``path``; the defaults if there is no such file.

    Raises ConfigError for a file that cannot be read or is not TOML, an unknown key, or a value of the wrong
    type or out of range.
    """
    tables = _tables(path)
    unknown = tables.keys() - {table.name for table in fields(Config)}
    if unknown:
        there = ", ".join(f"[{table.name}]" for table in fields(Config))
        raise ConfigError(f"{path}: unknown table [{min(unknown)}]; there are {there}")
    return Config(
        _section(path, "state", StateConfig, tables),
        _section(path, "serve", ServeConfig, tables),
        _train(path, tables),
        _section(path, "encode", EncodeConfig, tables),
        _section(path, "endpoint", EndpointConfig, tables),
        _section(path, "llm", LLMConfig, tables),
    )


def _tables(path: Path) -> dict[str, object]:
    """What the file at ``path`` says; nothing if it is not there."""
    if not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}): make it a file that Endcap may read") from error


def _train(path: Path, tables: Mapping[str, object]) -> TrainConfig:
    """Of config.toml at ``path``, and below it of the file that holds what was tuned."""
    own = _values(path, "train", TrainConfig, tables)
    name = str(own.get("tuned", TrainConfig().tuned))
    if not name:
        return TrainConfig(**own)
    tuned = path.parent / name
    if "tuned" in own and not tuned.is_file():
        raise ConfigError(f"{path}: train.tuned is {name!r:.80}, and there is no such file beside it: run endcap tune")
    said = _tables(tuned)
    if other := said.keys() - {"train"}:
        raise ConfigError(f"{tuned}: table [{min(other)}] does not belong there, only [train]: put it in config.toml")
    return TrainConfig(**_values(tuned, "train", TrainConfig, said) | own)


def own_settings(path: Path, table: str) -> frozenset[str]:
    """The keys that the file at ``path`` itself sets in ``table``. Raises ConfigError if it is not TOML."""
    found = _tables(path).get(table, {})
    return frozenset(found) if isinstance(found, dict) else frozenset()


def _section(path: Path, name: str, cls: type[Section], tables: Mapping[str, object]) -> Section:
    return cls(**_values(path, name, cls, tables))


def _values(path: Path, name: str, cls: type[Section], tables: Mapping[str, object]) -> dict[str, Any]:
    """What the table ``name`` sets, checked."""
    table = tables.get(name, {})
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: {name} must be a table, not {table!r}")
    kinds = get_type_hints(cls)
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in kinds:
            raise ConfigError(f"{path}: unknown key {name}.{key}; there are {', '.join(kinds)}")
        values[key] = _value(path, f"{name}.{key}", kinds[key], value)
    return values


def _value(path: Path, name: str, kind: object, value: object) -> object:
    if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(_in_range(path, name, value))
    if kind is int and isinstance(value, int) and not isinstance(value, bool):
        return _in_range(path, name, value)
    if kind in (str, bool) and type(value) is kind:
        return value
    if kind == tuple[str, ...] and isinstance(value, list) and all(type(part) is str for part in value):
        return tuple(value)
    if kind == dict[str, float] and isinstance(value, dict):
        return {key: _value(path, f"{name}.{key}", float, part) for key, part in value.items()}
    if get_origin(kind) is Literal:
        if value in get_args(kind):
            return value
        raise ConfigError(f"{path}: {name} is {value!r:.80}: it must be one of {', '.join(get_args(kind))}")
    raise ConfigError(f"{path}: {name} is {value!r:.80}: it must be {_WORDS[kind]}")


def _in_range(path: Path, name: str, value: float) -> float:
    if name.startswith("state.weights."):
        low, high = -_MOST, _MOST
    elif name in _FROM_ZERO:
        low, high = 0.0, _FROM_ZERO[name]
        if 0 < value < _LEAST.get(name, 0.0):
            raise ConfigError(f"{path}: {name} is {value!r:.80}: it must be 0, or at least {_LEAST[name]:g}")
    else:
        low, high = math.ulp(0.0), _MOST  # anything above 0
    if not low <= value <= high:
        bounds = "above 0" if low > 0 else f"from {low:g} to {high:g}"
        raise ConfigError(f"{path}: {name} is {value!r:.80}: it must be a finite number {bounds}")
    return value


_MOST = 1e15
_BELOW_1 = 0.99
_FROM_ZERO = {
    "serve.port": 65_535.0,
    "serve.max_streams": _MOST,
    "serve.keep_served_days": _MOST,
    "serve.canary_seconds": 86_400.0,
    "train.seed": 2.0**32 - 1,
    "train.transitions_back": _MOST,
    "train.transitions_damp_from": 1.0,
    "train.transitions_damp_to": 1.0,
    "train.ease_dropout": _BELOW_1,
    "train.bpr_l2": _MOST,
    "train.bpr_popular": _MOST,
    "train.structured_alpha": _MOST,
    "train.sequence_dropout": _BELOW_1,
    "endpoint.dim": 65_536.0,
}
"""The settings that may be 0, each with its greatest value. All others are above 0, but for the weights."""
_LEAST = {"serve.canary_seconds": 1.0}
"""The settings that are 0 or at least so much."""
_WORDS: dict[object, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    tuple[str, ...]: "a list of texts",
    dict[str, float]: "a table of numbers",
}

"""Which models there are, and a version of them as it serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

import msgspec

from endcap.config import Config, TrainConfig
from endcap.encoders.bridge import Bridge
from endcap.encoders.cache import ItemVectors
from endcap.errors import ConfigError, ModelError
from endcap.features.attributes import ItemAttributes
from endcap.features.interactions import InteractionBuilder
from endcap.features.joined import Features
from endcap.features.words import WordIndex
from endcap.models.als import ALS
from endcap.models.bpr import BPR, BPRSettings
from endcap.models.buy_again import BuyAgain
from endcap.models.content import Content
from endcap.models.ease import EASE, EASESettings
from endcap.models.itemknn import ItemKNN, ItemKNNSettings
from endcap.models.persistence import MANIFEST, load_version, read_manifest
from endcap.models.popularity import Popularity
from endcap.models.projection import Projection, ProjectionSettings
from endcap.models.sequence import SequenceModel
from endcap.models.session_knn import SessionKNN, SessionKNNSettings
from endcap.models.structured import StructuredMF, StructuredMFSettings
from endcap.models.transitions import Transitions, TransitionsSettings
from endcap.models.trees import Trees
from endcap.models.two_tower import TwoTower
from endcap.nn.shapes import SequenceSettings, need_torch
from endcap.pipelines.train import BRIDGE, BUY_AGAIN, STACK, THEMES
from endcap.profiles.interests import Themes
from endcap.protocols import Arrays, Learner, Scorer, Storable
from endcap.serving.candidates import Learnt, Loaded, model_over
from endcap.serving.contents import Contents
from endcap.serving.engine import ServingModel
from endcap.state.fold import State
from endcap.types import MS_PER_DAY, Query, Vocabulary

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

NEURAL = ("sasrec", "gru", "lstm", "caser", "two_tower")
"""Members that are trained by torch, for minutes, and serve without it."""
OVER_FEATURES = ("projection", "structured")
"""Members whose arrays can be read only where the features are that they go with."""
READY = ("structured", *NEURAL)
"""Members that read what is said of all items before their first list, in any thread."""
ON_REQUEST = ("bpr", "ease", "transitions", *OVER_FEATURES, *NEURAL)
"""Members only where ``train.models`` names them: after a change of the catalogue the next list of those that read
features pays for all items, EASE takes memory with the square of the items, and the blend has what the others say."""
LEARNERS = ("als", "itemknn", *ON_REQUEST)
"""Members of the blend that must be fitted; the others read the state."""
UNTRAINED = "untrained"
"""The version that serves before the first training: what needs no learning, in equal parts."""


def blend_members(
    state: State, vectors: ItemVectors | None, config: TrainConfig, words: WordIndex | None = None
) -> dict[str, Scorer]:
    """Every member of the blend, over ``state``; those in LEARNERS are not fitted yet.

    ``vectors`` and ``words`` are those of the items; without vectors nothing compares contents, without words they are
    compared by vectors alone.
    """
    members: dict[str, Scorer] = {
        "session_knn": SessionKNN(state.sessions, settings_of(SessionKNNSettings, "session_knn", config)),
        "itemknn": ItemKNN(settings_of(ItemKNNSettings, "itemknn", config)),
        "als": ALS(config.als_factors, config.als_l2, config.als_alpha, config.als_epochs, config.seed),
        "transitions": Transitions(settings_of(TransitionsSettings, "transitions", config)),
        "ease": EASE(settings_of(EASESettings, "ease", config)),
        "bpr": BPR(settings_of(BPRSettings, "bpr", config)),
        "trending": Popularity(state.popularity, "trending"),
        "popular": Popularity(state.popularity, "popular"),
    }
    features: list[Features] = []
    if vectors is not None:
        features = [vectors, ItemAttributes(state.shop)]
        members["content"] = Content(vectors, words)
        members["structured"] = StructuredMF(features, settings_of(StructuredMFSettings, "structured", config))
        # words last: versions that were trained without them keep their columns
        described = [*features, words.features()] if words is not None else features
        members["projection"] = Projection(described, settings=settings_of(ProjectionSettings, "projection", config))
    return members | _neural(features, config)


def _neural(features: Sequence[Features], config: TrainConfig) -> dict[str, Scorer]:
    """Those that read the history in its order, and that of two towers; with the same settings, of one name."""
    settings, given = settings_of(SequenceSettings, "sequence", config), tuple(features)
    models: dict[str, Scorer] = {
        "sasrec": SequenceModel(replace(settings, body="sasrec"), given),
        "gru": SequenceModel(replace(settings, body="gru"), given),
        "lstm": SequenceModel(replace(settings, body="lstm"), given),
        "caser": SequenceModel(replace(settings, body="caser"), given),
        "two_tower": TwoTower(replace(settings, profile=True), given),
    }
    return models


Chosen = TypeVar("Chosen", bound="DataclassInstance")


def settings_of(kind: type[Chosen], prefix: str, config: TrainConfig) -> Chosen:
    """``kind`` with each field that ``config`` has behind ``prefix``, and its seed. Raises ConfigError as it does."""
    there = {field.name for field in fields(config)}
    found: dict[str, Any] = {}
    for field in fields(kind):
        name = field.name if field.name == "seed" else f"{prefix}_{field.name}"
        if name in there:
            found[field.name] = getattr(config, name)
    return kind(**found)


def chosen_models(names: Sequence[str]) -> tuple[str, ...]:
    """``names``, or the usual members of the blend where none is named. Raises ConfigError for an unknown one."""
    default = Config()
    known = tuple(blend_members(State(default.state), ItemVectors(1), default.train))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(f"there is no model {unknown[0]!r:.80} to train: choose among {', '.join(known)}")
    return tuple(names) or tuple(name for name in known if name not in ON_REQUEST)


def check_trainable(names: Sequence[str], config: TrainConfig) -> None:
    """Raises ConfigError for a setting that a member refuses, ModelError where one lacks what trains it.

    To be asked before the log is folded, which may take minutes.
    """
    blend_members(State(Config().state), ItemVectors(1), config)
    if not set(names).isdisjoint(NEURAL):
        need_torch()


def serving_model(state: State, contents: Contents, config: Config, models_dir: Path, version: str) -> ServingModel:
    """The version as it serves, over ``state``. Raises ModelError, or NotFoundError if there is no such version."""
    return load_model(state.items, config, models_dir, version).over(state, contents)


def load_model(items: Vocabulary, config: Config, models_dir: Path, version: str) -> Loaded:
    """Reads the version, for these items, with the settings that it was trained with. Raises as ``serving_model``."""
    empty = State(config.state)
    train = _trained_with(models_dir / Path(version).name) if version != UNTRAINED else config.train
    learners = cast(dict[str, Storable], only(LEARNERS, blend_members(empty, None, train)))
    learners |= {name: Held() for name in OVER_FEATURES}
    bridge, trees = Bridge(), Held()
    again = BuyAgain(config.train.due_after).fit(InteractionBuilder().build(empty))
    themes = no_themes(config)
    learnt, weights, encoders = Learnt(version, again, themes), dict[str, float](), None
    if version != UNTRAINED:
        files = learners | {BUY_AGAIN: again, THEMES: themes, BRIDGE: bridge, STACK: trees}
        manifest = load_version(models_dir, version, files, items)
        weights = dict(manifest.weights)
        hides = manifest.hides_seen, manifest.hides_bought
        learnt = Learnt(version, again, themes, weights, *hides, manifest.reasons)
        has_bridge = f"{BRIDGE}.safetensors" in manifest.sha256
        learnt = replace(learnt, bridge=bridge if has_bridge else None, meaning_floor=manifest.meaning_floor)
        if f"{STACK}.safetensors" in manifest.sha256:
            learnt = replace(learnt, trees=Trees.from_arrays(trees.arrays))
        encoders = manifest.encoder, manifest.image_encoder

    def over(state: State, contents: Contents) -> ServingModel:
        found = blend_members(state, contents.vectors, train, contents.words)
        served = {name: member for name, member in found.items() if name not in LEARNERS or name in weights}
        members = {name: _as_learnt(member, learners.get(name)) for name, member in served.items()}
        for name in READY:
            if weights.get(name, 0.0) > 0:
                members[name].scores(Query())  # its table of all items is made now, and not by whoever asks first
        return model_over(learnt, members, state, contents)

    return Loaded(encoders, over)


def _as_learnt(member: Scorer, learnt: Storable | None) -> Scorer:
    """What serves: ``member`` if nothing is learnt, or over its features what was learnt, or ``learnt`` itself."""
    if isinstance(learnt, Held):
        return cast(Learner, member).from_arrays(learnt.arrays)
    if isinstance(member, SequenceModel) and isinstance(learnt, SequenceModel):
        return member.like(learnt)
    return member if learnt is None else cast(Scorer, learnt)


def _trained_with(folder: Path) -> TrainConfig:
    """The settings of the version in ``folder``; of one that lacks some, their defaults. Raises as ``load_model``."""
    said = read_manifest(folder).settings.get("train", {})
    try:
        return msgspec.convert(said, TrainConfig)
    except msgspec.ValidationError as error:
        raise ModelError(f"{folder / MANIFEST} has settings that are not known ({error}): run endcap train") from error


class Held:
    """What was learnt, until the features are there that it goes with."""

    def __init__(self) -> None:
        self.arrays: Arrays = {}

    def to_arrays(self) -> Arrays:
        return self.arrays

    def from_arrays(self, arrays: Arrays) -> Self:
        self.arrays = arrays
        return self


def no_themes(config: Config) -> Themes:
    """Themes that are yet to be found."""
    half_life_ms = config.state.interest_half_life_days * MS_PER_DAY
    return Themes(half_life_ms, config.train.themes, config.train.topics)


def only(names: Sequence[str], members: Mapping[str, Scorer]) -> dict[str, Scorer]:
    """Those of ``members`` that ``names`` name."""
    return {name: member for name, member in members.items() if name in names}

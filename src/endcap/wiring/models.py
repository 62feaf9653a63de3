"""Which models there are, and a version of them as it serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self, cast

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
from endcap.models.ease import EASE
from endcap.models.itemknn import ItemKNN, ItemKNNSettings
from endcap.models.persistence import MANIFEST, load_version, read_manifest
from endcap.models.popularity import Popularity
from endcap.models.projection import Projection, ProjectionSettings
from endcap.models.session_knn import SessionKNN, SessionKNNSettings
from endcap.models.transitions import Transitions
from endcap.pipelines.train import BRIDGE, BUY_AGAIN, THEMES
from endcap.profiles.interests import Themes
from endcap.protocols import Arrays, Scorer, Storable
from endcap.serving.candidates import Learnt, Loaded, model_over
from endcap.serving.contents import Contents
from endcap.serving.engine import ServingModel
from endcap.state.fold import State
from endcap.types import MS_PER_DAY, Vocabulary

LEARNERS = ("als", "bpr", "ease", "itemknn", "projection", "transitions")
"""Members of the blend that must be fitted; the others read the state."""
ON_REQUEST = ("bpr", "ease", "projection", "transitions")
"""Members only where ``train.models`` names them: after a change of the catalogue the next list of projection pays for
all items, EASE takes memory with the square of the items, and the blend has what the others say."""
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
        "session_knn": SessionKNN(state.sessions, _session_knn(config)),
        "itemknn": ItemKNN(_itemknn(config)),
        "als": ALS(config.als_factors, config.als_l2, config.als_alpha, config.als_epochs, config.seed),
        "transitions": Transitions(),
        "ease": EASE(),
        "bpr": BPR(BPRSettings(seed=config.seed)),
        "trending": Popularity(state.popularity, "trending"),
        "popular": Popularity(state.popularity, "popular"),
    }
    if vectors is not None:
        members["content"] = Content(vectors, words)
        features: list[Features] = [vectors, ItemAttributes(state.shop)]
        if words is not None:
            features.append(words.features())  # last: versions that were trained without them keep their columns
        members["projection"] = Projection(features, settings=_projection(config))
    return members


def _session_knn(config: TrainConfig) -> SessionKNNSettings:
    return SessionKNNSettings(
        items=config.session_knn_items,
        sessions=config.session_knn_sessions,
        neighbours=config.session_knn_neighbours,
        half_life_days=config.session_knn_half_life_days,
    )


def _itemknn(config: TrainConfig) -> ItemKNNSettings:
    return ItemKNNSettings(
        similarity=config.itemknn_similarity,
        by=config.itemknn_by,
        neighbours=config.itemknn_neighbours,
        decay=config.itemknn_decay,
    )


def _projection(config: TrainConfig) -> ProjectionSettings:
    return ProjectionSettings(
        shrink=config.projection_shrink,
        rank=config.projection_rank,
        recent=config.projection_recent,
        decay=config.projection_decay,
        seed=config.seed,
    )


def chosen_models(names: Sequence[str]) -> tuple[str, ...]:
    """``names``, or the usual members of the blend where none is named. Raises ConfigError for an unknown one."""
    default = Config()
    known = tuple(blend_members(State(default.state), ItemVectors(1), default.train))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(f"there is no model {unknown[0]!r:.80} to train: choose among {', '.join(known)}")
    return tuple(names) or tuple(name for name in known if name not in ON_REQUEST)


def serving_model(state: State, contents: Contents, config: Config, models_dir: Path, version: str) -> ServingModel:
    """The version as it serves, over ``state``. Raises ModelError, or NotFoundError if there is no such version."""
    return load_model(state.items, config, models_dir, version).over(state, contents)


def load_model(items: Vocabulary, config: Config, models_dir: Path, version: str) -> Loaded:
    """Reads the version, for these items, with the settings that it was trained with. Raises as ``serving_model``."""
    empty = State(config.state)
    train = _trained_with(models_dir / Path(version).name) if version != UNTRAINED else config.train
    learners = only(LEARNERS, blend_members(empty, None, train))
    projection, bridge = Held(), Bridge()
    again = BuyAgain(config.train.due_after).fit(InteractionBuilder().build(empty))
    themes = no_themes(config)
    learnt, weights, encoders = Learnt(version, again, themes), dict[str, float](), None
    if version != UNTRAINED:
        files = {name: cast(Storable, learner) for name, learner in learners.items()}
        files |= {"projection": projection, BUY_AGAIN: again, THEMES: themes, BRIDGE: bridge}
        manifest = load_version(models_dir, version, files, items)
        weights = dict(manifest.weights)
        hides = manifest.hides_seen, manifest.hides_bought
        learnt = Learnt(version, again, themes, weights, *hides, manifest.reasons)
        has_bridge = f"{BRIDGE}.safetensors" in manifest.sha256
        learnt = replace(learnt, bridge=bridge if has_bridge else None, meaning_floor=manifest.meaning_floor)
        encoders = manifest.encoder, manifest.image_encoder

    def over(state: State, contents: Contents) -> ServingModel:
        found = {**blend_members(state, contents.vectors, train, contents.words), **learners}
        members = {name: member for name, member in found.items() if name not in LEARNERS or name in weights}
        if "projection" in members:
            cast(Projection, members["projection"]).from_arrays(projection.arrays)
        return model_over(learnt, members, state, contents)

    return Loaded(encoders, over)


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

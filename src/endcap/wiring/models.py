"""Which models there are, and a version of them as it serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self, cast

from endcap.config import Config, TrainConfig
from endcap.encoders.bridge import Bridge
from endcap.encoders.cache import ItemVectors
from endcap.errors import ConfigError
from endcap.features.attributes import ItemAttributes
from endcap.features.interactions import InteractionBuilder
from endcap.features.joined import Features
from endcap.models.als import ALS
from endcap.models.buy_again import BuyAgain
from endcap.models.content import Content
from endcap.models.itemknn import ItemKNN
from endcap.models.persistence import load_version
from endcap.models.popularity import Popularity
from endcap.models.projection import Projection, ProjectionSettings
from endcap.models.session_knn import SessionKNN
from endcap.pipelines.train import BRIDGE, BUY_AGAIN, THEMES
from endcap.profiles.interests import Themes
from endcap.protocols import Arrays, Scorer, Storable
from endcap.serving.candidates import Learnt, Loaded, model_over
from endcap.serving.contents import Contents
from endcap.serving.engine import ServingModel
from endcap.state.fold import State
from endcap.types import MS_PER_DAY, Vocabulary

LEARNERS = ("als", "itemknn", "projection")
"""Members of the blend that must be fitted; the others read the state."""
ON_REQUEST = ("projection",)
"""Members only where ``train.models`` names them: after a change of the catalogue the next list pays for all items."""
UNTRAINED = "untrained"
"""The version that serves before the first training: what needs no learning, in equal parts."""


def blend_members(state: State, vectors: ItemVectors | None, config: TrainConfig) -> dict[str, Scorer]:
    """Every member of the blend, over ``state``; those in LEARNERS are not fitted yet."""
    members: dict[str, Scorer] = {
        "session_knn": SessionKNN(state.sessions),
        "itemknn": ItemKNN(),
        "als": ALS(config.als_factors, config.als_l2, config.als_alpha, config.als_epochs, config.seed),
        "trending": Popularity(state.popularity, "trending"),
        "popular": Popularity(state.popularity, "popular"),
    }
    if vectors is not None:
        members["content"] = Content(vectors)
        features: list[Features] = [vectors, ItemAttributes(state.shop)]
        members["projection"] = Projection(features, settings=ProjectionSettings(seed=config.seed))
    return members


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
    """Reads the version, for these items. Raises as ``serving_model``."""
    empty = State(config.state)
    learners = only(LEARNERS, blend_members(empty, None, config.train))
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
        found = {**blend_members(state, contents.vectors, config.train), **learners}
        members = {name: member for name, member in found.items() if name not in LEARNERS or name in weights}
        if "projection" in members:
            cast(Projection, members["projection"]).from_arrays(projection.arrays)
        return model_over(learnt, members, state, contents)

    return Loaded(encoders, over)


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
    return Themes(config.state.interest_half_life_days * MS_PER_DAY)


def only(names: Sequence[str], members: Mapping[str, Scorer]) -> dict[str, Scorer]:
    """Those of ``members`` that ``names`` name."""
    return {name: member for name, member in members.items() if name in names}

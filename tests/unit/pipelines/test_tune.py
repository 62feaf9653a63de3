"""Tuning over a model whose best settings are known, so that what is found can be told from what is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from tests.unit.shops import DAY, basket

from endcap.config import Config, TrainConfig, load_config, own_settings
from endcap.encoders.cache import ItemVectors
from endcap.errors import ConfigError, DataError
from endcap.evaluation.past import Past
from endcap.pipelines.evaluate import Kit
from endcap.pipelines.tune import SPACES, Job, Outcome, Watch, Workshop, digest, keep, spaces, tune, write_tuned
from endcap.protocols import Scorer
from endcap.state.fold import State
from endcap.types import Entry, FloatArray, Query, Ranking

BEST = 40.0
"""The ``als_l2`` with which the model below is right."""
ITEMS = 30
CONFIG = Config(train=TrainConfig(validation_days=20.0))


class Ring:
    """Knows that item n + 1 follows item n, and says so the louder the nearer ``l2`` is to BEST."""

    def __init__(self, past: Past, l2: float, epochs: int) -> None:
        self.rows = past.state.items.rows(f"i{n}" for n in range(ITEMS))
        self.right = float(np.exp(-abs(np.log(l2 / BEST)))) * min(epochs / 10, 1.0)

    def scores(self, query: Query) -> FloatArray:
        noise = np.random.default_rng(int(query.history.sum())).random(ITEMS, np.float32)
        if query.history.size:
            last = int(np.flatnonzero(self.rows == query.history[-1])[0])
            noise[self.rows[(last + 1) % ITEMS]] += self.right
        return noise

    def recommend(self, query: Query, k: int) -> Ranking:
        return Ranking.top(self.scores(query), k)


def no_vectors(_state: State) -> ItemVectors | None:
    return None


def kit(train: TrainConfig) -> Kit:
    def als(past: Past) -> Scorer:
        return Ring(past, train.als_l2, train.als_epochs)

    return Kit({"als": als}, no_vectors)


def walks(days: int = 100, users: int = 40) -> list[Entry]:
    """Everybody goes one item further along the ring every five days."""
    entries: list[Entry] = []
    for day in range(0, days, 5):
        for user in range(users):
            event = basket(f"u{user}", f"i{(user + day // 5) % ITEMS}", time=day * DAY + user + 1)
            entries.append(Entry(len(entries) + 1, event.time, event))
    return entries


def workshop(folder: Path, config: Config = CONFIG) -> Workshop:
    space = {"als": {name: SPACES["als"][name] for name in ("als_l2", "als_epochs")}}
    return Workshop(config, kit, ("als",), space, folder)


def job(**given: Any) -> Job:
    return Job(**{"models": ("als",), "offset": 1, "config": digest(CONFIG), "trials": 15, **given})


def found(folder: Path, seconds: float = 600.0, watch: Watch | None = None, **given: Any) -> Outcome:
    return tune(workshop(folder), walks(), job(**given), seconds, watch or Watch())


def test_what_is_found_is_better_and_the_test_says_so_once(tmp_path: Path) -> None:
    outcome = found(tmp_path)
    assert outcome.chosen.keys() <= {"als_l2", "als_epochs"}
    assert abs(np.log(outcome.chosen["als_l2"] / BEST)) < abs(np.log(TrainConfig().als_l2 / BEST))
    assert outcome.validation["after"] > outcome.validation["before"]
    assert outcome.test["after"] > outcome.test["before"]
    assert outcome.difference is not None
    assert outcome.difference[0] == pytest.approx(outcome.test["after"] - outcome.test["before"])
    assert outcome.difference[1] > 0
    trials = outcome.trials["als"]
    assert len(trials) == 15
    assert trials[0].settings == {"als_l2": TrainConfig().als_l2, "als_epochs": TrainConfig().als_epochs}
    assert any(trial.validation is None for trial in trials)
    assert outcome.cases == {"validation": 40, "test": 40}


def test_nothing_is_chosen_where_nothing_is_better(tmp_path: Path) -> None:
    at_best = replace(CONFIG, train=replace(CONFIG.train, als_l2=BEST, als_epochs=20))
    outcome = tune(workshop(tmp_path, at_best), walks(), job(trials=6), 600.0, Watch())
    assert (outcome.chosen, outcome.difference) == ({}, None)
    assert outcome.validation["before"] == outcome.validation["after"]
    assert outcome.test.keys() == {"before"}


class Cut(Exception):  # noqa: N818  # it stands for a kill
    """Ends a tuning in the middle."""


def test_what_was_cut_off_goes_on_to_the_same_trials(tmp_path: Path) -> None:
    def cut(_member: str, number: int, _value: float | None, _best: float) -> None:
        if number == 6:
            raise Cut

    with pytest.raises(Cut):
        found(tmp_path / "cut", watch=Watch(cut))
    numbers: list[int] = []
    again = found(tmp_path / "cut", watch=Watch(lambda _member, number, _value, _best: numbers.append(number)))
    assert numbers == list(range(7, 15))
    assert again == found(tmp_path / "whole")


def test_a_trial_that_was_under_way_when_it_was_cut_off_is_done_again(tmp_path: Path) -> None:
    asked = 0

    def breaking(train: TrainConfig) -> Kit:
        def als(past: Past) -> Scorer:
            nonlocal asked
            asked += 1
            if asked == 12:
                raise Cut
            return Ring(past, train.als_l2, train.als_epochs)

        return Kit({"als": als}, no_vectors)

    with pytest.raises(Cut):
        tune(replace(workshop(tmp_path / "cut"), kit=breaking), walks(), job(), 600.0, Watch())
    assert found(tmp_path / "cut") == found(tmp_path / "whole")


def test_a_setting_of_several_members_is_judged_with_all_of_them(tmp_path: Path) -> None:
    """Both are right at a length of 100: the other one too gets what was tuned with the first."""
    fitted: list[tuple[str, int]] = []

    def of_two(train: TrainConfig) -> Kit:
        def made(name: str, past: Past) -> Scorer:
            fitted.append((name, train.sequence_length))
            return Ring(past, BEST * train.sequence_length / 100, 10)

        return Kit({name: partial(made, name) for name in ("gru", "lstm")}, no_vectors)

    space = {"gru": {"sequence_length": SPACES["gru"]["sequence_length"]}}
    outcome = tune(
        Workshop(CONFIG, of_two, ("gru", "lstm"), space, tmp_path),
        walks(),
        job(models=("gru",), trials=12),
        600.0,
        Watch(),
    )
    length = outcome.chosen["sequence_length"]
    assert abs(np.log(length / 100)) < abs(np.log(TrainConfig().sequence_length / 100))
    lengths = [tried for name, tried in fitted if name == "lstm"]
    assert lengths == [50, length, *[50] * 2, *[length] * 2]  # the blend before and after, and twice each for the test


def test_out_of_time_the_present_settings_are_tried_at_least(tmp_path: Path) -> None:
    assert [len(trials) for trials in found(tmp_path, seconds=0.0).trials.values()] == [1]


def test_more_trials_go_on_and_another_job_does_not(tmp_path: Path) -> None:
    found(tmp_path, trials=3)
    assert len(found(tmp_path, trials=5).trials["als"]) == 5
    with pytest.raises(ConfigError, match=r"a tuning was cut off that had seed 0, not 1: give the same, or --fresh"):
        found(tmp_path, seed=1)
    (tmp_path / "job.json").write_text("{")
    with pytest.raises(ConfigError, match=r"job\.json cannot be read .*: give --fresh to begin anew"):
        found(tmp_path)


def test_a_validation_part_without_anybody_is_said(tmp_path: Path) -> None:
    short = replace(CONFIG, train=replace(CONFIG.train, validation_days=2.0))
    with pytest.raises(
        DataError, match=r"the validation part has 0 shoppers to ask: give a longer train\.validation_days"
    ):
        tune(workshop(tmp_path, short), walks(), job(test_days=31.0), 600.0, Watch())


def test_questions_are_asked_in_parts_where_there_are_no_epochs(tmp_path: Path) -> None:
    shop = replace(workshop(tmp_path), spaces={"als": {"als_l2": FloatDistribution(1.0, 100.0, log=True)}})
    outcome = tune(shop, walks(), job(trials=12), 600.0, Watch())
    assert abs(np.log(outcome.chosen["als_l2"] / BEST)) < 1
    assert any(trial.validation is None for trial in outcome.trials["als"])


@pytest.mark.parametrize(
    ("names", "members", "own", "expected"),
    [
        ((), ("als", "trending"), (), {"als": list(SPACES["als"])}),
        (("als",), ("als", "itemknn"), ("als_l2",), {"als": ["als_factors", "als_alpha", "als_epochs"]}),
        ((), ("als", "itemknn"), tuple(SPACES["als"]), {"itemknn": list(SPACES["itemknn"])}),
        ((), ("two_tower", "caser", "gru"), (), {"gru": list(SPACES["gru"])}),  # the others share all of it
        (
            ("caser", "two_tower"),
            ("gru", "caser", "two_tower"),
            (),
            {"caser": list(SPACES["caser"]), "two_tower": ["sequence_length"]},
        ),
    ],
)
def test_what_is_tried(
    names: Sequence[str], members: Sequence[str], own: Sequence[str], expected: dict[str, list[str]]
) -> None:
    assert {name: list(space) for name, space in spaces(names, members, own).items()} == expected


@pytest.mark.parametrize(
    ("names", "members", "own", "message"),
    [
        (("magic",), ("als",), (), "'magic' cannot be tuned: there are als, where train.models has them"),
        (("trending",), ("als", "trending"), (), "'trending' cannot be tuned: there are als"),
        ((), ("popular",), (), "no member of the blend can be tuned: there are als, itemknn, session_knn"),
        (("als",), ("als",), tuple(SPACES["als"]), "config.toml sets all that could be tuned: take out what shall be"),
    ],
)
def test_what_cannot_be_tried(names: Sequence[str], members: Sequence[str], own: Sequence[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        spaces(names, members, own)


def test_the_file_is_read_below_config_toml(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[train]\nals_epochs = 7\n")
    own = own_settings(config, "train")
    assert own == {"als_epochs"}
    train = TrainConfig(als_l2=12.5, als_epochs=30, itemknn_similarity="cosine")
    write_tuned(tmp_path / "tuned.toml", train, own, "Made here.\nAnd now.")
    written = (tmp_path / "tuned.toml").read_text()
    assert written == '# Made here.\n# And now.\n[train]\nals_l2 = 12.5\nitemknn_similarity = "cosine"\n'
    assert load_config(config).train == TrainConfig(als_l2=12.5, als_epochs=7, itemknn_similarity="cosine")
    config.write_text('[train]\ntuned = ""\n')
    assert load_config(config).train == TrainConfig(tuned="")
    config.write_text('[train]\ntuned = "other.toml"\n')
    with pytest.raises(ConfigError, match=r"train\.tuned is 'other\.toml', and there is no such file beside it"):
        load_config(config)
    config.unlink()
    assert load_config(config).train == TrainConfig(als_l2=12.5, itemknn_similarity="cosine")
    (tmp_path / "tuned.toml").write_text("[train]\nals_l3 = 1\n")
    with pytest.raises(ConfigError, match=r"tuned\.toml: unknown key train\.als_l3"):
        load_config(config)
    (tmp_path / "tuned.toml").write_text("[serve]\nport = 1\n")
    with pytest.raises(ConfigError, match=r"tuned\.toml: table \[serve\] does not belong there, only \[train\]"):
        load_config(config)


def test_every_setting_that_is_tried_is_one_of_train_and_the_default_is_in_its_range() -> None:
    default = TrainConfig()
    for space in SPACES.values():
        for name, among in space.items():
            value = getattr(default, name)
            if isinstance(among, IntDistribution | FloatDistribution):
                assert among.low <= value <= among.high, name
            else:
                assert among._contains(among.to_internal_repr(value)), name


def test_every_trial_is_kept(tmp_path: Path) -> None:
    keep(found(tmp_path, trials=2), tmp_path / "reports" / "tuning.json")
    assert '"als_l2"' in (tmp_path / "reports" / "tuning.json").read_text()

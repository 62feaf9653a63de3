"""Training over a real log: what is written, that it is repeatable, and that nothing half is left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import msgspec
import numpy as np
import pytest
from tests.unit.shops import NOW, TEA

from endcap import wiring
from endcap.backends.log.sqlite import SqliteLog
from endcap.config import Config, TrainConfig
from endcap.errors import ConfigError, DataError, ModelError
from endcap.evaluation.visits import visit_cases
from endcap.events.log import Body, entries, to_record
from endcap.events.schema import Event, Line
from endcap.features.interactions import InteractionBuilder
from endcap.models.als import ALS
from endcap.models.ensemble import learn_weights
from endcap.models.persistence import Manifest, items_digest, list_versions, load_version, read_manifest
from endcap.pipelines.train import MAX_CASES, TOP, Workshop, train
from endcap.protocols import Arrays, Learner, Scorer
from endcap.state.fold import State, apply
from endcap.types import MS_PER_DAY, Activation, IntArray

CONFIG = Config(train=TrainConfig(validation_days=14.0, als_factors=4, als_epochs=3))
NAMES = [f"i{n}" for n in range(12)]


def once_each(days: int = 60, start: int = NOW - 60 * MS_PER_DAY) -> list[Event]:
    """Users who never come back to a thing: a visit a day, to the next two things of a walk through all of them."""
    return [
        Event(
            "purchase",
            start + day * MS_PER_DAY + user,
            user_id=f"u{user}",
            items=(Line(NAMES[(user + 2 * at) % 12]), Line(NAMES[(user + 2 * at + 1) % 12])),
        )
        for day in range(days)
        for user in (day % 10,)
        for at in (day // 10,)
    ]


def again_and_again(days: int = 60) -> list[Event]:
    """Users who come back for the same three things."""
    return [
        Event(
            "purchase",
            NOW - (60 - day) * MS_PER_DAY,
            user_id=f"u{day % 6}",
            items=tuple(Line(NAMES[(2 * (day % 6) + n) % 12]) for n in range(3)),
        )
        for day in range(days)
    ]


@pytest.fixture
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteLog]:
    opened = SqliteLog(tmp_path_factory.mktemp("log") / "log.db")
    yield opened
    opened.close()


def workshop(log: SqliteLog, models_dir: Path, config: Config = CONFIG) -> Workshop:
    """The members of the real blend, without content."""
    return Workshop(
        log=log,
        models_dir=models_dir,
        config=config,
        encoders=("none", ""),
        members=members_over,
        learners=("als", "itemknn"),
        prepare=leave,  # no content vectors to prepare
        keep=leave,
        themes=lambda _, past: wiring.no_themes(config).fit([], np.zeros((0, 1), np.float32), past, seed=0),
    )


def members_over(state: State) -> dict[str, Scorer]:
    """The usual ones, not fitted."""
    members = wiring.blend_members(state, None, CONFIG.train)
    return {name: members[name] for name in wiring.chosen_models(()) if name in members}


def fill(log: SqliteLog, bodies: Sequence[Body]) -> None:
    log.append([to_record(body, NOW) for body in bodies])


def leave(state: State) -> None:
    """Nothing is done with the state."""


def quiet(done: int, total: int) -> None:
    """Nobody looks at the progress."""


def as_json(made: Manifest) -> object:
    """What the folder can say of it: a tuple comes back as a list."""
    return msgspec.json.decode(msgspec.json.encode(made))


def arrays(models_dir: Path, version: str, state: State) -> dict[str, Arrays]:
    members = members_over(state)
    learners = {name: cast(Learner, members[name]) for name in ("als", "itemknn")}
    load_version(models_dir, version, learners, state.items)
    return {name: learner.to_arrays() for name, learner in learners.items()}


def folded(log: SqliteLog) -> State:
    state = State(CONFIG.state)
    for entry in entries(log):
        apply(state, entry)
    return state


def test_one_version_is_written_and_says_what_it_is_made_of(log: SqliteLog, tmp_path: Path) -> None:
    fill(log, [*TEA, *once_each()])
    made = train(workshop(log, tmp_path / "models"), 7, NOW, quiet)
    folder = tmp_path / "models" / made.version
    assert [path.name for path in (tmp_path / "models").iterdir()] == [made.version]
    names = {"manifest.json", "als.safetensors", "itemknn.safetensors", "buy_again.safetensors", "themes.safetensors"}
    assert {path.name for path in folder.iterdir()} == names
    assert as_json(read_manifest(folder)) == as_json(made)
    state = folded(log)
    assert (made.seed, made.created_ms, made.encoder, made.problem) == (7, NOW, "none", None)
    assert (made.offset, made.n_items) == (state.offset, len(state.items))
    assert made.items_digest == items_digest(state.items, len(state.items))
    assert made.offset == log.last_offset() == len(TEA) + 60  # the log is read, not written


def test_the_learners_have_learnt_from_the_whole_log(log: SqliteLog, tmp_path: Path) -> None:
    fill(log, once_each())
    made = train(workshop(log, tmp_path), 0, NOW, quiet)
    state, builder = State(CONFIG.state), InteractionBuilder()
    for entry in entries(log):
        apply(state, entry)
        builder.add(state, cast(Event, entry.body))
    expected = ALS(4, CONFIG.train.als_l2, CONFIG.train.als_alpha, 3, CONFIG.train.seed).fit(builder.build(state))
    np.testing.assert_array_equal(
        arrays(tmp_path, made.version, state)["als"]["item_factors"], expected.to_arrays()["item_factors"]
    )


@pytest.mark.parametrize(("events", "hides"), [(once_each, True), (again_and_again, False)])
def test_weights_are_learnt_on_the_last_days_for_the_better_way_with_what_was_seen(
    log: SqliteLog, tmp_path: Path, events: type[list[Event]], hides: bool
) -> None:
    bodies: list[Event] = events()
    fill(log, bodies)
    made = train(workshop(log, tmp_path), 3, NOW, quiet)
    assert made.hides_seen is hides
    assert sum(made.weights.values()) == pytest.approx(1.0)
    assert min(made.weights.values()) >= 0.0

    # The same by hand: fold what is older than 14 days before the newest event, and ask about the rest.
    cut = max(event.time for event in bodies) - 14 * MS_PER_DAY
    state, builder, held_out = State(CONFIG.state), InteractionBuilder(), []
    for entry in entries(log):
        if entry.time >= cut:
            held_out.append(entry)
        else:
            apply(state, entry)
            builder.add(state, cast(Event, entry.body))
    assert 0 < len(held_out) < len(bodies)
    members = members_over(state)
    for name in ("als", "itemknn"):
        cast(Learner, members[name]).fit(builder.build(state))
    asked = [(case.query, case.relevant) for case in visit_cases(state, held_out, MAX_CASES, 3)]
    gone = {mode: [query.history if mode else query.session for query, _ in asked] for mode in (False, True)}
    weights = {mode: learn_weights(members, asked, TOP, hidden=gone[mode]) for mode in (False, True)}
    assert made.weights == pytest.approx(weights[hides])
    assert weights[False] != pytest.approx(weights[True])  # so the line above tells the two ways apart


def test_what_is_asked_about_begins_at_the_cut_and_holds_all_that_came_after(log: SqliteLog, tmp_path: Path) -> None:
    late = Event("view", NOW - 50 * MS_PER_DAY, user_id="u0", item_id="i0")
    fill(log, [*again_and_again(), late, *TEA])  # the event of day 45 lies on the cut, 14 days before that of day 59
    seen: list[tuple[int, int]] = []

    def look(state: State) -> None:
        seen.append((state.events, state.shop.size))

    train(replace(workshop(log, tmp_path), prepare=look, keep=look), 0, NOW, quiet)
    assert seen == [(45, 0), (61, len(TEA)), (61, len(TEA))]  # prepared, kept, prepared again with all items


def test_the_metrics_name_every_member_and_the_blend_is_not_worse(log: SqliteLog, tmp_path: Path) -> None:
    fill(log, once_each())
    metrics = dict(train(workshop(log, tmp_path), 0, NOW, quiet).metrics)
    blend = metrics.pop("blend ndcg@20")
    assert metrics.keys() == {f"{name} ndcg@20" for name in ("session_knn", "itemknn", "als", "trending", "popular")}
    assert 1.0 >= blend >= max(metrics.values()) - 1e-6
    assert min(metrics.values()) >= 0.0


def test_every_metric_has_an_interval_about_it(log: SqliteLog, tmp_path: Path) -> None:
    fill(log, once_each())
    made = train(workshop(log, tmp_path), 0, NOW, quiet)
    assert made.intervals.keys() == made.metrics.keys()
    assert all(low <= made.metrics[name] <= high for name, (low, high) in made.intervals.items())
    assert any(low < high for low, high in made.intervals.values())
    assert read_manifest(tmp_path / made.version).intervals == made.intervals


def test_the_same_seed_gives_the_same_arrays_and_weights(log: SqliteLog, tmp_path: Path) -> None:
    fill(log, once_each())
    first, second = (train(workshop(log, tmp_path), 5, NOW + 1_000 * at, quiet) for at in range(2))
    assert first.version != second.version
    assert first.sha256 == second.sha256
    assert (first.weights, first.hides_seen, first.metrics) == (second.weights, second.hides_seen, second.metrics)


def test_a_later_training_knows_more(log: SqliteLog, tmp_path: Path) -> None:
    fill(log, once_each())
    first = train(workshop(log, tmp_path), 0, NOW, quiet)
    fill(log, [Event("purchase", NOW, user_id="u0", items=(Line("new"), Line("i0")))])
    second = train(workshop(log, tmp_path), 0, NOW + 1_000, quiet)
    assert (second.offset, second.n_items) == (first.offset + 1, first.n_items + 1)
    assert [made.version for made in list_versions(tmp_path)] == [second.version, first.version]


def test_a_log_that_is_shorter_than_the_validation_part(log: SqliteLog, tmp_path: Path) -> None:
    fill(log, [*TEA, Event("purchase", NOW, user_id="u", items=(Line("pot"), Line("cup")))])
    made = train(workshop(log, tmp_path), 0, NOW, quiet)
    assert sum(made.weights.values()) == pytest.approx(1.0)
    assert made.n_items == len(TEA)


def test_a_log_of_which_nothing_can_be_asked_weighs_all_the_same(log: SqliteLog, tmp_path: Path) -> None:
    fill(log, [Event("view", NOW, user_id="u", item_id="a")])
    made = train(workshop(log, tmp_path), 0, NOW, quiet)
    assert made.weights == pytest.approx(dict.fromkeys(made.weights, 1 / 5))
    assert (made.hides_seen, made.metrics) == (False, {})


@pytest.mark.parametrize("bodies", [(), TEA, (Activation("old"),)], ids=["empty", "items only", "activation only"])
def test_a_log_without_events_is_refused(log: SqliteLog, tmp_path: Path, bodies: Sequence[Body]) -> None:
    fill(log, bodies)
    with pytest.raises(DataError, match=r"^the log holds no events: send or import some, then train$"):
        train(workshop(log, tmp_path / "models"), 0, NOW, quiet)
    assert not (tmp_path / "models").exists()


def test_the_progress_goes_up_to_its_end(log: SqliteLog, tmp_path: Path) -> None:
    fill(log, once_each())
    seen: list[tuple[int, int]] = []
    train(workshop(log, tmp_path), 0, NOW, lambda done, total: seen.append((done, total)))
    done = [step for step, _ in seen]
    assert done == sorted(set(done))
    assert seen[-1] == (7, 7)
    assert {total for _, total in seen} == {7}


@pytest.mark.parametrize("last", range(1, 6))
def test_interrupted_before_it_is_saved_leaves_nothing(log: SqliteLog, tmp_path: Path, last: int) -> None:
    fill(log, once_each())

    def interrupt(done: int, total: int) -> None:  # noqa: ARG001  # the signature of a progress
        if done == last:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(workshop(log, tmp_path / "models"), 0, NOW, interrupt)
    assert not (tmp_path / "models").exists()
    assert log.last_offset() == 60


class Interrupted(ALS):
    """Stops while its arrays are being written."""

    def to_arrays(self) -> Arrays:
        raise KeyboardInterrupt


def test_interrupted_while_it_is_saved_leaves_no_version_and_does_not_stand_in_the_way(
    log: SqliteLog, tmp_path: Path
) -> None:
    fill(log, once_each())
    whole = workshop(log, tmp_path / "models")

    def members(state: State) -> Mapping[str, Scorer]:
        return {**members_over(state), "als": Interrupted(4, epochs=1)}

    with pytest.raises(KeyboardInterrupt):
        train(replace(whole, members=members, learners=("itemknn", "als")), 0, NOW, quiet)
    assert list_versions(tmp_path / "models") == []
    made = train(whole, 0, NOW, quiet)
    assert [found.problem for found in list_versions(tmp_path / "models")] == [None]
    assert [path.name for path in (tmp_path / "models").iterdir()] == [made.version]


def test_the_same_moment_twice_is_refused_and_the_first_stays(log: SqliteLog, tmp_path: Path) -> None:
    fill(log, once_each())
    first = train(workshop(log, tmp_path), 0, NOW, quiet)
    with pytest.raises(ModelError, match=r"cannot be written \(.*\): check the disk, then train again$"):
        train(workshop(log, tmp_path), 0, NOW, quiet)
    assert [as_json(found) for found in list_versions(tmp_path)] == [as_json(first)]


def test_vectors_are_prepared_before_members_are_made_and_the_whole_state_is_kept(
    log: SqliteLog, tmp_path: Path
) -> None:
    fill(log, [*TEA, *once_each()])
    order: list[str] = []
    whole = workshop(log, tmp_path)

    def members(state: State) -> Mapping[str, Scorer]:
        order.append("members")
        return whole.members(state)

    def prepare(state: State) -> None:
        order.append(f"prepare {state.shop.size}")

    def keep(state: State) -> None:
        order.append(f"keep {state.offset}")

    train(replace(whole, members=members, prepare=prepare, keep=keep), 0, NOW, quiet)
    assert order == ["prepare 5", "members", "keep 65", "prepare 5", "members"]


def test_augmentation_is_of_what_learners_are_fitted_on_and_of_nothing_else(log: SqliteLog, tmp_path: Path) -> None:
    fill(log, [*TEA, *once_each()])
    plain = train(workshop(log, tmp_path / "plain"), 7, NOW, quiet)
    wider = replace(CONFIG, train=replace(CONFIG.train, augment=("crop", "mask")))
    more = train(workshop(log, tmp_path / "more", wider), 7, NOW, quiet)
    state = folded(log)
    one, other = arrays(tmp_path / "plain", plain.version, state), arrays(tmp_path / "more", more.version, state)
    assert (np.asarray(one["als"]["item_factors"]) != np.asarray(other["als"]["item_factors"])).any()
    assert plain.sha256["buy_again.safetensors"] == more.sha256["buy_again.safetensors"]


def test_what_items_are_exchanged_for_comes_from_the_workshop(log: SqliteLog, tmp_path: Path) -> None:
    fill(log, [*TEA, *once_each()])
    wider = replace(CONFIG, train=replace(CONFIG.train, augment=("substitute",)))
    with pytest.raises(ConfigError, match="substitute needs items to exchange for"):
        train(workshop(log, tmp_path / "models", wider), 7, NOW, quiet)
    asked: list[int] = []

    def other(items: IntArray, _: np.random.Generator) -> IntArray:
        asked.append(items.size)
        return items

    train(replace(workshop(log, tmp_path / "models", wider), similar=lambda: other), 7, NOW, quiet)
    assert len(asked) == 2  # for the validation, and for what is saved

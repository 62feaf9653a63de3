"""Tuning: what settings make better lists, found on the validation part alone, and judged once on the test.

Every member of the blend has a study of its own (tree-structured Parzen estimators: Bergstra et al., "Algorithms for
Hyper-Parameter Optimization", NeurIPS 2011), which begins with the present settings. A trial that is worse than the
median of the others after a part of its validation questions, or of its epochs, is given up. In the end each member
gets its tuned settings only if the blend of all is better with them, on questions that its weights were not learnt on.

The trials lie in a file: a tuning that was killed goes on with the trial that it was at, and finds what it would have
found.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from endcap.config import Config, TrainConfig
from endcap.errors import ConfigError, DataError
from endcap.evaluation.metrics.judged import judge
from endcap.evaluation.metrics.ndcg import ndcg
from endcap.evaluation.offline import Case, Settings, serve
from endcap.evaluation.past import Past, fold
from endcap.evaluation.problems import Problem, TimeCut, time_problem
from endcap.evaluation.significance import Floats, bootstrap_means, estimate, mean
from endcap.models.ensemble import Blend, learn_weights
from endcap.pipelines.ensembles import BLEND
from endcap.pipelines.evaluate import Kit, Plan, run
from endcap.pipelines.report import write_file
from endcap.protocols import Recommender, Scorer
from endcap.types import Entry

TOP = 20
MAX_CASES = 1_000
"""Validation questions; of more, a seeded sample."""
SHARES = (0.25, 0.5, 1.0)
"""Of the questions, after which a trial is compared with the others."""
EARLY_EPOCHS = 1 / 3
"""Share of the epochs, after which a member that has any is compared with the others."""
STARTUP = 8
"""Trials of a study at random places, before what was found says where to look."""
SAMPLES = 1_000
STUDIES, PINNED = "studies.db", "job.json"
Space = Mapping[str, BaseDistribution]
_TOWER: Space = {
    "sequence_factors": IntDistribution(16, 128, step=16),
    "sequence_dropout": FloatDistribution(0.0, 0.7),
    "sequence_learning_rate": FloatDistribution(2e-4, 2e-2, log=True),
    "sequence_length": IntDistribution(5, 200, log=True),
}
_ORDERED: Space = {**_TOWER, "sequence_blocks": IntDistribution(1, 3)}
SPACES: Mapping[str, Space] = {
    "als": {
        "als_factors": IntDistribution(16, 128, log=True),
        "als_l2": FloatDistribution(0.1, 100.0, log=True),
        "als_alpha": FloatDistribution(0.01, 10.0, log=True),
        "als_epochs": IntDistribution(3, 30, log=True),
    },
    "itemknn": {
        "itemknn_similarity": CategoricalDistribution(("bm25", "cosine")),
        "itemknn_by": CategoricalDistribution(("user", "session")),
        "itemknn_neighbours": IntDistribution(10, 300, log=True),
        "itemknn_decay": FloatDistribution(0.7, 1.0),
    },
    "session_knn": {
        "session_knn_items": IntDistribution(1, 50, log=True),
        "session_knn_sessions": IntDistribution(20, 1_000, log=True),
        "session_knn_neighbours": IntDistribution(20, 1_000, log=True),
        "session_knn_half_life_days": FloatDistribution(3.0, 1_000.0, log=True),
    },
    "projection": {
        "projection_shrink": FloatDistribution(0.02, 5.0, log=True),
        "projection_rank": IntDistribution(16, 256, log=True),
        "projection_recent": IntDistribution(1, 200, log=True),
        "projection_decay": FloatDistribution(0.7, 1.0),
    },
    "transitions": {
        "transitions_window": IntDistribution(1, 30, log=True),
        "transitions_decay": FloatDistribution(0.3, 1.0),
        "transitions_back": FloatDistribution(0.0, 1.0),
        "transitions_damp_from": FloatDistribution(0.0, 1.0),
        "transitions_damp_to": FloatDistribution(0.0, 1.0),
        "transitions_recency": FloatDistribution(0.2, 1.0),
    },
    "ease": {
        "ease_l2": FloatDistribution(1.0, 10_000.0, log=True),
        "ease_dropout": FloatDistribution(0.0, 0.9),
        "ease_recency": FloatDistribution(0.3, 1.0),
    },
    "bpr": {
        "bpr_factors": IntDistribution(16, 128, log=True),
        "bpr_l2": FloatDistribution(1e-3, 0.3, log=True),
        "bpr_learning_rate": FloatDistribution(0.01, 0.3, log=True),
        "bpr_popular": FloatDistribution(0.0, 1.0),
        "bpr_epochs": IntDistribution(10, 120, log=True),
    },
    "structured": {
        "structured_factors": IntDistribution(16, 128, log=True),
        "structured_l2": FloatDistribution(0.1, 100.0, log=True),
        "structured_feature_l2": FloatDistribution(0.1, 100.0, log=True),
        "structured_alpha": FloatDistribution(0.01, 50.0, log=True),
        "structured_recency": FloatDistribution(0.2, 1.0),
        "structured_epochs": IntDistribution(3, 30, log=True),
    },
    "sasrec": _ORDERED,
    "gru": _ORDERED,
    "lstm": _ORDERED,
    "caser": {name: among for name, among in _TOWER.items() if name != "sequence_length"},
    "two_tower": _TOWER,
}
"""What can be tuned: for each member its settings, by their names in ``[train]``, and where they are looked for."""

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Job(msgspec.Struct, frozen=True):
    """One tuning. What was begun with another one is not gone on with."""

    models: tuple[str, ...]
    """Members to tune; each has a space."""
    offset: int
    """The newest entry of the log that is looked at: it grows meanwhile."""
    config: str
    """Of the present settings, by ``digest``."""
    trials: int = 30
    """Of each member, those that are given up too; there may be more when it is gone on with."""
    test_days: float = 30.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Workshop:
    """What tuning works with; wiring fills it."""

    config: Config
    """The present settings."""
    kit: Callable[[TrainConfig], Kit]
    """What is evaluated, with these settings."""
    members: tuple[str, ...]
    """Of the blend."""
    spaces: Mapping[str, Space]
    """What is tried, by member."""
    folder: Path
    """Where the studies lie."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What is shown while it runs."""

    trial: Callable[[str, int, float | None, float], None] = lambda _member, _number, _value, _best: None
    """Member, trial from 0, its figure (None: given up), the best so far."""
    step: Callable[[str], None] = lambda _what: None


class Tried(msgspec.Struct, frozen=True):
    """One trial."""

    settings: dict[str, Any]
    validation: float | None
    """NDCG@20; None: given up."""


class Outcome(msgspec.Struct, frozen=True):
    """What tuning found."""

    chosen: dict[str, Any]
    """Settings of ``[train]`` that differ from the present ones and make the blend better."""
    validation: dict[str, float]
    """NDCG@20 of the blend, ``before`` and ``after``."""
    test: dict[str, float]
    """The same on the test; where nothing was chosen, ``before`` alone."""
    difference: tuple[float, float, float] | None
    """On the test: after minus before, with its 95 % interval; None where nothing was chosen."""
    trials: dict[str, list[Tried]]
    """By member, in order."""
    cases: dict[str, int]
    """Questions of ``validation`` and ``test``."""


def tune(workshop: Workshop, entries: Sequence[Entry], job: Job, seconds: float, watch: Watch) -> Outcome:
    """The best settings within ``seconds`` and ``job.trials`` for each member, shared out evenly.

    Raises ConfigError where another tuning lies in the folder, DataError where a part of the log is empty.
    """
    _pin(workshop.folder, job)
    cut = TimeCut(job.test_days, workshop.config.train.validation_days)
    problem = time_problem(entries, cut)
    ground = _ground(workshop, problem, job.seed)
    until = time.monotonic() + seconds
    storage = optuna.storages.RDBStorage(f"sqlite:///{workshop.folder / STUDIES}")
    trials: dict[str, list[Tried]] = {}
    best: dict[str, dict[str, Any]] = {}
    for number, member in enumerate(job.models):
        left = (until - time.monotonic()) / (len(job.models) - number)
        study = _Study(storage, member, ground, job)
        study.search(time.monotonic() + left, watch)
        trials[member], best[member] = study.tried(), study.best()
    watch.step("the blend")
    chosen, validation = _choose(ground, best)
    watch.step("the test, once")
    test, difference, n_test = _test(workshop, problem, chosen)
    cases = {"validation": len(ground.cases), "test": n_test}
    return Outcome(chosen, validation, test, difference, trials, cases)


def spaces(names: Sequence[str], members: Sequence[str], own: Collection[str]) -> dict[str, Space]:
    """Of the members ``names`` (none named: of all ``members`` that have any) what is tried: not what is in ``own``.

    What several members share is tried with the first of them. Raises ConfigError for a name that is no member or has
    no settings, and where nothing is left.
    """
    wrong = [name for name in names if name not in members or name not in SPACES]
    there = [name for name in SPACES if name in members]
    if wrong or not there:
        given = f"{wrong[0]!r:.80} cannot be tuned" if wrong else "no member of the blend can be tuned"
        raise ConfigError(f"{given}: there are {', '.join(there) or ', '.join(SPACES)}, where train.models has them")
    found: dict[str, Space] = {}
    taken = set(own)
    for name in [one for one in there if not names or one in names]:
        left = {key: among for key, among in SPACES[name].items() if key not in taken}
        taken |= left.keys()
        if left:
            found[name] = left
    if not found:
        raise ConfigError("config.toml sets all that could be tuned: take out what shall be")
    return found


def write_tuned(path: Path, train: TrainConfig, own: Collection[str], said: str) -> None:
    """What of ``train`` can be tuned, is not in ``own`` and no default, as a file that ``load_config`` reads.

    ``said``: the comment at its head. Raises HomeError if it cannot be written.
    """
    lines, default = [f"# {line}" for line in said.splitlines()] + ["[train]"], TrainConfig()
    names = [name for space in SPACES.values() for name in space if name not in own]
    changed = {name: getattr(train, name) for name in names if getattr(train, name) != getattr(default, name)}
    lines += [f"{name} = {json.dumps(value)}" for name, value in changed.items()]
    write_file(path, ("\n".join(lines) + "\n").encode())


def keep(outcome: Outcome, path: Path) -> None:
    """Every trial and figure, as JSON. Raises HomeError if it cannot be written."""
    write_file(path, msgspec.json.format(msgspec.json.encode(outcome)) + b"\n")


def digest(config: Config) -> str:
    """Of all that ``config`` says of the state and of training."""
    said = repr((asdict(config.state), asdict(config.train), config.encode.text))
    return hashlib.blake2b(said.encode(), digest_size=8).hexdigest()


def pinned(folder: Path) -> Job | None:
    """The tuning that was begun in ``folder``. Raises ConfigError if it cannot be read."""
    try:
        return msgspec.json.decode((folder / PINNED).read_bytes(), type=Job)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigError(f"{folder / PINNED} cannot be read ({error}): give --fresh to begin anew") from error


def _pin(folder: Path, job: Job) -> None:
    before = pinned(folder)
    same = [name for name in job.__struct_fields__ if name != "trials"]
    other = [name for name in same if before is not None and getattr(before, name) != getattr(job, name)]
    if other:
        was, now = json.dumps(getattr(before, other[0])), json.dumps(getattr(job, other[0]))
        raise ConfigError(
            f"a tuning was cut off that had {other[0]} {was}, not {now}: give the same, or --fresh to begin anew"
        )
    if before is None:
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".{PINNED}"
        part.write_bytes(msgspec.json.encode(job))
        part.replace(folder / PINNED)


@dataclass(frozen=True, slots=True)
class _Ground:
    """What every trial is judged on."""

    workshop: Workshop
    past: Past
    """What is known where the validation part begins."""
    cases: Sequence[Case]
    """In random order, so that a part of them stands for all."""

    def fit(self, member: str, settings: Mapping[str, Any]) -> Scorer:
        train = replace(self.workshop.config.train, **settings)
        return self.workshop.kit(train).models[member](self.past)

    def figures(self, member: str, settings: Mapping[str, Any]) -> Iterator[tuple[float, bool]]:
        """The NDCG@20, at first of a part of the epochs or the questions, and whether it is the last one, of all."""
        epochs = f"{member}_epochs"
        if epochs in settings:
            few = max(1, round(settings[epochs] * EARLY_EPOCHS))
            for number, last in ((few, False), (settings[epochs], True)):
                model = self.fit(member, {**settings, epochs: number})
                yield float(self._values(model, self.cases).mean()), last
            return
        model, found = self.fit(member, settings), list[Floats]()
        edges = sorted({0, *(math.ceil(share * len(self.cases)) for share in SHARES)})
        for start, end in pairwise(edges):
            found.append(self._values(model, self.cases[start:end]))
            yield float(np.concatenate(found).mean()), end == len(self.cases)

    def blend(self, models: Mapping[str, Scorer]) -> float:
        """The NDCG@20 of a blend on one half of the questions, its weights learnt on the other."""
        half = len(self.cases) // 2
        weights = learn_weights(models, [(case.query, case.relevant) for case in self.cases[:half]], TOP)
        return float(self._values(Blend(models, weights), self.cases[half:]).mean())

    @staticmethod
    def _values(model: Recommender, cases: Sequence[Case]) -> Floats:
        lists = serve(model, cases, Settings((TOP,)))
        return ndcg(judge(lists.items, [case.relevant for case in cases]), TOP)


def _ground(workshop: Workshop, problem: Problem, seed: int) -> _Ground:
    past = fold(problem.early, workshop.config.state)
    past = replace(past, vectors=workshop.kit(workshop.config.train).vectors(past.state))
    cases = problem.validation(past).cases
    if len(cases) < 2:
        raise DataError(
            f"the validation part has {len(cases)} shoppers to ask: give a longer train.validation_days, "
            "or another --test-days"
        )
    order = np.random.default_rng(seed).permutation(len(cases))[:MAX_CASES]
    return _Ground(workshop, past, [cases[at] for at in order])


class _Study:
    """The trials of one member."""

    def __init__(self, storage: optuna.storages.BaseStorage, member: str, ground: _Ground, job: Job) -> None:
        self._member, self._ground, self._job = member, ground, job
        self._space = dict(ground.workshop.spaces[member])
        pruner = optuna.pruners.MedianPruner(n_startup_trials=4)
        self._study = optuna.create_study(
            storage=storage, study_name=member, direction="maximize", pruner=pruner, load_if_exists=True
        )
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._study.tell(trial.number, state=TrialState.FAIL)  # of a process that was killed

    def search(self, until: float, watch: Watch) -> None:
        """Trials until there are enough, or it is ``until`` (monotonic seconds); one there is in any case."""
        while len(self._over()) < self._job.trials and (not self._over() or time.monotonic() < until):
            number = len(self._over())
            value = self._try(number) if number else self._present()
            watch.trial(self._member, number, value, self._study.best_value)

    def _present(self) -> float:
        """The first trial: the present settings, brought into the ranges."""
        train = self._ground.workshop.config.train
        settings = {name: _within(among, getattr(train, name)) for name, among in self._space.items()}
        values = [value for value, _ in self._ground.figures(self._member, settings)]
        self._study.add_trial(
            optuna.trial.create_trial(
                params=settings,
                distributions=self._space,
                value=values[-1],
                intermediate_values=dict(enumerate(values)),
            )
        )
        return values[-1]

    def _try(self, number: int) -> float | None:
        """A trial of what the sampler says. Its figure; None if it was given up."""
        self._study.sampler = self._sampler(number)
        trial = self._study.ask(self._space)
        for step, (value, last) in enumerate(self._ground.figures(self._member, trial.params)):
            trial.report(value, step)
            if last:
                self._study.tell(trial, value)
                return value
            if trial.should_prune():
                break
        self._study.tell(trial, state=TrialState.PRUNED)
        return None

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        """It depends on the trials that are over and on nothing else, so that a kill changes nothing."""
        salt = hashlib.blake2b(f"{self._job.seed} {self._member} {number}".encode(), digest_size=4).digest()
        return optuna.samplers.TPESampler(seed=int.from_bytes(salt), n_startup_trials=STARTUP)

    def _over(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))

    def tried(self) -> list[Tried]:
        """All trials that came to an end, in order."""
        return [
            Tried(dict(trial.params), trial.value if trial.state == TrialState.COMPLETE else None)
            for trial in self._over()
        ]

    def best(self) -> dict[str, Any]:
        """The settings of the best trial; of equal ones the first."""
        return dict(self._study.best_params)


def _within(among: BaseDistribution, value: Any) -> Any:
    """``value``, or the nearest that is tried."""
    if isinstance(among, IntDistribution | FloatDistribution):
        return min(max(value, among.low), among.high)
    return value


def _choose(ground: _Ground, best: Mapping[str, Mapping[str, Any]]) -> tuple[dict[str, Any], dict[str, float]]:
    """The tuned settings of those members with which the blend is better; its figures before and after."""
    train = ground.workshop.config.train
    models = {member: ground.fit(member, {}) for member in ground.workshop.members}
    chosen: dict[str, Any] = {}
    value = before = ground.blend(models)
    for member, settings in best.items():
        changed = {name: one for name, one in settings.items() if one != getattr(train, name)}
        if not changed:
            continue
        alike = [name for name in models if not changed.keys().isdisjoint(SPACES.get(name, {}))]
        tried = {**models, **{name: ground.fit(name, chosen | changed) for name in {member, *alike}}}
        found = ground.blend(tried)
        if found > value:
            models, value, chosen = tried, found, chosen | changed
    return chosen, {"before": before, "after": value}


def _test(
    workshop: Workshop, problem: Problem, chosen: Mapping[str, Any]
) -> tuple[dict[str, float], tuple[float, float, float] | None, int]:
    """The figures of the blend on the test, with the present settings and with the chosen ones; how much was asked."""
    config = workshop.config
    before = _tested(workshop, problem, config.train)
    if not chosen:
        return {"before": float(before.mean())}, None, len(before)
    after = _tested(workshop, problem, replace(config.train, **chosen))
    drawn = bootstrap_means(np.stack([before, after], axis=1), SAMPLES, 0)
    gap = estimate(mean(after) - mean(before), drawn[:, 1] - drawn[:, 0])
    return {"before": mean(before), "after": mean(after)}, (gap.mean, gap.low, gap.high), len(before)


def _tested(workshop: Workshop, problem: Problem, train: TrainConfig) -> Floats:
    """(cases,) NDCG@20 of the blend of members that are trained again on all that comes before the test."""
    whole = workshop.kit(train)
    kit = Kit({name: whole.models[name] for name in workshop.members}, whole.vectors)
    plan = Plan(settings=Settings((TOP,)), names=(BLEND,), state=workshop.config.state)
    (row,) = run(problem, kit, plan).report.table.rows
    return np.asarray(row.values[f"ndcg@{TOP}"], np.float64)

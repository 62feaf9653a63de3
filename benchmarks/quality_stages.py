"""The stages of ``quality.py``: one model, or the ensembles, on one data set; each leaves a JSON and can be resumed."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

from endcap.evaluation.offline import Case
from endcap.protocols import Scorer
from machine import Machine, describe
from quality_data import DATA, Data, Setting
from quality_lists import Proposed, cpu_seconds, figures, propose
from quality_models import FAMILIES, Family, steps
from quality_peers import Peer

MANY_CASES = 40_000
FEWER_CASES = 10_000
"""Of more than MANY_CASES, a configuration that is only tried is tested on so many; the chosen one on all."""


class Tried(Struct):
    """One configuration."""

    values: dict[str, object]
    """What differs from the defaults."""
    validation: dict[str, float]
    test: dict[str, float]
    """Fitted without the validation part."""
    fit_seconds: float
    """CPU."""
    list_ms: float
    """CPU of one list, with scoring every item."""
    test_cases: int
    best: bool = False
    """Whether it was the best by validation when it was tried."""


class Final(Struct):
    """The chosen one, fitted one way, on all of the test."""

    figures: dict[str, float]
    cases: int
    fit_seconds: float


class Stage(Struct):
    """What a stage leaves."""

    data: str
    model: str
    date: str
    machine: Machine
    validation_cases: int = 0
    tried: list[Tried] = []
    final: dict[str, Final] = {}
    """By how it was fitted."""
    seconds: float = 0.0
    """Of CPU, over all its runs."""
    memory_mb: float = 0.0
    """The most that the process held."""
    note: str = ""
    """Why it ended early, where it did; of an ensemble, its members and their figures on validation."""

    @property
    def chosen(self) -> Tried:
        """The last one that was the best."""
        return [one for one in self.tried if one.best][-1]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run keeps what it makes, and how much it may take."""

    data: Path
    results: Path
    """The JSON of the stages."""
    work: Path
    """Lists and vectors."""
    seconds: float
    """After so many seconds of CPU a stage tries no further configuration."""
    most_tried: int
    most_test: int | None = None

    def result(self, data: str, model: str) -> Path:
        """The JSON of a stage."""
        return self.results / f"{data}.{model}.json"

    def lists(self, data: str, model: str, part: str) -> Path:
        """Its lists for ``validation``, or for the test as ``train`` or ``refit``."""
        return self.work / "lists" / data / f"{model}.{part}.npz"

    def setting(self, name: str) -> Setting:
        """The data set of that name."""
        return Setting(DATA[name], self.data, self.work / "vectors", self.most_test)


def read(path: Path) -> Stage:
    """A stage as it was left."""
    return msgspec.json.decode(path.read_bytes(), type=Stage)


def write(path: Path, stage: Stage) -> None:
    """A file that is whole or as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".half")
    half.write_bytes(msgspec.json.format(msgspec.json.encode(stage), indent=1) + b"\n")
    half.replace(path)


def begun(place: Place, data: str, model: str) -> Stage:
    """The stage as an earlier run left it, or a new one."""
    path = place.result(data, model)
    if path.exists():
        return read(path)
    return Stage(data, model, datetime.now(UTC).isoformat(timespec="seconds"), describe(place.work))


class Clock:
    """The CPU time of a stage, which other work on the machine does not lengthen; what an earlier run took counts."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._begun = cpu_seconds() - stage.seconds

    def tick(self) -> float:
        """Seconds so far, which the stage keeps, with the memory."""
        stage = self._stage
        stage.seconds = round(cpu_seconds() - self._begun, 1)
        stage.memory_mb = max(stage.memory_mb, round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3))
        return stage.seconds


def run_model(place: Place, setting: Setting, data: str, model: str) -> None:
    """Tries configurations until there are no more or the time is over, then fits the best as the protocol says."""
    path, stage, family, protocol = place.result(data, model), begun(place, data, model), FAMILIES[model], DATA[data]
    clock = Clock(stage)
    known = {_key(one.values): one for one in stage.tried}
    search = steps(family.first(protocol.kind), family.axes)
    values = next(search)
    while values is not None:
        one = known.get(_key(values))
        if one is None:
            if stage.tried and (clock.tick() > place.seconds or len(stage.tried) >= place.most_tried):
                stage.note = f"stopped after {len(stage.tried)} configurations"
                break
            one = _try(place, setting, (data, model), values, stage)
            clock.tick()
            write(path, stage)
            say(stage, one, protocol)
        try:
            values = search.send(one.best)
        except StopIteration:
            break
    _finish(place, setting, stage, family)
    clock.tick()
    write(path, stage)
    for fit, final in stage.final.items():
        print(f"{data} {model} {fit}:", {name: round(final.figures[name], 4) for name in protocol.shown}, flush=True)


def _key(values: dict[str, object]) -> str:
    return repr(sorted(values.items()))


def _try(place: Place, setting: Setting, named: tuple[str, str], values: dict[str, object], stage: Stage) -> Tried:
    """One configuration: judged, and its lists kept if it is the best so far."""
    data, model = named
    protocol, family = DATA[data], FAMILIES[model]
    past = setting.past("train", family.reads_items)
    start = cpu_seconds()
    fitted = family.fitted(values, past, place.work)
    fit_seconds = cpu_seconds() - start
    asked = setting.cases("validation")
    stage.validation_cases = len(asked)
    start = cpu_seconds()
    lists = answers(fitted, asked, protocol.hide_seen)
    list_ms = 1e3 * (cpu_seconds() - start) / len(asked)
    validation = figures(lists.items, asked, protocol.ks)
    cases = setting.cases("test")
    sampled = fewer(cases)
    tested = answers(fitted, sampled, protocol.hide_seen)
    best = not stage.tried or validation[protocol.chosen_by] > stage.chosen.validation[protocol.chosen_by]
    if best:
        lists.save(place.lists(data, model, "validation"))
        if len(sampled) == len(cases):
            tested.save(place.lists(data, model, "train"))
    test = figures(tested.items, sampled, protocol.ks)
    one = Tried(dict(values), validation, test, round(fit_seconds, 2), round(list_ms, 4), len(sampled), best)
    stage.tried.append(one)
    stage.final = {}  # of another one
    return one


def answers(fitted: Scorer | Peer, cases: Sequence[Case], hide_seen: bool) -> Proposed:
    """The lists of one of ours, or of a peer."""
    return fitted.propose(cases, hide_seen) if isinstance(fitted, Peer) else propose(fitted, cases, hide_seen)


def fewer(cases: Sequence[Case]) -> list[Case]:
    """All of ``cases``, or a seeded sample of very many."""
    if len(cases) <= MANY_CASES:
        return list(cases)
    chosen = np.sort(np.random.default_rng(1).permutation(len(cases))[:FEWER_CASES])
    return [cases[at] for at in chosen]


def _finish(place: Place, setting: Setting, stage: Stage, family: Family) -> None:
    """The chosen configuration on all of the test, fitted as the protocol says."""
    protocol, cases = DATA[stage.data], setting.cases("test")
    validation = place.lists(stage.data, stage.model, "validation")
    if not validation.exists():  # somebody emptied the folder
        fitted = family.fitted(stage.chosen.values, setting.past("train", family.reads_items), place.work)
        answers(fitted, setting.cases("validation"), protocol.hide_seen).save(validation)
    for fit in protocol.fits:
        path = place.lists(stage.data, stage.model, fit)
        if fit in stage.final and path.exists():
            continue
        fit_seconds = stage.chosen.fit_seconds
        if fit == "train" and path.exists():
            lists = Proposed.load(path)
        else:
            past = setting.past(fit, family.reads_items)
            start = cpu_seconds()
            fitted = family.fitted(stage.chosen.values, past, place.work)
            fit_seconds = round(cpu_seconds() - start, 2)
            lists = answers(fitted, cases, protocol.hide_seen)
            lists.save(path)
        stage.final[fit] = Final(figures(lists.items, cases, protocol.ks), len(cases), fit_seconds)


def say(stage: Stage, one: Tried, protocol: Data) -> None:
    """A line on the way."""
    name = protocol.chosen_by
    figures_ = f"validation {one.validation[name]:.4f}, test {one.test[name]:.4f}{' *' if one.best else ''}"
    times = f"fit {one.fit_seconds:.1f} s, {one.list_ms:.2f} ms a list, {stage.seconds:.0f} s so far"
    print(f"{stage.data} {stage.model} {len(stage.tried)}: {figures_} {one.values} {times}", flush=True)

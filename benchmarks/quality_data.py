"""The data sets of ``quality.py`` as problems: what is learnt from, what validates, what is asked at last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from cold_shops import online_retail
from endcap.catalog.items import parse_change
from endcap.config import StateConfig
from endcap.encoders.cache import ItemVectors, VectorStore
from endcap.encoders.text import UniversalSentenceEncoder
from endcap.evaluation.offline import Case
from endcap.evaluation.past import Past, fold
from endcap.evaluation.problems import Problem, TimeCut, leave_last_out_problem, session_problem, time_problem
from endcap.pipelines.evaluation_files import read_prefixes, read_sessions, read_touches
from endcap.state.fold import State
from endcap.types import Entry, IntArray

MOST_VALIDATION = 20_000
"""Validation cases that are asked, a seeded sample of more."""
Kind = Literal["next item", "session", "time"]


@dataclass(frozen=True, slots=True)
class Data:
    """One data set: where it lies, how it is cut, and by what its configurations are chosen."""

    title: str
    kind: Kind
    load: Callable[[Path], Problem]
    fits: tuple[str, ...]
    """How the models are fitted at test time, ``train`` or ``refit`` or both in turn."""
    chosen_by: str
    shown: tuple[str, str]
    """The two figures of the tables."""
    hide_seen: bool = False
    ks: tuple[int, ...] = (5, 10, 20)


def _amazon(name: str) -> Callable[[Path], Problem]:
    def load(folder: Path) -> Problem:
        touches, _ = read_touches(folder / "amazon2014" / f"{name}.events.parquet")
        problem = leave_last_out_problem(touches)
        items = pl.read_parquet(folder / "amazon2014" / f"{name}.items.parquet")
        return replace(problem, early=[*_catalogue(items), *problem.early])

    return load


def _catalogue(items: pl.DataFrame) -> list[Entry]:
    """Each item with its words and its attributes, which have no names."""
    found = []
    for row in items.iter_rows(named=True):
        attributes = {f"has{number}": True for number in row["attribute_ids"]}
        title = (row["keywords"] or "").strip()[:500] or str(row["item_id"])
        fields = {"item_id": str(row["item_id"]), "title": title, "attributes": attributes}
        found.append(Entry(0, 0, parse_change("put", fields)))
    return found


def _sessions(name: str) -> Callable[[Path], Problem]:
    def load(folder: Path) -> Problem:
        sessions, _ = read_sessions(folder / "sessions" / f"{name}.train_sessions.parquet")
        return session_problem(sessions, read_prefixes(folder / "sessions" / f"{name}.test_prefixes.parquet"))

    return load


def _online_retail(_folder: Path) -> Problem:
    return time_problem(online_retail(), TimeCut())


DATA: dict[str, Data] = {
    "beauty": Data(
        "Beauty", "next item", _amazon("Beauty"), ("train", "refit"), "ndcg@10", ("ndcg@10", "recall@10"), True
    ),
    "sports": Data(
        "Sports",
        "next item",
        _amazon("Sports_and_Outdoors"),
        ("train", "refit"),
        "ndcg@10",
        ("ndcg@10", "recall@10"),
        True,
    ),
    "diginetica": Data(
        "Diginetica", "session", _sessions("diginetica"), ("refit",), "ndcg@20", ("recall@20", "mrr@20")
    ),
    "yoochoose": Data(
        "Yoochoose 1/64", "session", _sessions("yoochoose1_64"), ("refit",), "ndcg@20", ("recall@20", "mrr@20")
    ),
    "retail": Data("Online Retail", "time", _online_retail, ("refit",), "ndcg@10", ("ndcg@10", "recall@20")),
}


class Setting:
    """A data set, loaded; its pasts are folded and its items encoded when they are first asked for."""

    def __init__(self, data: Data, folder: Path, vectors: Path, most_test: int | None = None) -> None:
        self.data = data
        self._problem = data.load(folder)
        self._store = VectorStore(vectors, UniversalSentenceEncoder())
        self._most_test = most_test
        self._known: dict[str, Past] = {}
        self._cases: dict[str, list[Case]] = {}
        self._groups: IntArray | None = None

    def past(self, fit: str, described: bool = False) -> Past:
        """What is learnt from: ``train`` is what comes before the validation part, ``refit`` all before the test.

        ``described``: with the vectors of the items' texts, which takes its time.
        """
        if fit not in self._known:
            problem = self._problem
            self._known[fit] = fold(problem.early if fit == "train" else [*problem.early, *problem.late], StateConfig())
        past = self._known[fit]
        if described and past.vectors is None:
            past = self._known[fit] = replace(past, vectors=self._vectors(past.state))
        return past

    def cases(self, part: str) -> list[Case]:
        """The questions of ``validation`` or ``test``."""
        if part not in self._cases:
            known = self.past("train" if part == "validation" else "refit")
            asked = self._problem.validation if part == "validation" else self._problem.test
            most = MOST_VALIDATION if part == "validation" else self._most_test
            found = asked(known).cases
            chosen = _sample(len(found), most)
            self._cases[part] = [found[at] for at in chosen.tolist()]
            if part == "test" and self.data.kind == "session":
                self._groups = sessions_of(found)[chosen]
        return self._cases[part]

    def groups(self) -> IntArray | None:
        """(test cases,) the session that each is of; None where each is somebody else's."""
        self.cases("test")
        return self._groups

    def _vectors(self, state: State) -> ItemVectors | None:
        listed = state.shop.listed_items()
        if not listed:
            return None
        held = ItemVectors(UniversalSentenceEncoder().dim)
        rows = np.array([row for row, _ in listed], np.int32)
        held.set(rows, self._store.of_items([item for _, item in listed]))
        return held


def _sample(cases: int, most: int | None) -> IntArray:
    """The places of all of them, or of a seeded sample."""
    if most is None or cases <= most:
        return np.arange(cases, dtype=np.int32)
    return np.sort(np.random.default_rng(0).permutation(cases)[:most]).astype(np.int32)


def sessions_of(cases: Sequence[Case]) -> IntArray:
    """(cases,) numbers of the sessions: the prefixes of one follow each other, each without the last of the one before.

    So the published files have them.
    """
    whole = [np.append(case.query.history, case.relevant) for case in cases]
    begins = [
        not np.array_equal(before.query.history, this) for before, this in zip(cases[:-1], whole[1:], strict=True)
    ]
    return np.cumsum([0, *begins]).astype(np.int32)

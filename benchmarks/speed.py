"""How fast matrix factorisation is trained, folded in and asked, beside implicit in the same run.

    python benchmarks/speed.py             about 3 minutes; writes results/speed.json
    python benchmarks/speed.py --render    write the figures of the last run into docs/reference/benchmarks.md

A made-up past of 100,000 users, 20,000 items and 2 million pairs, both sides uneven as in shops. One thread on both
sides, CPU time, one side after the other; the best of the rounds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
from implicit.als import AlternatingLeastSquares
from msgspec import Struct
from scipy.sparse import csr_array, csr_matrix
from threadpoolctl import threadpool_limits

from endcap.models.als import ALS
from endcap.models.transitions import Transitions
from endcap.types import FloatArray, Interactions, Query, Vocabulary
from machine import Machine, describe
from pages import BENCHMARKS, table, where
from script import parser_of, run

USERS, ITEMS, PAIRS = 100_000, 20_000, 2_000_000
FACTORS, EPOCHS, L2, ALPHA = 64, 15, 3.0, 1.0
K = 20
ASKED = 1_000
"""Users who are folded in, and ask, one by one."""
ROUNDS = 3


class Side(Struct):
    """What one library took."""

    train_seconds: float
    loss: float
    """Of the objective of Hu, Koren, Volinsky 2008, equation 3, with the best users' vectors for its items'."""
    fold_us: list[float]
    """One user: p50, p99."""
    fold_many: float
    """Users folded in a second, many at once."""
    top: float
    """Lists of the 20 best a second, many at once, from vectors that are there, without what the user had."""
    top_folded: float
    """The same from histories."""


class Results(Struct):
    """One run."""

    date: str
    machine: Machine
    implicit_version: str
    pairs: int
    endcap: Side
    implicit: Side
    transitions_us: list[float]
    """A list of the 20 best of ``Transitions`` over the same past, one at a time: p50, p99."""


def made_up() -> csr_array:
    """(USERS, ITEMS) ones: who met what."""
    random = np.random.default_rng(0)
    user, item = (
        random.choice(n, PAIRS, p=share / share.sum())
        for n, share in ((USERS, np.arange(1, USERS + 1) ** -0.5), (ITEMS, np.arange(1, ITEMS + 1) ** -0.8))
    )
    met = csr_array((np.ones(PAIRS, np.float32), (user, item)), shape=(USERS, ITEMS))
    met.sum_duplicates()
    met.data[:] = 1.0
    return met


def past_of(met: csr_array) -> Interactions:
    """The same as events, in an order at random."""
    user = np.repeat(np.arange(USERS, dtype=np.int32), np.diff(met.indptr))
    order = np.random.default_rng(1).permutation(user.size)
    names = Vocabulary(map(str, range(USERS)))
    time_ms = np.arange(user.size, dtype=np.int64)
    return Interactions(
        names,
        Vocabulary(map(str, range(ITEMS))),
        user[order],
        met.indices[order].astype(np.int32),
        np.ones(user.size, np.float32),
        time_ms,
        user[order],
    )


def best(work: Callable[[], object]) -> float:
    """CPU seconds of the quickest of the rounds."""
    taken = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return min(taken)


def each(work: Callable[[int], object]) -> list[float]:
    """CPU microseconds for one user: p50, p99."""
    taken = []
    for user in range(ASKED + 20):  # the first are to warm up
        begun = time.thread_time()
        work(user * (USERS // (ASKED + 20)))
        taken.append((time.thread_time() - begun) * 1e6)
    return [round(float(np.percentile(taken[20:], percent)), 1) for percent in (50, 99)]


def loss_of(met: csr_array, model: ALS) -> float:
    """Equation 3 at the model's item factors and the best user factors to them."""
    items, users = model.to_arrays()["item_factors"].astype(np.float64), model.user_vectors(met).astype(np.float64)
    rows = np.repeat(np.arange(USERS), np.diff(met.indptr))
    said = np.einsum("nf,nf->n", users[rows], items[met.indices])
    everywhere = float(((users.T @ users) * (items.T @ items)).sum())
    pairs = float(((1.0 + ALPHA * met.data) * (1.0 - said) ** 2 - said**2).sum())
    return everywhere + pairs + L2 * float((users**2).sum() + (items**2).sum())


def queries_of(met: csr_array) -> Callable[[int], Query]:
    """A user's history as a question."""

    def query(user: int) -> Query:
        span = slice(met.indptr[user], met.indptr[user + 1])
        return Query(history=met.indices[span].astype(np.int32), weights=met.data[span])

    return query


def ours(met: csr_array, past: Interactions) -> Side:
    """Endcap's figures."""
    made = ALS(FACTORS, L2, ALPHA, EPOCHS)
    train = best(lambda: made.fit(past))
    query = queries_of(met)
    fold, lists = best(lambda: made.user_vectors(met)), best(lambda: made.recommend_all(met, K))
    return Side(
        train_seconds=round(train, 2),
        loss=round(loss_of(met, made)),
        fold_us=each(lambda user: made.user_vector(query(user))),
        fold_many=round(USERS / fold),
        top=round(USERS / (lists - fold)),
        top_folded=round(USERS / lists),
    )


def theirs(met: csr_array) -> Side:
    """Figures of implicit, with its own settings but those that make the task the same."""
    confidence = csr_matrix((1.0 + ALPHA * met.data, met.indices, met.indptr), shape=met.shape)
    made: list[AlternatingLeastSquares] = []

    def fit() -> None:
        made[:] = [
            AlternatingLeastSquares(
                factors=FACTORS, regularization=L2, alpha=1.0, iterations=EPOCHS, num_threads=1, random_state=0
            )
        ]
        made[0].fit(confidence, show_progress=False)

    train = best(fit)
    model, everyone = made[0], np.arange(USERS)
    items: FloatArray = model.item_factors
    same = ALS(FACTORS, L2, ALPHA).from_arrays({"item_factors": items, "l2_alpha": np.array([L2, ALPHA])})
    model.recalculate_user(0, confidence[0])  # what it keeps from the first call on is not counted
    folded = best(lambda: model.recalculate_user(everyone, confidence))
    lists = best(lambda: model.recommend(everyone, confidence, N=K))
    return Side(
        train_seconds=round(train, 2),
        loss=round(loss_of(met, same)),
        fold_us=each(lambda user: model.recalculate_user(user, confidence[user])),
        fold_many=round(USERS / folded),
        top=round(USERS / lists),
        top_folded=round(USERS / (lists + folded)),
    )


def measure(_: Path, _options: argparse.Namespace) -> Results:
    """Both sides, then transitions."""
    date, machine = datetime.now(UTC), describe(Path.cwd())
    met = made_up()
    past = past_of(met)
    with threadpool_limits(1):
        endcap, implicit = ours(met, past), theirs(met)
        transitions, query = Transitions().fit(past), queries_of(met)
        lists = each(lambda user: transitions.recommend(query(user), K))
    return Results(
        date.isoformat(timespec="seconds"), machine, version("implicit"), int(met.nnz), endcap, implicit, lists
    )


def figures(results: Results) -> str:
    """The section of the page."""
    one, other = results.endcap, results.implicit
    rows = [
        ("train, CPU-s", one.train_seconds, other.train_seconds, ",.1f"),
        ("its loss, the best users' vectors at each side's items'", one.loss, other.loss, ",.0f"),
        ("fold one user in, us, p50", one.fold_us[0], other.fold_us[0], ",.0f"),
        ("the same, p99", one.fold_us[1], other.fold_us[1], ",.0f"),
        ("users folded in a CPU-second, many at once", one.fold_many, other.fold_many, ",.0f"),
        (f"lists of {K} a CPU-second, users' vectors at hand", one.top, other.top, ",.0f"),
        ("the same, from histories", one.top_folded, other.top_folded, ",.0f"),
    ]
    lines = [(what, format(a, form), format(b, form), f"{a / b:.3f}") for what, a, b, form in rows]
    return (
        where(results.date, results.machine)
        + table(("matrix factorisation", "Endcap", f"implicit {results.implicit_version}", "Endcap / implicit"), lines)
        + f"\n{USERS:,} users, {ITEMS:,} items, {results.pairs:,} pairs, {FACTORS} factors, {EPOCHS} epochs. A list of "
        f"`Transitions` over the same past: p50 {results.transitions_us[0]:.0f} us, p99 "
        f"{results.transitions_us[1]:.0f} us.\n"
    )


def main() -> None:
    """Measure, or write the page."""
    run(parser_of("speed", __doc__), BENCHMARKS, Results, figures, measure)


if __name__ == "__main__":
    main()

"""Topics: which few subjects each item is of, found in its words and in who touched it, without labels.

Non-negative matrix factorisation by multiplicative updates (Lee & Seung, "Algorithms for non-negative matrix
factorization", NIPS 2001) of one table of items: by their words and, beside them, by their visitors. Both say together
what a topic is, so what nobody has touched yet gets topics by its words, and what has no words by its visitors.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array, hstack
from threadpoolctl import threadpool_limits

from endcap.features.clusters import word_table
from endcap.features.interactions import matrix
from endcap.types import FloatArray, Interactions

ROUNDS = 60
"""Updates of the factors of items, and of those of words and visitors."""
SAMPLE = 20_000
"""Visitors that topics are learnt from; of more, a seeded sample."""
ITEMS_EACH = 8
"""Items that a topic has on average, at least: a shop of fewer than twice as many has no topics."""
OF_AN_ITEM = 3
"""Topics of one item, at most."""
LEAST = 0.05
"""A smaller share of an item says nothing: the updates leave a trace of every topic in every item."""


def topics(texts: Sequence[tuple[int, str]], past: Interactions, most: int, seed: int) -> csr_array:
    """(items, k) the share of each topic in each item of ``past``; a row adds up to 1, or is empty.

    ``texts`` are (item row, text). k is ``most``, or one for ``ITEMS_EACH`` items of which anything is known where
    that is less; a topic that is among the greatest of no item is left out. The same seed gives the same topics.
    Costs O((touched pairs + words) k) for each of ``ROUNDS``.
    """
    visitors = _visitors(past, seed)
    words = _words(texts, len(past.items), np.sqrt(np.diff(visitors.indptr)))
    known = int(((np.diff(visitors.indptr) > 0) | (np.diff(words.indptr) > 0)).sum())
    k = min(most, known // ITEMS_EACH)
    if k < 2:
        return csr_array((len(past.items), 0), dtype=np.float32)
    items, columns = factors(csr_array(hstack([words, visitors])), k, seed)
    found = greatest(items * np.linalg.norm(columns, axis=0))
    return csr_array(found[:, np.unique(found.indices)])


def factors(table: csr_array, k: int, seed: int, rounds: int = ROUNDS) -> tuple[FloatArray, FloatArray]:
    """Those of the rows and of the columns of ``table`` (rows, columns), none below 0: (rows, k) and (columns, k).

    Their product comes as near to ``table``, of which no number is below 0, as the updates get (least squares); no
    update makes the error greater.
    """
    draw, tiny = np.random.default_rng(seed), np.float32(1e-9)
    rows, columns = (draw.random((size, k), np.float32) + tiny for size in table.shape)
    table = csr_array(table, dtype=np.float32)
    turned = csr_array(table.T)
    with threadpool_limits(1):  # more threads would add up in another order: another result for the same seed
        for _ in range(rounds):
            columns *= (turned @ rows) / (columns @ (rows.T @ rows) + tiny)
            rows *= (table @ columns) / (rows @ (columns.T @ columns) + tiny)
    return rows, columns


def greatest(amounts: FloatArray, most: int = OF_AN_ITEM) -> csr_array:
    """(n, k) the ``most`` greatest of each row of ``amounts`` (n, k) as shares: they add up to 1; of all 0, none.

    What is less than ``LEAST`` of them is left out.
    """
    columns = np.argsort(-amounts, axis=1, kind="stable")[:, :most]
    values = np.take_along_axis(amounts, columns, axis=1).astype(np.float64)
    values[values < LEAST * values.sum(axis=1, keepdims=True)] = 0.0
    values /= np.maximum(values.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    rows = np.repeat(np.arange(len(amounts)), columns.shape[1])
    found = csr_array((values.ravel().astype(np.float32), (rows, columns.ravel())), shape=amounts.shape)
    found.eliminate_zeros()
    return found


def _visitors(past: Interactions, seed: int) -> csr_array:
    """(items, users) 1 where they met."""
    table = matrix(past)
    if table.shape[0] > SAMPLE:
        table = table[np.sort(np.random.default_rng(seed).choice(table.shape[0], SAMPLE, replace=False))]
    table.data[:] = 1.0
    return csr_array(table.T)


def _words(texts: Sequence[tuple[int, str]], items: int, lengths: FloatArray) -> csr_array:
    """(items, words) the idf of the words that two texts have; a row is as long as ``lengths`` (items,) says, or 1.

    So an item's words weigh as much as its visitors.
    """
    texts = [(row, text) for row, text in texts if row < items]
    table, _ = word_table([text for _, text in texts])
    counts = table.sum(axis=0)
    shared = np.flatnonzero(counts > 1)
    table = csr_array(table[:, shared] * np.log(len(texts) / counts[shared]))
    table.eliminate_zeros()
    sizes = np.diff(table.indptr)
    rows = np.repeat(np.array([row for row, _ in texts], np.int32), sizes)
    long = np.sqrt(np.bincount(rows, table.data**2, minlength=items))[rows]
    return csr_array((table.data / long * np.maximum(lengths, 1.0)[rows], (rows, table.indices)), (items, shared.size))

"""Lists by ``implicit``: ALS with the user folded in, BM25 and cosine item kNN, BPR. See exchange.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from implicit.als import AlternatingLeastSquares
from implicit.bpr import BayesianPersonalizedRanking
from implicit.nearest_neighbours import BM25Recommender, CosineRecommender
from scipy.sparse import csr_matrix

from peers.exchange import Array, Asked, main

BLOCK = 2_000
"""Cases that are answered at a time."""


def answer(asked: Asked, settings: dict[str, Any], _folder: Path) -> tuple[Array, Array]:
    """Fits and answers. ALS and item kNN go by the history of each case; BPR knows a user by the row alone."""
    name = settings.pop("model")
    made = {
        "als": AlternatingLeastSquares,
        "bpr": BayesianPersonalizedRanking,
        "bm25": BM25Recommender,
        "cosine": CosineRecommender,
    }
    model = made[name](num_threads=1, **settings)
    model.fit(_matrix(asked.user, asked.item, (asked.n_users, asked.n_items)), show_progress=False)
    case = np.repeat(np.arange(asked.asking.size), np.diff(asked.edges))
    histories = _matrix(case, asked.history, (asked.asking.size, asked.n_items))
    items = np.full((asked.asking.size, asked.k), -1, np.int32)
    scores = np.zeros((asked.asking.size, asked.k), np.float32)
    for start in range(0, asked.asking.size, BLOCK):
        rows = np.arange(start, min(start + BLOCK, asked.asking.size))
        who = asked.asking[rows] if name == "bpr" else rows
        rows, who = rows[who >= 0], who[who >= 0]
        more = {"recalculate_user": True} if name == "als" else {}
        found, values = model.recommend(
            who, histories[rows], N=asked.k, filter_already_liked_items=asked.hide_seen, **more
        )
        good = (found >= 0) & np.isfinite(values) & (values > np.finfo(np.float32).min)
        items[rows, : found.shape[1]] = np.where(good, found, -1)
        scores[rows, : found.shape[1]] = np.where(good, values, 0.0)
    return items, scores


def _matrix(row: Array, item: Array, shape: tuple[int, int]) -> csr_matrix:
    """How often each pair met."""
    table = csr_matrix((np.ones(row.size, np.float32), (row, item)), shape=shape)
    table.sum_duplicates()
    return table


if __name__ == "__main__":
    main(answer)

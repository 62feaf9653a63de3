"""Small pasts for the model tests."""

from __future__ import annotations

import numpy as np

from endcap.types import MS_PER_DAY, Interactions, Query, Vocabulary


def past(*visits: tuple[int, str], n_items: int = 26, weight: float = 1.0) -> Interactions:
    """One visit a day: (user, its items as letters)."""
    columns = [(user, ord(item) - 97, day) for day, (user, items) in enumerate(visits) for item in items]
    user, item, day = (np.array([line[part] for line in columns], np.int64) for part in range(3))
    return Interactions(
        Vocabulary(map(str, range(int(user.max(initial=-1)) + 1))),
        Vocabulary(chr(97 + row) for row in range(n_items)),
        user.astype(np.int32),
        item.astype(np.int32),
        np.full(user.size, weight, np.float32),
        day * MS_PER_DAY,
        day.astype(np.int32),
    )


def random_past(seed: int, users: int = 30, items: int = 20, size: int = 300) -> Interactions:
    """Events of users over items with uneven popularity; a visit is six events of one user."""
    random = np.random.default_rng(seed)
    share = 1.0 / np.arange(1, items + 1)
    visit = np.arange(size) // 6
    return Interactions(
        Vocabulary(f"u{row}" for row in range(users)),
        Vocabulary(f"i{row}" for row in range(items)),
        random.integers(users, size=visit[-1] + 1)[visit].astype(np.int32),
        random.choice(items, size=size, p=share / share.sum()).astype(np.int32),
        random.choice([1.0, 3.0, 5.0], size=size).astype(np.float32),
        np.sort(random.integers(100 * MS_PER_DAY, size=size)),
        visit.astype(np.int32),
    )


def follow(*rows: int, weights: tuple[float, ...] = (), user: int = -1) -> Query:
    """A query for a history."""
    return Query(history=np.array(rows, np.int32), weights=np.array(weights, np.float32), user=user)

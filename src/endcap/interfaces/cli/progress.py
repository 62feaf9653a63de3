"""Progress bars: on stderr, and only where somebody looks."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from endcap.types import Progress


@contextmanager
def progress_bar(label: str) -> Iterator[Progress]:
    """A bar that follows the calls of what it yields. Where stderr is no terminal, nothing is written."""
    with tqdm(desc=label, file=sys.stderr, disable=None, leave=False, unit_scale=True) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show

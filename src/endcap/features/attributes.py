"""What the catalogue says of each item as one-hot columns: words, brand, categories, price band, attributes.

Columns are numbered by hashing (Weinberger et al., "Feature hashing for large scale multitask learning", ICML 2009):
no vocabulary has to be kept with what was learnt, and a new brand has its column at once.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator

import numpy as np
from scipy.sparse import csr_array

from endcap.catalog.items import Item
from endcap.features.text import tokens
from endcap.state.shop import ShopState, scalar_kind
from endcap.types import FloatArray, IntArray


class ItemAttributes:
    """One-hot rows of the listed items, of length 1, read from the catalogue as it is at the moment.

    Two names share a column with a chance of one in ``columns``. A change of the catalogue costs the changed items.
    """

    def __init__(self, shop: ShopState, columns: int = 4_096) -> None:
        self._shop = shop
        self._columns = columns
        self._known = -1  # the catalogue's version that the rows are of
        self._rows: list[IntArray] = []  # by item row: its columns
        self._version = 0
        self._matrix = csr_array((0, columns), dtype=np.float32)

    @property
    def dim(self) -> int:
        """Columns."""
        return self._columns

    @property
    def version(self) -> int:
        """Grows when the matrix changes, and not when only prices of a band or stocks do."""
        self._read()
        return self._version

    @property
    def matrix(self) -> csr_array:
        """(items, columns) float32, unit rows, a zero row for an item that is not listed. For reading only."""
        self._read()
        return self._matrix

    def _read(self) -> None:
        version = self._shop.version  # first: what changes while this reads is read again
        if self._known == version and len(self._rows) == self._shop.listed.size:
            return
        changed = self._shop.changed_since(self._known) if self._known >= 0 else None
        first = len(self._rows)
        self._rows.extend([np.empty(0, np.int32)] * (self._shop.listed.size - first))
        rows = range(len(self._rows)) if changed is None else changed | set(range(first, len(self._rows)))
        self._known = version
        different = len(self._rows) != first
        for row in rows:
            found = self._described(self._shop.item(row))
            if not np.array_equal(found, self._rows[row]):
                self._rows[row], different = found, True
        if different:
            self._version += 1
            self._matrix = self._assembled()

    def _described(self, item: Item | None) -> IntArray:
        names = () if item is None else names_of(item)
        hashed = {zlib.crc32(name.encode("utf-8", "surrogatepass")) % self._columns for name in names}
        return np.array(sorted(hashed), np.int32)

    def _assembled(self) -> csr_array:
        sizes = np.fromiter(map(len, self._rows), np.int64, len(self._rows))
        edges = np.concatenate([[0], np.cumsum(sizes)])
        values: FloatArray = np.repeat(1.0 / np.sqrt(np.maximum(sizes, 1)), sizes).astype(np.float32)
        columns = np.concatenate([*self._rows, np.empty(0, np.int32)])
        return csr_array((values, columns, edges), shape=(len(self._rows), self._columns))


def names_of(item: Item) -> Iterator[str]:
    """What ``item`` has, each as one name: every word of its title, each step of its category paths, and so on."""
    for word in tokens(item.title):
        yield f"word:{word}"
    if item.brand:
        yield f"brand:{item.brand}"
    for path in item.categories:
        steps = [step.strip() for step in path.split(">")]
        for depth in range(1, len(steps) + 1):
            yield f"category:{' > '.join(steps[:depth])}"
    price = item.price if item.sale_price is None else item.sale_price
    if price is not None and price > 0:
        yield f"price:{math.floor(math.log2(price))}"  # from one power of two to the next, as in the interests
    for name, value in item.attributes.items():
        if scalar_kind(value) is not None:
            yield f"attribute:{name}={value}"

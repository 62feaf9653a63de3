"""Grown decision trees as arrays: LightGBM grows them, and answers are added up by one compiled loop without it.

Lucchese et al., "QuickScorer: a fast algorithm to rank documents with additive ensembles of regression trees", SIGIR
2015, for many rows at a time as in "Exploiting CPU SIMD extensions to speed-up document scoring with tree ensembles",
SIGIR 2016: every node of a tree is asked for every row, and strikes the leaves that the row cannot reach; the leftmost
that is left is the one that it reaches. Nothing is looked up on the way, so that eight rows are asked at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from endcap.compiled import compiled
from endcap.errors import ModelError
from endcap.protocols import Arrays
from endcap.types import FloatArray, IntArray

MOST_LEAVES = 32
"""Of a tree: one bit each."""
LANES = 32
"""Rows that the compiled loop takes at once; what is left over would take as long again."""
SPREAD = 0x077CB531
"""Times a power of two, the upper five bits of the lower 32 say which power: a number of its own for each (Leiserson,
Prokop, Randall, "Using de Bruijn sequences to index a 1 in a computer word", 1998)."""
Bits = NDArray[np.uint32]
Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Trees:
    """Binary trees over a table of features; what a row reaches in each is added up. 12 bytes a node, 256 a tree."""

    edges: IntArray
    """(trees + 1,) where the nodes of each tree begin."""
    feature: IntArray
    """(nodes,) the column that is looked at."""
    threshold: FloatArray
    """(nodes,) a greater value strikes leaves."""
    kept: Bits
    """(nodes,) the leaves that it leaves, a bit each, the leftmost lowest."""
    values: Numbers
    """(trees, 32) of each leaf, at the place that SPREAD gives its bit."""
    width: int
    """Columns of the table; 0: there are no trees."""

    @classmethod
    def none(cls) -> Self:
        """No trees."""
        return cls(_ints([0]), _ints([]), np.empty(0, np.float32), np.empty(0, np.uint32), np.empty((0, 32)), 0)

    @classmethod
    def of_lightgbm(cls, booster: Any) -> Self:
        """The trees of a lightgbm.Booster over numbers, none of them NaN; of at most 32 leaves each."""
        grown = [_flat(one["tree_structure"]) for one in booster.dump_model()["tree_info"]]
        nodes = [node for nodes, _ in grown for node in nodes]
        values = np.zeros((len(grown), MOST_LEAVES))
        for row, (_, leaves) in zip(values, grown, strict=True):
            bits = np.uint64(1) << np.arange(len(leaves), dtype=np.uint64)
            row[((bits * np.uint64(SPREAD)) & np.uint64(0xFFFFFFFF)) >> np.uint64(27)] = leaves
        return cls(
            _ints(np.cumsum([0, *(len(nodes) for nodes, _ in grown)]).tolist()),
            _ints([feature for feature, _, _ in nodes]),
            _not_above(np.array([threshold for _, threshold, _ in nodes], np.float64)),
            np.array([kept for _, _, kept in nodes], np.uint32),
            values,
            int(booster.num_feature()),
        )

    def __len__(self) -> int:
        return len(self.values)

    def add_up(self, table: FloatArray) -> Numbers:
        """(n,) for the rows of ``table`` (n, width), none of it NaN. O(n nodes), 0.4 ns each."""
        n = len(table)
        columns = np.zeros((table.shape[1], -(-n // LANES) * LANES), np.float32)
        columns[:, :n] = table.T
        found: Numbers = _added_up(columns, self.edges, self.feature, self.threshold, self.kept, self.values)
        return found[:n]

    def to_arrays(self) -> Arrays:
        return {
            "edges": self.edges,
            "feature": self.feature,
            "threshold": self.threshold,
            "kept": self.kept,
            "values": self.values,
            "width": _ints([self.width]),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Raises ModelError for what does not fit together."""
        try:
            edges, feature = _ints(arrays["edges"]), _ints(arrays["feature"])
            threshold, kept = arrays["threshold"].astype(np.float32), arrays["kept"].astype(np.uint32)
            found = cls(edges, feature, threshold, kept, arrays["values"].astype(np.float64), int(arrays["width"][0]))
        except (KeyError, IndexError, ValueError) as error:
            raise ModelError(f"the trees cannot be read ({error!r}): train again") from error
        nodes = feature.size
        shapes = found.values.shape == (edges.size - 1, MOST_LEAVES) and threshold.size == kept.size == nodes
        inside = ((feature >= 0) & (feature < found.width)).all() and edges[0] == 0 and edges[-1] == nodes
        if not (shapes and inside and (np.diff(edges) >= 0).all()):
            raise ModelError("the trees do not fit together: train again")
        return found


def _ints(values: Any) -> IntArray:
    return np.ascontiguousarray(values, np.int32)


def _flat(root: Mapping[str, Any]) -> tuple[list[tuple[int, float, int]], list[float]]:
    """The (feature, threshold, leaves that are kept) of each node of a tree, and the leaves' values from the left."""
    nodes: list[tuple[int, float, int]] = []
    leaves: list[float] = []

    def add(part: Mapping[str, Any]) -> None:
        if "split_feature" not in part:
            leaves.append(part["leaf_value"])
            return
        before = len(leaves)
        add(part["left_child"])
        struck = (1 << len(leaves)) - (1 << before)
        nodes.append((part["split_feature"], part["threshold"], 0xFFFFFFFF & ~struck))
        add(part["right_child"])

    add(root)
    if len(leaves) > MOST_LEAVES:
        raise ModelError(f"a tree has {len(leaves)} leaves: {MOST_LEAVES} at most")
    return nodes, leaves


def _not_above(values: Numbers) -> FloatArray:
    """The greatest float32 that is not above each of ``values``: float32 compare with both alike."""
    rounded: FloatArray = values.astype(np.float32)
    above = rounded > values
    rounded[above] = np.nextafter(rounded[above], np.float32(-np.inf))
    return rounded


@compiled(
    "float64[::1](Array(float32, 2, 'C', True), Array(int32, 1, 'C', True), Array(int32, 1, 'C', True), "
    "Array(float32, 1, 'C', True), Array(uint32, 1, 'C', True), Array(float64, 2, 'C', True))",
    on_request=True,
)
def _added_up(  # arrays one by one: the loop takes no objects
    columns: FloatArray, edges: IntArray, feature: IntArray, threshold: FloatArray, kept: Bits, values: Numbers
) -> Numbers:
    """(n,) of ``columns`` (features, n)."""
    n = columns.shape[1]
    found, left = np.zeros(n), np.empty(n, np.uint32)
    for tree in range(values.shape[0]):
        left[:] = 0xFFFFFFFF
        for node in range(edges[tree], edges[tree + 1]):
            column, bound, keeps = columns[feature[node]], threshold[node], kept[node]
            for row in range(n):
                left[row] = left[row] & keeps if column[row] > bound else left[row]
        for row in range(n):
            lowest = np.uint64(left[row] & (~left[row] + np.uint32(1)))
            found[row] += values[tree, ((lowest * np.uint64(SPREAD)) & np.uint64(0xFFFFFFFF)) >> np.uint64(27)]
    return found

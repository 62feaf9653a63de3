"""The state's lists as numpy arrays and back: many short arrays end to end, and what is text as JSON."""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Packed = dict[str, NDArray[Any]]
"""Arrays by name; what a snapshot holds."""


def pack_rows(rows: Sequence[array[Any]], typecode: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """All ``rows`` end to end, and (rows + 1,) int64 where each begins."""
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    edges = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    return np.frombuffer(b"".join(rows), np.dtype(typecode)), edges


def unpack_rows(flat: NDArray[Any], edges: NDArray[Any], typecode: str) -> list[array[Any]]:
    """The rows that ``pack_rows`` was given."""
    width = flat.itemsize
    data = flat.tobytes()
    return [array(typecode, data[start * width : end * width]) for start, end in pairwise(edges.tolist())]


def pack_json(value: object) -> NDArray[Any]:
    """``value`` as the bytes of its JSON."""
    return np.frombuffer(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(), np.uint8)


def unpack_json(packed: NDArray[Any]) -> Any:
    """The value that ``pack_json`` was given; tuples come back as lists."""
    return json.loads(packed.tobytes())


def prefixed(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> Packed:
    """``arrays`` with ``prefix.`` before each name."""
    return {f"{prefix}.{name}": values for name, values in arrays.items()}


def under(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> Packed:
    """Those of ``arrays`` whose name begins with ``prefix.``, without it."""
    return {name[len(prefix) + 1 :]: values for name, values in arrays.items() if name.startswith(f"{prefix}.")}

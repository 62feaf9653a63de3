"""Self-attention over a history as compiled loops: the body of SASRec, for its newest event only.

The arithmetic of ``nn/transformer.py`` without torch. An event is never asked about later ones, so that what was found
of it stays when another follows: a history that was read before costs its new events alone. Of the last block only the
newest event's vector is found, and no keys and values: ``q . (W x) = (W' q) . x``, and a mean of ``W x`` is ``W`` times
the mean of ``x``.

A row's sums are taken in one order, whatever stands beside it: a history that is read at once and one that is followed
event by event have the same vector, to the last bit, as a list that is made again must have.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from endcap.compiled import compiled
from endcap.types import FloatArray, IntArray

Named = Mapping[str, NDArray[np.generic]]
LATER = "out", "first", "second"
MATRICES = 6
"""Of a block: query, key, value, and those of LATER."""
WIDE = 64
"""Columns of a panel, into which a matrix is cut: the compiler knows how long the innermost loop is."""
CHUNK = 15
"""Events that ask at a time; they look at no event after the last of them. A multiple of the three of ``_three``."""
OPEN = 512
"""Histories that are remembered: 21 MB for 64 factors, 86 MB for 256, if all are as long as can be."""
FOLLOWED = 4
"""New events at most for which it is looked whether the history before them is remembered."""
_READ1, _READ2, _READ3, _READ4, _READ5 = (f"Array(float32, {dims}, 'C', True)" for dims in (1, 2, 3, 4, 5))
_ROWS = "Array(float32, 2, 'A', True)"


def shapes(factors: int, blocks: int, length: int) -> dict[str, tuple[int, ...]]:
    """Of the arrays that a ``Reader`` needs, by name."""
    return {
        "places": (length, factors),
        "matrices": (blocks, MATRICES, factors, factors),
        "biases": (blocks, MATRICES, factors),
        "norms": (blocks, 2, 2, factors),
        "last_norm": (2, factors),
    }


def arrays_of(weights: Named) -> dict[str, FloatArray]:
    """The arrays of ``shapes`` from the weights of ``nn/transformer.py``, by their names there."""
    found = {name: np.asarray(value, np.float32) for name, value in weights.items()}
    count = 1 + max(int(name.split(".")[1]) for name in found if name.startswith("blocks."))
    matrices, biases, norms = [], [], []
    for at in range(count):
        block = {name.removeprefix(f"blocks.{at}."): value for name, value in found.items()}
        parts = [*np.split(block["look.weight"], 3), *(block[f"{name}.weight"] for name in LATER)]
        matrices.append([part.T for part in parts])
        biases.append([block["look.bias"].reshape(3, -1), *(block[f"{name}.bias"][None] for name in LATER)])
        norms.append([[block[f"{name}.{part}"] for part in ("weight", "bias")] for name in ("norm_in", "norm_mid")])
    return {
        "places": found["places.weight"],
        "matrices": np.ascontiguousarray(matrices, np.float32),
        "biases": np.array([np.concatenate(parts) for parts in biases], np.float32),
        "norms": np.array(norms, np.float32),
        "last_norm": np.array([found["norm.weight"], found["norm.bias"]], np.float32),
    }


class _History:
    """What was found of the events so far; it belongs to one thread at a time."""

    __slots__ = ("kept", "vector")

    def __init__(self, factors: int, blocks: int, length: int) -> None:
        self.kept = (
            np.empty((blocks - 1, -(-length // WIDE), factors, WIDE), np.float32),  # keys, an event a column
            np.empty((blocks - 1, -(-factors // WIDE), length, WIDE), np.float32),  # values, an event a row
            np.empty((length, factors), np.float32),  # what comes into the last block
        )
        self.vector: FloatArray = np.empty(0, np.float32)


class Reader:
    """The network, ready; it remembers the last ``kept`` histories.

    Threads may ask at the same time: who goes on with a history takes it away for that long.
    """

    def __init__(self, arrays: Named, heads: int, kept: int = OPEN) -> None:
        """``arrays``: as of ``shapes``. It takes seconds where the loops have never been compiled."""
        places, matrices, biases, norms, last_norm = (
            np.ascontiguousarray(arrays[name], np.float32) for name in shapes(1, 1, 1)
        )
        turned = matrices.copy()
        turned[-1, 1] = matrices[-1, 1].T  # the last block's keys: see the top of this file
        self._weights = places, _panels(turned), biases, norms, last_norm
        self._shape = places.shape[1], matrices.shape[0], places.shape[0]
        self._heads, self._kept = heads, kept
        self._open: tuple[FloatArray | None, OrderedDict[bytes, _History]] = None, OrderedDict()
        _ = _advance.made

    def newest(self, rows: IntArray, items: FloatArray) -> FloatArray:
        """(factors,) what a history is about after its events ``rows`` of ``items`` (items, factors), oldest first.

        One event at least and ``length`` at most, the newest ones. Where they are more, the oldest goes, all others
        have another place, and they are read from the start.
        """
        histories = self._histories(items)
        events = rows.astype(np.int32).tobytes()
        history, known = self._before(histories, events, rows.size)
        if known < rows.size:
            new = items[rows[known:]]
            history.vector = _advance(new, *self._weights, *history.kept, known, self._heads)
        histories[events] = history
        while len(histories) > self._kept:
            histories.popitem(last=False)
        return history.vector

    def _before(self, histories: OrderedDict[bytes, _History], events: bytes, count: int) -> tuple[_History, int]:
        """The history that these ``events`` are or go on, and how many of them it knows."""
        for known in range(count, max(count - FOLLOWED - 1, 0), -1):
            found = histories.pop(events[: 4 * known], None)
            if found is not None:
                return found, known
        return _History(*self._shape), 0

    def _histories(self, items: FloatArray) -> OrderedDict[bytes, _History]:
        """Those that were read from the same ``items``: other vectors, other histories."""
        of, histories = self._open
        if of is not items:
            histories = OrderedDict()
            self._open = items, histories
        return histories


def _panels(matrices: FloatArray) -> FloatArray:
    """(..., n, m) to (..., panels, n, WIDE): WIDE columns side by side, the last ones filled up with zeros."""
    *lead, rows, columns = matrices.shape
    count = -(-columns // WIDE)
    wide = np.zeros((*lead, rows, count * WIDE), np.float32)
    wide[..., :columns] = matrices
    return np.ascontiguousarray(np.moveaxis(wide.reshape(*lead, rows, count, WIDE), -2, -3))


@compiled(f"void({_ROWS}, int64, {_READ2}, float32[:, ::1])", fuse=True)
def _three(x: FloatArray, first: int, panel: FloatArray, sums: FloatArray) -> None:
    """Add the products of three rows of ``x`` from ``first`` on: a number of the panel is fetched once for them."""
    flat, line = panel.reshape(panel.size), sums.reshape(sums.size)[first * WIDE : (first + 3) * WIDE]
    whole = x.shape[1] - x.shape[1] % 4
    for k in range(0, whole, 4):
        part = flat[k * WIDE : (k + 4) * WIDE]
        a0, a1, a2, a3 = x[first, k], x[first, k + 1], x[first, k + 2], x[first, k + 3]
        b0, b1, b2, b3 = x[first + 1, k], x[first + 1, k + 1], x[first + 1, k + 2], x[first + 1, k + 3]
        c0, c1, c2, c3 = x[first + 2, k], x[first + 2, k + 1], x[first + 2, k + 2], x[first + 2, k + 3]
        for f in range(WIDE):
            p0, p1, p2, p3 = part[f], part[WIDE + f], part[2 * WIDE + f], part[3 * WIDE + f]
            a, b, c = line[f], line[WIDE + f], line[2 * WIDE + f]
            line[f] = a + a0 * p0 + a1 * p1 + a2 * p2 + a3 * p3
            line[WIDE + f] = b + b0 * p0 + b1 * p1 + b2 * p2 + b3 * p3
            line[2 * WIDE + f] = c + c0 * p0 + c1 * p1 + c2 * p2 + c3 * p3
    for k in range(whole, x.shape[1]):
        a0, b0, c0 = x[first, k], x[first + 1, k], x[first + 2, k]
        for f in range(WIDE):
            line[f] += a0 * flat[k * WIDE + f]
            line[WIDE + f] += b0 * flat[k * WIDE + f]
            line[2 * WIDE + f] += c0 * flat[k * WIDE + f]


@compiled(f"void({_ROWS}, int64, {_READ2}, float32[:, ::1])", fuse=True)
def _one(x: FloatArray, row: int, panel: FloatArray, sums: FloatArray) -> None:
    """The same for one row, in the same order."""
    flat, line = panel.reshape(panel.size), sums[row]
    whole = x.shape[1] - x.shape[1] % 8
    for k in range(0, whole, 8):
        part = flat[k * WIDE : (k + 8) * WIDE]
        a0, a1, a2, a3 = x[row, k], x[row, k + 1], x[row, k + 2], x[row, k + 3]
        a4, a5, a6, a7 = x[row, k + 4], x[row, k + 5], x[row, k + 6], x[row, k + 7]
        for f in range(WIDE):
            four = line[f] + a0 * part[f] + a1 * part[WIDE + f] + a2 * part[2 * WIDE + f] + a3 * part[3 * WIDE + f]
            four = four + a4 * part[4 * WIDE + f] + a5 * part[5 * WIDE + f]
            line[f] = four + a6 * part[6 * WIDE + f] + a7 * part[7 * WIDE + f]
    for k in range(whole, x.shape[1]):
        a0 = x[row, k]
        for f in range(WIDE):
            line[f] += a0 * flat[k * WIDE + f]


@compiled(f"void({_ROWS}, {_READ2}, float32[:, ::1])")
def _add_product(x: FloatArray, panel: FloatArray, sums: FloatArray) -> None:
    """``sums`` (rows, WIDE) += ``x`` (rows, n) @ ``panel`` (n, WIDE)."""
    rows = x.shape[0]
    for row in range(0, rows - 2, 3):
        _three(x, row, panel, sums)
    for row in range(rows - rows % 3, rows):
        _one(x, row, panel, sums)


@compiled(f"void({_ROWS}, {_READ3}, float32[:, ::1])")
def _add_linear(x: FloatArray, panels: FloatArray, out: FloatArray) -> None:
    """``out`` (rows, m) += ``x`` (rows, n) @ the matrix that was cut into ``panels`` (panels, n, WIDE)."""
    rows, columns = out.shape
    if columns == WIDE:
        _add_product(x, panels[0], out)
        return
    sums = np.zeros((rows, WIDE), np.float32)
    for at in range(panels.shape[0]):
        first = at * WIDE
        wide = min(WIDE, columns - first)
        sums[:, :wide] = out[:, first : first + wide]
        _add_product(x, panels[at], sums)
        out[:, first : first + wide] = sums[:, :wide]


@compiled(f"float32[:,::1]({_ROWS}, {_READ3}, {_READ1})")
def _linear(x: FloatArray, panels: FloatArray, bias: FloatArray) -> FloatArray:
    """``x @ matrix + bias``."""
    out = np.empty((x.shape[0], bias.size), np.float32)
    out[:] = bias
    _add_linear(x, panels, out)
    return out


@compiled(f"float32[:,::1]({_READ2}, {_READ2})", reorder=True)
def _normed(x: FloatArray, scale: FloatArray) -> FloatArray:
    """(n, factors) each row with mean 0 and variance 1, times ``scale[0]`` plus ``scale[1]``."""
    rows, dim = x.shape
    out = np.empty_like(x)
    for i in range(rows):
        mean = np.float32(0)
        for f in range(dim):
            mean += x[i, f]
        mean /= np.float32(dim)
        spread = np.float32(0)
        for f in range(dim):
            spread += (x[i, f] - mean) * (x[i, f] - mean)
        by = np.float32(1) / np.sqrt(spread / np.float32(dim) + np.float32(1e-5))
        for f in range(dim):
            out[i, f] = (x[i, f] - mean) * by * scale[0, f] + scale[1, f]
    return out


@compiled("void(float32[::1], float32, float32)", fuse=True)
def _exponentials(x: FloatArray, most: np.float32, by: np.float32) -> None:
    """``2 ** (by (x - most))`` in place, to 3e-7 of it: by its series around whole exponents, many at a time."""
    for j in range(x.size):
        power = (x[j] - most) * by
        power = power if power > np.float32(-126) else np.float32(-126)
        shifted = power + np.float32(12582912)  # 1.5 * 2 ** 23: the last bits are now the whole exponent
        rest = power - (shifted - np.float32(12582912))
        series = np.float32(1.5403530e-4) * rest + np.float32(1.3333558e-3)  # ln(2) ** n / n!
        series = series * rest + np.float32(9.6181291e-3)
        series = series * rest + np.float32(5.5504109e-2)
        series = series * rest + np.float32(2.4022651e-1)
        series = series * rest + np.float32(6.9314718e-1)
        series = series * rest + np.float32(1)
        bits = np.int32(np.int32(np.float32(shifted).view(np.int32) + np.int32(127)) << np.int32(23))
        x[j] = series * np.int32(bits).view(np.float32)


@compiled("void(float32[::1], float32)", reorder=True)
def _shares(x: FloatArray, by: np.float32) -> None:
    """The softmax of ``by x`` in place."""
    most = x[0]
    for j in range(x.size):
        most = x[j] if x[j] > most else most
    _exponentials(x, most, by * np.float32(1.442695040888963))
    total = np.float32(0)
    for j in range(x.size):
        total += x[j]
    total = np.float32(1) / total
    for j in range(x.size):
        x[j] *= total


@compiled(f"void({_ROWS}, {_READ3}, int64, int64, float32[:, :, ::1])")
def _weigh(query: FloatArray, keys: FloatArray, first: int, known: int, fits: FloatArray) -> None:
    """Write into ``fits`` (panels, CHUNK, WIDE) the share of each event for each of ``query`` (rows, wide).

    ``keys`` (panels, factors, WIDE): an event a column, the head's from ``first`` on. Row i looks at the first
    ``known + i + 1`` events.
    """
    rows, wide = query.shape
    panels = -(-(known + rows) // WIDE)
    line = np.empty(panels * WIDE, np.float32)
    for at in range(panels):
        fits[at] = 0
        _add_product(query, keys[at, first : first + wide], fits[at, :rows])
    for i in range(rows):
        for at in range(panels):
            for j in range(WIDE):
                line[at * WIDE + j] = fits[at, i, j]
        _shares(line[: known + i + 1], np.float32(1.0 / math.sqrt(wide)))
        line[known + i + 1 :] = 0
        for at in range(panels):
            for j in range(WIDE):
                fits[at, i, j] = line[at * WIDE + j]


@compiled(f"float32[:, ::1]({_READ2}, {_READ3}, {_READ3}, int64, int64)")
def _attended(query: FloatArray, keys: FloatArray, values: FloatArray, known: int, heads: int) -> FloatArray:
    """(rows, factors) of each query the mean of the values up to it, by how its keys fit; ``known`` were before."""
    new, dim = query.shape
    wide = dim // heads
    out = np.empty_like(query)
    fits = np.empty((keys.shape[0], CHUNK, WIDE), np.float32)
    for start in range(0, new, CHUNK):
        end = min(start + CHUNK, new)
        seen = known + end
        for first in range(0, dim, wide):
            _weigh(query[start:end, first : first + wide], keys, first, known + start, fits)
            for panel in range(first // WIDE, -(-(first + wide) // WIDE)):
                sums = np.zeros((end - start, WIDE), np.float32)
                for at in range(0, seen, WIDE):
                    some = values[panel, at : min(at + WIDE, seen)]
                    _add_product(fits[at // WIDE, : end - start, : some.shape[0]], some, sums)
                low, high = max(first, panel * WIDE), min(first + wide, (panel + 1) * WIDE)
                out[start:end, low:high] = sums[:, low - panel * WIDE : high - panel * WIDE]
    return out


@compiled(f"void(float32[:, ::1], {_READ4}, {_READ2}, {_READ3})")
def _add_forward(x: FloatArray, panels: FloatArray, biases: FloatArray, norms: FloatArray) -> None:
    """The two layers on each event by itself."""
    hidden = np.maximum(_linear(_normed(x, norms[1]), panels[4], biases[4]), np.float32(0))
    x += _linear(hidden, panels[5], biases[5])


@compiled(f"void({_READ2}, {_READ2}, int64, float32[:, :, ::1], float32[:, :, ::1])")
def _keep(key: FloatArray, value: FloatArray, known: int, keys: FloatArray, values: FloatArray) -> None:
    """Write those of the events after the first ``known`` to where ``_History`` has them."""
    for i in range(key.shape[0]):
        panel, column = divmod(known + i, WIDE)
        for f in range(key.shape[1]):
            keys[panel, f, column] = key[i, f]
        for at in range(values.shape[0]):
            first = at * WIDE
            for f in range(min(WIDE, value.shape[1] - first)):
                values[at, known + i, f] = value[i, first + f]


@compiled(f"void(float32[:, ::1], {_READ4}, {_READ2}, {_READ3}, float32[:, :, ::1], float32[:, :, ::1], int64, int64)")
def _block(  # noqa: PLR0913, PLR0917 - a compiled loop takes arrays, not a class of ours
    x: FloatArray,
    panels: FloatArray,
    biases: FloatArray,
    norms: FloatArray,
    keys: FloatArray,
    values: FloatArray,
    known: int,
    heads: int,
) -> None:
    """``x`` (new, factors) after one block, in place; ``keys`` and ``values`` of the first ``known`` are there."""
    whole = _normed(x, norms[0])
    key, value = _linear(whole, panels[1], biases[1]), _linear(whole, panels[2], biases[2])
    _keep(key, value, known, keys, values)
    seen = _attended(_linear(whole, panels[0], biases[0]), keys, values, known, heads)
    x += _linear(seen, panels[3], biases[3])
    _add_forward(x, panels, biases, norms)


@compiled(f"float32[:, ::1]({_READ2}, {_READ2}, float32)", reorder=True)
def _mean(asked: FloatArray, whole: FloatArray, by: np.float32) -> FloatArray:
    """(heads, factors) of each of ``asked`` the mean of the rows of ``whole``, by how they fit."""
    found, fits = np.zeros_like(asked), np.empty(whole.shape[0], np.float32)
    for head in range(asked.shape[0]):
        for j in range(whole.shape[0]):
            fit = np.float32(0)
            for f in range(whole.shape[1]):
                fit += whole[j, f] * asked[head, f]
            fits[j] = fit
        _shares(fits, by)
        for j in range(whole.shape[0]):
            for f in range(whole.shape[1]):
                found[head, f] += fits[j] * whole[j, f]
    return found


@compiled(f"float32[:, ::1]({_READ2}, {_READ2}, {_READ4}, {_READ2}, {_READ3}, int64)")
def _last_block(
    x: FloatArray, whole: FloatArray, panels: FloatArray, biases: FloatArray, norms: FloatArray, heads: int
) -> FloatArray:
    """(1, factors) the newest event after the last block. ``x`` (new, factors); ``whole`` (events, factors)."""
    dim = x.shape[1]
    wide = dim // heads
    query = _linear(whole[-1:], panels[0], biases[0])
    apart = np.zeros((heads, dim), np.float32)
    for head in range(heads):
        apart[head, head * wide : (head + 1) * wide] = query[0, head * wide : (head + 1) * wide]
    asked = _linear(apart, panels[1], np.zeros(dim, np.float32))  # what a key adds to all fits says nothing
    each = _linear(_mean(asked, whole, np.float32(1.0 / math.sqrt(wide))), panels[2], biases[2])
    for head in range(heads):
        query[0, head * wide : (head + 1) * wide] = each[head, head * wide : (head + 1) * wide]
    out: FloatArray = x[-1:] + _linear(query, panels[3], biases[3])
    _add_forward(out, panels, biases, norms)
    return out


@compiled(
    f"float32[::1]({_READ2}, {_READ2}, {_READ5}, {_READ3}, {_READ4}, {_READ2}, float32[:, :, :, ::1],"
    "float32[:, :, :, ::1], float32[:, ::1], int64, int64)"
)
def _advance(  # noqa: PLR0913, PLR0917
    events: FloatArray,
    places: FloatArray,
    panels: FloatArray,
    biases: FloatArray,
    norms: FloatArray,
    last_norm: FloatArray,
    keys: FloatArray,
    values: FloatArray,
    whole: FloatArray,
    known: int,
    heads: int,
) -> FloatArray:
    """(factors,) the vector after ``events`` (new, factors), which follow the first ``known`` of ``_History``."""
    count = known + events.shape[0]
    x = events + places[known:count]
    last = panels.shape[0] - 1
    for at in range(last):
        _block(x, panels[at], biases[at], norms[at], keys[at], values[at], known, heads)
    whole[known:count] = _normed(x, norms[last, 0])
    vector: FloatArray = _normed(
        _last_block(x, whole[:count], panels[last], biases[last], norms[last], heads), last_norm
    )[0]
    return vector

"""Groups of vectors that lie together, and the words that set a group's texts apart.

Spherical k-means (Dhillon & Modha 2001) over unit vectors, begun as k-means++ does (Arthur & Vassilvitskii 2007), on
a seeded sample where there are many. How many groups: the knee (Satopaa et al., Kneedle, 2011) of the simplified
silhouette (Hruschka, Campello & de Castro 2006), because in the catalogues that were looked at the silhouette itself
grows as far as one looks. Words: class-based TF-IDF (Grootendorst, BERTopic, 2022).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from endcap.features.text import is_cjk, tokens
from endcap.types import FloatArray, IntArray

SAMPLE = 20_000
"""Vectors that the centres are learnt from; of more, a seeded sample."""
ROUNDS = 25
"""Passes over the sample, at most; most end sooner, when nothing moves any more."""
BLOCK = 8_192
"""Vectors that are compared with the centres at a time."""
SIZES = (8, 12, 16, 24, 32, 48, 64)
"""Numbers of groups that are tried: more than 64 nobody reads."""
_SAY_NOTHING = frozenset(
    ["and", "are", "can", "for", "from", "has", "its", "our", "own", "that", "the", "this", "with", "you", "your"]
)


def best_clusters(vectors: FloatArray, seed: int, sizes: Sequence[int] = SIZES) -> FloatArray:
    """(k, dim) unit centres of the unit ``vectors`` (n, dim), k of the ascending ``sizes`` by ``knee``.

    A size of which a group would have less than two members on average is not tried; (0, dim) where none is left.
    Costs O(n dim k) for each size; the same seed gives the same centres.
    """
    draw = np.random.default_rng(seed)
    if len(vectors) > SAMPLE:
        vectors = vectors[np.sort(draw.choice(len(vectors), SAMPLE, replace=False))]
    fitting = [size for size in sizes if 2 * size <= len(vectors)]
    if not fitting:
        return np.zeros((0, vectors.shape[1]), np.float32)
    tried = [clusters(vectors, size, seed) for size in fitting]
    return tried[knee(fitting, [silhouette(vectors, centres) for centres in tried])]


def knee(sizes: Sequence[int], values: Sequence[float]) -> int:
    """The place where ``values`` lie farthest above the line from the first to the best; the best where none does."""
    best = int(np.argmax(values))
    if best == 0:
        return 0
    x, y = np.array(sizes[: best + 1], np.float64), np.array(values[: best + 1], np.float64)
    above = y - (y[0] + (x - x[0]) / (x[-1] - x[0]) * (y[-1] - y[0]))
    above[-1] = 0.0
    return int(best - np.argmax(above[::-1]))  # of equal ones the last


def clusters(vectors: FloatArray, k: int, seed: int) -> FloatArray:
    """(k, dim) unit centres of the unit ``vectors`` (n, dim); fewer where there are fewer different ones."""
    centres = _spread(vectors, k, np.random.default_rng(seed))
    labels = nearest(vectors, centres)
    for _ in range(ROUNDS):
        every = np.arange(len(labels))
        member = csr_array((np.ones(len(labels)), (labels, every)), (len(centres), len(labels)))
        sums = member @ vectors  # (k, dim)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(lengths > 0, sums / np.maximum(lengths, 1e-12), centres).astype(np.float32)
        moved = nearest(vectors, centres)
        if np.array_equal(moved, labels):
            break
        labels = moved
    return centres


def nearest(vectors: FloatArray, centres: FloatArray) -> IntArray:
    """(n,) the centre with the greatest cosine to each of ``vectors`` (n, dim); the first of equal ones."""
    found = np.zeros(len(vectors), np.int32)
    for start in range(0, len(vectors), BLOCK):
        found[start : start + BLOCK] = (vectors[start : start + BLOCK] @ centres.T).argmax(axis=1)
    return found


def silhouette(vectors: FloatArray, centres: FloatArray) -> float:
    """The simplified silhouette, -1 to 1: how much nearer each vector is to its own centre than to the next one.

    Distance is 1 - cosine. 0 where there are not two centres.
    """
    if len(centres) < 2 or not len(vectors):
        return 0.0
    total = 0.0
    for start in range(0, len(vectors), BLOCK):
        distances = 1.0 - vectors[start : start + BLOCK] @ centres.T
        own, other = np.partition(distances, 1, axis=1)[:, :2].T.astype(np.float64)
        total += float(((other - own) / np.maximum(other, 1e-12)).sum())
    return total / len(vectors)


def keywords(texts: Sequence[str], shares: csr_array, most: int) -> list[list[str]]:
    """For each of k groups at most ``most`` words, the best first; ``shares`` (n, k) say how much a text is of each.

    A word's weight is its frequency in the group times log(1 + A / f): f, how often all texts have it, A the words of
    a group on average; a text counts by its share. Equal weights stand in the order of the alphabet. Chinese and
    Japanese, whose words nobody has set apart, count by pairs of characters. Of words that begin alike, as "candle"
    and "candles", the best is kept.
    """
    table, vocabulary = word_table(texts)
    counts = csr_array(shares.T.astype(np.float64) @ table)  # (k, words)
    everywhere = counts.sum(axis=0)
    average = everywhere.sum() / max(shares.shape[1], 1)
    named = []
    for group in range(shares.shape[1]):
        here = slice(counts.indptr[group], counts.indptr[group + 1])
        told, columns = counts.data[here], counts.indices[here]
        weights = told / told.sum() * np.log1p(average / everywhere[columns])
        ordered = columns[np.lexsort((columns, -weights))]  # columns stand in the order of the alphabet
        named.append(_different([vocabulary[column] for column in ordered], most))
    return named


def word_table(texts: Sequence[str]) -> tuple[csr_array, list[str]]:
    """(texts, words) 1 where a text has a word, and the words, in the order of the alphabet."""
    held = [sorted(set(words(text))) for text in texts]
    vocabulary = sorted(set(chain.from_iterable(held)))
    column = {word: at for at, word in enumerate(vocabulary)}
    columns = np.array([column[word] for words_of_one in held for word in words_of_one], np.int32)
    starts = np.concatenate([[0], np.cumsum([len(words_of_one) for words_of_one in held])]).astype(np.int32)
    return csr_array((np.ones(columns.size), columns, starts), shape=(len(texts), len(vocabulary))), vocabulary


def _different(ordered: Sequence[str], most: int) -> list[str]:
    kept: list[str] = []
    for word in ordered:
        if len(kept) == most:
            break
        if not any(word.startswith(other) or other.startswith(word) for other in kept):
            kept.append(word)
    return kept


def words(text: str) -> Iterable[str]:
    """What may name a group: words of letters, three at least, and pairs of Chinese or Japanese characters."""
    for token in tokens(text):
        if is_cjk(token):
            yield from (token[at : at + 2] for at in range(max(len(token) - 1, 1)))
        elif len(token) > 2 and token.isalpha() and token not in _SAY_NOTHING:
            yield token


def _spread(vectors: FloatArray, k: int, draw: np.random.Generator) -> FloatArray:
    """(k, dim) first centres, drawn by their squared distance from those before; fewer where nothing is left."""
    chosen = [int(draw.integers(len(vectors)))]
    distances: NDArray[np.float64] = np.full(len(vectors), np.inf)
    while len(chosen) < k:
        cosines = vectors @ vectors[chosen[-1]]
        distances = np.minimum(distances, np.maximum(2.0 - 2.0 * cosines.astype(np.float64), 0.0))
        distances[distances < 1e-6] = 0.0  # the same vector, but for rounding
        total = distances.sum()
        if total == 0.0:
            break
        chosen.append(int(draw.choice(len(vectors), p=distances / total)))
    return vectors[chosen]

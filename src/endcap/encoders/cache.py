"""What was encoded once is kept: on disk by content, in memory by row, and the last queries."""

from __future__ import annotations

import fcntl
import hashlib
import os
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from endcap.catalog.items import Item
from endcap.errors import HomeError, ModelError
from endcap.protocols import Encoder
from endcap.types import BoolArray, FloatArray, IntArray, Progress

BATCH = 256
"""Contents encoded between two writes: what a killed process loses at most, and what memory holds beside the result.
Among so many titles are enough of equal length to run together."""
_DIGEST_BYTES = 16

Content = TypeVar("Content", str, bytes)
"""What is encoded: a text, or the bytes of an image."""


def content_digest(content: str | bytes) -> bytes:
    """The name of a content in the store."""
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).digest()


class CachedEncoder(Generic[Content]):
    """An encoder that remembers the last ``size`` different contents (about 2 KB each): for search queries."""

    def __init__(self, encoder: Encoder[Content], size: int = 1_000) -> None:
        self._encoder: Encoder[Content] = encoder
        self._size = size
        self._kept: OrderedDict[bytes, FloatArray] = OrderedDict()  # the least recently used first

    @property
    def name(self) -> str:
        return self._encoder.name

    @property
    def dim(self) -> int:
        return self._encoder.dim

    def encode(self, contents: Sequence[Content]) -> FloatArray:
        """(n, dim), as the wrapped encoder gives it."""
        digests = [content_digest(one) for one in contents]
        missing = {digest: one for digest, one in zip(digests, contents, strict=True) if digest not in self._kept}
        fresh = dict(zip(missing, self._encoder.encode(list(missing.values())), strict=True)) if missing else {}
        vectors = np.empty((len(contents), self.dim), np.float32)
        for row, digest in enumerate(digests):
            vectors[row] = fresh[digest] if digest in fresh else self._kept[digest]
        for digest, vector in zip(digests, vectors, strict=True):
            self._kept[digest] = vector.copy()
            self._kept.move_to_end(digest)
        while len(self._kept) > self._size:
            self._kept.popitem(last=False)
        return vectors


class ContentStore(Generic[Content]):
    """Vectors by the hash of their content, in ``folder``/<encoder name>/vectors.v1: a changed title encodes one title.

    The file only grows, by records of one size: digest (16 bytes), vector (dim x float32), CRC-32 (4 bytes). A
    writer holds a lock on the file, so processes may share it. What a killed writer left half written is cut off
    by the next writer, and a record whose check sum is wrong is encoded again.
    """

    def __init__(self, folder: Path, encoder: Encoder[Content]) -> None:
        self.path = folder / quote(encoder.name, safe="") / "vectors.v1"
        self._encoder: Encoder[Content] = encoder
        self._record = np.dtype([("digest", f"V{_DIGEST_BYTES}"), ("vector", "<f4", encoder.dim), ("crc", "<u4")])
        self._places: dict[bytes, int] = {}  # digest to record number
        self._scanned = 0  # records that are in _places

    def vectors(self, contents: Sequence[Content], progress: Progress | None = None) -> FloatArray:
        """(n, dim) unit rows, zero for a blank text or an empty file; what is not stored yet is encoded and stored.

        Raises HomeError if the file cannot be read or written, ModelError if the encoder gives vectors of another shape
        than it says, and what the encoder raises.
        """
        found = np.zeros((len(contents), self._encoder.dim), np.float32)
        wanted: dict[bytes, list[int]] = {}
        for row, content in enumerate(contents):
            if content and not (isinstance(content, str) and content.isspace()):
                wanted.setdefault(content_digest(content), []).append(row)
        with self._usable():
            missing = self._fill(found, wanted)
        for start in range(0, len(missing), BATCH):
            batch = missing[start : start + BATCH]
            fresh = self._encoder.encode([contents[wanted[digest][0]] for digest in batch])
            if fresh.shape != (len(batch), self._encoder.dim):
                raise ModelError(
                    f"the encoder {self._encoder.name!r} gave vectors of shape {fresh.shape} for {len(batch)} "
                    f"contents, not of {self._encoder.dim} dimensions each: none of them is kept; mend the encoder"
                )
            self._append(batch, fresh)
            for digest, vector in zip(batch, fresh, strict=True):
                found[wanted[digest]] = vector
            if progress is not None:
                progress(start + len(batch), len(missing))
        return found

    def _fill(self, found: FloatArray, wanted: dict[bytes, list[int]]) -> list[bytes]:
        """Copies the stored vectors into ``found``; the digests that are not stored, or damaged."""
        records = self._scan()
        missing = []
        for digest, rows in wanted.items():
            place = self._places.get(digest)
            record = None if place is None else records[place]
            if record is None or record["crc"] != _checksum(digest, record["vector"]):
                missing.append(digest)
            else:
                found[rows] = record["vector"]
        return missing

    def _scan(self) -> NDArray[np.void]:
        """The whole records of the file, mapped; new ones, of other processes too, enter the index."""
        size = self.path.stat().st_size if self.path.exists() else 0
        count = size // self._record.itemsize
        if count < self._scanned:  # somebody deleted the file
            self._places, self._scanned = {}, 0
        if count == 0:
            return np.empty(0, self._record)
        records = np.memmap(self.path, self._record, "r", shape=(count,))
        digests = records["digest"][self._scanned :].tobytes()
        for place in range(self._scanned, count):
            start = (place - self._scanned) * _DIGEST_BYTES
            self._places[digests[start : start + _DIGEST_BYTES]] = place  # the newest of equals holds
        self._scanned = count
        return records

    def _append(self, digests: Sequence[bytes], vectors: FloatArray) -> None:
        records = np.empty(len(digests), self._record)
        records["digest"] = np.frombuffer(b"".join(digests), records["digest"].dtype)
        records["vector"] = vectors
        records["crc"] = [_checksum(*pair) for pair in zip(digests, records["vector"], strict=True)]
        with self._usable():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab", buffering=0) as file:
                fcntl.flock(file, fcntl.LOCK_EX)  # ends with the file, or with the process
                size = os.fstat(file.fileno()).st_size
                file.truncate(size - size % self._record.itemsize)  # a torn record of a writer that died
                data = memoryview(records.tobytes())
                while data:
                    data = data[file.write(data) :]

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise HomeError(f"{self.path} cannot be used ({error.strerror}): check its rights and the disk") from error


class VectorStore(ContentStore[str]):
    """The vectors of texts, those of items among them."""

    def of_items(self, items: Sequence[Item], progress: Progress | None = None) -> FloatArray:
        """(n, dim) those of what ``items`` say. Raises as ``vectors`` does."""
        return self.vectors([item.text() for item in items], progress)


def _checksum(digest: bytes, vector: FloatArray) -> int:
    return zlib.crc32(vector.tobytes(), zlib.crc32(digest))


class ItemVectors:
    """The items' vectors by row: what similarity and search multiply with. It grows; a row without a vector is zero."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.version = 0
        """Grows by one with each ``set``: what was computed from an older version is stale."""
        self._buffer: FloatArray = np.zeros((0, dim), np.float32)
        self._has: BoolArray = np.zeros(0, np.bool_)
        self._size = 0

    def set(self, rows: IntArray, vectors: FloatArray) -> None:
        """Puts ``vectors`` (n, dim) at ``rows`` (n,); a zero vector takes the row's vector away.

        Raises ModelError if the shapes do not fit.
        """
        if vectors.shape != (rows.size, self.dim):
            raise ModelError(
                f"vectors of shape {vectors.shape} do not fit {rows.size} rows of {self.dim} dimensions: "
                "encode the texts with the encoder that this matrix was made for"
            )
        if rows.size == 0:
            return
        self._grow(int(rows.max()) + 1)
        self._buffer[rows] = vectors
        self._has[rows] = vectors.any(axis=1)
        self.version += 1

    def _grow(self, size: int) -> None:
        if size > self._has.size:
            capacity = max(size, 2 * self._has.size, 64)
            buffer = np.zeros((capacity, self.dim), np.float32)
            buffer[: self._size] = self._buffer[: self._size]
            has = np.zeros(capacity, np.bool_)
            has[: self._size] = self._has[: self._size]
            self._buffer, self._has = buffer, has
        self._size = max(self._size, size)

    @property
    def matrix(self) -> FloatArray:
        """(n, dim) view, n the highest row that was set, plus one. Read it; do not keep it across a ``set``."""
        return self._buffer[: self._size]

    @property
    def has(self) -> BoolArray:
        """(n,) which rows have a vector."""
        return self._has[: self._size]

    def __len__(self) -> int:
        return self._size

"""What was encoded once is not encoded again, whatever happens to the process or the file."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from endcap.encoders.cache import BATCH, CachedEncoder, ContentStore, ItemVectors, VectorStore
from endcap.errors import HomeError, ModelError
from endcap.types import FloatArray

DIM = 8


class Letters:
    """Unit vectors from a hash of the text; remembers what it was asked."""

    dim = DIM

    def __init__(self, name: str = "letters") -> None:
        self.name = name
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> FloatArray:
        self.asked += texts
        rows = [np.frombuffer(hashlib.sha256(text.encode()).digest()[:DIM], np.uint8) + 1.0 for text in texts]
        vectors = np.array(rows, np.float32).reshape(len(texts), DIM)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors


TITLES = [f"title {number}" for number in range(3 * BATCH)]
RECORD_BYTES = 16 + 4 * DIM + 4


def test_each_text_gets_the_vector_of_the_encoder(tmp_path: Path) -> None:
    np.testing.assert_array_equal(VectorStore(tmp_path, Letters()).vectors(TITLES), Letters().encode(TITLES))


def test_a_second_process_encodes_nothing(tmp_path: Path) -> None:
    first = VectorStore(tmp_path, Letters()).vectors(TITLES)
    encoder = Letters()
    np.testing.assert_array_equal(VectorStore(tmp_path, encoder).vectors(TITLES[::-1])[::-1], first)
    assert encoder.asked == []


def test_one_changed_title_encodes_one_title(tmp_path: Path) -> None:
    encoder = Letters()
    store = VectorStore(tmp_path, encoder)
    store.vectors(TITLES)
    encoder.asked.clear()
    store.vectors([*TITLES[:-1], "a new title"])
    assert encoder.asked == ["a new title"]


def test_equal_texts_are_encoded_once_and_blank_ones_never(tmp_path: Path) -> None:
    encoder = Letters()
    vectors = VectorStore(tmp_path, encoder).vectors(["a", "", "a", "  "])
    assert encoder.asked == ["a"]
    np.testing.assert_array_equal(vectors[0], vectors[2])
    assert not vectors[[1, 3]].any()


def test_progress_counts_what_is_encoded(tmp_path: Path) -> None:
    store, seen = VectorStore(tmp_path, Letters()), list[tuple[int, int]]()
    store.vectors(TITLES[: BATCH + 5], lambda done, total: seen.append((done, total)))
    assert seen == [(BATCH, BATCH + 5), (BATCH + 5, BATCH + 5)]


class Sizes:
    """Files to vectors: how long each is."""

    name, dim = "sizes", 2

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    def encode(self, files: Sequence[bytes]) -> FloatArray:
        self.asked += files
        return np.array([[len(file), 1.0] for file in files], np.float32).reshape(len(files), 2)


def test_files_are_kept_as_texts_are(tmp_path: Path) -> None:
    encoder = Sizes()
    files = [b"\x89PNG", b"", b"  ", b"\xff\xd8", b"\x89PNG"]
    vectors = ContentStore(tmp_path, encoder).vectors(files)
    np.testing.assert_array_equal(vectors, [[4, 1], [0, 0], [2, 1], [2, 1], [4, 1]])
    assert encoder.asked == [b"\x89PNG", b"  ", b"\xff\xd8"]
    np.testing.assert_array_equal(ContentStore(tmp_path, encoder).vectors(files), vectors)
    assert len(encoder.asked) == 3
    cached = CachedEncoder(encoder)
    np.testing.assert_array_equal(cached.encode([b"abc"]), cached.encode([b"abc"]))
    assert encoder.asked[3:] == [b"abc"]


def test_vectors_of_another_shape_than_is_said_are_not_kept(tmp_path: Path) -> None:
    encoder = Letters()
    encoder.dim = DIM + 1
    store = VectorStore(tmp_path, encoder)
    with pytest.raises(
        ModelError, match=r"'letters' gave vectors of shape \(1, 8\) for 1 contents, not of 9 dimensions"
    ):
        store.vectors(["a"])
    assert not store.path.exists()


def test_encoders_of_two_names_do_not_meet(tmp_path: Path) -> None:
    VectorStore(tmp_path, Letters("one")).vectors(["a"])
    other = Letters("../two")
    store = VectorStore(tmp_path, other)
    store.vectors(["a"])
    assert other.asked == ["a"]
    assert store.path.parent.parent == tmp_path


@pytest.mark.parametrize("cut", [1, RECORD_BYTES - 1, RECORD_BYTES + 3])
def test_a_torn_tail_is_dropped_and_encoded_again(tmp_path: Path, cut: int) -> None:
    store = VectorStore(tmp_path, Letters())
    expected = store.vectors(["a", "b", "c"])
    store.path.write_bytes(store.path.read_bytes()[:-cut])
    encoder = Letters()
    np.testing.assert_array_equal(VectorStore(tmp_path, encoder).vectors(["a", "b", "c"]), expected)
    assert encoder.asked == (["c"] if cut < RECORD_BYTES else ["b", "c"])
    assert store.path.stat().st_size == 3 * RECORD_BYTES


def test_a_damaged_record_is_encoded_again(tmp_path: Path) -> None:
    store = VectorStore(tmp_path, Letters())
    expected = store.vectors(["a", "b"])
    data = bytearray(store.path.read_bytes())
    data[16 + 2] ^= 1  # a bit of the first vector
    store.path.write_bytes(data)
    encoder = Letters()
    np.testing.assert_array_equal(VectorStore(tmp_path, encoder).vectors(["a", "b"]), expected)
    assert encoder.asked == ["a"]
    encoder.asked.clear()
    VectorStore(tmp_path, encoder).vectors(["a", "b"])
    assert encoder.asked == []


def test_a_deleted_file_is_begun_again(tmp_path: Path) -> None:
    encoder = Letters()
    store = VectorStore(tmp_path, encoder)
    expected = store.vectors(["a", "b"])
    store.path.unlink()
    np.testing.assert_array_equal(store.vectors(["a", "b"]), expected)
    assert encoder.asked == ["a", "b", "a", "b"]


def test_what_another_store_wrote_is_seen(tmp_path: Path) -> None:
    encoder = Letters()
    here, there = VectorStore(tmp_path, encoder), VectorStore(tmp_path, Letters())
    here.vectors(["a"])
    there.vectors(["b"])
    encoder.asked.clear()
    here.vectors(["a", "b"])
    assert encoder.asked == []


def test_writers_side_by_side_lose_nothing(tmp_path: Path) -> None:
    def write(start: int) -> None:
        store = VectorStore(tmp_path, Letters())
        for number in range(start, 200, 4):
            store.vectors([f"text {number}"])

    threads = [threading.Thread(target=write, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    encoder, texts = Letters(), [f"text {number}" for number in range(200)]
    store = VectorStore(tmp_path, encoder)
    np.testing.assert_array_equal(store.vectors(texts), Letters().encode(texts))
    assert encoder.asked == []
    assert store.path.stat().st_size == 200 * RECORD_BYTES


KILLED = """
import sys
from pathlib import Path
import numpy as np
from endcap.encoders.cache import VectorStore
sys.path.insert(0, sys.argv[2])
from test_cache import Letters
store = VectorStore(Path(sys.argv[1]), Letters())
number = 0
while True:
    store.vectors([f"text {number + i}" for i in range(100)])
    number += 100
"""


def test_a_killed_writer_loses_nothing_that_was_whole(tmp_path: Path) -> None:
    folder = str(Path(__file__).parent)
    path = VectorStore(tmp_path, Letters()).path
    with subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path), folder]) as writer:
        deadline = time.monotonic() + 30
        while not (path.exists() and path.stat().st_size > 500 * RECORD_BYTES):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        writer.kill()
    whole = path.stat().st_size // RECORD_BYTES
    encoder, texts = Letters(), [f"text {number}" for number in range(whole + 100)]
    np.testing.assert_array_equal(VectorStore(tmp_path, encoder).vectors(texts), Letters().encode(texts))
    assert encoder.asked == texts[whole:]
    assert path.stat().st_size == (whole + 100) * RECORD_BYTES


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "letters").write_text("a file where the folder should be")
    with pytest.raises(HomeError, match=r"vectors\.v1 cannot be used \(.*\): check its rights and the disk"):
        VectorStore(tmp_path, Letters()).vectors(["a"])


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    store = VectorStore(tmp_path, Letters())
    store.path.parent.mkdir(parents=True)
    store.path.symlink_to("/dev/full")
    with pytest.raises(HomeError, match="cannot be used"):
        store.vectors(["a"])


def test_the_cache_asks_once_for_a_text_it_still_has() -> None:
    inner = Letters()
    cached = CachedEncoder(inner, size=2)
    for text in ("a", "b", "a", "c", "a", "b"):  # c drives out b, the least recently used
        np.testing.assert_array_equal(cached.encode([text]), Letters().encode([text]))
    assert inner.asked == ["a", "b", "c", "b"]
    assert (cached.name, cached.dim) == (inner.name, inner.dim)


def test_the_cache_answers_more_texts_than_it_keeps() -> None:
    inner = Letters()
    cached = CachedEncoder(inner, size=2)
    np.testing.assert_array_equal(cached.encode(["a", "b", "c", "a"]), Letters().encode(["a", "b", "c", "a"]))
    assert inner.asked == ["a", "b", "c"]


def test_item_vectors_grow_and_keep_what_they_had() -> None:
    items, rows = ItemVectors(DIM), Letters().encode(TITLES)
    for number in range(0, len(TITLES), 2):
        items.set(np.array([number], np.int32), rows[number : number + 1])
    assert items.matrix.shape == (len(TITLES) - 1, DIM)
    assert len(items) == len(TITLES) - 1
    np.testing.assert_array_equal(items.matrix[::2], rows[::2])
    assert not items.matrix[1::2].any()
    np.testing.assert_array_equal(items.has, np.arange(len(TITLES) - 1) % 2 == 0)


def test_a_zero_vector_takes_a_vector_away() -> None:
    items, row = ItemVectors(DIM), np.array([0], np.int32)
    items.set(row, Letters().encode(["a"]))
    items.set(row, np.zeros((1, DIM), np.float32))
    assert not items.has[0]


def test_the_version_counts_changes() -> None:
    items = ItemVectors(DIM)
    items.set(np.empty(0, np.int32), np.empty((0, DIM), np.float32))
    assert items.version == 0
    items.set(np.array([3], np.int32), Letters().encode(["a"]))
    assert items.version == 1


def test_vectors_of_another_encoder_are_refused() -> None:
    with pytest.raises(ModelError, match=r"shape \(1, 3\) do not fit 1 rows of 8 dimensions: encode the texts with"):
        ItemVectors(DIM).set(np.array([0], np.int32), np.ones((1, 3), np.float32))

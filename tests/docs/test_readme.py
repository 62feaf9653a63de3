"""Both READMEs tell the truth: their curl commands run, and the answers have the shape that they show."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import pytest
from tests.docs.readme import blocks, curl_examples, difference, run_example
from tests.docs.running import make_small_shop, serving

ROOT = Path(__file__).parents[2]
README, README_ZH = ROOT / "README.md", ROOT / "README.zh-CN.md"


def test_the_translation_has_the_same_commands_in_the_same_order() -> None:
    def commands(page: Path) -> list[str]:
        return [line.partition("#")[0].strip() for body in blocks(page, "bash") for line in body.splitlines()]

    assert commands(README_ZH) == commands(README)
    assert blocks(README_ZH, "json") == blocks(README, "json")
    assert README_ZH.read_text(encoding="utf-8").count("\n## ") == README.read_text(encoding="utf-8").count("\n## ")


@pytest.mark.parametrize(
    ("shown", "got", "problem"),
    [
        ({"a": 1}, {"a": 2.5}, None),
        ({"a": 1}, {"a": 1, "b": 2}, "answer has ['a', 'b'], the page shows ['a']"),
        ({"a": "x"}, {"a": None}, "answer.a is None, the page shows 'x'"),
        ([1], [], "answer is empty"),
        ([{"a": 1}], [{"a": 1}, {"b": 1}], "answer[1] has ['b'], the page shows ['a']"),
        ({"parts": {"als": 1.0}}, {"parts": {"content": 2.0, "popular": 1.0}}, None),
        ({"parts": {"als": 1.0}}, {"parts": {}}, "answer.parts.part is empty"),
    ],
)
def test_a_difference_is_found(shown: object, got: object, problem: str | None) -> None:
    assert difference(shown, got) == problem


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("readme") / "endcap-home"
    make_small_shop(home)
    return home


def test_the_curl_examples_answer_as_shown(home: Path) -> None:
    examples = [example for page in (README, README_ZH) for example in curl_examples(page)]
    assert len(examples) == 12
    with serving(home) as base:
        problems = [difference(example.answer, run_example(example, base), example.command) for example in examples]
    assert problems == [None] * len(examples)


def test_the_python_example_runs(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home.parent)
    (code,) = blocks(README, "python")
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(code, str(README), "exec"), {})  # the page's own lines
    assert all(column in out.getvalue() for column in ("item_id", "score", "rank", "reason"))

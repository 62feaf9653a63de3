"""The examples of a page: the curl commands with the answers it shows, found and run.

By hand against a running demo: python tests/docs/readme.py README.md http://127.0.0.1:8080 checks the page;
with more pages after the address, the answers are written into the first page and into those.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

DOCUMENTED_BASE = "http://127.0.0.1:8080"
_FLAGS = re.DOTALL | re.MULTILINE
_JSON = re.compile(r"^```json\n.*?^```$", _FLAGS)
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", _FLAGS)


@dataclass(frozen=True, slots=True)
class Example:
    """A command as the page gives it, and the JSON that the page shows as its answer."""

    command: str
    answer: object


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of ``page`` in that language, in order."""
    return [body for name, body in _BLOCK.findall(page.read_text(encoding="utf-8")) if name == language]


def curl_examples(page: Path) -> list[Example]:
    """Every bash block that begins with curl, with the json block that must follow it."""
    found = _BLOCK.findall(page.read_text(encoding="utf-8"))
    examples = []
    for (language, body), (next_language, next_body) in zip(found, [*found[1:], ("", "")], strict=True):
        if language == "bash" and body.startswith("curl"):
            if next_language != "json":
                raise ValueError(f"{page}: no answer is shown after: {body}")
            examples.append(Example(body, json.loads(next_body)))
    return examples


def run_example(example: Example, base: str) -> object:
    """What a server at ``base`` answers to the command. Raises CalledProcessError where curl or the server refuses."""
    command = example.command.replace(DOCUMENTED_BASE, base).replace("curl ", "curl --fail-with-body ", 1)
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=30)
    if done.returncode != 0:
        raise RuntimeError(f"{command}\nexit {done.returncode}\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout)


def difference(shown: object, got: object, at: str = "answer") -> str | None:
    """Where the shapes differ (fields, types, empty or not), or None. Values, and the names of models, may differ."""
    if isinstance(shown, dict) and isinstance(got, dict):
        if at.endswith((".parts", ".evidence")):
            shown, got = {"part": list(shown.values())}, {"part": list(got.values())}
        if shown.keys() != got.keys():
            return f"{at} has {sorted(got)}, the page shows {sorted(shown)}"
        found = (difference(shown[key], got[key], f"{at}.{key}") for key in shown)
        return next((problem for problem in found if problem), None)
    if isinstance(shown, list) and isinstance(got, list):
        if shown and not got:
            return f"{at} is empty"
        found = (difference(shown[0], part, f"{at}[{place}]") for place, part in enumerate(got))
        return next((problem for problem in found if problem), None)
    if _kind(shown) != _kind(got):
        return f"{at} is {got!r}, the page shows {shown!r}"
    return None


def _kind(value: object) -> type:
    return float if type(value) in (int, float) else type(value)


def check(page: Path, base: str) -> str | None:
    """The first example of ``page`` whose answer is not what the page shows, in words."""
    for example in curl_examples(page):
        problem = difference(example.answer, run_example(example, base))
        if problem:
            return f"{page}: {example.command}{problem}"
    return None


def write_answers(pages: list[Path], base: str) -> None:
    """Puts what the server at ``base`` answers to the examples of the first page into all ``pages``."""
    shown = [_layout(run_example(example, base)) for example in curl_examples(pages[0])]
    for page in pages:
        around = _JSON.split(page.read_text(encoding="utf-8"))  # one piece more than there are answers
        answered = (f"{text}```json\n{answer}\n```" for text, answer in zip(around[:-1], shown, strict=True))
        page.write_text("".join([*answered, around[-1]]), encoding="utf-8")


def _layout(answer: object) -> str:
    """One line for a short answer, one line an item for a list."""
    rounded = json.loads(json.dumps(answer), parse_float=lambda number: round(float(number), 4))
    line = json.dumps(rounded, ensure_ascii=False)
    return line.replace('"items": [{', '"items": [\n  {').replace("}, {", "},\n  {").replace("}], ", "}\n], ")


def main(page: str, base: str, *others: str) -> str | None:
    """Checks ``page``, or writes it and ``others``; what is wrong, in words."""
    if not others:
        return check(Path(page), base)
    write_answers([Path(page), *(Path(other) for other in others)], base)
    return None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""The reference pages name every setting and every command with its options, and nothing else."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import click
import msgspec
import pytest

from endcap.config import Config
from endcap.events.schema import EVENT_TYPES
from endcap.interfaces.api.routes import OPERATIONS
from endcap.interfaces.api.rule_schema import RuleBody
from endcap.interfaces.api.schema import EventBody, ItemBody, RecommendRequest
from endcap.interfaces.cli.main import COMMANDS, endcap
from endcap.serving.engine import RECIPES

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def first_cells(text: str) -> list[str]:
    """The names in backticks in the first column of the tables in ``text``."""
    cells = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def test_every_setting_has_its_row_and_its_default() -> None:
    text = (REFERENCE / "configuration.md").read_text(encoding="utf-8")
    config = Config()
    tables = "|".join(table.name for table in fields(config))
    rows = dict(re.findall(rf"^\| `((?:{tables})\.\w+)` \| (.*?) \|", text, re.MULTILINE))
    defaults = {
        f"{table.name}.{key.name}": getattr(getattr(config, table.name), key.name)
        for table in fields(config)
        for key in fields(getattr(config, table.name))
    }
    assert rows.keys() == defaults.keys()
    shown = {name: json.dumps(value) for name, value in defaults.items()}  # as TOML has it
    assert rows == shown | {"state.weights": "see below"}


def test_the_default_weights_are_as_written() -> None:
    text = (REFERENCE / "configuration.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^Default weights: (.*?)\.", text, re.MULTILINE)
    written = {name: float(weight) for name, weight in (pair.split(" ") for pair in line.split(", "))}
    assert written == Config().state.weights


def sections() -> dict[str, str]:
    parts = re.split(r"^## `endcap (.+?)`.*$", (REFERENCE / "cli.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def commands() -> dict[str, click.Command]:
    """Every command that does something, by its words: ``import items``, ``train``."""
    found: dict[str, click.Command] = {}
    for name in COMMANDS:
        command = endcap.get_command(click.Context(endcap), name)
        assert command is not None
        if isinstance(command, click.Group):
            found |= {f"{name} {part}": sub for part, sub in command.commands.items()}
        else:
            found[name] = command
    return found


def test_every_command_has_its_section() -> None:
    assert sections().keys() == commands().keys()


@pytest.mark.parametrize("name", sections())
def test_every_option_has_its_row(name: str) -> None:
    command = commands()[name]
    spellings = [parameter.opts for parameter in command.params if isinstance(parameter, click.Option)]
    written = {part.split(" ")[0] for part in first_cells(sections()[name]) if part.startswith("-")}
    assert {max(options, key=len) for options in spellings} - written == set()
    assert written - {option for options in spellings for option in options} == set()


def test_every_call_has_its_row_and_the_scopes_it_takes() -> None:
    text = (REFERENCE / "http.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([A-Z]+ /\S*)` \| (.*?) ?\| ", text, re.MULTILINE)
    written = {call: set(scopes.split(", ")) - {""} for call, scopes in rows}
    implied = {"read": {"admin"}, "events": {"admin"}, "admin": set[str]()}
    assert {call: scopes.union(*(implied[scope] for scope in scopes)) for call, scopes in written.items()} == {
        f"{operation.method} {operation.path.replace(':path', '')}": set(operation.scopes) for operation in OPERATIONS
    }


@pytest.mark.parametrize(
    ("heading", "fields"),
    [("An event", EventBody), ("An item", ItemBody), ("A rule", RuleBody), ("A list", RecommendRequest)],
)
def test_every_field_of_a_body_has_its_row(heading: str, fields: type[msgspec.Struct]) -> None:
    text = (REFERENCE / "http.md").read_text(encoding="utf-8")
    section = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    assert set(first_cells(section)) == set(fields.__struct_encode_fields__)


def test_every_recipe_and_event_type_is_named() -> None:
    text = (REFERENCE / "http.md").read_text(encoding="utf-8")
    assert [name for name in (*RECIPES, *EVENT_TYPES) if f"`{name}`" not in text] == []

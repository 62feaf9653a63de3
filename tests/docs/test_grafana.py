"""The shipped dashboard asks for nothing that a server does not say: its names are looked up in a real /metrics."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from endcap import wiring
from endcap.config import Config
from endcap.interfaces.api.auth import Keys
from endcap.interfaces.api.server import ServerOptions, create_context

DASHBOARD = Path(__file__).parents[2] / "docs" / "operations" / "grafana.json"
NAME = re.compile(r"\bendcap_\w+")


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, set[str]]]:
    """By the name of a sample in /metrics of a server that has answered one list and taken one event: its labels."""
    home = tmp_path_factory.mktemp("home")
    with asyncio.Runner() as runner:
        live = wiring.open_live(home, Config())
        runner.run(live.start())
        context = create_context(live, ServerOptions(home, Config().serve, Keys.parse("")))
        context.meters.request("POST /v1/recommend", 200, 1.0, 0.001)
        text = context.meters.exposition(live.freshness.commits, 1.0).decode()
        runner.run(live.stop())
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    yield labels


def targets(node: Any) -> Iterator[dict[str, str]]:
    for panel in node["panels"]:
        yield from panel["targets"]


def test_every_name_is_one_that_the_server_says(said: dict[str, set[str]]) -> None:
    asked = {name for target in targets(json.loads(DASHBOARD.read_bytes())) for name in NAME.findall(target["expr"])}
    assert asked - said.keys() == set()
    assert len(asked) > 10


def test_every_label_is_one_of_its_metric(said: dict[str, set[str]]) -> None:
    for target in targets(json.loads(DASHBOARD.read_bytes())):
        (name,) = NAME.findall(target["expr"])
        shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        grouped = {label for by in re.findall(r"by \(([\w, ]+)\)", target["expr"]) for label in by.split(", ")}
        assert (shown | grouped) - said[name] == set(), target


def test_panels_have_their_own_places_and_numbers() -> None:
    panels = json.loads(DASHBOARD.read_bytes())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24

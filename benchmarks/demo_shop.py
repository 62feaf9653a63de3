"""The demo shop as both sides get it: a home of its own, its interactions as a file, and who asks for what."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import scipy.sparse

from endcap import wiring
from endcap.config import load_config
from endcap.events.log import entries
from endcap.events.schema import Event
from endcap.features.interactions import InteractionBuilder, matrix
from endcap.state.fold import State, apply
from openloop import request

ENDCAP = Path(sys.executable).with_name("endcap")
DEMO_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Shop:
    """Who comes and what is sold, each as often as in the log."""

    visits: list[str]
    """The customer of each visit: who comes often is asked for often."""
    sold: list[str]
    """The item of each purchase that is still in the catalogue."""
    factors: int
    """Of Endcap's matrix factorisation, for the other side."""


def make_home(home: Path, given: Path | None) -> None:
    """The demo shop, loaded and trained, in ``home``: a copy of ``given``, so that nothing is written there."""
    if given is not None:
        shutil.copytree(given, home)
    command: list[str | Path] = [ENDCAP, "demo", "--no-serve", "--home", home]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=DEMO_SECONDS)
    if done.returncode != 0:
        raise RuntimeError(f"endcap demo ended with {done.returncode}:\n{done.stderr}")


def read_shop(home: Path, interactions: Path, names: Path) -> Shop:
    """The shop of ``home``. Writes (users, items) weights to ``interactions`` and the ids of the rows to ``names``."""
    config = load_config(home / "config.toml")
    state, builder = State(config.state), InteractionBuilder()
    visits: dict[tuple[str, str | None], None] = {}
    sold = []
    log = wiring.open_log(home)
    try:
        for entry in entries(log):
            apply(state, entry)
            if isinstance(entry.body, Event):
                builder.add(state, entry.body)
                if entry.body.user_id is not None:
                    visits[entry.body.user_id, entry.body.session_id] = None
                if entry.body.type == "purchase":
                    sold += [line.item_id for line in entry.body.lines()]
    finally:
        log.close()
    scipy.sparse.save_npz(interactions, scipy.sparse.csr_matrix(matrix(builder.build(state))))
    plain = [user.partition(":")[2] for user in state.users]  # "u:17841" is the customer 17841
    names.write_bytes(msgspec.json.encode({"users": plain, "items": list(state.items)}))
    listed = {state.items.name(row) for row, _ in state.shop.listed_items()}
    return Shop([user for user, _ in visits], [item for item in sold if item in listed], config.train.als_factors)


def list_tasks(shop: Shop, path: str, n: int, draw: random.Random) -> list[list[str]]:
    """``n`` lists of 20 for customers of the shop."""
    endcap = path == "/v1/recommend"
    return [
        [request(path, {"recipe": "for-you", "user_id": user, "k": 20} if endcap else {"user_id": user, "k": 20})]
        for user in draw.choices(shop.visits, k=n)
    ]


def views(shop: Shop, draw: random.Random) -> Iterator[tuple[str, str, str]]:
    """Without end: a customer, and that customer's view of an item and then the list, as they go over the wire."""
    while True:
        user, item = draw.choice(shop.visits), draw.choice(shop.sold)
        event = {"type": "view", "user_id": user, "item_id": item, "event_id": f"bench-{draw.getrandbits(64):x}"}
        yield (
            user,
            request("/v1/events", event),
            request("/v1/recommend", {"recipe": "for-you", "user_id": user, "k": 20}),
        )

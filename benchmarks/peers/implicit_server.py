"""The plainest recommender one could put online: ``implicit``'s ALS behind Starlette, uvicorn and msgspec.

The other side of the ratios of ``serve.py``: the same interpreter, HTTP stack, interactions, number of factors and k as
Endcap, and nothing else: one model, no new events, no catalogue, no reasons.

    python benchmarks/peers/implicit_server.py INTERACTIONS.npz USERS_AND_ITEMS.json FACTORS
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import msgspec
import scipy.sparse
import uvicorn
from implicit.als import AlternatingLeastSquares
from msgspec import Struct
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


class Names(Struct):
    """Ids by row."""

    users: list[str]
    items: list[str]


class Asked(Struct):
    """The body of a request."""

    user_id: str
    k: int = 20


class Recommended(Struct):
    """One item of the answer."""

    item_id: str
    score: float


class Answer(Struct):
    """The body of an answer."""

    items: list[Recommended]


def create_app(table: scipy.sparse.csr_matrix, names: Names, factors: int) -> Starlette:
    """Trains, and answers ``POST /recommend``. ``table``: (users, items) weights."""
    model = AlternatingLeastSquares(factors=factors, random_state=0, num_threads=1)
    model.fit(table, show_progress=False)
    row = {user: at for at, user in enumerate(names.users)}
    decode, encode = msgspec.json.Decoder(Asked).decode, msgspec.json.Encoder().encode

    async def recommend(request: Request) -> Response:
        asked = decode(await request.body())
        user = row[asked.user_id]
        items, scores = model.recommend(user, table[user], N=asked.k)
        found = [
            Recommended(names.items[item], score) for item, score in zip(items.tolist(), scores.tolist(), strict=True)
        ]
        return Response(encode(Answer(found)), media_type="application/json")

    return Starlette(routes=[Route("/recommend", recommend, methods=["POST"])])


def main(interactions: Path, names: Path, factors: int) -> None:
    """Train, then serve on a free port of loopback, and say the address on standard output."""
    app = create_app(
        scipy.sparse.load_npz(interactions).tocsr(), msgspec.json.decode(names.read_bytes(), type=Names), factors
    )
    bound = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, loop="uvloop", http="httptools", access_log=False, log_level="warning", timeout_keep_alive=30
    )
    print(f"http://127.0.0.1:{bound.getsockname()[1]}", flush=True)  # the socket listens already
    uvicorn.Server(config).run(sockets=[bound])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))

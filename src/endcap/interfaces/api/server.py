"""The server process: a socket, a loop, the running shop, and an end without loss."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import uvicorn
import uvloop

from endcap.backends.trace.off import NoTracer
from endcap.config import Home, ServeConfig
from endcap.errors import ConfigError, ModelError, NotFoundError
from endcap.interfaces.api.app import create_app
from endcap.interfaces.api.auth import KEYS_VARIABLE, Keys
from endcap.interfaces.api.child import command
from endcap.interfaces.api.context import Context, Streams
from endcap.interfaces.api.meters import Meters
from endcap.interfaces.api.origins import Origins, is_loopback
from endcap.interfaces.api.protocol import BoundedProtocol
from endcap.interfaces.api.webhooks import NO_SECRETS, ShopifySecrets
from endcap.models.persistence import list_versions, read_manifest
from endcap.protocols import Tracer, Transcriber
from endcap.serving.advice import Advice
from endcap.serving.canary import Canary
from endcap.serving.live import Live
from endcap.serving.retraining import Retraining
from endcap.serving.senses import Senses

STOP_SECONDS = 2
"""What answers may still take when the server is told to stop."""
BACKLOG = 2_048


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What the command line adds to the configuration."""

    home: Path
    config: ServeConfig
    keys: Keys
    keep_alive_seconds: int = 30
    retrain_every_seconds: float | None = None
    """None: the server trains nothing."""
    tracer: Tracer = field(default_factory=NoTracer)
    shopify: ShopifySecrets = NO_SECRETS
    speech: Transcriber | None = None
    """None: nothing is heard."""
    pictures: Path | None = None
    """The folder of the items' pictures; None: there is none."""
    advice: Advice | None = None
    """None: no language model is asked."""


def check_access(config: ServeConfig, keys: Keys) -> None:
    """Raises ConfigError where the server would be open to other machines."""
    if keys.open and not is_loopback(config.host):
        raise ConfigError(
            f"{config.host} can be reached from other machines and no key is configured: "
            f"set {KEYS_VARIABLE}=admin:<at least 16 random characters>, or serve on 127.0.0.1"
        )


def bind(config: ServeConfig) -> socket.socket:
    """A socket bound to the configured address, not yet listening.

    Raises ConfigError for an address that is in use, not this machine's, or not allowed.
    """
    try:
        found = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(
            f"serve.host is {config.host!r}: {error.strerror}: give an address of this machine"
        ) from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.setblocking(False)
    except OSError as error:
        bound.close()
        raise ConfigError(
            f"cannot listen on {config.host} port {config.port}: {error.strerror}: "
            "stop what uses it, or take another --port"
        ) from error
    return bound


def base_address(bound: socket.socket) -> str:
    """The address of the server, as one types it into a browser of this machine."""
    host, port = bound.getsockname()[:2]
    address = ipaddress.ip_address(host)
    if address.is_unspecified:
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(live: Live, bound: socket.socket, options: ServerOptions, ready: Callable[[str], None]) -> None:
    """Answers until SIGTERM or SIGINT, then stops within a few seconds; what was accepted is on the disk.

    ``ready`` is called with the address once connections are taken.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(live, bound, options, ready))


def create_context(live: Live, options: ServerOptions) -> Context:
    """What the handlers work on, with the clocks of this machine."""
    started = time.monotonic()
    meters = Meters(started)
    context = Context(
        live=live,
        home=options.home,
        config=options.config,
        keys=options.keys,
        origins=Origins(options.config.allowed_origins, options.keys.open),
        meters=meters,
        now_ms=live.clock,
        timer=time.monotonic,
        training=_retraining(options, live),
        shopify=options.shopify,
        canary=_canary(live, options.config.canary_seconds, meters),
        senses=Senses(options.speech),
        advice=options.advice,
        pictures=options.pictures,
    )
    context.watch()
    return context


def _canary(live: Live, every_seconds: float, meters: Meters) -> Canary | None:
    if every_seconds == 0:
        return None
    return Canary(live, every_seconds, time.monotonic, lambda seconds: meters.fresh(time.monotonic(), seconds))


def _retraining(options: ServerOptions, live: Live) -> Retraining | None:
    every = options.retrain_every_seconds
    if every is None:
        return None
    models = Home(options.home).models
    return Retraining(
        command(["train", "--json"], options.home.resolve()),
        every,
        lambda: max((one.created_ms for one in list_versions(models)), default=None),
        live.clock,
        lambda: _is_outlived(live, models),
    )


def _is_outlived(live: Live, models: Path) -> bool:
    """Whether the version that serves has learnt from somebody who was erased since."""
    try:
        return bool(live.erased_under(read_manifest(models / live.engine.model.version).offset))
    except (ModelError, NotFoundError):
        return False


async def _serve(live: Live, bound: socket.socket, options: ServerOptions, ready: Callable[[str], None]) -> None:
    live.engine.tracer = options.tracer
    await live.start()
    gc.collect()
    gc.freeze()  # the shop stays: a full collection would walk 200,000 objects, 75 ms in the middle of a request
    context = create_context(live, options)
    try:
        config = uvicorn.Config(
            create_app(context),
            http=partial(BoundedProtocol, admission=context.admission),  # type: ignore[arg-type]  # it is called
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",  # app.py logs what goes wrong, with its route
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=options.keep_alive_seconds,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        watching = [asyncio.create_task(context.admission.watch())]
        if context.canary is not None:
            watching.append(asyncio.create_task(context.canary.keep()))
        async with contextlib.nullcontext() if context.training is None else context.training.kept():
            await _Server(config, context.streams, lambda: ready(base_address(bound))).serve([bound])
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
    finally:
        await asyncio.to_thread(context.senses.close)
        await live.stop()
        await asyncio.to_thread(options.tracer.close)


class _Server(uvicorn.Server):
    """Says when it is ready, ends the streams before it waits for answers, and does not pass signals on."""

    def __init__(self, config: uvicorn.Config, streams: Streams, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._streams = streams
        self._ready = ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._streams.stopping.set()
        await super().shutdown(sockets)

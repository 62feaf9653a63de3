"""Where the server listens, and when it refuses to start."""

from __future__ import annotations

import socket

import pytest

from endcap.config import ServeConfig
from endcap.errors import ConfigError
from endcap.interfaces.api.auth import Keys
from endcap.interfaces.api.server import base_address, bind, check_access

OPEN = Keys.parse("")
KEYED = Keys.parse("admin:0123456789abcdef")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_an_open_server_is_for_this_machine(host: str) -> None:
    check_access(ServeConfig(host=host), OPEN)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "shop.example"])
def test_others_need_a_key(host: str) -> None:
    with pytest.raises(
        ConfigError, match=r"can be reached from other machines and no key is configured: set ENDCAP_KEYS"
    ):
        check_access(ServeConfig(host=host), OPEN)
    check_access(ServeConfig(host=host), KEYED)


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"cannot listen on 127\.0\.0\.1 port {port}: .* take another --port"):
            bind(ServeConfig(port=port))


def test_an_address_of_another_machine_is_named() -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on 192\.0\.2\.1 port 0"):
        bind(ServeConfig(host="192.0.2.1", port=0))


def test_a_host_that_does_not_exist_is_named() -> None:
    with pytest.raises(ConfigError, match=r"serve\.host is '300\.1\.1\.1': .*: give an address of this machine"):
        bind(ServeConfig(host="300.1.1.1", port=0))


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "localhost")])
def test_the_address_that_is_printed_works_in_a_browser(host: str, shown: str) -> None:
    with bind(ServeConfig(host=host, port=0)) as bound:
        assert base_address(bound) == f"http://{shown}:{bound.getsockname()[1]}"

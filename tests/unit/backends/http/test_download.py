"""Only allowed hosts, only public addresses, only so long and so much: against a real server on loopback."""

from __future__ import annotations

import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.unit.http_server import answering

from endcap.backends.http.download import Downloader, is_public, resolved
from endcap.errors import EndpointError


class Shop(BaseHTTPRequestHandler):
    """What a path answers is in its name."""

    def do_GET(self) -> None:
        port = self.headers["Host"].rpartition(":")[2]
        answers = {
            "/picture": (200, {}, b"picture"),
            "/moved": (302, {"Location": "/picture"}, b""),
            "/away": (302, {"Location": f"http://other.test:{port}/picture"}, b""),
            "/file": (302, {"Location": "file:///etc/hostname"}, b""),
            "/round": (301, {"Location": "/round"}, b""),
            "/large": (200, {}, b"x" * 2_000),
            "/cut": (200, {"Content-Length": "99"}, b"x"),
        }
        if self.path == "/slow":
            self._drip()
            return
        status, headers, body = answers.get(self.path, (404, {}, b"none"))
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _drip(self) -> None:
        self.wfile.write(b"HTTP/1.0 200 OK\r\n")
        try:
            while True:
                self.wfile.write(b"X-More: 1\r\n")
                time.sleep(0.02)
        except OSError:
            return  # cut off

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with answering(ThreadingHTTPServer(("127.0.0.1", 0), Shop)) as found:
        yield found


def downloader(port: int, hosts: tuple[str, ...] = ("shop.test",), seconds: float = 5.0) -> Downloader:
    return Downloader(
        tuple(f"{host}:{port}" for host in hosts),
        max_bytes=1_000,
        timeout_seconds=seconds,
        resolve=lambda _host, _port: ["127.0.0.1"],
        allows=lambda _address: True,
    )


def test_a_picture_is_fetched(port: int) -> None:
    assert downloader(port).get(f"http://shop.test:{port}/picture") == b"picture"
    assert downloader(port).get(f"http://SHOP.test:{port}/moved") == b"picture"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nothing", "answers 404 for /nothing"),
        ("large", "more than 1,000 bytes"),
        ("round", "moves on more than 3 times"),
        ("away", r"http://other.test:\d+/picture is on none of the hosts"),
        ("file", "file:///etc/hostname is on none of the hosts"),
        ("cut", "cannot be fetched"),
    ],
)
def test_what_is_no_picture_of_the_shop_says_why(port: int, path: str, message: str) -> None:
    with pytest.raises(EndpointError, match=message):
        downloader(port).get(f"http://shop.test:{port}/{path}")


def test_a_redirect_to_another_allowed_host_is_followed(port: int) -> None:
    both = downloader(port, ("shop.test", "other.test"))
    assert both.get(f"http://shop.test:{port}/away") == b"picture"


def test_however_slowly_a_server_sends_it_ends(port: int) -> None:
    begun = time.monotonic()
    with pytest.raises(EndpointError, match=r"cannot be fetched within 0\.2 s"):
        downloader(port, seconds=0.2).get(f"http://shop.test:{port}/slow")
    assert time.monotonic() - begun < 3


@pytest.mark.parametrize(
    "address",
    [
        "http://evil.test/picture",
        "http://shop.test/picture",  # another port than is allowed
        "ftp://shop.test:{port}/picture",
        "http://shop.test:{port}@evil.test/picture",
        "http://[broken/picture",
        "http://shop.test:99999/picture",
        "//shop.test:{port}/picture",
    ],
)
def test_other_hosts_are_not_asked(port: int, address: str) -> None:
    with pytest.raises(EndpointError, match="is on none of the hosts"):
        downloader(port).get(address.format(port=port))


def test_the_own_network_is_not_asked(port: int) -> None:
    plain = Downloader((f"localhost:{port}",))
    with pytest.raises(EndpointError, match="images come from public ones only"):
        plain.get(f"http://localhost:{port}/picture")


def test_one_private_address_among_others_is_enough_to_refuse() -> None:
    two = Downloader(("shop.test",), resolve=lambda _host, _port: ["93.184.216.34", "10.0.0.1"])
    with pytest.raises(EndpointError, match=r"shop\.test is at 10\.0\.0\.1"):
        two.get("http://shop.test/picture")


def test_a_host_without_an_address_says_so() -> None:
    none = Downloader(("shop.test",), resolve=lambda _host, _port: [])
    with pytest.raises(EndpointError, match=r"shop\.test is at no address"):
        none.get("http://shop.test/picture")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        *[
            (one, False)
            for one in (
                "127.0.0.1",
                "10.1.2.3",
                "172.16.0.1",
                "192.168.1.1",
                "169.254.169.254",
                "100.64.0.1",
                "0.0.0.0",
                "224.0.0.1",
                "::1",
                "fe80::1%eth0",
                "fd00::1",
                "::ffff:127.0.0.1",
                "::ffff:10.0.0.1",
            )
        ],
    ],
)
def test_what_is_public(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_the_system_resolves_loopback() -> None:
    assert "127.0.0.1" in resolved("127.0.0.1", 80)

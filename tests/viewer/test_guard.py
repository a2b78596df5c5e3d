"""The page's door: a real server, knocked at as its owner and as strangers do."""

from __future__ import annotations

import http.client
import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import pytest

pytest.importorskip("viser", reason="needs viser: pip install 'ditr[view]'")

from ditr.errors import InputError
from ditr.scene import Scene
from ditr.viewer.guard import MOST_BYTES, Guard, require_guarded
from ditr.viewer.page import Page
from ditr.viewer.subject import Subject


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    rng = np.random.default_rng(0)
    scene = Scene("small", rng.random((500, 3)), color=rng.integers(0, 256, (500, 3), np.uint8))
    made = Page(Subject(scene), port=0)
    yield made
    made.stop()


def ask(page: Page, path: str = "/", *, host: str | None = None, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", page.server.get_port(), timeout=10)
    connection.putrequest("GET", path, skip_host=host is not None)
    if host is not None:
        connection.putheader("Host", host)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    return connection.getresponse()


def cookie(page: Page) -> str:
    return f"{page.guard.cookie}={page.guard.token}"


def test_the_address_with_the_token_sets_a_cookie_and_forgets_the_token(page: Page) -> None:
    answer = ask(page, "/?" + page.address.partition("/?")[2])
    assert answer.status == 303 and answer.getheader("Location") == "/"
    kept = answer.getheader("Set-Cookie") or ""
    assert "HttpOnly" in kept and "SameSite=Strict" in kept
    shown = ask(page, Cookie=kept.partition(";")[0])
    assert shown.status == 200
    policy = shown.getheader("Content-Security-Policy") or ""
    assert "frame-ancestors 'none'" in policy and f"ws://127.0.0.1:{page.server.get_port()}" in policy
    assert shown.getheader("Referrer-Policy") == "no-referrer"
    assert page.guard.token not in shown.read().decode()


@pytest.mark.parametrize(
    ("path", "host", "headers"),
    [
        ("/", None, {}),
        ("/?token=", None, {}),
        ("/?token=wrong", None, {}),
        ("/?token=%C3%A9", None, {}),
        ("/other?token=TOKEN", None, {}),
        ("/?token=TOKEN&token=TOKEN", None, {}),
        ("/?token=TOKEN", "example.org", {}),
        ("/", "example.org", {"Cookie": "COOKIE"}),
        ("/", "127.0.0.1.example.org", {"Cookie": "COOKIE"}),
        ("/", "localhost:80:80", {"Cookie": "COOKIE"}),
        ("/", "", {"Cookie": "COOKIE"}),
        ("/", None, {"Cookie": "COOKIE", "Origin": "http://example.org"}),
        ("/", None, {"Cookie": "COOKIE", "Origin": "null"}),
        ("/", None, {"Cookie": "COOKIE", "Origin": "http://127.0.0.1:1"}),
        ("/", None, {"Cookie": "COOKIE", "Origin": "https://127.0.0.1"}),
        ("/", None, {"Cookie": "COOKIE; COOKIE"}),
        ("/", None, {"Cookie": "COOKIEx"}),
        ("/", None, {"Cookie": "session=TOKEN"}),
        ("/../../etc/passwd", None, {}),
    ],
)
def test_strangers_are_refused(page: Page, path: str, host: str | None, headers: dict[str, str]) -> None:
    filled = {name: value.replace("COOKIE", cookie(page)) for name, value in headers.items()}
    filled = {name: value.replace("TOKEN", page.guard.token) for name, value in filled.items()}
    answer = ask(page, path.replace("TOKEN", page.guard.token), host=host, **filled)
    assert answer.status == 403
    assert page.guard.token not in answer.read().decode()


def test_a_tunnel_may_have_another_port(page: Page) -> None:
    answer = ask(page, host="localhost:5555", Cookie=cookie(page), Origin="http://localhost:5555")
    assert answer.status == 200


@pytest.mark.parametrize(
    "path", ["/../page.py", "/%2e%2e/%2e%2e/setup.py", "//etc/passwd", "/..\\..\\x", "/etc/passwd"]
)
def test_no_path_leads_to_files(page: Page, path: str) -> None:
    assert ask(page, path, Cookie=cookie(page)).status == 404


def upgraded(page: Page, **headers: str) -> tuple[socket.socket, bytes]:
    """A websocket's first answer."""
    port = page.server.get_port()
    said = {"Host": f"127.0.0.1:{port}", "Upgrade": "websocket", "Connection": "Upgrade"}
    said |= {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version": "13"}
    said |= {"Sec-WebSocket-Protocol": "viser-v1.1.1"} | headers
    line = socket.create_connection(("127.0.0.1", port), timeout=10)
    line.sendall(b"GET / HTTP/1.1\r\n" + b"".join(f"{k}: {v}\r\n".encode() for k, v in said.items()) + b"\r\n")
    return line, line.recv(4096)


def test_the_websocket_has_the_same_door(page: Page) -> None:
    for headers in ({}, {"Cookie": cookie(page), "Origin": "http://example.org"}, {"Cookie": "a=b"}):
        line, answer = upgraded(page, **headers)
        line.close()
        assert answer.startswith(b"HTTP/1.1 403"), answer
    own = f"http://127.0.0.1:{page.server.get_port()}"
    line, answer = upgraded(page, Cookie=cookie(page), Origin=own)
    line.close()
    assert answer.startswith(b"HTTP/1.1 101"), answer


def frame(content: bytes) -> bytes:
    """A masked binary message of a websocket."""
    mask = os.urandom(4)
    hidden = np.frombuffer(content, np.uint8) ^ np.resize(np.frombuffer(mask, np.uint8), len(content))
    return b"\x82\xff" + struct.pack(">Q", len(content)) + mask + hidden.tobytes()


def closing_code(line: socket.socket) -> int | None:
    """Of the close that the server sends; None where the line just ends."""
    received = b""
    with suppress(OSError):
        while part := line.recv(1 << 16):
            received += part
    place = received.rfind(b"\x88")
    return struct.unpack(">H", received[place + 2 : place + 4])[0] if place >= 0 else None


def test_a_huge_message_ends_that_line_alone(page: Page) -> None:
    line, answer = upgraded(page, Cookie=cookie(page))
    assert answer.startswith(b"HTTP/1.1 101")
    with suppress(OSError):
        line.sendall(frame(bytes(MOST_BYTES + 1)))
    assert closing_code(line) in (1009, None)
    line.close()
    assert ask(page, Cookie=cookie(page)).status == 200


def test_it_listens_on_this_machine_alone(page: Page) -> None:
    addresses = {str(info[4][0]) for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    others = sorted(address for address in addresses if not address.startswith("127."))
    if not others:
        pytest.skip("this machine has no other address")
    with socket.socket() as line:
        assert line.connect_ex((others[0], page.server.get_port())) != 0


def test_the_page_is_not_shown_to_the_world(page: Page) -> None:
    import viser

    handlers = page.server._websock_server._incoming_handlers
    assert not {viser._messages.ShareUrlRequest, viser._messages.ShareUrlDisconnect} & handlers.keys()


def test_a_viser_that_is_not_guarded_is_refused() -> None:
    import viser

    server = viser.ViserServer(host="127.0.0.1", port=0, verbose=False)
    try:
        with pytest.raises(InputError, match="page of the installed viser cannot be protected"):
            require_guarded(Guard(), server.get_port())
    finally:
        server.stop()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        bytes(range(256)) * 4,
        b"\xc1",
        b"\x81\xa4type\xa7Unknown",
        b"\x81\xa4type\xb3ViewerCameraMessage",
        b"\xdd\xff\xff\xff\xff",
        b"\x91" * 5000,
    ],
    ids=["empty", "bytes", "no msgpack", "unknown type", "without its fields", "a list without end", "deeply nested"],
)
def test_a_malformed_message_ends_that_line_alone(
    page: Page, content: bytes, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    other, answer = upgraded(page, Cookie=cookie(page))
    line, answer = upgraded(page, Cookie=cookie(page))
    assert answer.startswith(b"HTTP/1.1 101")
    line.sendall(frame(content))
    line.settimeout(20)
    heard = b""
    while b"not a message of the page" not in heard:
        part = line.recv(1 << 16)
        assert part, "it ends without a word"
        heard += part
    line.close()
    other.sendall(b"\x89\x80" + bytes(4))  # a ping
    other.settimeout(10)
    heard = b""
    while b"\x8a\x00" not in heard:
        part = other.recv(1 << 16)
        assert part, "the other line has ended, too"
        heard = heard[-1:] + part
    other.close()
    assert ask(page, Cookie=cookie(page)).status == 200
    said = capfd.readouterr()
    assert "Traceback" not in said.err + said.out + caplog.text


def test_a_browser_that_vanishes_within_a_message_is_forgotten(
    page: Page, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    line, answer = upgraded(page, Cookie=cookie(page))
    assert answer.startswith(b"HTTP/1.1 101")
    line.sendall(frame(bytes(1000))[:500])
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # no goodbye
    line.close()
    end = time.monotonic() + 20
    while page.server.get_clients():
        assert time.monotonic() < end, "it is still there"
        time.sleep(0.05)
    assert ask(page, Cookie=cookie(page)).status == 200
    said = capfd.readouterr()
    assert "Traceback" not in said.err + said.out + caplog.text

"""The door of the page: on this machine only, and only for whoever has its token.

viser serves its page and its websocket to anybody who can reach the port: every user of this machine, and every web
site that is open in a browser on it. So each request is looked at before viser sees it. It has to name this machine
(``Host``: else a foreign name that resolves to 127.0.0.1 gets in), come from no other site (``Origin``), and bring a
cookie that only the address with the token sets.
"""

from __future__ import annotations

import hmac
import http.client
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ditr.errors import InputError

__all__ = ["MOST_BYTES", "Guard", "guarding", "require_guarded"]

MOST_BYTES = 1 << 20
"""Of one message of a browser; those of the page take a few hundred."""
_HOST = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?")
"""With any port: a tunnel's end has another one."""
_swapped = threading.Lock()


class Guard:
    """Who is let in.

    Attributes:
        token: what the address has to say once.
        cookie: name of the cookie that holds it then; pages on other ports have others.
        front: path of a page around the page, and what it is made of by the name of this machine; None without one.
    """

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(24)
        self.cookie = f"ditr_{secrets.token_hex(4)}"
        self.front: tuple[str, Callable[[str], str]] | None = None

    def address(self, port: int, host: str = "127.0.0.1") -> str:
        """What is opened in a browser."""
        return f"http://{host}:{port}/?token={self.token}"

    def answer(self, path: str, headers: Any) -> tuple[HTTPStatus, dict[str, str], str] | None:
        """What is said to a request instead of letting it in; None to let it in.

        Args:
            path: of the request, with its query.
            headers: with ``get_all``.
        """
        host, origin = headers.get_all("Host"), headers.get_all("Origin")
        if len(host) != 1 or not _HOST.fullmatch(host[0].lower()):
            return _refused("This page is for this machine only: open it as 127.0.0.1 or localhost.")
        if len(origin) > 1 or (origin and origin[0].lower() != f"http://{host[0].lower()}"):
            return _refused("The request came from another site.")
        address = urlsplit(path)
        if address.path == "/" and self._is_token(parse_qs(address.query).get("token", [])):
            kept = f"{self.cookie}={self.token}; Path=/; HttpOnly; SameSite=Strict"
            front = "/" if self.front is None else self.front[0]
            return HTTPStatus.SEE_OTHER, {"Location": front, "Set-Cookie": kept, **_NOT_KEPT}, ""
        if not self._is_token(self._cookies(headers)):
            return _refused("Open the address with the token that `ditr view` has printed.")
        if self.front is not None and path == self.front[0]:
            return HTTPStatus.OK, _FRONT_HEADERS, self.front[1](host[0])
        return None

    def _cookies(self, headers: Any) -> list[str]:
        pairs = (pair.strip().partition("=") for line in headers.get_all("Cookie") for pair in line.split(";"))
        return [value for name, _, value in pairs if name == self.cookie]

    def _is_token(self, found: list[str]) -> bool:
        return len(found) == 1 and hmac.compare_digest(found[0].encode(), self.token.encode())


_FRONT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; frame-ancestors 'none'"
_FRONT_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": _FRONT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
}
_NOT_KEPT = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


def _refused(text: str) -> tuple[HTTPStatus, dict[str, str], str]:
    return HTTPStatus.FORBIDDEN, {"Content-Type": "text/plain; charset=utf-8", **_NOT_KEPT}, f"{text}\n"


def _page_headers(host: str, framed: bool) -> dict[str, str]:
    """The page talks to this server and to nobody else, and stands in no other page but this server's own."""
    around = "'self'" if framed else "'none'"
    own = f"'self' ws://{host}"
    policy = (
        "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; "
        f"connect-src {own} data: blob:; frame-ancestors {around}; form-action 'none'; base-uri 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "X-Frame-Options": "SAMEORIGIN" if framed else "DENY",
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "same-origin",
        **_NOT_KEPT,
    }


@contextmanager
def guarding(guard: Guard) -> Iterator[None]:
    """Servers of websockets that start in here ask the guard first, and take no huge messages."""
    import websockets.asyncio.server as server
    from websockets.datastructures import Headers
    from websockets.frames import CloseCode
    from websockets.http11 import Response

    serve = server.serve

    def guarded(handler: Any, *where: Any, **options: Any) -> Any:
        async def handled(connection: Any) -> None:
            try:
                await handler(connection)
            except Exception:  # whatever viser does not understand; what the page itself does runs elsewhere
                await connection.close(CloseCode.INVALID_DATA, "not a message of the page")

        inner: Callable[[Any, Any], Any] | None = options.get("process_request")

        def process(connection: Any, request: Any) -> Any:
            if (said := guard.answer(request.path, request.headers)) is not None:
                status, headers, text = said
                body = text.encode()
                headers = {**headers, "Content-Length": str(len(body)), "Connection": "close"}
                return Response(status.value, status.phrase, Headers(headers), body)
            response = None if inner is None else inner(connection, request)
            if isinstance(response, Response):
                response.headers.update(_page_headers(request.headers["Host"], guard.front is not None))
            return response

        options |= {"process_request": process, "max_size": MOST_BYTES}
        return serve(handled, *where, **options)

    with _swapped:
        server.serve = guarded  # type: ignore[misc, assignment]
        try:
            yield
        finally:
            server.serve = serve  # type: ignore[misc]


def require_guarded(guard: Guard, port: int) -> None:
    """Knock at the door as strangers do, and as the owner does.

    Raises:
        InputError: a stranger gets in, or the owner does not: this viser starts its server in another way.
    """
    owner = {"Cookie": f"{guard.cookie}={guard.token}"}
    socket = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    socket |= {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
    strangers = {
        "without a token": {},
        "without a token at the websocket": socket,
        "of another host": owner | {"Host": "example.org"},
        "of another site": owner | {"Origin": "http://example.org"},
        "of another site at the websocket": owner | socket | {"Origin": "http://example.org"},
    }
    wrong = [name for name, headers in strangers.items() if _status(port, headers) != HTTPStatus.FORBIDDEN]
    if _status(port, owner) != HTTPStatus.OK:
        wrong.append("of the owner, who is not let in")
    if wrong:
        fault = f"the page of the installed viser cannot be protected (requests {', '.join(wrong)})"
        raise InputError("viewer", fault, "Install the version that is named in constraints.txt")


def _status(port: int, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.putrequest("GET", "/", skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()

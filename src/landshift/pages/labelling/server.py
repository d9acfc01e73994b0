"""A page served to this machine alone: which requests are allowed, and the replies."""

from __future__ import annotations

import errno
import hmac
import json
import logging
import secrets
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, Protocol

from landshift.errors import LandshiftError, OutputError, ParameterError

HOST = "127.0.0.1"
"""The only address that the server listens on."""

MOST = 64 << 10
"""Most bytes of a request's body."""

_log = logging.getLogger(__name__)
_NAMES = ("127.0.0.1", "localhost")
_TIMEOUT = 60.0  # seconds that a connection may stay silent
_MOST_WAITING = 64  # connections between two requests; a browser keeps six
_PAUSE = 0.01  # seconds for a closed connection to give its descriptor back
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@dataclass(frozen=True)
class Reply:
    """The content at an address of a page.

    Attributes:
        body: The bytes.
        kind: Their media type.
        headers: More headers.
    """

    body: bytes
    kind: str
    headers: tuple[tuple[str, str], ...] = ()


class Site(Protocol):
    """The pages that a server serves."""

    def get(self, path: str) -> Reply | None:
        """The content at an address; None where there is none."""

    def post(self, path: str, values: Mapping[str, Any]) -> Reply | None:
        """The reply to values sent to an address; None where it takes none."""


def as_json(values: Any) -> Reply:
    """Plain values as a reply."""
    return Reply(json.dumps(values).encode(), "application/json")


class Server(socketserver.ThreadingTCPServer):
    """A site served on this machine alone.

    Every address begins with a random word, so that other users and other pages on this machine
    can't send requests; the Host header is checked, against pages that rebind their own name to
    this address (DNS rebinding).

    Args:
        site: The pages.
        port: The port; 0: any that is free.

    Attributes:
        address: Address of the site.

    Raises:
        ParameterError: The port is in use, or may not be used.
    """

    daemon_threads = True
    request_queue_size = 32
    allow_reuse_address = sys.platform != "win32"  # there two servers could share a port

    def __init__(self, site: Site, port: int = 0) -> None:
        if not 0 <= port <= 65535:
            raise ParameterError(f"A port must be a number from 1 to 65535, got {port}.")
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            raise ParameterError(
                f"The port must be free, got {port}, "
                f"{'which is in use' if taken else f'({error.strerror})'}; give another one, or "
                "none."
            ) from error
        self._waiting: dict[socket.socket, None] = {}  # between two requests, the longest first
        self._lock = threading.Lock()
        self.site = site
        self.word = secrets.token_urlsafe(24)
        self.address = f"http://{HOST}:{self.server_address[1]}/{self.word}/"

    def get_request(self) -> tuple[socket.socket, Any]:
        """The next connection; where descriptors are used up, one that waits makes room for it."""
        try:
            return super().get_request()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._close_longest()
                time.sleep(_PAUSE)
            raise

    def waits(self, connection: socket.socket) -> None:
        """Note that a connection waits for its next request; of too many, the longest ends."""
        with self._lock:
            self._waiting[connection] = None
            many = len(self._waiting) > _MOST_WAITING
        if many:
            self._close_longest()

    def works(self, connection: socket.socket) -> None:
        """Note that a connection waits no longer."""
        with self._lock:
            self._waiting.pop(connection, None)

    def _close_longest(self) -> None:
        with self._lock:
            longest = next(iter(self._waiting), None)
            if longest is not None:
                del self._waiting[longest]
                with suppress(OSError):
                    longest.shutdown(socket.SHUT_RDWR)  # its thread reads the end, and closes it

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Note a connection that ended early, as when a page is closed."""
        _log.debug("a connection ended early", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"  # connections are kept: a unit needs eight pictures
    server_version = "landshift"
    sys_version = ""
    timeout = _TIMEOUT

    def handle_one_request(self) -> None:
        """Wait for a request, and answer it."""
        self.server.waits(self.connection)
        super().handle_one_request()

    def finish(self) -> None:
        """End the connection."""
        self.server.works(self.connection)
        super().finish()

    def do_GET(self) -> None:
        path = self._path()
        if path is not None:
            self._answer(lambda: self.server.site.get(path))

    def do_POST(self) -> None:
        path = self._path()
        values = None if path is None else self._values()
        if path is not None and values is not None:
            self._answer(lambda: self.server.site.post(path, values))

    def _path(self) -> str | None:
        """The address within the site; None where the request was refused."""
        self.server.works(self.connection)
        host = self.headers.get("Host", "")
        if host.partition(":")[0] not in _NAMES:
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST)
            return None
        origin = self.headers.get("Origin")
        if origin is not None and origin != f"http://{host}":
            self._refuse(HTTPStatus.FORBIDDEN)
            return None
        word, slash, path = self.path.partition("?")[0].removeprefix("/").partition("/")
        if not slash or not hmac.compare_digest(word.encode(), self.server.word.encode()):
            self._refuse(HTTPStatus.NOT_FOUND)
            return None
        return path

    def _values(self) -> dict[str, Any] | None:
        """The body of a request; None where it was refused."""
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            self._refuse(HTTPStatus.LENGTH_REQUIRED)
            return None
        if len(length) > 9 or int(length) > MOST:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return None
        if self.headers.get_content_type() != "application/json":
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
            return None
        try:
            values = json.loads(self.rfile.read(int(length)))
            json.dumps(values, ensure_ascii=False).encode()  # no lone surrogates
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, dict):
            self._refuse(HTTPStatus.BAD_REQUEST)
            return None
        return values

    def _answer(self, ask: Callable[[], Reply | None]) -> None:
        status = HTTPStatus.OK
        try:
            reply = ask()
        except LandshiftError as error:
            broken = isinstance(error, OutputError)
            status = HTTPStatus.INTERNAL_SERVER_ERROR if broken else HTTPStatus.BAD_REQUEST
            reply = as_json({"error": str(error)})
        except Exception as error:  # one picture or answer that fails must not end the server
            _log.exception("%s", self.path.partition("/")[2])
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            reply = as_json({"error": f"This failed ({error}); see the terminal."})
        if reply is None:
            self._refuse(HTTPStatus.NOT_FOUND)
        else:
            self._send(status, reply)

    def _refuse(self, status: HTTPStatus) -> None:
        self.close_connection = True  # a body that wasn't read may follow
        self._send(status, Reply(f"{status.phrase}\n".encode(), "text/plain"))

    def _send(self, status: HTTPStatus, reply: Reply) -> None:
        self.send_response(status)
        kept = dict(reply.headers)
        for name, value in ({"Cache-Control": "no-store"} | _HEADERS | kept).items():
            self.send_header(name, value)
        self.send_header("Content-Type", reply.kind)
        self.send_header("Content-Length", str(len(reply.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *arguments: Any) -> None:
        _log.debug(format, *arguments)

"""A page served to this machine alone: which requests are allowed, and the replies."""

from __future__ import annotations

import errno
import hmac
import json
import logging
import os
import re
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
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from landshift.errors import LandshiftError, OutputError, ParameterError

HOST = "127.0.0.1"
"""The only address that the server listens on."""

MOST = 64 << 10
"""Most bytes of a request's body."""

MOST_WAITING = 64
"""Most connections between two requests; a browser keeps six for each page."""

MOST_CONNECTIONS = 128
"""Most connections at once, each of which has a thread; more wait until one ends."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'"
)
"""What a page may load and run: what this server serves, and nothing inline (Content Security
Policy, W3C)."""

_log = logging.getLogger(__name__)
_NAMES = ("127.0.0.1", "localhost")
_TIMEOUT = 60.0  # seconds that a connection may stay silent
_ROOM = 1.0  # seconds until a connection that finds no room is closed
_PAUSE = 0.01  # seconds for a closed connection to give its descriptor back
_PART = 1 << 20  # bytes of a file that are sent at once
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_HEADERS = {
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


@dataclass(frozen=True)
class FileReply:
    """A file at an address of a page, which is sent whole or by byte ranges.

    Attributes:
        path: The file; it is opened for each request.
        kind: Its media type.
    """

    path: Path
    kind: str


class Site(Protocol):
    """The pages that a server serves."""

    def get(self, path: str) -> Reply | FileReply | None:
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
        policy: What they may load and run.

    Attributes:
        address: Address of the site.

    Raises:
        ParameterError: The port is in use, or may not be used.
    """

    daemon_threads = True
    request_queue_size = 32
    allow_reuse_address = sys.platform != "win32"  # there two servers could share a port

    def __init__(self, site: Site, port: int = 0, *, policy: str = POLICY) -> None:
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
        self._room = threading.Semaphore(MOST_CONNECTIONS)
        self.site, self.policy = site, policy
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

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own; one that finds no room waits, then ends."""
        if not self._room.acquire(blocking=False):
            self._close_longest()
            if not self._room.acquire(timeout=_ROOM):
                self.shutdown_request(request)
                return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._room.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def waits(self, connection: socket.socket) -> None:
        """Note that a connection waits for its next request; of too many, the longest ends."""
        with self._lock:
            self._waiting[connection] = None
            many = len(self._waiting) > MOST_WAITING
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
    protocol_version = "HTTP/1.1"  # connections are kept: a unit needs several pictures
    server_version = "landshift"
    sys_version = ""
    timeout = _TIMEOUT
    wbufsize = -1  # headers and a short body leave together

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

    do_HEAD = do_GET

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

    def _answer(self, ask: Callable[[], Reply | FileReply | None]) -> None:
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
        elif isinstance(reply, FileReply):
            self._send_file(reply)
        else:
            self._send(status, reply)

    def _refuse(self, status: HTTPStatus) -> None:
        self.close_connection = True  # a body that wasn't read may follow
        self._send(status, Reply(f"{status.phrase}\n".encode(), "text/plain"))

    def _send(self, status: HTTPStatus, reply: Reply) -> None:
        self._head(status, reply.kind, len(reply.body), dict(reply.headers))
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    def _send_file(self, reply: FileReply) -> None:
        """A file, or the range of it that is asked for (RFC 9110, section 14)."""
        try:
            file = reply.path.open("rb")
        except OSError as error:
            _log.warning("%s can't be read any more (%s).", reply.path, error.strerror)
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        with file:
            about = os.fstat(file.fileno())
            mark = f'"{about.st_mtime_ns:x}-{about.st_size:x}"'
            headers = {"ETag": mark, "Accept-Ranges": "bytes", "Cache-Control": "no-cache"}
            if mark in self.headers.get("If-None-Match", ""):
                self._head(HTTPStatus.NOT_MODIFIED, reply.kind, None, headers)
                return
            status, first, last = HTTPStatus.OK, 0, about.st_size - 1
            if self.headers.get("If-Range", mark) == mark:
                span = byte_range(self.headers.get("Range"), about.st_size)
                if span is not None and span[0] > span[1]:
                    headers["Content-Range"] = f"bytes */{about.st_size}"
                    self._head(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, reply.kind, 0, headers)
                    return
                if span is not None:
                    status, (first, last) = HTTPStatus.PARTIAL_CONTENT, span
                    headers["Content-Range"] = f"bytes {first}-{last}/{about.st_size}"
            self._head(status, reply.kind, last + 1 - first, headers)
            if self.command != "HEAD":
                self._copy(file, first, last + 1 - first)

    def _copy(self, file: BinaryIO, first: int, count: int) -> None:
        """Send a part of a file; where it has become shorter, end the connection."""
        file.seek(first)
        while count:
            part = file.read(min(count, _PART))
            if not part:
                self.close_connection = True
                return
            self.wfile.write(part)
            count -= len(part)

    def _head(
        self, status: HTTPStatus, kind: str, length: int | None, headers: Mapping[str, str]
    ) -> None:
        self.send_response(status)
        own = {"Cache-Control": "no-store", **_HEADERS, **headers}
        own["Content-Security-Policy"] = f"{self.server.policy}; frame-ancestors 'none'"
        own["Content-Type"] = kind
        if length is not None:
            own["Content-Length"] = str(length)
        if self.close_connection:
            own["Connection"] = "close"
        for name, value in own.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        _log.debug(format, *arguments)


def byte_range(text: str | None, size: int) -> tuple[int, int] | None:
    """First and last byte of the one range that a request asks for.

    Args:
        text: The Range header, or None.
        size: Bytes of the file.

    Returns:
        The range; a first byte after the last where the file has no byte of it. None where the
        whole file is the answer: without a header, of several ranges, in other units.
    """
    match = None if text is None else _RANGE.fullmatch(text.strip().replace(" ", ""))
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        return (max(size - int(last), 0), size - 1) if int(last) else (size, size - 1)
    if last and int(last) < int(first):
        return None
    return int(first), min(int(last or size), size - 1)

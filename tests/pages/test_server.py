"""The server of pages: byte ranges, what it refuses, and how many connections it takes."""

import re
import socket
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest

from landshift.pages import server

BODY = np.random.default_rng(0).integers(0, 256, 300_000, np.uint8).tobytes()


class Site:
    """A site of one text and one file."""

    def __init__(self, path):
        self.path = path

    def get(self, path):
        if path == "a.tif":
            return server.FileReply(self.path, "image/tiff")
        return server.as_json("home") if path == "" else None

    def post(self, path, values):
        return None


@contextmanager
def serving(site, **options):
    with server.Server(site, **options) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield running
        finally:
            running.shutdown()
            thread.join()


@pytest.fixture
def address(tmp_path):
    (tmp_path / "a.tif").write_bytes(BODY)
    with serving(Site(tmp_path / "a.tif")) as running:
        yield running.address


def ask(address, method="GET", **headers):
    """Status, headers and body of a request."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(address, headers=named, method=method), timeout=20
        ) as reply:
            return reply.status, reply.headers, reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


@pytest.mark.parametrize(
    ("text", "span"),
    [
        (None, None), ("bytes=0-99", (0, 99)), ("bytes=990-", (990, 999)),
        ("bytes=-10", (990, 999)), ("bytes=-5000", (0, 999)), ("bytes=500-9999", (500, 999)),
        ("bytes=0-0", (0, 0)), ("bytes = 1 - 2", (1, 2)), ("bytes=999-", (999, 999)),
        # nothing of the file
        ("bytes=1000-", (1000, 999)), ("bytes=-0", (1000, 999)), ("bytes=2000-3000", (2000, 999)),
        # the whole file: several ranges, other units, no ranges
        ("bytes=0-1,5-6", None), ("items=0-1", None), ("bytes=-", None), ("bytes=5-2", None),
        ("bytes=a-b", None), ("", None), ("bytes=1-2-3", None), (f"bytes={'9' * 30}-", None),
    ],
)  # fmt: skip
def test_the_one_range_of_a_request(text, span):
    assert server.byte_range(text, 1000) == span


def test_an_empty_file_has_no_range():
    assert server.byte_range("bytes=0-", 0) == (0, -1)
    assert server.byte_range("bytes=-5", 0) == (0, -1)


def test_files_are_sent_whole_or_by_ranges(address):
    status, headers, body = ask(f"{address}a.tif")
    assert (status, body) == (200, BODY)
    assert headers["Accept-Ranges"] == "bytes"
    assert headers["Content-Type"] == "image/tiff"
    status, headers, body = ask(f"{address}a.tif", Range="bytes=70000-135535")
    assert (status, body) == (206, BODY[70_000:135_536])
    assert headers["Content-Range"] == "bytes 70000-135535/300000"
    assert ask(f"{address}a.tif", Range="bytes=-7")[2] == BODY[-7:]
    status, headers, body = ask(f"{address}a.tif", Range="bytes=300000-")
    assert (status, body, headers["Content-Range"]) == (416, b"", "bytes */300000")
    assert ask(f"{address}a.tif", Range="bytes=0-1,4-5")[::2] == (200, BODY)


def test_head_has_the_headers_alone(address):
    status, headers, body = ask(f"{address}a.tif", "HEAD")
    assert (status, headers["Content-Length"], body) == (200, "300000", b"")
    status, headers, body = ask(f"{address}a.tif", "HEAD", Range="bytes=0-9")
    assert (status, headers["Content-Length"], body) == (206, "10", b"")
    assert ask(address, "HEAD")[::2] == (200, b"")


def test_a_file_that_changed_is_sent_anew(address, tmp_path):
    mark = ask(f"{address}a.tif")[1]["ETag"]
    assert ask(f"{address}a.tif", If_None_Match=mark)[::2] == (304, b"")
    assert ask(f"{address}a.tif", Range="bytes=0-9", If_Range=mark)[0] == 206
    (tmp_path / "a.tif").write_bytes(BODY[:1000])
    assert ask(f"{address}a.tif", If_None_Match=mark)[::2] == (200, BODY[:1000])
    assert ask(f"{address}a.tif", Range="bytes=0-9", If_Range=mark)[::2] == (200, BODY[:1000])
    (tmp_path / "a.tif").unlink()
    assert ask(f"{address}a.tif")[0] == 404


@pytest.mark.parametrize(
    "path",
    [
        "../a.tif", "..%2fa.tif", "%2e%2e/a.tif", "a.tif/", "/a.tif", "a.tif%00", "./a.tif",
        "data/../a.tif", "//etc/passwd", "/etc/passwd", "a.tif/../../../etc/passwd", "A.TIF",
        "..\\a.tif", "file:///etc/passwd",
    ],
)  # fmt: skip
def test_no_path_leads_elsewhere(address, path):
    port, word = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/([\w-]+)/", address).groups()
    for target in (f"/{word}/{path}", path if path.startswith("/") else f"/{path}"):
        with socket.create_connection(("127.0.0.1", int(port)), 10) as connection:
            connection.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
            assert connection.recv(12) == b"HTTP/1.1 404"


def test_other_pages_and_other_names_of_this_machine_are_refused(address):
    assert ask(f"{address}a.tif", Host="evil.example")[0] == 421
    assert ask(f"{address}a.tif", Origin="http://evil.example")[0] == 403
    assert ask(f"{address}a.tif", Origin=re.match("http://[^/]+", address)[0])[0] == 200
    word = address.split("/")[3]
    assert ask(address.replace(word, word[::-1]) + "a.tif")[0] == 404


def test_connections_are_kept(address):
    port, word = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/([\w-]+)/", address).groups()
    with socket.create_connection(("127.0.0.1", int(port)), 10) as connection:
        file = connection.makefile("rb")
        for first in (0, 5, 299_990):
            connection.sendall(
                f"GET /{word}/a.tif HTTP/1.1\r\nHost: localhost:{port}\r\n"
                f"Range: bytes={first}-{first + 9}\r\n\r\n".encode()
            )
            assert file.readline() == b"HTTP/1.1 206 Partial Content\r\n"
            while file.readline().strip():
                pass
            assert file.read(10) == BODY[first : first + 10]


def test_many_connections_at_once_are_bounded_and_all_are_answered(tmp_path, monkeypatch):
    (tmp_path / "a.tif").write_bytes(BODY)
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 8)
    before, most = threading.active_count(), 0

    class Slow(Site):
        def get(self, path):
            nonlocal most
            most = max(most, threading.active_count())
            return super().get(path)

    with serving(Slow(tmp_path / "a.tif")) as running, ThreadPoolExecutor(40) as pool:
        sizes = list(
            pool.map(lambda _: len(ask(f"{running.address}a.tif")[2]), range(500))
        )  # fmt: skip
    assert sizes == [len(BODY)] * 500
    assert most - before - 1 - 40 <= 8


def test_connections_that_send_nothing_make_room_for_others(tmp_path, monkeypatch):
    (tmp_path / "a.tif").write_bytes(BODY)
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 4)
    with serving(Site(tmp_path / "a.tif")) as running:
        idle = [
            socket.create_connection(("127.0.0.1", running.server_address[1]), 10)
            for _ in range(12)
        ]
        try:
            assert ask(f"{running.address}a.tif")[2] == BODY
        finally:
            for connection in idle:
                connection.close()


def test_the_policy_is_the_one_of_the_site(tmp_path):
    (tmp_path / "a.tif").write_bytes(BODY)
    with serving(Site(tmp_path / "a.tif"), policy="default-src 'none'") as running:
        headers = ask(running.address)[1]
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"

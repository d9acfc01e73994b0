"""Items, and a STAC API on 127.0.0.1 that serves them, with the faults of real ones."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from shapely.geometry import box, shape

CORE = "https://api.stacspec.org/v1.0.0/core"
SEARCH = "https://api.stacspec.org/v1.0.0/item-search"
QUERY = f"{SEARCH}#query"
FILTER = f"{SEARCH}#filter"


def item(
    name: str,
    day: str,
    *,
    collection: str = "sentinel-2-l2a",
    cloud: float | None = 10.0,
    bounds: tuple[float, float, float, float] = (-75.1, 41.8, -74.7, 42.1),
    assets: dict[str, str] | None = None,
    **properties: Any,
) -> dict[str, Any]:
    """An item as a catalogue holds it."""
    stated = {} if cloud is None else {"eo:cloud_cover": cloud}
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": collection,
        "geometry": box(*bounds).__geo_interface__, "bbox": list(bounds),
        "properties": {"datetime": f"{day}T15:00:00Z", **stated, **properties},
        "links": [],
        "assets": {k: {"href": href, "roles": ["data"]} for k, href in (assets or {}).items()},
    }  # fmt: skip


class Api:
    """An API.

    Attributes:
        items: What it holds.
        conforms: What it says that it can do.
        ignores: Parameters that it takes and ignores.
        empty_with: Parameters that it answers with no items.
        page: Items an answer.
        methods: Methods of its search links.
        folder: Folder whose files it serves under /files/.
        ranges: Whether it gives ranges of them.
        faults: Answers in place of the right ones, by path: each a function that takes the handler
            and returns whether it answered; the first is taken off the list.
        sent: Bytes of files that it sent.
        asked: Method, path and parameters of each request.
        url: Its address.
    """

    def __init__(self, items: list[dict[str, Any]]) -> None:
        self.items = items
        self.conforms = [CORE, SEARCH]
        self.ignores: set[str] = set()
        self.empty_with: set[str] = set()
        self.page = 3
        self.methods = ("GET", "POST")
        self.folder: Path | None = None
        self.ranges = False
        self.sent = 0
        self.faults: dict[str, list[Callable[[Any], None]]] = {}
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self.url = ""

    def root(self) -> dict[str, Any]:
        links = [
            {"rel": "search", "href": f"{self.url}/search", "method": m,
             "type": "application/geo+json"}
            for m in self.methods
        ]  # fmt: skip
        return {
            "type": "Catalog", "stac_version": "1.0.0", "id": "tests", "description": "-",
            "conformsTo": self.conforms,
            "links": [{"rel": "self", "href": self.url}, {"rel": "root", "href": self.url}, *links],
        }  # fmt: skip

    def search(self, method: str, asked: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((method, "/search", asked))
        given = {k: v for k, v in asked.items() if k not in self.ignores}
        items = [] if self.empty_with & asked.keys() else [i for i in self.items if _is(i, given)]
        start = int(asked.get("token", 0))
        links = []
        if start + self.page < len(items):
            links = [
                {"rel": "next", "href": f"{self.url}/search", "method": "POST",
                 "body": {**asked, "token": start + self.page}}
                if method == "POST"
                else {"rel": "next", "href": self._next(asked, start + self.page)}
            ]  # fmt: skip
        page = items[start : start + self.page]
        return {"type": "FeatureCollection", "features": page, "links": links}

    def _next(self, asked: dict[str, Any], token: int) -> str:
        texts = {**asked, "token": token}
        words = [f"{k}={','.join(map(str, v)) if isinstance(v, list) else v}"
                 for k, v in texts.items()]  # fmt: skip
        return f"{self.url}/search?{'&'.join(words)}"


def _is(item: dict[str, Any], asked: dict[str, Any]) -> bool:
    about = item["properties"]
    ground = shape(item["geometry"]) if item["geometry"] else box(0, 0, 0, 0)
    first, last = asked.get("datetime", "0/9").split("/")
    bounds = asked.get("bbox")
    bounds = bounds.split(",") if isinstance(bounds, str) else bounds
    collections = asked.get("collections")
    limit = asked.get("query", {}).get("eo:cloud_cover", {}).get("lte", 1000)
    cloud = about.get("eo:cloud_cover", 1000 if "query" in asked else 0)
    return (
        first <= (about["datetime"] or "5") <= last
        and (collections is None or item["collection"] in collections)
        and (bounds is None or ground.intersects(box(*map(float, bounds))))
        and ("intersects" not in asked or ground.intersects(shape(asked["intersects"])))
        and cloud <= limit
    )


@contextmanager
def serving(api: Api) -> Iterator[Api]:
    """The API, as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def answer(self, status: int, body: Any = b"", **headers: str) -> None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            if "Content_Length" not in headers:
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if not self.faulty():
                self.answer(200, api.search("POST", json.loads(body)))

        def do_GET(self) -> None:
            if self.faulty():
                return
            parts = urlsplit(self.path)
            asked = {k: v[0] for k, v in parse_qs(parts.query).items()}
            if parts.path == "/search":
                self.answer(200, api.search("GET", asked))
                return
            api.asked.append(("GET", parts.path, asked))
            if parts.path in ("", "/"):
                self.answer(200, api.root())
            elif api.folder is not None and parts.path.startswith("/files/"):
                self.file(api.folder / parts.path.removeprefix("/files/"))
            else:
                self.answer(404)

        def file(self, path: Path) -> None:
            if not path.is_file():
                self.answer(404)
                return
            body, wanted = path.read_bytes(), self.headers.get("Range", "")
            if not api.ranges or not wanted:
                api.sent += len(body)
                self.answer(200, body)
                return
            first, last = (int(n) for n in wanted.removeprefix("bytes=").split("-"))
            part = body[first : last + 1]
            api.sent += len(part)
            stated = f"bytes {first}-{first + len(part) - 1}/{len(body)}"
            self.answer(206, part, Content_Range=stated, ETag=f'"{path.stat().st_mtime_ns}"')

        def faulty(self) -> bool:
            faults = api.faults.get(urlsplit(self.path).path)
            if not faults:
                return False
            faults.pop(0)(self)
            return True

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        api.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()

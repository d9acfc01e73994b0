"""A hub of models on 127.0.0.1, with the few routes that huggingface_hub asks."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_this_test"
COMMIT = "c" * 40


class Hub:
    """What the hub holds.

    Attributes:
        repos: Files of each repository, by name.
        objects: Contents of large files, by their SHA-256.
        asked: Method and path of each request.
        url: Its address.
    """

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, bytes]] = {}
        self.objects: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.url = ""


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub that lives as long as the block."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def _answer(self, status: int, body: Any = b"", **headers: str) -> None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            if "Content_Length" not in headers:
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def _known(self) -> bool:
            return self.headers.get("Authorization") == f"Bearer {TOKEN}"

        def do_POST(self) -> None:
            path, body = urlsplit(self.path).path, self._body()
            hub.asked.append(f"POST {path}")
            if not self._known():
                self._answer(401, {"error": "who are you?"})
            elif path == "/api/repos/create":
                told = json.loads(body)
                name = f"{told['organization']}/{told['name']}"
                status = 409 if name in hub.repos else 200
                hub.repos.setdefault(name, {})
                self._answer(status, {"url": f"{hub.url}/{name}"})
            elif path == "/api/validate-yaml":
                self._answer(200, {"errors": [], "warnings": []})
            elif "/preupload/" in path:
                files = [
                    {
                        "path": f["path"], "shouldIgnore": False,
                        "uploadMode": "lfs" if f["path"].endswith(".safetensors") else "regular",
                    }
                    for f in json.loads(body)["files"]
                ]  # fmt: skip
                self._answer(200, {"files": files})
            elif path.endswith("/info/lfs/objects/batch"):
                objects = [
                    {**o, "actions": {"upload": {"href": f"{hub.url}/lfs/{o['oid']}"}}}
                    for o in json.loads(body)["objects"]
                ]
                self._answer(200, {"transfer": "basic", "objects": objects})
            elif "/commit/" in path:
                repo = hub.repos[path.removeprefix("/api/models/").partition("/commit/")[0]]
                for line in map(json.loads, body.splitlines()):
                    told = line["value"]
                    if line["key"] == "file":
                        repo[told["path"]] = base64.b64decode(told["content"])
                    elif line["key"] == "lfsFile":
                        repo[told["path"]] = hub.objects[told["oid"]]
                told = {"commitUrl": f"{hub.url}/x/y/commit/{COMMIT}", "commitOid": COMMIT}
                self._answer(200, told)
            else:
                self._answer(404, {"error": path})

        def do_PUT(self) -> None:
            path, body = urlsplit(self.path).path, self._body()
            hub.asked.append(f"PUT {path}")
            oid = path.removeprefix("/lfs/")
            assert hashlib.sha256(body).hexdigest() == oid
            hub.objects[oid] = body
            self._answer(200)

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.asked.append(f"{self.command} {path}")
            if path.startswith("/api/models/"):
                name, _, rest = path.removeprefix("/api/models/").partition("/revision/")
                name, _, tree = name.partition("/tree/")
                if name not in hub.repos:
                    self._answer(404, {"error": "no"}, X_Error_Code="RepoNotFound")
                elif rest not in ("", "main", COMMIT) or tree not in ("", "main", COMMIT):
                    self._answer(404, {"error": "no"}, X_Error_Code="RevisionNotFound")
                elif tree:
                    self._answer(200, [_listed(*f) for f in sorted(hub.repos[name].items())])
                else:
                    names = [{"rfilename": f} for f in sorted(hub.repos[name])]
                    self._answer(200, {"id": name, "sha": COMMIT, "siblings": names})
                return
            name, _, rest = path[1:].partition("/resolve/")
            file = rest.partition("/")[2]
            content = hub.repos.get(name, {}).get(file)
            if content is None:
                self._answer(404, {"error": "no"}, X_Error_Code="EntryNotFound")
                return
            etag = hashlib.sha256(content).hexdigest()
            self._answer(200, content, ETag=f'"{etag}"', X_Repo_Commit=COMMIT)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _listed(path: str, content: bytes) -> dict[str, Any]:
    return {
        "type": "file", "path": path, "size": len(content),
        "oid": hashlib.sha1(content).hexdigest(),
    }  # fmt: skip

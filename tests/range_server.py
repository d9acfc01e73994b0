"""Serve a folder's files by byte ranges: `python range_server.py FOLDER` prints its port.

A process of its own: GDAL waits for the answer with Python's lock held.
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FOLDER = Path(sys.argv[1])


class Ranges(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        file = FOLDER / self.path.lstrip("/")
        if not file.is_file():
            self.send_error(404)
            return
        body = file.read_bytes()
        first, last = 0, len(body) - 1
        if "Range" in self.headers:
            start, end = self.headers["Range"].removeprefix("bytes=").split("-")
            first, last = int(start), min(int(end or last), last)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(body)}")
        else:
            self.send_response(200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last + 1 - first))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[first : last + 1])

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", 0), Ranges) as server:
        print(server.server_port, flush=True)
        server.serve_forever()

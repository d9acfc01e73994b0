"""Ranges a second of a file: landshift's server beside starlette on uvicorn.

    python benchmarks/serving.py [--connections 16] [--seconds 5] [--size 65536] [--rounds 3]

Each server runs in a process of its own, in turn; the client is a third process of plain sockets,
one thread a connection, each of which asks for ranges at random places and reads the answers whole.
starlette and uvicorn are measured where they are installed (pip install starlette uvicorn; with
httptools and uvloop, uvicorn takes those).
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

OURS = """
import sys
from pathlib import Path
from landshift.pages import server

class Site:
    def get(self, path):
        return server.FileReply(Path(sys.argv[1]), "image/tiff")

    def post(self, path, values):
        return None

with server.Server(Site()) as running:
    print(running.address, flush=True)
    running.serve_forever(poll_interval=0.2)
"""

STARLETTE = """
import socket, sys
import uvicorn
from starlette.applications import Starlette
from starlette.responses import FileResponse
from starlette.routing import Route

async def file(request):
    return FileResponse(sys.argv[1], media_type="image/tiff")

listening = socket.socket()
listening.bind(("127.0.0.1", 0))
print(f"http://127.0.0.1:{listening.getsockname()[1]}/", flush=True)
app = Starlette(routes=[Route("/{path:path}", file)])
config = uvicorn.Config(app, log_level="error", access_log=False)
uvicorn.Server(config).run(sockets=[listening])
"""

PLACES = 64 << 20
"""Bytes of the file, which stay in the page cache."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--size", type=int, default=64 << 10)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    servers = {"landshift": OURS}
    if importlib.util.find_spec("starlette") and importlib.util.find_spec("uvicorn"):
        servers["starlette"] = STARLETTE
    rates: dict[str, list[float]] = {name: [] for name in servers}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "file.tif"
        file.write_bytes(random.Random(0).randbytes(PLACES))
        for _ in range(options.rounds):
            for name, code in servers.items():
                rates[name].append(rate(code, file, options))
    for name, of_server in rates.items():
        print(f"{name:10} {statistics.median(of_server):8,.0f} ranges/s", of_server)


def rate(code: str, file: Path, options: argparse.Namespace) -> float:
    """Ranges a second of a server."""
    with subprocess.Popen(
        [sys.executable, "-c", code, str(file)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            address = process.stdout.readline().strip() if process.stdout else ""
            time.sleep(1.0)
            counts = [0] * options.connections
            ends = time.monotonic() + options.seconds
            threads = [
                threading.Thread(target=ask, args=(address, options.size, counts, k, ends))
                for k in range(options.connections)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            process.kill()
    return round(sum(counts) / options.seconds, 1)


def ask(address: str, size: int, counts: list[int], place: int, ends: float) -> None:
    """Ask for ranges on one connection until the time is over."""
    match = re.match(r"http://127\.0\.0\.1:(\d+)(/.*)", address)
    assert match is not None
    places = random.Random(place)
    with socket.create_connection(("127.0.0.1", int(match[1])), 10) as connection:
        file = connection.makefile("rb")
        while time.monotonic() < ends:
            first = places.randrange(PLACES - size)
            connection.sendall(
                f"GET {match[2]}file.tif HTTP/1.1\r\nHost: 127.0.0.1:{match[1]}\r\n"
                f"Range: bytes={first}-{first + size - 1}\r\n\r\n".encode()
            )
            status, length = file.readline(), 0
            assert b" 206 " in status, status
            while line := file.readline().strip():
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            assert len(file.read(length)) == length == size
            counts[place] += 1


if __name__ == "__main__":
    main()

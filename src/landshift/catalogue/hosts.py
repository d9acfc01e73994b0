"""Which hosts are asked, also after redirects; an HTTP session that keeps to them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from landshift import sensors
from landshift.errors import CatalogueError
from landshift.files.hub import OFFLINE
from landshift.machine.extras import required

TIMEOUT = (10.0, 60.0)
"""Seconds to wait for a connection, and for the next bytes; catalogues that search a large archive
answer within half a minute."""

_TRIES = 4  # after the first; with pauses of 1, 2, 4 and 8 s
_PAUSE = 1.0
_LONGEST_PAUSE = 60.0  # seconds, whatever a server asks for
_BUSY = (429, 500, 502, 503, 504)
_REDIRECTS = 5

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Hosts:
    """The hosts that may be asked.

    Attributes:
        names: Host and port of each.
    """

    names: frozenset[tuple[str, int]]

    def check(self, url: str, whose: str, *, online: bool = True) -> None:
        """Check that a URL may be asked.

        Args:
            url: The URL.
            whose: What names it, for the error.
            online: Whether the network must be switched on.

        Raises:
            CatalogueError: Another host or scheme, or the network is switched off.
        """
        place = _place(url)
        if place is None or place not in self.names:
            where = "no web address" if place is None else f"{place[0]}:{place[1]}"
            raise CatalogueError(
                f"{whose} must lie on a host that is allowed, got {where} in {without_query(url)}; "
                "if you trust it, name the host (`allow_host`)."
            )
        if online:
            check_online(url)


def hosts_of(catalogue: str, allowed: Iterable[str], *, table: bool) -> Hosts:
    """The hosts that may be asked: the catalogue's own, and those that the user allows.

    Args:
        catalogue: Its URL or path.
        allowed: Hosts, or host:port, that the user allows.
        table: Whether the hosts of the table of sensors count.
    """
    places = {place} if (place := _place(catalogue)) is not None else set()
    known = sensors.known()
    of_table = [h for product in known.products.values() for h in product.hosts]
    of_table += [h for class_map in known.maps.values() for h in class_map.hosts]
    for host in (*allowed, *(of_table if table else ())):
        name, _, port = host.lower().partition(":")
        ports = (int(port),) if port.isdigit() else tuple(_PORTS.values())
        places |= {(name, p) for p in ports}
    return Hosts(frozenset(places))


def is_url(text: str) -> bool:
    """Whether a text is a web address."""
    return text.lower().startswith(("http://", "https://"))


def without_query(url: str) -> str:
    """A URL without its query and password, which may hold keys."""
    parts = urlsplit(url)
    return parts._replace(query="", fragment="", netloc=parts.netloc.rpartition("@")[2]).geturl()


def without_keys(text: str) -> str:
    """A text of another library without the queries and passwords of addresses in it."""
    return re.sub(r"\?[^\s'\")]*", "?...", re.sub(r"//[^/@\s'\"]*@", "//", text))


def check_online(url: str) -> None:
    """Check that the network isn't switched off.

    Raises:
        CatalogueError: It is.
    """
    if os.environ.get(OFFLINE):
        raise CatalogueError(
            f"The network must not be switched off to ask a catalogue, got {OFFLINE} set for "
            f"{without_query(url)}; unset it, or give a folder of items."
        )


def session(hosts: Hosts) -> Any:
    """A session of requests that asks again where a server is busy, and checks redirects.

    Raises:
        ParameterError: requests isn't installed; it comes with pystac-client.
    """
    requests = required("requests", "catalogue", "Catalogues on the web")
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    class Session(requests.Session):  # type: ignore[misc, name-defined]
        def get_redirect_target(self, resp: Any) -> str | None:
            target: str | None = super().get_redirect_target(resp)
            try:
                if target is not None:
                    hosts.check(urljoin(resp.url, target), "A redirect")
            except CatalogueError:
                resp.close()
                raise
            return target

    retries = Retry(
        total=_TRIES, backoff_factor=_PAUSE, backoff_max=_LONGEST_PAUSE,
        retry_after_max=int(_LONGEST_PAUSE), status_forcelist=_BUSY, allowed_methods=None,
        raise_on_status=False,
    )  # fmt: skip
    made = Session()
    made.max_redirects = _REDIRECTS
    for scheme in ("http://", "https://"):
        made.mount(scheme, HTTPAdapter(max_retries=retries))
    return made


def _place(url: str) -> tuple[str, int] | None:
    """Host and port of a web address; None for anything else."""
    if not is_url(url):
        return None
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme.lower()]
    except ValueError:
        return None
    return (parts.hostname.rstrip("."), port) if parts.hostname else None

"""Items of a catalogue: an API, a static catalogue, a folder of items or a list of them."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from landshift import sensors
from landshift.catalogue import hosts as http
from landshift.catalogue.hosts import Hosts
from landshift.errors import CatalogueError, reason_of
from landshift.files import jsons
from landshift.files.dates import Period
from landshift.machine import progress
from landshift.machine.extras import required

log = logging.getLogger(__name__)

MOST_READ = 20_000
"""Items and catalogues of a static catalogue or folder that are read at most; larger ones have an
API for searching."""

_MOST_BYTES = 64 << 20
"""Bytes of an answer or file at most; a page of 500 items has some 10 MiB."""

_PAGE = 100  # items an answer; servers may give fewer
_CLOUD = "eo:cloud_cover"
Items = Iterator[tuple[Mapping[str, Any], str | None]]
"""Items as JSON, and where each lies."""

_ITEM_SUFFIXES = (".json", ".geojson")


@dataclass(frozen=True)
class Query:
    """What is searched.

    Attributes:
        place: The place in WGS 84, a shapely geometry.
        period: The days.
        collections: Identifiers of the collections; empty: all.
        max_cloud: Largest cloud cover in percent; None: any. Items that state none pass.
        most: Largest number of items.
    """

    place: Any
    period: Period
    collections: tuple[str, ...]
    max_cloud: float | None
    most: int

    def holds(self, entry: Entry) -> bool:
        """Whether an item is one that is searched."""
        return (
            (not self.collections or entry.collection in self.collections)
            and entry.taken.first <= self.period.last
            and self.period.first <= entry.taken.last
            and (self.max_cloud is None or entry.cloud is None or entry.cloud <= self.max_cloud)
            and bool(entry.footprint.intersects(self.place))
        )


@dataclass(frozen=True, eq=False)
class Entry:
    """An item of a catalogue.

    Attributes:
        id: Its identifier.
        collection: That of its collection; '' if it has none.
        taken: When it was taken.
        footprint: Its ground in WGS 84, a shapely geometry.
        document: The item as JSON holds it, hrefs absolute.
    """

    id: str
    collection: str
    taken: Period
    footprint: Any
    document: Mapping[str, Any]

    @property
    def cloud(self) -> float | None:
        """Its cloud cover in percent, as it states."""
        value = self.document["properties"].get(_CLOUD)
        return float(value) if isinstance(value, int | float) else None

    @property
    def platform(self) -> str:
        """The satellite that it names; '' if none."""
        return str(self.document["properties"].get("platform") or "")

    @cached_property
    def product(self) -> sensors.Product | None:
        """What the table of sensors knows it as."""
        return sensors.product_of(self.id, self.collection)

    @cached_property
    def class_map(self) -> sensors.ClassMap | None:
        """The class map that it is a part of, if the table knows it."""
        maps = sensors.known().maps.values()
        return next((m for m in maps if self.collection in m.collections), None)


def found(catalogue: str, queries: Sequence[Query], hosts: Hosts) -> list[list[Entry]]:
    """The items of a catalogue that each query is for, by time; each once.

    Args:
        catalogue: URL of an API or static catalogue; path of a catalogue, of an item, of a list
            of items (GeoJSON) or of a folder with items.
        queries: What is searched: for one place, in several periods.
        hosts: Hosts that may be asked.

    Raises:
        CatalogueError: It can't be read, or isn't a catalogue.
        ParameterError: pystac-client isn't installed.
    """
    required("pystac_client", "catalogue", "Searching catalogues")
    with _quiet(catalogue), http.session(hosts) as ask:
        items = _source(catalogue, queries, hosts, ask)
        return [_matching(query, items(query)) for query in queries]


def _matching(query: Query, entries: Iterable[Entry]) -> list[Entry]:
    """The entries that a query is for, each once, by time."""
    wanted: dict[tuple[str, str], Entry] = {}
    for entry in progress.each(entries, f"searching {query.period}"):
        if query.holds(entry):
            wanted.setdefault((entry.collection, entry.id), entry)
        if len(wanted) > query.most:
            log.warning(
                "More than %d items match %s, and the rest is left out: give a smaller place, "
                "fewer days, or `most`.", query.most, query.period,
            )  # fmt: skip
            wanted.popitem()
            break
    return sorted(wanted.values(), key=lambda e: (e.taken, e.collection, e.id))


def read_list(path: Path | str) -> tuple[list[Entry], dict[str, Any]]:
    """The items in a file of `search`, and what it notes of the search.

    Raises:
        CatalogueError: It isn't a list of items.
    """
    required("pystac", "catalogue", "Items of catalogues")
    document = _parsed(_bytes_of(Path(path)), str(path))
    with _quiet(str(path)):
        entries = list(_entries(_of_document(document, str(path))))
    notes = document.get("landshift") if isinstance(document, dict) else None
    return entries, notes if isinstance(notes, dict) else {}


def entry_of(document: Mapping[str, Any], href: str | None = None) -> Entry:
    """An item from its JSON.

    Args:
        document: The item.
        href: Where it lies, for relative hrefs.

    Raises:
        ValueError: It isn't an item, or states no time or place; KeyError, TypeError and pystac's
            errors are passed on.
    """
    import pystac
    import shapely
    from shapely.geometry import shape

    item = pystac.Item.from_dict(dict(document), href=href)
    if item.get_self_href() is not None:
        item.make_asset_hrefs_absolute()
    about = item.common_metadata
    moments = [item.datetime or about.start_datetime, item.datetime or about.end_datetime]
    days = [m.date() for m in moments if m is not None]
    if len(days) != 2:
        raise ValueError("no time")
    if item.geometry is not None:
        footprint = shapely.make_valid(shape(item.geometry))
    elif item.bbox is not None and len(item.bbox) == 4:
        footprint = shapely.box(*item.bbox)
    else:
        raise ValueError("no place")
    return Entry(
        id=item.id, collection=item.collection_id or "", taken=Period(min(days), max(days)),
        footprint=footprint, document=item.to_dict(include_self_link=False),
    )  # fmt: skip


def _entries(items: Items) -> Iterator[Entry]:
    """The items that can be understood; of the others, one line says how many there were."""
    from pystac.errors import STACError, STACTypeError

    damaged: list[str] = []
    for document, href in items:
        try:
            yield entry_of(document, href)
        except (STACError, STACTypeError, ValueError, KeyError, TypeError, AttributeError) as error:
            name = document.get("id") if isinstance(document, Mapping) else None
            damaged.append(f"{name}: {reason_of(error)}")
    if damaged:
        log.warning(
            "%d items of the catalogue can't be understood, and are left out (%.120s).",
            len(damaged), damaged[0],
        )  # fmt: skip


def _source(
    catalogue: str, queries: Sequence[Query], hosts: Hosts, ask: Any
) -> Callable[[Query], Iterable[Entry]]:
    """What gives the items that a query may be for: an API is asked, all else is read once."""
    if not http.is_url(catalogue):
        path = Path(catalogue)
        if path.is_dir():
            return _read_once(islice(_of_folder(path), MOST_READ))
        document = _parsed(_bytes_of(path), catalogue)
        if isinstance(document, dict) and document.get("type") in ("Feature", "FeatureCollection"):
            return _read_once(_of_document(document, catalogue))
    client = _opened(catalogue, hosts, ask)
    if hasattr(client, "conforms_to") and client.conforms_to("ITEM_SEARCH"):
        return lambda query: _entries((item, None) for item in _searched(client, query))
    return _read_once(_walked(client, queries))


def _read_once(items: Items) -> Callable[[Query], Iterable[Entry]]:
    entries = list(progress.each(_entries(items), "reading the catalogue"))
    return lambda _: entries


def _of_document(document: Any, where: str) -> Items:
    """The items of a file: one, or a list."""
    kind = document.get("type") if isinstance(document, dict) else None
    features = document.get("features") if kind == "FeatureCollection" else [document]
    if kind not in ("Feature", "FeatureCollection") or not isinstance(features, list):
        raise CatalogueError(
            f"A list of items must be GeoJSON, a FeatureCollection of STAC Items, got "
            f"{str(kind)[:40]} in {where}; make it with `landshift search`."
        )
    href = str(Path(where).absolute())
    yield from ((f, href) for f in features if isinstance(f, dict))


def _of_folder(folder: Path) -> Items:
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in _ITEM_SUFFIXES or not path.is_file():
            continue
        try:
            document = _parsed(_bytes_of(path), str(path))
        except CatalogueError:
            continue  # a folder may hold any other JSON
        is_item = isinstance(document, dict) and document.get("type") == "Feature"
        if is_item and document.get("stac_version") and "assets" in document:
            yield document, str(path.absolute())


def _searched(client: Any, query: Query) -> Iterator[dict[str, Any]]:
    """The items that an API finds; asked only for what it says that it can do."""
    first, last = query.period.first, query.period.last
    where = query.place.__geo_interface__
    asked: dict[str, Any] = {
        "datetime": f"{first}T00:00:00Z/{last}T23:59:59Z", "limit": _PAGE,
        "method": _method(client),
    }  # fmt: skip
    if query.collections:
        asked["collections"] = list(query.collections)
    if asked["method"] == "POST" or where["type"] != "Polygon":
        asked["intersects"] = where
    else:
        asked["bbox"] = list(query.place.bounds)
    more: dict[str, Any] = {}
    if query.max_cloud is not None and client.conforms_to("QUERY"):
        more["query"] = {_CLOUD: {"lte": query.max_cloud}}
    elif query.max_cloud is not None and client.conforms_to("FILTER"):
        more["filter"] = {"op": "<=", "args": [{"property": _CLOUD}, query.max_cloud]}
        more["filter_lang"] = "cql2-json"
        asked |= {"method": "POST"}
    number = 0
    for item in client.search(**asked, **more).items_as_dicts():
        number += 1
        yield item
    if not number and more:  # some answer a query that they can't do with nothing
        yield from client.search(**asked).items_as_dicts()


def _method(client: Any) -> str:
    """POST, unless the API's links name GET alone."""
    links = client.get_links("search")
    methods = {str(link.extra_fields.get("method") or "GET").upper() for link in links}
    return "GET" if methods == {"GET"} else "POST"


def _walked(catalogue: Any, queries: Sequence[Query]) -> Items:
    """The items of a static catalogue, without collections that no query is for."""
    waiting, seen = [catalogue], {_href(catalogue)}
    number = 0
    while waiting:
        part = waiting.pop()
        for link in part.get_links():
            if link.rel not in ("child", "item"):
                continue
            number += 1
            if number > MOST_READ:
                log.warning(
                    "The catalogue has more than %d entries, and the rest is left out: give the "
                    "catalogue of a part of it.", MOST_READ,
                )  # fmt: skip
                return
            if link.get_absolute_href() in seen:  # catalogues may lead in a circle
                continue
            seen.add(link.get_absolute_href())
            target = link.resolve_stac_object(root=catalogue).target
            if link.rel == "item":
                yield target.to_dict(include_self_link=False), _href(target)
            elif any(_may_hold(target, query) for query in queries):
                waiting.append(target)


def _may_hold(part: Any, query: Query) -> bool:
    """Whether a catalogue may have items that are wanted; collections state identifier and days."""
    import pystac

    if not isinstance(part, pystac.Collection):
        return True
    if query.collections and part.id not in query.collections:
        return False
    spans = part.extent.temporal.intervals
    return not spans or any(
        (start is None or start.date() <= query.period.last)
        and (end is None or end.date() >= query.period.first)
        for start, end in spans
    )


def _href(part: Any) -> str | None:
    href: str | None = part.get_self_href()
    return href


def _opened(catalogue: str, hosts: Hosts, ask: Any) -> Any:
    """A catalogue or API, opened with pystac-client."""
    import pystac
    from pystac_client.stac_api_io import StacApiIO

    local = not http.is_url(catalogue)

    class Reader(StacApiIO):
        """Reads what is allowed: of local catalogues files, else allowed hosts, within bounds."""

        def read_text(self, source: Any, *args: Any, **kwargs: Any) -> str:
            href = source.href if isinstance(source, pystac.Link) else str(source)
            if http.is_url(href):
                return str(super().read_text(source, *args, **kwargs))
            if not local:
                raise CatalogueError(
                    f"A catalogue on the web must name web addresses, got {href[:80]!r} in "
                    f"{http.without_query(catalogue)}; it is hostile or damaged."
                )
            return _bytes_of(Path(href)).decode("utf-8-sig", "replace")

        def request(
            self,
            href: str,
            method: str | None = None,
            headers: dict[str, str] | None = None,
            parameters: dict[str, Any] | None = None,
        ) -> str:
            return _asked(ask, hosts, href, method or "GET", headers, parameters)

    return pystac.read_file(catalogue, stac_io=Reader())


def _asked(
    ask: Any,
    hosts: Hosts,
    href: str,
    method: str,
    headers: dict[str, str] | None,
    parameters: dict[str, Any] | None,
) -> str:
    """The answer of a server as text."""
    hosts.check(href, "A catalogue")
    how = {"json" if method.upper() == "POST" else "params": parameters or None}
    with ask.request(
        method, href, headers=headers, stream=True, timeout=http.TIMEOUT, **how
    ) as answer:
        if not 200 <= answer.status_code < 300:
            raise CatalogueError(
                f"The catalogue must answer, got {answer.status_code} {answer.reason} from "
                f"{http.without_query(href)}; check the address and the options, or try later."
            )
        body = bytearray()
        for chunk in answer.iter_content(1 << 16):
            body += chunk
            if len(body) > _MOST_BYTES:
                raise CatalogueError(
                    f"An answer must have at most {_MOST_BYTES >> 20} MiB, got more from "
                    f"{http.without_query(href)}; ask for less."
                )
    return body.decode("utf-8-sig", "replace")


def _bytes_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise CatalogueError(
            f"A catalogue must be a web address, a folder or a file, got '{reason_of(error)}' for "
            f"{path}; check it."
        ) from error
    return data


def _parsed(data: bytes, where: str) -> Any:
    try:
        return jsons.parse(data, what="A catalogue", error=CatalogueError, most=_MOST_BYTES)
    except CatalogueError as error:
        raise CatalogueError(f"{str(error).rstrip('.')} ({where}).") from error


@contextmanager
def _quiet(catalogue: str) -> Iterator[None]:
    """Errors of pystac, pystac-client and requests as one line; their warnings off."""
    errors = _errors()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"pystac")
        warnings.filterwarnings("ignore", category=Warning, message=r".*conform.*")
        try:
            yield
        except CatalogueError:
            raise
        except errors as error:
            cause: BaseException | None = error
            while cause is not None:  # pystac-client wraps ours
                if isinstance(cause, CatalogueError):
                    raise cause from error
                cause = cause.__cause__ or cause.__context__
            where = http.without_query(catalogue) if http.is_url(catalogue) else catalogue
            raise CatalogueError(
                f"The catalogue must be readable, got '{http.without_keys(reason_of(error)):.160}' "
                f"from {where}; check the address, or try later."
            ) from error


def _errors() -> tuple[type[Exception], ...]:
    from pystac.errors import STACError, STACTypeError

    kinds: list[type[Exception]] = [STACError, STACTypeError, KeyError, TypeError, ValueError]
    try:
        from requests import RequestException
    except ImportError:
        return (*kinds, OSError)
    return (*kinds, OSError, RequestException)

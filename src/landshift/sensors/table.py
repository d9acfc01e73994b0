"""The table of sensors, image products and class maps: `sensors.toml`, and a user's additions."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from landshift.errors import ParameterError, reason_of

VARIABLE = "LANDSHIFT_SENSORS"
"""Environment variable that names a user's additions to the table.

A variable, not an option: names of bands are looked up wherever a raster is read or shown, by
commands that have nothing else to do with catalogues.
"""

_HERE = Path(__file__).parent
_OWN = _HERE / "sensors.toml"
_MAPS = _HERE / "maps"

Entry = TypeVar("Entry")


@dataclass(frozen=True)
class Sensor:
    """A sensor.

    Attributes:
        title: Its name in words.
        called: Patterns by which texts and names of products call it.
        source: Where its bands are stated.
        bands: Common names of each band, between spaces, by the sensor's own name.
    """

    title: str
    called: tuple[str, ...]
    bands: Mapping[str, str]
    source: str = ""


@dataclass(frozen=True)
class BandGroup:
    """Bands of a product that share a unit.

    Attributes:
        bands: The sensor's own names.
        files: Pattern of their files' names, with the band's own name as its group.
        unit: What value * scale + offset means.
        scale: Factor of the stored values.
        offset: Added after that.
        nodata: Stored value that means 'no data'; None for none.
        later: A processing baseline, and the offset from it on.
        quality: Coding of a quality band, a name in `images.quality.CODINGS`; '' for others.
        hides: Classes of the quality band that aren't clear ground.
    """

    bands: tuple[str, ...]
    files: str
    unit: str = ""
    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None
    later: Mapping[str, float] | None = None
    quality: str = ""
    hides: tuple[str, ...] = ()

    def offset_at(self, baseline: float | None) -> float:
        """The offset at a processing baseline; the first one's where it is unknown."""
        if self.later is None or baseline is None or baseline < self.later["baseline"]:
            return self.offset
        return self.later["offset"]


@dataclass(frozen=True)
class Product:
    """A kind of image.

    Attributes:
        name: Its name in the table.
        title: Its name in words.
        called: Pattern of the names of its scenes.
        collections: Identifiers of its collections in STAC catalogues.
        licence: Its licence, and the credit that it asks for.
        source: Where the facts of its bands are stated.
        usual: The bands that an image has where none are chosen.
        groups: Its bands.
        sensor: Its sensor, if all scenes are of one; else the name of the scene states it.
        hosts: Where catalogues keep its files.
    """

    name: str
    title: str
    called: str
    collections: tuple[str, ...]
    licence: str
    source: str
    usual: tuple[str, ...]
    groups: tuple[BandGroup, ...]
    sensor: str = ""
    hosts: tuple[str, ...] = ()

    def band_of_file(self, name: str) -> tuple[str, BandGroup] | None:
        """The own name of the band that a file holds, by its name, and the band's group."""
        for group in self.groups:
            match = re.search(group.files, name, re.IGNORECASE)
            if match is not None:
                return match[1].upper(), group
        return None

    @property
    def quality(self) -> BandGroup | None:
        """Its quality band."""
        return next((group for group in self.groups if group.quality), None)


@dataclass(frozen=True)
class ClassMap:
    """A published class map.

    Attributes:
        name: Its name in the table.
        title: Its name in words.
        classes: The file with its legend, and the class of the common legend of each value.
        licence: Its licence, and the credit that it asks for.
        source: Where its legend is stated.
        called: Pattern of its files' names; '' if they follow no rule.
        collections: Identifiers of its collections in STAC catalogues.
        nodata: Value that means 'no data'; None for none.
        note: What users of it must know.
        hosts: Where catalogues keep its files.
    """

    name: str
    title: str
    classes: Path
    licence: str
    source: str
    called: str = ""
    collections: tuple[str, ...] = ()
    nodata: float | None = None
    note: str = ""
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """Everything that is known, each by its name."""

    sensors: Mapping[str, Sensor]
    products: Mapping[str, Product]
    maps: Mapping[str, ClassMap]


def known() -> Table:
    """The table, with the user's additions; these come first and replace entries of their name.

    Raises:
        ParameterError: The user's file is missing, damaged, or has an unknown or missing field.
    """
    return _known(os.environ.get(VARIABLE, ""))


@lru_cache(maxsize=4)
def _known(additions: str) -> Table:
    own = _read(_OWN, _MAPS)
    if not additions:
        return own
    more = _read(Path(additions), Path(additions).parent)
    return Table(
        {**more.sensors, **{k: v for k, v in own.sensors.items() if k not in more.sensors}},
        {**more.products, **{k: v for k, v in own.products.items() if k not in more.products}},
        {**more.maps, **{k: v for k, v in own.maps.items() if k not in more.maps}},
    )


def _read(path: Path, maps: Path) -> Table:
    """The table in a file.

    Args:
        path: The file.
        maps: Folder that the paths of legends are relative to.
    """
    import tomllib  # here: --help needs no table, and answers at once

    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        unknown = data.keys() - {"sensors", "products", "maps"}
        if unknown:
            raise ValueError(f"the unknown section {min(unknown)}")
        return Table(
            {name: _entry(Sensor, name, e) for name, e in data.get("sensors", {}).items()},
            {name: _product(name, e) for name, e in data.get("products", {}).items()},
            {name: _class_map(name, e, maps) for name, e in data.get("maps", {}).items()},
        )
    except (OSError, ValueError, TypeError, AttributeError, re.error) as error:
        raise ParameterError(
            f"A table of sensors must be TOML like landshift's own (docs/catalogue.md), got "
            f"'{reason_of(error)}' in {path}; correct it, or unset {VARIABLE}."
        ) from error


def _entry(kind: type[Entry], what: str, entry: Mapping[str, Any], /, **stated: Any) -> Entry:
    """An entry as its dataclass, lists as tuples, patterns checked."""
    of_kind = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    unknown = entry.keys() - of_kind
    if unknown:
        raise ValueError(f"the unknown field {min(unknown)!r} of {what}")
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}
    patterns = values.get("called", ())
    for pattern in (*((patterns,) if isinstance(patterns, str) else patterns), *_files(values)):
        re.compile(pattern)
    return kind(**{**values, **stated})


def _files(values: Mapping[str, Any]) -> tuple[str, ...]:
    if "files" not in values:
        return ()
    if re.compile(values["files"]).groups != 1:
        raise ValueError(f"{values['files']!r} without one group, the band's name")
    return (values["files"],)


def _product(name: str, entry: Mapping[str, Any]) -> Product:
    groups = tuple(_entry(BandGroup, name, group) for group in entry.get("groups", ()))
    return _entry(Product, name, entry, name=name, groups=groups)


def _class_map(name: str, entry: Mapping[str, Any], folder: Path) -> ClassMap:
    return _entry(ClassMap, name, entry, name=name, classes=folder / entry.get("classes", ""))

"""Scenes as agencies deliver them: the bands of a folder or archive, by common name.

Landsat Collection 2 Level 2 folders and tars, Sentinel-2 SAFE folders and zips, folders of HLS:
what `sensors.known().products` describes. Nothing is extracted: GDAL reads inside archives.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from landshift import raster, sensors
from landshift.errors import BandError, RasterError, reason_of
from landshift.files import dates
from landshift.files.dates import Period
from landshift.images.stac import BandFile
from landshift.sensors import BandGroup, Product

log = logging.getLogger(__name__)

_TARS = (".tar",)
_ZIPS = (".zip",)
_PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")

_MOST_FILES = 10_000
"""Files of a scene at most; deliveries have some dozens, a SAFE folder some hundreds."""

_MOST_METADATA = 16 << 20
"""Bytes of a metadata file that are read; deliveries have less than one MiB."""

_S2_BANDS = (
    "B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B10", "B11", "B12",
)  # fmt: skip
"""Bands by the ``band_id`` of Sentinel-2's metadata."""


@dataclass(frozen=True)
class Metadata:
    """What a scene's metadata file states.

    Attributes:
        taken: When it was taken.
        baseline: Processing baseline of Sentinel-2.
        scales: Factor of bands, by own name.
        offsets: Offset of bands, by own name.
    """

    taken: Period | None = None
    baseline: float | None = None
    scales: Mapping[str, float] = field(default_factory=dict)
    offsets: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class SceneBand:
    """A band of a scene.

    Attributes:
        own: Its own name: SR_B4, B04, QA_PIXEL.
        member: Path of its file inside the scene.
        group: What is known of it.
        names: All names that it goes by, in lower case, the usual common one first.
    """

    own: str
    member: str
    group: BandGroup
    names: tuple[str, ...]


def is_scene(name: Path | str) -> bool:
    """Whether a name is that of an archive, or of a folder that isn't a raster by itself."""
    path = Path(name)
    if "://" in str(name) or str(name).startswith("/vsi"):
        return False
    if not path.is_dir():
        return _has_suffix(path, (*_TARS, *_ZIPS, *_PACKED))
    try:
        _product(path, list(_members(path)))
    except RasterError:
        return not _is_raster(path)
    return True


def _is_raster(folder: Path) -> bool:
    """Whether GDAL opens a folder, such as an Esri Grid or Zarr, as a raster."""
    try:
        with raster.open_raster(folder):
            return True
    except RasterError:
        return False


def band_files(
    scene: Path | str, wanted: Sequence[str] | None = None, also: Sequence[str] = ()
) -> tuple[list[BandFile], Period | None]:
    """The files of a scene's bands, and when it was taken.

    Args:
        scene: The folder or archive.
        wanted: Bands by common name ('red') or own name ('SR_B4', 'B04'); None: those of
            `Product.usual` that are there.
        also: Further bands, such as quality bands, by own name or coding, wanted in any case.

    Raises:
        RasterError: It can't be read, or holds no scene of a known product.
        BandError: A band is missing.
    """
    path = Path(scene)
    members = list(_members(path))
    product, name = _product(path, members)
    sensor = product.sensor or sensors.called(name)
    bands = _bands(product, sensor, members)
    by_name = {alias: band for band in reversed(bands) for alias in reversed(band.names)}
    usual = [n for n in product.usual if n in by_name]
    names = list(dict.fromkeys([*(usual if wanted is None else wanted), *also]))
    missing = [n for n in names if n.lower() not in by_name]
    if missing or not names:
        raise BandError(
            f"A scene must have the bands {', '.join(missing) or 'of its product'}, got "
            f"{', '.join(band.names[0] for band in bands) or 'none'} in {scene}; choose among "
            "these (`select`, `mask_qa`), or fetch its other files."
        )
    about = _metadata(path, members)
    _remark(product, bands, also, path)
    files = [_file(path, by_name[n.lower()], n, product, about) for n in names]
    return files, about.taken or dates.of_name(name)


def scene_files(scene: Path | str, paths: Sequence[str]) -> list[Path | str]:
    """The files that an image of a scene was made from: of a folder its bands, else the archive."""
    inside = f"{Path(scene)}/"
    return [p for p in paths if p.startswith(inside)] if Path(scene).is_dir() else [scene]


def _remark(product: Product, bands: Sequence[SceneBand], also: Sequence[str], path: Path) -> None:
    """Warn of clouds that nothing hides though the scene has a quality band."""
    if also:
        return
    for band in bands:
        if band.group.quality:
            log.warning(
                "Clouds of %s stay in the image: nothing hides them, though the scene has a "
                "quality band; `mask_qa` %s=%s does.", path.name, band.group.quality,
                ",".join(band.group.hides),
            )  # fmt: skip


def _file(path: Path, band: SceneBand, name: str, product: Product, about: Metadata) -> BandFile:
    own = sensors.own_name(band.own) or band.own
    group = band.group
    return BandFile(
        href=_location(path, band.member), numbers=(1,), names=(name,), nodata=group.nodata,
        scales=(about.scales.get(own, group.scale),),
        offsets=(about.offsets.get(own, group.offset_at(about.baseline)),), unit=group.unit,
    )  # fmt: skip


def _bands(product: Product, sensor: str, members: Sequence[str]) -> list[SceneBand]:
    """The bands of a scene in the product's order; of several resolutions, the finest."""
    known: dict[str, SceneBand] = {}
    for member in sorted(members, key=_resolution):
        of_file = product.band_of_file(PurePosixPath(member).name)
        if of_file is None:
            continue
        own, group = of_file
        plain = sensors.own_name(own) or own
        if plain in known:
            continue
        usual = group.quality or sensors.common_name(own, sensor)
        names = [usual, *sorted(sensors.names_of(own, sensor)), own, plain]
        lower = dict.fromkeys(n.lower() for n in names)
        known[plain] = SceneBand(own, member, group, tuple(lower))
    places = {band: k for k, band in enumerate(b for g in product.groups for b in g.bands)}
    return sorted(known.values(), key=lambda b: places.get(sensors.own_name(b.own) or b.own, 99))


def _resolution(member: str) -> tuple[int, str]:
    """Metres in a file's name (..._B04_10m.jp2), then the name."""
    metres = re.search(r"_(\d\d)m\.", member)
    return (int(metres[1]) if metres else 0, member)


def _product(path: Path, members: Sequence[str]) -> tuple[Product, str]:
    """The product of a scene, and the name that states it: the scene's own, or of a file in it."""
    inner = [part for member in members for part in PurePosixPath(member).parts]
    for name in dict.fromkeys([path.name, *inner]):
        product = sensors.product_of(name)
        if product is not None:
            return product, name
    if any(PurePosixPath(m).name == "MTD_MSIL2A.xml" for m in members):
        return sensors.known().products["sentinel-2-l2a"], path.name
    titles = ", ".join(p.title for p in sensors.known().products.values())
    raise RasterError(
        f"A folder or archive given as an image must hold one scene of a known product ({titles}), "
        f"got none in {path}; give its files, or add the product to the table "
        f"({sensors.VARIABLE}, docs/catalogue.md)."
    )


def _members(path: Path) -> Iterator[str]:
    """Paths of the files of a scene, with / between names."""
    if _has_suffix(path, _PACKED):
        raise RasterError(
            f"An archive of a scene must be a plain .tar or a .zip, got {path.name} at {path}; "
            "unpack it: inside a compressed tar, every read would begin at its start."
        )
    import tarfile  # here, as in the functions below: --help reads no archive, and answers at once
    import zipfile

    try:
        for number, member in enumerate(_listed(path)):
            if number >= _MOST_FILES:
                raise RasterError(
                    f"A scene must have at most {_MOST_FILES:,} files, got more in {path}; give "
                    "the folder of one scene."
                )
            yield member
    except (tarfile.TarError, zipfile.BadZipFile, OSError, NotImplementedError) as error:
        if isinstance(error, RasterError):
            raise
        raise RasterError(
            f"A folder or archive must be whole and readable, got '{reason_of(error)}' at {path}; "
            "fetch it again."
        ) from error


def _listed(path: Path) -> Iterator[str]:
    import tarfile
    import zipfile

    if _has_suffix(path, _TARS):
        with tarfile.open(path, "r:") as archive:
            yield from (member.name for member in archive if member.isfile())
    elif _has_suffix(path, _ZIPS):
        with zipfile.ZipFile(path) as archive:
            yield from (member.filename for member in archive.infolist() if not member.is_dir())
    else:
        files = (p for p in path.rglob("*") if p.is_file())
        some = islice(files, _MOST_FILES + 1)  # a folder may be the root of a disk
        yield from sorted(p.relative_to(path).as_posix() for p in some)


def _location(path: Path, member: str) -> str:
    """A file of a scene as GDAL opens it."""
    if _has_suffix(path, _TARS):
        return f"/vsitar/{{{path}}}/{member}"
    return f"/vsizip/{{{path}}}/{member}" if _has_suffix(path, _ZIPS) else str(path / member)


def _has_suffix(path: Path, suffixes: Sequence[str]) -> bool:
    return path.name.lower().endswith(tuple(suffixes))


def _metadata(path: Path, members: Sequence[str]) -> Metadata:
    """What the metadata file of a scene states; nothing where there is none.

    Raises:
        RasterError: The file is damaged.
    """
    readers = {r"_MTL\.txt$": _landsat, r"(?:^|/)MTD_MSIL2A\.xml$": _sentinel2}
    for member in sorted(members, key=lambda m: m.count("/")):
        for pattern, reader in readers.items():
            if re.search(pattern, member) is None:
                continue
            try:
                return reader(_read(path, member).decode("utf-8", "replace"))
            except (ValueError, KeyError, OSError, ElementTree.ParseError) as error:
                raise RasterError(
                    f"The metadata of a scene must be whole, got '{reason_of(error)}' in {member} "
                    f"of {path}; fetch it again."
                ) from error
    return Metadata()


def _read(path: Path, member: str) -> bytes:
    """The first bytes of a file of a scene."""
    import tarfile
    import zipfile

    if _has_suffix(path, _TARS):
        with tarfile.open(path, "r:") as tar:
            packed = tar.extractfile(member)
            return b"" if packed is None else packed.read(_MOST_METADATA)
    if _has_suffix(path, _ZIPS):
        with zipfile.ZipFile(path) as archive, archive.open(member) as inner:
            return inner.read(_MOST_METADATA)
    with (path / member).open("rb") as file:
        return file.read(_MOST_METADATA)


_ENTRY = re.compile(r'^\s*(\w+)\s*=\s*"?([^"\r\n]*?)"?\s*$', re.MULTILINE)
_SCALING = {
    "REFLECTANCE_MULT_BAND_": "scales", "REFLECTANCE_ADD_BAND_": "offsets",
    "TEMPERATURE_MULT_BAND_": "scales", "TEMPERATURE_ADD_BAND_": "offsets",
}  # fmt: skip


def _landsat(text: str) -> Metadata:
    """An MTL file: date, and the scaling of the groups of Level 2 (those of Level 1 differ)."""
    stated: dict[str, dict[str, float]] = {"scales": {}, "offsets": {}}
    group, taken = "", None
    for key, value in _ENTRY.findall(text):
        if key == "GROUP":
            group = value
        elif key == "DATE_ACQUIRED":
            taken = dates.parse(value)
        elif group.startswith("LEVEL2_SURFACE_"):
            for start, kind in _SCALING.items():
                if key.startswith(start):
                    band = key.removeprefix(start)
                    stated[kind][f"B{band}" if band.isdigit() else band] = float(value)
    if taken is None:
        raise ValueError("no DATE_ACQUIRED")
    return Metadata(taken, None, stated["scales"], stated["offsets"])


def _sentinel2(text: str) -> Metadata:
    """A MTD_MSIL2A.xml: date, baseline, quantification value and offset of each band."""
    scales: dict[str, float] = {}
    offsets: dict[str, float] = {}
    taken = baseline = None
    for element in ElementTree.fromstring(text).iter():
        name, value = element.tag.rpartition("}")[2], (element.text or "").strip()
        if name == "PRODUCT_START_TIME":
            taken = dates.parse(value[:10])
        elif name == "PROCESSING_BASELINE":
            baseline = float(value)
        elif name == "BOA_QUANTIFICATION_VALUE":
            scales = dict.fromkeys(_S2_BANDS, 1 / float(value))
        elif name == "BOA_ADD_OFFSET":
            band = int(element.attrib["band_id"])
            if not 0 <= band < len(_S2_BANDS):
                raise ValueError(f"the band_id {band}")
            offsets[_S2_BANDS[band]] = float(value)
    if taken is None or not scales:
        raise ValueError("no PRODUCT_START_TIME or BOA_QUANTIFICATION_VALUE")
    return Metadata(
        taken, baseline, scales,
        {band: offset * scales[band] for band, offset in offsets.items()},
    )  # fmt: skip

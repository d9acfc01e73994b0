"""The files of a job: searched for in a folder, recognised by their contents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from landshift import raster
from landshift.errors import LandshiftError, ParameterError
from landshift.files import jsons, provenance
from landshift.pages.report import formats
from landshift.pages.report.files import ReportFiles

RASTERS = (".tif", ".tiff")
"""Suffixes of the rasters that are looked for in a folder."""

_MANIFEST = "landshift.json"
_TILE_SET = "esri_model_definition.emd"
_MOST = 2000  # files looked at in a folder


@dataclass(frozen=True)
class Product:
    """A raster made by landshift, with its provenance.

    Attributes:
        path: The raster.
        record: Its provenance, as `landshift.files.provenance.record` gives it.
    """

    path: Path
    record: dict[str, Any]

    @property
    def stage(self) -> str:
        """The stage that made it."""
        return str(self.record.get("stage", ""))

    @property
    def parameters(self) -> dict[str, Any]:
        """The options of that stage."""
        options = self.record.get("parameters")
        return options if isinstance(options, dict) else {}

    @property
    def inputs(self) -> list[tuple[str, str]]:
        """Name and fingerprint of each input."""
        listed = self.record.get("inputs")
        entries = [e for e in listed if isinstance(e, dict)] if isinstance(listed, list) else []
        return [(str(e.get("name", "")), str(e.get("fingerprint", ""))) for e in entries]


@dataclass(frozen=True)
class JobFolder:
    """The files of a job.

    Attributes:
        files: The files that the report shows.
        products: Rasters with provenance: those of the folder, and those that were given.
    """

    files: ReportFiles
    products: tuple[Product, ...]


def find(folder: Path, given: ReportFiles) -> JobFolder:
    """Find the files of a job.

    Rasters are recognised by their provenance, tables and JSON by their first line or their keys,
    models by their description. The search covers the folder, its subfolders, and models under
    ``models`` in either; training tiles are skipped.

    Args:
        folder: Where to search.
        given: Files that are known; they need no provenance and may lie anywhere.

    Raises:
        ParameterError: No such folder; a given file doesn't exist; several files could be the map,
            or another of them; nothing to report.
        RasterError: A given raster can't be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ParameterError(f"A report needs the folder of a job, got {folder}; check the path.")
    for field in fields(ReportFiles):
        path = getattr(given, field.name)
        if path is not None and not Path(path).exists():
            raise ParameterError(f"`{field.name}` must exist, got {path}; check the path.")
    paths = list(listed(folder))
    files = replace(
        given,
        areas=given.areas or _one("areas", with_keys(paths, formats.Areas)),
        scores=given.scores or _one("scores", with_keys(paths, formats.EvaluationRecord)),
        transitions=given.transitions or _one("transitions", [p for p in paths if _is_flows(p)]),
    )
    rasters = [p for p in paths if p.suffix.lower() in RASTERS]
    shown = (given.map, given.reference, given.before, given.after)
    rasters += [p for p in shown if p is not None]
    products = tuple(p for p in map(product_of, dict.fromkeys(rasters)) if p is not None)
    files = replace(files, map=files.map or _map(products, files))
    files = replace(
        files,
        reference=files.reference or _reference(products, files),
        confidence=files.confidence or _confidence(files.map),
        model=files.model or _model(paths, products, files),
    )
    stack = _composite(products, files)
    files = replace(files, before=files.before or stack, after=files.after or stack)
    if not any(getattr(files, f.name) for f in fields(ReportFiles)):
        raise ParameterError(
            f"A report needs a map, scores or areas of landshift, got none in {folder}; give them "
            "as `map`, `scores` or `areas`."
        )
    return JobFolder(files, products)


def listed(folder: Path) -> Iterator[Path]:
    """Files of a job's folder and its subfolders, without those of training sets."""
    places = [folder] if _is_tile_set(folder) else [folder, *_folders(folder)]
    for place in places:
        if place == folder or not _is_tile_set(place):
            yield from _files(place)
        for model in _folders(place / "models"):
            yield from _files(model)


def _is_tile_set(folder: Path) -> bool:
    return (folder / _TILE_SET).is_file()


def _files(folder: Path) -> list[Path]:
    paths = (p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    return sorted(paths)[:_MOST]


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def with_keys(
    paths: Sequence[Path], kind: type[formats.EvaluationRecord] | type[formats.Areas]
) -> list[Path]:
    """JSON files with every key of a kind; the values are checked when the file is read."""
    wanted = set(kind.model_fields)
    return [p for p in paths if p.suffix.lower() == ".json" and wanted <= _keys(p)]


def _keys(path: Path) -> set[str]:
    if path.stat().st_size > jsons.MAX_BYTES:
        return set()
    try:
        return set(formats.read_json(path))
    except LandshiftError:
        return set()


def _is_flows(path: Path) -> bool:
    if path.suffix.lower() != ".csv":
        return False
    with path.open("rb") as file:
        return file.readline(200).decode("utf-8-sig", "replace").strip() == ",".join(
            formats.FLOW_FIELDS
        )


def _one(name: str, candidates: Sequence[Path]) -> Path | None:
    """The only candidate.

    Raises:
        ParameterError: There are several.
    """
    if len(candidates) > 1:
        listed = ", ".join(str(p) for p in candidates[:4])
        raise ParameterError(f"One file must be the {name}, got {listed}; choose one by `{name}`.")
    return candidates[0] if candidates else None


def product_of(path: Path) -> Product | None:
    """A raster with its provenance; None where it has none, or can't be read."""
    try:
        with raster.open_raster(path) as source:
            tag = source.tags().get(provenance.TAG)
        if tag is None:
            return None
        record = jsons.parse(tag.encode(), what=f"The provenance of {path}", error=ParameterError)
    except LandshiftError:
        return None
    return Product(path, record) if isinstance(record, dict) else None


def _map(products: Sequence[Product], files: ReportFiles) -> Path | None:
    """A model's map, else the labelled change map; of several the one with assessed areas."""
    maps = [p.path for p in products if p.stage == "classify" and p.record.get("layer") == "class"]
    candidates = maps or [p.path for p in products if p.stage == "label"]
    if len(candidates) > 1 and files.areas is not None:
        digest = formats.read_json(files.areas).get("map_sha256")
        candidates = [p for p in candidates if provenance.digest(p) == digest] or candidates
    return _one("map", candidates)


def _reference(products: Sequence[Product], files: ReportFiles) -> Path | None:
    """A labelled change map beside a model's map."""
    if not any(p.path == files.map and p.stage == "classify" for p in products):
        return None
    return _one("reference", [p.path for p in products if p.stage == "label"])


def _composite(products: Sequence[Product], files: ReportFiles) -> Path | None:
    """The composite that the map was made from, else the only one there is."""
    stacks = [p.path for p in products if p.stage == "composite"]
    if len(stacks) < 2:
        return stacks[0] if stacks else None
    used = _inputs_of_map(products, files)
    stacks = [p for p in stacks if provenance.fingerprint(p) in used]
    return stacks[0] if stacks else None


def _model(paths: Sequence[Path], products: Sequence[Product], files: ReportFiles) -> Path | None:
    """The model that made the map, else the only one there is."""
    models = [p.parent for p in paths if p.name == _MANIFEST]
    used = _inputs_of_map(products, files)
    known = [
        m for m in models for p in _files(m)
        if p.suffix in (".emd", ".dlpk") and provenance.fingerprint(p) in used
    ]  # fmt: skip
    return _one("model", list(dict.fromkeys(known)) or models)


def _inputs_of_map(products: Sequence[Product], files: ReportFiles) -> set[str]:
    """Fingerprints of the map's inputs."""
    return {mark for p in products if p.path == files.map for _, mark in p.inputs}


def _confidence(mapped: Path | None) -> Path | None:
    """The confidence that `landshift classify --layer` writes beside a map."""
    if mapped is None:
        return None
    path = mapped.with_name(f"{mapped.stem}_confidence.tif")
    return path if path.is_file() else None

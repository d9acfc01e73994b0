"""The files of a job, found in a folder by what they say of themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from landshift import raster
from landshift.errors import LandshiftError, ParameterError
from landshift.files import jsons, provenance
from landshift.pages.report import formats

_RASTERS = (".tif", ".tiff")
_MANIFEST = "landshift.json"
_TILE_SET = "esri_model_definition.emd"
_MOST = 2000  # files of a folder that are looked at


@dataclass(frozen=True)
class Files:
    """What a report is made from; None where there is no such file.

    Attributes:
        map: The map that the report is about.
        before: Image of the first date, or a composite that holds it.
        after: Image of the second date, or a composite that holds it.
        reference: What the map is held against.
        confidence: How sure the map is of each pixel.
        areas: Areas with intervals, as `landshift estimate -o` writes them.
        scores: Scores, as `landshift evaluate --json` writes them.
        model: Folder, .emd or .dlpk of the model that made the map.
        transitions: Table of transitions, as `landshift label --table` writes it.
    """

    map: Path | None = None
    before: Path | None = None
    after: Path | None = None
    reference: Path | None = None
    confidence: Path | None = None
    areas: Path | None = None
    scores: Path | None = None
    model: Path | None = None
    transitions: Path | None = None


@dataclass(frozen=True)
class Made:
    """A raster and what made it.

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
        found = self.record.get("parameters")
        return found if isinstance(found, dict) else {}

    @property
    def inputs(self) -> list[tuple[str, str]]:
        """Name and fingerprint of each file that it was made from."""
        found = self.record.get("inputs")
        entries = [e for e in found if isinstance(e, dict)] if isinstance(found, list) else []
        return [(str(e.get("name", "")), str(e.get("fingerprint", ""))) for e in entries]


@dataclass(frozen=True)
class Job:
    """The files of a job.

    Attributes:
        files: What the report shows.
        made: Rasters of the folder that say what made them, and those told.
    """

    files: Files
    made: tuple[Made, ...]


def find(folder: Path, told: Files) -> Job:
    """Find the files of a job.

    Rasters are known by their provenance, tables and JSON by their first line or their keys,
    models by their description. Looked at are the folder, those in it, and models under
    ``models`` in either; training tiles aren't.

    Args:
        folder: Where they lie.
        told: Files that are known; they need no provenance and may lie anywhere.

    Raises:
        ParameterError: No folder; a file that was told isn't there; several files could be the
            map, or another of them; nothing to report.
        RasterError: A raster that was told can't be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ParameterError(f"A report needs the folder of a job, got {folder}; check the path.")
    for field in fields(Files):
        path = getattr(told, field.name)
        if path is not None and not path.exists():
            raise ParameterError(f"The file for --{field.name} must exist, got {path}.")
    listed = list(_listed(folder))
    found = replace(
        told,
        areas=told.areas or _one("areas", _with_keys(listed, formats.Areas)),
        scores=told.scores or _one("scores", _with_keys(listed, formats.Judged)),
        transitions=told.transitions or _one("transitions", [p for p in listed if _is_flows(p)]),
    )
    rasters = [p for p in listed if p.suffix.lower() in _RASTERS]
    rasters += [p for p in (told.map, told.reference, told.before, told.after) if p is not None]
    made = tuple(m for m in map(_made, dict.fromkeys(rasters)) if m is not None)
    found = replace(found, map=found.map or _map(made, found))
    found = replace(
        found,
        reference=found.reference or _reference(made, found),
        confidence=found.confidence or _beside(found.map),
        model=found.model or _model(listed, made, found),
    )
    stack = _composite(made, found)
    found = replace(found, before=found.before or stack, after=found.after or stack)
    if not any(getattr(found, f.name) for f in fields(Files)):
        raise ParameterError(
            f"A report needs a map, scores or areas of landshift, got none in {folder}; "
            "tell where they lie (--map, --scores, --areas)."
        )
    return Job(found, made)


def _listed(folder: Path) -> Iterator[Path]:
    """Files of a job's folder."""
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


def _with_keys(
    listed: Sequence[Path], kind: type[formats.Judged] | type[formats.Areas]
) -> list[Path]:
    """JSON files that hold every key of a kind; whether they hold it well is told when read."""
    wanted = set(kind.model_fields)
    return [p for p in listed if p.suffix.lower() == ".json" and wanted <= _keys(p)]


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


def _one(what: str, candidates: Sequence[Path]) -> Path | None:
    """The one file that can be it."""
    if len(candidates) > 1:
        names = ", ".join(str(p) for p in candidates[:4])
        raise ParameterError(f"One file must be the {what}, got {names}; tell which by --{what}.")
    return candidates[0] if candidates else None


def _made(path: Path) -> Made | None:
    """What a raster says of itself; None where it says nothing, or can't be read."""
    try:
        with raster.open_raster(path) as source:
            tag = source.tags().get(provenance.TAG)
        if tag is None:
            return None
        record = jsons.parse(tag.encode(), what=f"The provenance of {path}", error=ParameterError)
    except LandshiftError:
        return None
    return Made(path, record) if isinstance(record, dict) else None


def _map(made: Sequence[Made], found: Files) -> Path | None:
    """A model's map, else the change map that was labelled; the one that was assessed."""
    mapped = [m.path for m in made if m.stage == "classify" and m.record.get("layer") == "class"]
    candidates = mapped or [m.path for m in made if m.stage == "label"]
    if len(candidates) > 1 and found.areas is not None:
        digest = formats.read_json(found.areas).get("map_sha256")
        candidates = [p for p in candidates if provenance.digest(p) == digest] or candidates
    return _one("map", candidates)


def _reference(made: Sequence[Made], found: Files) -> Path | None:
    """A labelled change map beside a model's map."""
    if not any(m.path == found.map and m.stage == "classify" for m in made):
        return None
    return _one("reference", [m.path for m in made if m.stage == "label"])


def _composite(made: Sequence[Made], found: Files) -> Path | None:
    """The composite that the map was made from, else the only one there is."""
    stacks = [m.path for m in made if m.stage == "composite"]
    if len(stacks) < 2:
        return stacks[0] if stacks else None
    used = {f for m in made if m.path == found.map for _, f in m.inputs}
    stacks = [p for p in stacks if provenance.fingerprint(p) in used]
    return stacks[0] if stacks else None


def _model(listed: Sequence[Path], made: Sequence[Made], found: Files) -> Path | None:
    """The model that made the map, else the only one there is."""
    models = [p.parent for p in listed if p.name == _MANIFEST]
    used = {f for m in made if m.path == found.map for _, f in m.inputs}
    known = [
        m for m in models for p in _files(m)
        if p.suffix in (".emd", ".dlpk") and provenance.fingerprint(p) in used
    ]  # fmt: skip
    return _one("model", list(dict.fromkeys(known)) or models)


def _beside(mapped: Path | None) -> Path | None:
    """The confidence that `landshift classify --layer` writes beside a map."""
    if mapped is None:
        return None
    path = mapped.with_name(f"{mapped.stem}_confidence.tif")
    return path if path.is_file() else None

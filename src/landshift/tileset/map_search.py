"""The class maps that a change map was made from, found again by its provenance."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from landshift import grid, raster
from landshift.classes import CODINGS, ClassScheme, MapScheme, class_options
from landshift.classes.class_options import ClassesLike
from landshift.errors import ClassError, LandshiftError, plain
from landshift.files import provenance
from landshift.raster import blockwise
from landshift.tileset.coding import LabelCodes, LabelReader, codes_of_maps
from landshift.tileset.options import Companions

logger = logging.getLogger(__name__)


class _Unusable(Exception):
    """Why class maps aren't taken, and what to do, in words."""


@dataclass(frozen=True)
class _MapSource:
    """A class map as the change map's record states it.

    Attributes:
        name: Its file's name.
        fingerprint: Its fingerprint, see `provenance.fingerprint`.
        path: Its path relative to the change map's folder; '' where it isn't stated.
    """

    name: str
    fingerprint: str
    path: str

    @classmethod
    def of(cls, entry: Any) -> _MapSource:
        keys = ("name", "fingerprint", "path")
        texts = [str(entry.get(key, "")) if isinstance(entry, dict) else "" for key in keys]
        return cls(*texts)

    def find(self, folders: Sequence[Path]) -> Path | None:
        """The file: at the stated path, in these folders, or in a folder of theirs.

        Whoever wrote the record chose the path: devices and files of the kernel, whose size is 0
        and whose end may never come, aren't read.
        """
        for path in self._places(folders):
            try:
                readable = path.is_file() and path.stat().st_size > 0
                if readable and provenance.fingerprint(path) == self.fingerprint:
                    return path
            except OSError:
                continue
        return None

    def _places(self, folders: Sequence[Path]) -> Iterator[Path]:
        if self.path and not Path(self.path).is_absolute():
            yield Path(os.path.normpath(folders[0].absolute() / self.path))
        name = Path(self.name).name
        if not name:
            return
        for folder in folders:
            yield folder / name
        for folder in folders:
            for inner in _folders_in(folder):
                yield inner / name


def _folders_in(folder: Path) -> list[Path]:
    """The folders in a folder; none where it can't be listed."""
    try:
        return sorted(p for p in folder.iterdir() if p.is_dir())
    except OSError:
        return []


@dataclass(frozen=True)
class _LabelRecord:
    """A change map's record of the class maps that `landshift.label` compared.

    Attributes:
        change: The change map.
        before: The class map of the first date.
        after: That of the second.
        coding: Name of the change map's coding.
        classes: The classes of both with their values in tiles; None: not stated.
        moved: Value in tiles of each class value of the maps that tiles can't hold.
        recoded: Whether the maps' values were recoded.
    """

    change: Path
    before: _MapSource
    after: _MapSource
    coding: str
    classes: ClassScheme | None
    moved: Mapping[int, int]
    recoded: bool

    @classmethod
    def of(cls, change: Path) -> _LabelRecord | None:
        """The record of a change map; None where `landshift.label` didn't make it."""
        with raster.open_raster(change) as source:
            entry = provenance.from_tags(source.tags())
        inputs, options = entry.get("inputs"), entry.get("parameters")
        if entry.get("stage") != "label" or not isinstance(options, dict):
            return None
        try:
            earlier, later = (1 + int(options.get(f"agree_{k}", 0)) for k in ("before", "after"))
            if not isinstance(inputs, list) or len(inputs) != earlier + later or earlier < 1:
                return None
            stated = entry.get("map_classes")
            return cls(
                change=change,
                before=_MapSource.of(inputs[0]),
                after=_MapSource.of(inputs[earlier]),
                coding=str(options.get("coding")),
                classes=None if stated is None else ClassScheme.from_list(stated),
                moved={int(old): int(new) for old, new in (options.get("moved") or {}).items()},
                recoded=any(options.get(f"recode_{k}") is not None for k in ("before", "after")),
            )
        except (TypeError, ValueError, AttributeError, LookupError, OverflowError, ClassError):
            return None

    @property
    def names(self) -> str:
        """Names of the two maps."""
        return f"{plain(self.before.name)} and {plain(self.after.name)}"

    @property
    def filed(self) -> ClassScheme | None:
        """The classes with their values in the maps."""
        if self.classes is None:
            return None
        old = {new: value for value, new in self.moved.items()}
        return MapScheme([replace(c, value=old.get(c.value, c.value)) for c in self.classes])

    def codes(self, classes: ClassScheme, scheme: ClassScheme | None) -> bool:
        """Whether the change map's codes are those of classes of the two maps.

        Args:
            classes: The classes of the two maps.
            scheme: Classes of the change map, if they are given; their names are free.
        """
        if self.coding not in CODINGS or (self.classes or classes).mapping != classes.mapping:
            return False
        change = CODINGS[self.coding](classes)
        if scheme is not None:
            return change.values == scheme.values
        stated = raster.scheme_of(self.change, labels=True)
        return stated is not None and change.mapping == stated.mapping


def with_class_maps(
    images: Sequence[Path],
    labels: Sequence[Path],
    scheme: ClassScheme | None,
    companions: Companions,
) -> Companions:
    """Companions with the class maps that the change maps were made from.

    The provenance of a change map that `landshift.label` made states their names, fingerprints,
    paths and classes. They are searched at that path, beside the change map, beside the image, and
    in the folders there. They are taken where all are found, hold the images' pixels, and have the
    classes that the change maps' codes stand for; else a warning says what to give.

    Args:
        images: The images.
        labels: The change map of each.
        scheme: Classes of the change maps, if they are given.
        companions: The companions that were given; returned as they are where they name class
            maps, or say that none are wanted.
    """
    if not companions.class_maps or companions.labels_before or companions.labels_after:
        return companions
    records = [_LabelRecord.of(Path(path)) for path in labels]
    stated = [record for record in records if record is not None]
    if len(stated) < len(records):
        return companions  # labels that no class maps lie behind
    try:
        pairs = [_found(image, record) for image, record in zip(images, stated, strict=True)]
        before, after = ([pair[k] for pair in pairs] for k in (0, 1))
        classes = _classes(stated, [*before, *after], scheme, companions)
    except _Unusable as reason:
        logger.warning(
            "%s The tiles carry no class maps, from which semantic models learn; give them with "
            "`labels_before` and `labels_after`.", reason
        )  # fmt: skip
        return companions
    for (first, second), record in zip(pairs, stated, strict=True):
        logger.info("%s: class maps %s and %s, from its provenance.", record.change, first, second)
    return replace(companions, labels_before=before, labels_after=after, map_classes=classes)


def _found(image: Path, record: _LabelRecord) -> tuple[Path, Path]:
    """The class maps of a change map.

    Raises:
        _Unusable: They aren't found, are recoded, or lie on another grid than the image.
    """
    if record.recoded:
        raise _Unusable(f"{record.change} was made from recoded class maps ({record.names}).")
    folders = list(dict.fromkeys([record.change.parent, Path(image).parent]))
    paths = []
    box = raster.info(image).grid
    for source in (record.before, record.after):
        path = source.find(folders)
        if path is None:
            raise _Unusable(
                f"{record.change} was made from {record.names}, of which {plain(source.name)} "
                "isn't there as it was, neither at its place nor beside the change map or the "
                "image."
            )
        if grid.place_inside(box, raster.info(path).grid) is None:
            raise _Unusable(f"{path} lies on another grid than {image}.")
        paths.append(path)
    return paths[0], paths[1]


def _classes(
    records: Sequence[_LabelRecord],
    maps: Sequence[Path],
    scheme: ClassScheme | None,
    companions: Companions,
) -> ClassesLike:
    """Classes of the class maps; None: as they state them.

    Raises:
        _Unusable: They aren't those that the change maps' codes stand for.
    """
    given = class_options.classes_of(companions.map_classes)
    for classes in [given] if given is not None else [None, records[0].filed]:
        try:
            codes = codes_of_maps(maps, classes)
            if all(record.codes(codes.scheme, scheme) for record in records):
                _check_values(codes, maps)
                return classes
        except LandshiftError as error:
            logger.info("Class maps don't fit the change map: %s", error)
    raise _Unusable(
        f"The class maps of {records[0].change} ({records[0].names}) hold other classes than its "
        "codes stand for."
    )


def _check_values(codes: LabelCodes, maps: Sequence[Path]) -> None:
    """Check that each class map's values are classes.

    Raises:
        ClassError: A value isn't.
    """
    for path in maps:
        about = raster.info(path)
        windows = list(raster.blocks(about.height, about.width))
        opened = partial(LabelReader.opened, codes, path)
        with blockwise.results(windows, "checking class maps", opened, _check_block) as results:
            for _ in results:
                pass


def _check_block(reader: LabelReader, block: blockwise.Block) -> None:
    reader.read(block.window)

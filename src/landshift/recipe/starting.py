"""`landshift init`: a first recipe, for files or for a place, with a comment for each line."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from landshift import sensors
from landshift.catalogue.place import Place
from landshift.catalogue.search import periods_of
from landshift.errors import ParameterError
from landshift.files import kinds, options, whole
from landshift.recipe.reading import read
from landshift.recipe.stages import planned


@dataclass(frozen=True)
class OwnFiles:
    """Images and class maps that are there."""

    before: Path | None = None
    """Image of the first date: a raster, a Landsat or Sentinel-2 folder or archive."""
    after: Path | None = None
    """Image of the second date."""
    before_classes: Path | None = None
    """Class map of the first date."""
    after_classes: Path | None = None
    """Class map of the second date."""


@dataclass(frozen=True)
class Catalogued:
    """A place whose images and class maps a catalogue has."""

    catalogue: str | None = None
    """Address of a STAC API, or a file or folder of a static catalogue."""
    collections: Annotated[Sequence[str], Parameter(name="--collection")] = ()
    """Collections of images; left out: all."""
    class_collection: str | None = None
    """Collection of class maps: worldcover, io-lulc-annual-v02 and the like."""
    dates: Sequence[str] = ()
    """Range of days of an image, as in 2001-06/2001-09; once for each of the two dates."""


def init(
    recipe: options.FilePath = Path("recipe.yaml"),
    *,
    files: Annotated[OwnFiles, options.GROUP] = OwnFiles(),
    place: Annotated[Place, options.GROUP] = Place(),  # noqa: B008 - frozen
    catalogued: Annotated[Catalogued, options.GROUP] = Catalogued(),
    sample_size: int = 300,
) -> Path:
    """Write a first recipe for your files, or for a place, with comments.

    Without options, five questions are asked on a terminal. A recipe that is there is never
    replaced.

    Args:
        recipe: The recipe to write: .yaml or .yml.
        files: Images and class maps that are there.
        place: The place, for a catalogue.
        catalogued: What to ask a catalogue for.
        sample_size: Units of the sample that people label.

    Raises:
        OutputError: The recipe is there already, or can't be written.
        ParameterError: Too little is stated, or files and a catalogue at once.
        RasterError: A file isn't there.
    """
    path = Path(recipe)
    kinds.RECIPE.check(path)
    whole.check_new(path)
    if files == OwnFiles() and catalogued == Catalogued():
        if not sys.stdin.isatty():
            raise ParameterError(
                "A recipe must be for files or a place, got neither; give `before` and `after`, "
                "or `catalogue` with a place and two `dates`, or answer questions on a terminal."
            )
        files, place, catalogued = _asked(input)
    text = (
        _of_place(place, catalogued, sample_size, path.parent)
        if catalogued.catalogue is not None
        else _of_files(files, sample_size, path.parent)
    )
    with whole.whole_file(path) as part:
        part.write_text(text, encoding="utf-8")
        planned(replace(read(part), path=path), {}, path.parent.absolute() / "results")
    return path


def _asked(ask: Callable[[str], str]) -> tuple[OwnFiles, Place, Catalogued]:
    """Five questions: the images, then what is known of labels."""
    first = ask(
        "1/5 Image of the first date, or the address of a catalogue (https://...): "
    ).strip()
    if "://" in first:
        box = ask("2/5 Left, bottom, right, top in degrees: ").replace(",", " ").split()
        try:
            left, bottom, right, top = map(float, box)
        except ValueError:
            raise ParameterError(
                f"A place must be four numbers, got {' '.join(box)!r}; ask again, or give `shape`."
            ) from None
        days = [ask(f"{n}/5 Days of the {w} date, as 2001-06/2001-09: ").strip()
                for n, w in ((3, "first"), (4, "second"))]  # fmt: skip
        maps = ask("5/5 Collection of class maps of both dates (empty: none): ").strip()
        return (
            OwnFiles(),
            Place(bbox=(left, bottom, right, top)),
            Catalogued(catalogue=first, class_collection=maps or None, dates=days),
        )
    rest = [ask(f"{n}/5 {what}: ").strip() for n, what in (
        (2, "Image of the second date"),
        (3, "Class map of the first date (empty: none)"),
        (4, "Class map of the second date (empty: none)"),
    )]  # fmt: skip
    ask("5/5 Results go to the folder results beside the recipe; press Enter: ")
    others = [Path(answer) if answer else None for answer in rest]
    return OwnFiles(Path(first), *others), Place(), Catalogued()


def _of_files(files: OwnFiles, sample_size: int, base: Path) -> str:
    """The recipe of a person's files."""
    stated = {n: None if way is None else Path(way) for n, way in asdict(files).items()}
    for name in ("before", "after"):
        if stated[name] is None:
            raise ParameterError(f"A recipe needs `{name}`, got none; name the image.")
    for path in filter(None, stated.values()):
        if not path.exists():
            raise ParameterError(f"A file must be there, got {path}, which isn't; check the path.")
    ways = {name: _relative(path, base) for name, path in stated.items() if path is not None}
    labelled = len(ways) == len(stated)
    variables = "".join(f"  {name}: {json.dumps(way)}\n" for name, way in ways.items())
    labels = _LABEL if labelled else _BURN
    images = '["${before}", "${after}"]'
    return _text(variables, "", images, "${before}", "${after}", labels, sample_size)


def _of_place(place: Place, asked: Catalogued, sample_size: int, base: Path) -> str:
    """The recipe of a place."""
    if len(asked.dates) != 2:
        raise ParameterError(
            f"A recipe needs two ranges of `dates`, got {len(asked.dates)}; give two."
        )
    if place.bbox is not None:
        where = f"bbox: {json.dumps(list(place.bbox))}"
    elif place.shape is not None or place.like is not None:
        name = "shape" if place.shape is not None else "like"
        where = f"{name}: {json.dumps(_relative(Path(getattr(place, name)), base))}"
    else:
        raise ParameterError("A recipe needs a place, got none; give `bbox`, `shape` or `like`.")
    address = str(asked.catalogue)
    catalogue = address if "://" in address else _relative(Path(address), base)
    found = _SEARCH.format(
        where=where, collections=_collections(asked.collections), name="search",
        dates=json.dumps(list(asked.dates)),
    )  # fmt: skip
    found += (
        "\n  fetch:            # one cloud-free image a date, on one grid\n    items: ${search}\n"
    )
    names = [f"${{fetch}}/{n}.tif" for n in _names(asked.dates)]
    labels = _BURN
    if asked.class_collection is not None:
        found += "\n" + _SEARCH.format(
            where="like: " + json.dumps(names[0]), name="search_maps",
            collections=_collections([asked.class_collection]), dates=json.dumps(
                [day[:4] for day in asked.dates]
            ),
        ) + _FETCH_MAPS.format(like=names[0])  # fmt: skip
        before, after = (f"${{fetch_maps}}/{day[:4]}.tif" for day in asked.dates)
        labels = _LABEL_PLACE.format(before, after, _common_legend(asked.class_collection))
    variables = f"  catalogue: {json.dumps(catalogue)}\n"
    before, after = names
    return _text(variables, found, json.dumps(names), before, after, labels, sample_size)


def _names(ranges: Sequence[str]) -> list[str]:
    """Names of the images that `fetch` makes of ranges, without their suffix."""
    return [str(period).replace("/", "_") for period in periods_of(tuple(ranges))]


def _common_legend(collection: str) -> str:
    """Options that bring a known class map to the common legend."""
    for name, known in sensors.known().maps.items():
        if collection in known.collections:
            return (
                "    classes: landcover      # the common legend of known class maps\n"
                f"    recode-before: {name}\n    recode-after: {name}\n"
            )
    return ""


def _collections(names: Sequence[str]) -> str:
    return f"    collection: {json.dumps(list(names))}\n" if names else ""


def _relative(path: Path, base: Path) -> str:
    """A path relative to the recipe's folder, so that both can be moved together."""
    try:
        return Path(os.path.relpath(path, base)).as_posix()
    except ValueError:  # on another drive
        return str(path.absolute())


def _text(
    variables: str, found: str, images: str, before: str, after: str, labels: str, size: int
) -> str:
    """The whole recipe."""
    head = _HEAD.format(variables=variables, found=found, images=images)
    return (
        head
        + labels
        + _REST.format(
            before=before,
            after=after,
            size=size,
            labels="${burn}" if labels is _BURN else "${label}",
        )
    )


_HEAD = """\
# From images of two dates to a change map and its areas, with intervals.
#   landshift run THIS --dry-run      what would run, and why
#   landshift run THIS                runs it; the same command goes on after a stop
# Each stage is a command of landshift with the same options: see landshift COMMAND --help.
# ${{name}} is a variable, or the output of an earlier stage. Outputs lie in the folder `out`.
recipe: 1
out: results

variables:
{variables}
stages:
{found}
  composite:        # both dates on one grid
    images: {images}
    # mask-qa: ["qa_pixel=shadow,cloud"]   # clouds, by a quality band
    # mask-clouds: 0.0001   # clouds, by a network: the factor makes reflectance of the values
"""

_SEARCH = """\
  {name}:
    command: search
    catalogue: ${{catalogue}}
    {where}
    dates: {dates}
{collections}"""

_FETCH_MAPS = """
  fetch_maps:       # the class map of each date, on the grid of the images
    command: fetch
    items: ${{search_maps}}
    like: {like}
"""

_LABEL = """
  label:            # two class maps become a change map
    before: ${before_classes}
    after: ${after_classes}
    table: transitions.csv
    # min-hectares: 0.5     # remove smaller patches of change
"""

_LABEL_PLACE = """
  label:            # two class maps become a change map
    before: {}
    after: {}
    table: transitions.csv
    min-hectares: 0.5       # smaller patches of change are mostly errors of the maps
{}"""

_BURN = """
  # No class maps: draw polygons of change and no change on the map page (landshift explore) or in
  # QGIS, with a column 'class', and save them beside this recipe. See docs/polygons.md.
  burn:
    source: polygons.gpkg
    name-column: class
    like: ${composite}
"""

_REST = """
  tiles:            # a training set
    rasters: ["${{composite}}", "{labels}"]

  train:            # model, tile size and steps follow from the tiles; state them to choose
    tiles: ${{tiles}}
    # pretrained: false     # start from random weights; else ImageNet weights are fetched once
    # epochs: 20

  evaluate:         # on validation ground that no training tile touches
    paths: ["${{train}}", "${{tiles}}"]

  classify:
    image: ${{composite}}
    model: ${{train}}

  polygons:         # patches of change, for QGIS and ArcGIS
    map: ${{classify}}
    min-hectares: 0.5

  sample:           # places that people label
    map: ${{classify}}
    size: {size}
    allocation: floor

  label-samples:    # the run ends by saying how; once every unit has a label, it goes on
    sample: ${{sample}}
    before: {before}
    after: {after}

  estimate:         # areas with intervals
    sample: ${{label-samples}}
    map: ${{classify}}
    table: areas.csv

  report:           # one page that explains the map
    folder: ${{out}}
    model: ${{train}}

  explore:          # a map page, for any web server
    files: ["${{out}}"]
    out: site
"""

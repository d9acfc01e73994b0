"""Labels that are likely wrong, by confident learning over folds of ground."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from cyclopts import Parameter
from numpy.typing import NDArray

from landshift import grid, raster, tileset
from landshift.classes import IGNORE_INDEX, ClassScheme
from landshift.errors import GridError, ParameterError, TileSetError, check_number
from landshift.files import kinds, options, provenance, whole
from landshift.files.rows import Rows, write_csv
from landshift.grid import Window
from landshift.learn.mosaic import Layout, Mosaic
from landshift.learn.trained import Decoder, Network, Small
from landshift.machine import progress
from landshift.maps.runs import Runs

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

    from landshift.dataset import TrainingData
    from landshift.engine import TorchEngine
    from landshift.models import ChangeModel

log = logging.getLogger(__name__)

MOSTLY = 0.5
"""Share of suspicious labels above which the model, not the labels, is in doubt."""

NODATA = 255
"""Nodata of the map where 0 is a class."""

_BLOCK = 512


@dataclass(frozen=True)
class FoldModel:
    """The model that judges labels that it was not trained on, and the folds."""

    model: Literal[Decoder, Small, "siamese"] = "conv3"
    """Architecture. Discriminants (linear, quadratic) take seconds, conv3, which sees the pixels
    around, a minute; where the model is weak, right labels look suspicious too."""
    features: Sequence[str] = ()
    """What the network sees, as in `train`; left out: the bands."""
    folds: int = 4
    """Parts of the ground; each is judged by a model that is trained on the others."""
    max_steps: int = 150
    """Training steps of each model; discriminants need none."""
    seed: int = 42
    """Seed of the folds and models."""

    def __post_init__(self) -> None:
        for name in ("folds", "max_steps", "seed"):
            check_number(f"`{name}`", getattr(self, name), whole=True)
        if self.folds < 2 or self.max_steps < 1:
            raise ParameterError(
                f"`folds` must be at least 2 and `max_steps` at least 1, got {self.folds} and "
                f"{self.max_steps}."
            )


@dataclass(frozen=True)
class SuspiciousPlace:
    """Connected pixels of one class that the model holds for one other class.

    Attributes:
        x: Coordinate of its clearest pixel; None without a georeference.
        y: The same.
        crs: CRS of these.
        tile: A tile that shows that pixel.
        row: Row of that pixel in the tile, from 0.
        column: Column.
        given: Class of the label.
        likely: Class that the model says.
        margin: Mean difference of the probabilities of these, over its pixels.
        pixels: Its pixels.
        hectares: Its area; None where unknown.
    """

    x: float | None
    y: float | None
    crs: str | None
    tile: str
    row: int
    column: int
    given: str
    likely: str
    margin: float
    pixels: int
    hectares: float | None


@dataclass(frozen=True, repr=False)
class Suspects(Rows):
    """Labels that are likely wrong.

    Attributes:
        places: Suspicious places, the largest sums of margins first.
        scheme: The classes.
        labelled: Labelled pixels that were judged.
        suspicious: Those of them that are suspicious, in places of any size.
        joint: Estimated pixels ``(label, true class)``.
        files: The files that were written.
    """

    places: tuple[SuspiciousPlace, ...]
    scheme: ClassScheme
    labelled: int
    suspicious: int
    joint: NDArray[np.float64]
    files: tuple[Path, ...]

    @property
    def wrong(self) -> float:
        """Estimated share of wrong labels."""
        return float(1 - np.trace(self.joint) / self.joint.sum())

    def rows(self) -> list[dict[str, Any]]:
        """A row a place."""
        return [
            {k: "" if v is None else round(v, 6) if isinstance(v, float) else v
             for k, v in asdict(place).items()}
            for place in self.places
        ]  # fmt: skip


def suspects(
    tiles: Path | str,
    out: options.TableFile = None,
    *,
    map_file: Annotated[Path | None, Parameter(name="--map")] = None,
    weights: Path | None = None,
    like: Path | None = None,
    min_pixels: int = 4,
    judging: Annotated[FoldModel, options.GROUP] = FoldModel(),
    overwrite: options.Flag = False,
) -> Suspects:
    """Find labels that are likely wrong, for people to look at.

    Confident learning (Northcutt, Jiang & Chuang 2021, doi 10.1613/jair.1.12125): a model is
    trained on all ground but one fold and says the probability of each class there. The threshold
    of a class is the mean of its probability over the pixels with its label (eq. 2). A pixel is
    suspicious where the likeliest class among those above their thresholds isn't its label, and is
    likelier than that (the rule of cleanlab). The pixels by label and likely class are the
    confident joint (eq. 1), which, scaled to the labels' own counts, estimates how many labels are
    wrong (eq. 3). Places are patches of suspicious pixels.

    Args:
        tiles: Training set: a folder, or a zip of one.
        out: The table of places, CSV: coordinates, tile, label and likely class, margin, area.
        map_file: Write a class map of the likely class of suspicious pixels, 0 elsewhere.
        weights: Write weights of all labels, for `tiles` and `train`: p / (p + q) of a suspicious
            one, p and q being the probabilities of its label and of the likely class; 1 of others.
        like: Take the grid of this raster for map and weights, as of the composite; left out, the
            ground of the tiles.
        min_pixels: Leave smaller places out of the table.
        judging: The model and the folds.
        overwrite: Replace what is there already under the same name.

    Raises:
        ParameterError: An option out of its range.
        TileSetError: Labels of one class only; most labels suspicious.
        SplitError: Too few tiles for the folds.
        GridError: A map of tiles that don't lie on one grid, or not on that of `like`.
        OutputError: An output exists, or can't be written.
    """
    kinds.TABLE.check(out)
    kinds.RASTER.check(map_file, weights)
    whole.check_new(out, map_file, weights, inputs=[like], overwrite=overwrite)
    for each in filter(None, (map_file, weights)):
        raster.check_new(each, overwrite=overwrite)
    if min_pixels < 1:
        raise ParameterError(f"`min_pixels` must be at least 1, got {min_pixels}.")
    from landshift.learn import folds

    tile_set = tileset.read(Path(tiles))
    _check_classes(tile_set)
    layout = Layout.of(tile_set)
    box, shift = _grid_of(
        layout, tile_set, like, wanted=map_file is not None or weights is not None
    )
    named = Network(model=judging.model)

    def build(data: TrainingData) -> ChangeModel:
        return folds.quick_model(
            data, named.architecture, judging.features, judging.max_steps, named.combination
        )

    engines = folds.engines(tile_set, judging.folds, judging.seed, build)
    joint = np.zeros((len(tile_set.scheme),) * 2, np.int64)
    thresholds = _thresholds(tile_set, engines)
    with TemporaryDirectory(prefix="landshift-") as folder:
        dtypes = {"given": "uint8", "likely": "uint8", "margin": "float32", "sure": "float32"}
        mosaic = Mosaic(layout, dtypes, Path(folder))
        for k, target, chances in progress.each(
            _judged(tile_set, engines), "judge labels", len(tile_set.tiles)
        ):
            mosaic.put(k, _verdict(target, chances, thresholds))
        labelled, suspicious = _count(mosaic, joint)
        if suspicious > MOSTLY * labelled:
            raise TileSetError(
                "Labels must mostly agree with what the others teach, got "
                f"{100 * suspicious / labelled:.0f} % suspicious in {tile_set.folder}; check that "
                "labels and images are of one place and date, or choose another `model`."
            )
        places = _places(mosaic, tile_set, min_pixels)
        parameters = {"min_pixels": min_pixels, **asdict(judging)}
        files = []
        for path, write in ((map_file, _write_map), (weights, _write_weights)):
            if path is not None:
                assert box is not None
                record = provenance.record("suspects", [], parameters, beside=path)
                write(path, mosaic, box, shift, tile_set.scheme, provenance.as_tag(record))
                files.append(path)
    result = Suspects(
        tuple(places), tile_set.scheme, labelled, suspicious, _calibrated(joint, tile_set), ()
    )
    if out is not None:
        names = list(SuspiciousPlace.__dataclass_fields__)
        files.insert(0, write_csv(out, names, result.rows(), overwrite=overwrite))
    return Suspects(**{**vars(result), "files": tuple(files)})


Verdict = dict[str, NDArray[Any]]


def _check_classes(tiles: tileset.TileSet) -> None:
    pixels = tiles.class_pixels()
    names = [c.name for c in tiles.scheme if pixels.get(c.value)]
    if len(names) < 2:
        raise TileSetError(
            "Suspicious labels need two classes or more to be compared, got "
            f"{f'only {names[0]!r}' if names else 'no labelled pixel'} in {tiles.folder}."
        )


def _grid_of(
    layout: Layout, tiles: tileset.TileSet, like: Path | None, *, wanted: bool
) -> tuple[GeoBox | None, tuple[int, int]]:
    """The grid of the rasters, and its first row and column among the tiles' pixels."""
    if not wanted:
        if like is not None:
            raise ParameterError("`like` is the grid of `map_file` or `weights`, got neither.")
        return None, (0, 0)
    if layout.box is None:
        raise GridError(
            "A map of suspects needs tiles of one grid, one date and not turned, got others in "
            f"{tiles.folder}; leave out `map_file` and `weights`: the table lists tiles and pixels."
        )
    if like is None:
        return layout.box, (0, 0)
    box = raster.info(like).grid
    place = grid.offset(box, layout.box)
    if place is None:
        raise GridError(
            f"The tiles must lie on the grid of `like`, got {grid.describe(layout.box)} and "
            f"{grid.describe(box)} in {like}; give the composite that they were cut from."
        )
    return box, place


def _judged(tiles: tileset.TileSet, engines: Sequence[tuple[TorchEngine, Sequence[int]]]) -> Any:
    """Each tile's number, class indices and probabilities ``(class, row, column)``."""
    from landshift.learn import folds

    for engine, judged in engines:
        yield from folds.predicted(tiles, engine, judged)


def _thresholds(
    tiles: tileset.TileSet, engines: Sequence[tuple[TorchEngine, Sequence[int]]]
) -> NDArray[np.float64]:
    """Mean probability of each class over the pixels of its label; above 1 where none has it."""
    n = len(tiles.scheme)
    sums, counts = np.zeros(n), np.zeros(n)
    for _, target, chances in progress.each(
        _judged(tiles, engines), "thresholds", len(tiles.tiles)
    ):
        labelled = target != IGNORE_INDEX
        label = target[labelled]
        own = np.take_along_axis(chances[:, labelled], label[np.newaxis].astype(np.intp), 0)[0]
        sums += np.bincount(label, own, n)
        counts += np.bincount(label, minlength=n)
    return np.where(counts > 0, sums / np.maximum(counts, 1), 2.0)


def _verdict(
    target: NDArray[np.uint8], chances: NDArray[np.float32], thresholds: NDArray[np.float64]
) -> Verdict:
    """Index of the label and of the confident class, each plus 1, and their probabilities.

    The label stays where it is likelier than the confident class, as in cleanlab: a label below its
    own threshold is doubtful, but no other class is likelier.

    0 means none: a pixel without a label, or with no class above its threshold.
    """
    confident = np.where(chances >= thresholds[:, None, None], chances, -1)
    likely = confident.argmax(0)
    known = target != IGNORE_INDEX
    label = np.where(known, target, 0).astype(np.intp)
    sure = np.take_along_axis(chances, label[np.newaxis], 0)[0]
    other = np.take_along_axis(chances, likely[np.newaxis], 0)[0]
    likely = np.where(other > sure, likely, label)  # the label may lie below its own threshold
    is_confident = known & (confident.max(0) >= 0)
    return {
        "given": np.where(known, label + 1, 0).astype(np.uint8),
        "likely": np.where(is_confident, likely + 1, 0).astype(np.uint8),
        "margin": (other - sure).astype(np.float32),
        "sure": sure.astype(np.float32),
    }


def _count(mosaic: Mosaic, joint: NDArray[np.int64]) -> tuple[int, int]:
    """Labelled and suspicious pixels; adds the confident joint up."""
    labelled = suspicious = 0
    n = len(joint)
    for window in raster.blocks(*mosaic.layout.shape, _BLOCK):
        given, likely = (mosaic.read(name, window) for name in ("given", "likely"))
        labelled += int(np.count_nonzero(given))
        both = (given > 0) & (likely > 0)
        pairs = (given[both].astype(np.intp) - 1) * n + likely[both] - 1
        joint += np.bincount(pairs, minlength=n * n).reshape(n, n)
        suspicious += int(np.count_nonzero(both & (given != likely)))
    return labelled, suspicious


def _calibrated(joint: NDArray[np.int64], tiles: tileset.TileSet) -> NDArray[np.float64]:
    """The confident joint, each row scaled to the pixels of its label."""
    pixels = tiles.class_pixels()
    counts = np.array([float(pixels.get(v, 0)) for v in tiles.scheme.values])
    rows = joint.sum(axis=1, keepdims=True)
    shares = np.where(rows > 0, joint / np.maximum(rows, 1), np.eye(len(joint)))
    scaled: NDArray[np.float64] = shares * counts[:, None]
    return scaled


def _places(mosaic: Mosaic, tiles: tileset.TileSet, min_pixels: int) -> list[SuspiciousPlace]:
    """The suspicious places, the largest sums of margins first."""
    given, likely = mosaic.values["given"], mosaic.values["likely"]
    codes = np.where((likely > 0) & (likely != given), given.astype(np.uint16) * 256 + likely, 0)
    runs = Runs.of(codes)
    at = np.flatnonzero(codes)
    _, patch = np.unique(runs.patches(8)[runs.of_pixel.ravel()[at]], return_inverse=True)
    margin = mosaic.values["margin"].ravel()[at].astype(np.float64)
    pixels, sums = np.bincount(patch), np.bincount(patch, margin)
    order = np.lexsort((-margin, patch))  # the clearest pixel of each patch first
    clearest = at[order[np.searchsorted(patch[order], np.arange(len(pixels)))]]
    locate = _locator(mosaic.layout, tiles)
    names = tiles.scheme.names
    places = []
    for k in np.argsort(-sums, kind="stable"):
        if pixels[k] < min_pixels:
            continue
        row, column = divmod(int(clearest[k]), codes.shape[1])
        code = int(codes[row, column])
        place, hectares = locate(row, column)
        places.append(
            SuspiciousPlace(
                **place,
                given=names[code // 256 - 1],
                likely=names[code % 256 - 1],
                margin=float(sums[k] / pixels[k]),
                pixels=int(pixels[k]),
                hectares=None if hectares is None else hectares * int(pixels[k]),
            )
        )
    return places


def _locator(
    layout: Layout, tiles: tileset.TileSet
) -> Callable[[int, int], tuple[dict[str, Any], float | None]]:
    """A function of a pixel that says where it lies, and its hectares."""
    tops = np.array(layout.places)
    ground = None if layout.box is None else grid.known_ground(layout.box)
    height, width = tiles.height, tiles.width

    def locate(row: int, column: int) -> tuple[dict[str, Any], float | None]:
        down, right = row - tops[:, 0], column - tops[:, 1]
        edge = np.minimum.reduce([down, right, height - 1 - down, width - 1 - right])
        k = int(edge.argmax())  # the tile in which it lies farthest from the edge
        tile = tiles.tiles[k]
        x = y = None
        if layout.box is not None:
            x, y = layout.box.affine @ (column + 0.5, row + 0.5)
        elif tile.bounds is not None and tiles.cell_size is not None:
            left, bottom, far, top = tile.bounds
            x = left + (right[k] + 0.5) * (far - left) / width
            y = top - (down[k] + 0.5) * (top - bottom) / height
        hectares = None
        if ground is not None:
            hectares = float(ground.hectares(Window(row, column, 1, 1))[0, 0])
        place = {
            "x": None if x is None else float(x), "y": None if y is None else float(y),
            "crs": tile.crs, "tile": tile.name, "row": int(down[k]), "column": int(right[k]),
        }  # fmt: skip
        return place, hectares

    return locate


def _write_map(
    path: Path, mosaic: Mosaic, box: GeoBox, shift: tuple[int, int], scheme: ClassScheme,
    tags: dict[str, str],
) -> None:  # fmt: skip
    """Write the likely class of suspicious pixels."""
    none = 0 if scheme.background is None else NODATA
    values = np.array([none, *scheme.values], np.uint8)
    with raster.create(
        path, box, count=1, dtype="uint8", nodata=none, bands=["likely class"], tags=tags,
        scheme=scheme,
    ) as target:  # fmt: skip
        for window in raster.blocks(box.height, box.width, _BLOCK):
            at = window.shifted(*shift)
            given, likely = (mosaic.read(name, at) for name in ("given", "likely"))
            suspicious = np.where(given != likely, likely, 0)
            raster.write(target, values[suspicious][np.newaxis], window)


def _write_weights(
    path: Path, mosaic: Mosaic, box: GeoBox, shift: tuple[int, int], scheme: ClassScheme,
    tags: dict[str, str],
) -> None:  # fmt: skip
    """Write the weights of all labels; 1 where there is none, since tiles know that."""
    with raster.create(
        path, box, count=1, dtype="float32", nodata=None, bands=["weight"], tags=tags
    ) as target:
        for window in raster.blocks(box.height, box.width, _BLOCK):
            at = window.shifted(*shift)
            given, likely, margin, sure = (
                mosaic.read(name, at) for name in ("given", "likely", "margin", "sure")
            )
            suspicious = (likely > 0) & (given != likely)
            both = np.where(suspicious, 2 * sure + margin, 1)
            weights = np.where(suspicious, sure / np.maximum(both, 1e-9), 1).astype(np.float32)
            raster.write(target, weights[np.newaxis], window)

"""A model's input: bands, scaling, tile size; the same for training and for maps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift.errors import ModelError

LIMIT = 8.0
"""Scaled values are clipped to this many standard deviations, to limit outliers."""

MULTIPLE = 32
"""Encoders halve a tile up to five times. Other sizes are extended to a multiple of this, by
`landshift.models.ChangeModel` or by the program that runs its exported graph."""


_NUMBERED = re.compile(r"band\s*\d+", re.IGNORECASE)


def split_name(name: str) -> tuple[str, str]:
    """Date and name of a band called ``<date>:<band>``; '' as the date if it has none.

    The colon may belong to the name: ENVI writes 'Resize (Band 1:scene.img)', 'Band 1:scene.img'.
    """
    date, colon, band = name.partition(":")
    own = date.count("(") != date.count(")") or _NUMBERED.fullmatch(date.strip())
    return (date, band) if colon and date and not own else ("", name)


@dataclass(frozen=True)
class InputSpec:
    """Bands, scaling and tile size of a model's input.

    A value x of a band enters the network as (x - mean) / std, clipped to ± `LIMIT`; mean and
    std are those of the training tiles, never of the current tile. With pretrained weights that
    need input in their own units, it enters as (x - zero) / unit. Third-party networks may
    instead have been trained with x clipped to ``low`` and ``high`` first. Invalid pixels enter
    as the mean.

    Attributes:
        bands: Name of each band, as in ``before:red``.
        mean: Mean of each band over valid training pixels, in the raster's own units.
        std: Standard deviation of each band, above 0.
        minimum: Smallest value of each band.
        maximum: Largest value of each band.
        tile_size: Rows and columns of the training tiles.
        dtype: Pixel type of the training tiles.
        cell_size: Ground size of a training pixel in CRS units, if known.
        dates: Date of each band; () where the bands' names state it, as ``before:red`` does.
        zero: Value of each band that enters the network as 0; () for the mean.
        unit: Difference of each band that enters as 1, above 0; () for std.
        low: Lower clipping value of each band; () for `LIMIT` units below zero.
        high: Upper clipping value of each band; () for `LIMIT` units above zero.
        positions: Number of each band in rasters whose bands have other names, from 1; () where
            such a raster must have exactly these bands.
        padding: Pixels around a tile that the model needs, if that was measured.
        band_sensors: Sensor of each band, None if unknown; () if none is known.
        band_units: Unit of each band's values, such as ``reflectance * 10000``; likewise.
        nodata: The nodata value of the training tiles, finite, if they have one.
        features: What the network sees instead of the bands alone, by the names in
            `landshift.models.derived`; () for the bands. The model computes it.
    """

    bands: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    minimum: tuple[float, ...]
    maximum: tuple[float, ...]
    tile_size: int
    dtype: str
    cell_size: float | None
    dates: tuple[str, ...] = ()
    zero: tuple[float, ...] = ()
    unit: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    positions: tuple[int, ...] = ()
    padding: int | None = None
    band_sensors: tuple[str | None, ...] = ()
    band_units: tuple[str | None, ...] = ()
    nodata: float | None = None
    features: tuple[str, ...] = ()

    @property
    def scaling(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Offset subtracted from each band, and divisor of the difference."""
        return self.zero or self.mean, self.unit or self.std

    @property
    def limits(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Lower and upper clipping values of each scaled band."""
        if not self.low:
            return (-LIMIT,) * len(self.bands), (LIMIT,) * len(self.bands)
        least, greatest = (
            tuple((v - z) / u for v, z, u in zip(values, *self.scaling, strict=True))
            for values in (self.low, self.high)
        )
        return least, greatest

    def hosted(self, tile_size: int | None = None, *, fixed: bool = False) -> tuple[int, int]:
        """Tile size and padding for programs that cut the tiles themselves.

        The padding is the measured one, else a quarter of the tile. The core is at least half the
        tile; the tile grows if the padding requires it. `LandshiftClassifier` repeats this rule.

        Args:
            tile_size: Rows and columns at first; None: those of the training tiles.
            fixed: Whether the tile keeps its size; the padding is then at most a quarter of it.
        """
        size = self.tile_size if tile_size is None else tile_size
        padding = size // 4 if self.padding is None else self.padding
        if fixed:
            return size, min(padding, size // 4)
        if 4 * padding > size:
            size = -(-4 * padding // MULTIPLE) * MULTIPLE
        return size, padding

    def inputs(self) -> list[tuple[str, str]]:
        """Date and name of each band; '' as the date if there is none."""
        if self.dates:
            pairs = zip(self.dates, self.bands, strict=True)
            return [(d, b.removeprefix(f"{d}:")) for d, b in pairs]
        return [split_name(band) for band in self.bands]

    def by_date(self) -> dict[str, tuple[int, ...]]:
        """Positions of the bands of each date, in order; the single date '' if there are none."""
        dates = [date for date, _ in self.inputs()]
        return {d: tuple(k for k, e in enumerate(dates) if e == d) for d in dict.fromkeys(dates)}

    def fill(self, values: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Input for the network: float32 in the raster's units, the mean at invalid pixels.

        Args:
            values: ``(band, row, column)`` as read.
            mask: ``(row, column)``, True where valid.
        """
        filled = values.astype(np.float32)
        if not mask.all():
            np.copyto(filled, np.array(self.mean, np.float32)[:, None, None], where=~mask)
        return filled

    def as_dict(self) -> dict[str, Any]:
        """The spec as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> InputSpec:
        """The spec from the JSON values of `as_dict`.

        Raises:
            ModelError: A key is missing, of another type, or of another length than the bands.
        """
        try:
            bands = tuple(str(b) for b in entry["bands"])
            numbers = {
                key: tuple(float(v) for v in entry[key])
                for key in ("mean", "std", "minimum", "maximum")
            }
            cell_size, padding = entry["cell_size"], entry.get("padding")
            nodata = entry.get("nodata")
            spec = cls(
                bands=bands, tile_size=int(entry["tile_size"]), dtype=str(entry["dtype"]),
                cell_size=None if cell_size is None else float(cell_size),
                dates=tuple(str(d) for d in entry.get("dates", ())),
                zero=tuple(float(v) for v in entry.get("zero", ())),
                unit=tuple(float(v) for v in entry.get("unit", ())),
                low=tuple(float(v) for v in entry.get("low", ())),
                high=tuple(float(v) for v in entry.get("high", ())),
                positions=tuple(int(v) for v in entry.get("positions", ())),
                padding=None if padding is None else int(padding),
                band_sensors=tuple(entry.get("band_sensors", ())),
                band_units=tuple(entry.get("band_units", ())),
                nodata=None if nodata is None else float(nodata),
                features=tuple(str(f) for f in entry.get("features", ())), **numbers,
            )  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"The model's input must be described in full, got {error!r}."
            ) from error
        optional = (
            spec.dates, spec.zero, spec.unit, spec.low, spec.high, spec.positions,
            spec.band_sensors, spec.band_units,
        )  # fmt: skip
        if (
            not bands
            or {len(v) for v in numbers.values()} != {len(bands)}
            or not {len(v) for v in optional} <= {0, len(bands)}
            or bool(spec.low) != bool(spec.high)
            or min((*spec.std, *spec.unit)) <= 0
            or any(low >= high for low, high in zip(spec.low, spec.high, strict=True))
            or min(spec.positions, default=1) < 1
            or spec.tile_size < 1
        ):
            raise ModelError(
                f"The model's input must give mean, std above 0 and range of all {len(bands)} "
                "bands; the package is damaged."
            )
        return spec

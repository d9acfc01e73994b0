"""Inputs derived from the bands, inside the model, so that training, maps and exports agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from landshift.errors import ModelError
from landshift.files.options import advice
from landshift.sensors import names_of
from landshift.spec import LIMIT, InputSpec

BANDS = "bands"
"""The bands themselves, scaled."""

_SMALL = 1e-6  # keeps a quotient of two sums that are 0

_INDICES = {
    "ndvi": ("nir", "red"),
    "nbr": ("nir", "swir22"),
    "ndmi": ("nir", "swir16"),
    "ndwi": ("green", "nir"),
}
"""Normalised differences of two bands: NDVI (Rouse et al. 1974), NBR (Key and Benson 2006), NDMI
(Wilson and Sader 2002, doi 10.1016/S0034-4257(01)00318-2), NDWI (McFeeters 1996, doi
10.1080/01431169608948714)."""

_CAP_BANDS = ("blue", "green", "red", "nir", "swir16", "swir22")
_CAP_NAMES = ("brightness", "greenness", "wetness")
_TM = (
    (0.2043, 0.4158, 0.5524, 0.5741, 0.3124, 0.2303),
    (-0.1603, -0.2819, -0.4934, 0.7940, -0.0002, -0.1446),
    (0.0315, 0.2021, 0.3102, 0.1594, -0.6806, -0.6109),
)
_CAPS: Mapping[str, tuple[tuple[float, ...], ...]] = {
    "LANDSAT_TM": _TM,
    "LANDSAT_ETM": (
        (0.3561, 0.3972, 0.3904, 0.6966, 0.2286, 0.1596),
        (-0.3344, -0.3544, -0.4556, 0.6966, -0.0242, -0.2630),
        (0.2626, 0.2141, 0.0926, 0.0656, -0.7629, -0.5388),
    ),
    "LANDSAT_OLI": (
        (0.3029, 0.2786, 0.4733, 0.5599, 0.5080, 0.1872),
        (-0.2941, -0.2430, -0.5424, 0.7276, 0.0713, -0.1608),
        (0.1511, 0.1973, 0.3283, 0.3407, -0.7117, -0.4559),
    ),
}
"""Tasselled cap by sensor: TM, reflectance (Crist 1985, doi 10.1016/0034-4257(85)90102-6); ETM+,
at-satellite reflectance (Huang et al. 2002, doi 10.1080/01431160110106113); OLI, at-satellite
reflectance (Baig et al. 2014, doi 10.1080/2150704X.2014.915434). Other sensors take those of TM."""


class Derived(nn.Module):
    """Channels computed from the bands.

    All but the bands are scaled by their mean and standard deviation over training pixels, which
    `start` measures and the weights of the model hold.

    Args:
        spec: The model's input; `InputSpec.features` names the kinds, `BANDS` or among `KINDS`.

    Attributes:
        names: Date and name of each channel.

    Raises:
        ModelError: An unknown kind, or one that these bands don't give.
    """

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        self.plain = BANDS in spec.features
        kinds = [kind for kind in spec.features if kind != BANDS]
        for kind in kinds:
            if kind not in KINDS:
                raise ModelError(
                    f"`features` must be among {', '.join((BANDS, *KINDS))}, got {kind!r}; "
                    f"{advice(kind, (BANDS, *KINDS))}."
                )
        parts = [KINDS[kind](spec) for kind in kinds]
        self.parts = nn.ModuleList(parts)
        own = [name for part in parts for name in part.names]
        self.names = [*(spec.inputs() if self.plain else ()), *own]
        self.middle: torch.Tensor
        self.spread: torch.Tensor
        self.register_buffer("middle", torch.zeros(len(own), 1, 1))
        self.register_buffer("spread", torch.ones(len(own), 1, 1))

    def start(self, images: torch.Tensor) -> None:
        """Fit what depends on data.

        Args:
            images: ``(1, band, pixel, 1)`` training pixels in the raster's units.
        """
        for part in self.parts:
            part.start(images)  # type: ignore[operator]
        if len(self.parts):
            values = torch.cat([part(images) for part in self.parts], 1)
            self.middle.copy_(values.mean((0, 2, 3))[:, None, None])
            self.spread.copy_(values.std((0, 2, 3)).clamp_min(_SMALL)[:, None, None])

    def forward(self, images: torch.Tensor, scaled: torch.Tensor) -> torch.Tensor:
        """The channels ``(batch, channel, row, column)``.

        Args:
            images: ``(batch, band, row, column)`` in the raster's units.
            scaled: The same, as networks without derived inputs take them.
        """
        channels = [scaled] if self.plain else []
        if len(self.parts):
            values = torch.cat([part(images) for part in self.parts], 1)
            channels.append(((values - self.middle) / self.spread).clamp(-LIMIT, LIMIT))
        return torch.cat(channels, 1) if len(channels) > 1 else channels[0]


class _Part(nn.Module):
    """One kind of derived channels.

    Attributes:
        names: Date and name of each channel.
    """

    names: list[tuple[str, str]]

    def start(self, images: torch.Tensor) -> None:
        """Fit what depends on data: nothing, of most kinds."""


class _Pairs(_Part):
    """Each band of each date after the first, beside the same band of the date before it."""

    kind = ""

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        inputs, dates = spec.inputs(), list(spec.by_date().items())
        bands = [[inputs[k][1] for k in positions] for _, positions in dates]
        if len(dates) < 2 or any(names != bands[0] for names in bands):
            listed = "; ".join(
                f"{date or 'no date'}: {', '.join(names)}"
                for (date, _), names in zip(dates, bands, strict=True)
            )
            raise ModelError(
                f"`features` {self.kind} compares two or more dates with the same bands, got "
                f"{listed}; leave it out, or name bands as in 'before:red'."
            )
        self.early = [k for _, positions in dates[:-1] for k in positions]
        self.late = [k for _, positions in dates[1:] for k in positions]
        self.names = [("", f"{self.kind} {inputs[k][1]} {inputs[k][0]}") for k in self.late]


class _Difference(_Pairs):
    """Later less earlier."""

    kind = "difference"

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The channels ``(batch, channel, row, column)``."""
        return images[:, self.late] - images[:, self.early]


class _Ratio(_Pairs):
    """Later less earlier, over their sum: gains that both dates share cancel out."""

    kind = "ratio"

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The channels ``(batch, channel, row, column)``."""
        return _normalised(images[:, self.late], images[:, self.early])


class _Variates(_Pairs):
    """Multivariate alteration detection: differences of canonical variates of two dates.

    Nielsen et al. 1998, doi 10.1016/S0034-4257(97)00162-4; pixels are weighted by their
    probability of no change, over and over (Nielsen 2007, doi 10.1109/TIP.2006.888195).
    """

    kind = "mad"

    def __init__(self, spec: InputSpec) -> None:
        super().__init__(spec)
        if len(spec.by_date()) != 2:
            raise ModelError(f"`features` mad compares two dates, got {len(spec.by_date())}.")
        bands = len(self.early)
        self.before: torch.Tensor
        self.after: torch.Tensor
        self.register_buffer("before", torch.eye(bands))
        self.register_buffer("after", torch.eye(bands))

    def start(self, images: torch.Tensor) -> None:
        """Fit the canonical variates on ``(1, band, pixel, 1)`` pixels."""
        pixels = images[0, :, :, 0].double().numpy()
        before, after = alteration(pixels[self.early], pixels[self.late])
        self.before.copy_(torch.from_numpy(before))
        self.after.copy_(torch.from_numpy(after))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The channels ``(batch, channel, row, column)``."""
        early = nn.functional.conv2d(images[:, self.early], self.before[:, :, None, None])
        late = nn.functional.conv2d(images[:, self.late], self.after[:, :, None, None])
        return late - early


class _Indices(_Part):
    """Those of `_INDICES` that each date's bands give."""

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        places = [(d, _places(spec, positions)) for d, positions in spec.by_date().items()]
        chosen = [
            (date, name, bands[first], bands[second])
            for date, bands in places
            for name, (first, second) in _INDICES.items()
            if first in bands and second in bands
        ]
        if not chosen:
            raise ModelError(
                "`features` indices needs bands named nir and red, or green, swir16 or swir22, got "
                f"{', '.join(spec.bands)}; name the bands (`landshift composite --bands`)."
            )
        self.names = [(date, name) for date, name, *_ in chosen]
        self.first, self.second = [c[2] for c in chosen], [c[3] for c in chosen]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The channels ``(batch, channel, row, column)``."""
        return _normalised(images[:, self.first], images[:, self.second])


class _TasselledCap(_Part):
    """Brightness, greenness and wetness of each date."""

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        dates = spec.by_date()
        matrix = np.zeros((len(_CAP_NAMES) * len(dates), len(spec.bands)), np.float32)
        self.names = [(date, name) for date in dates for name in _CAP_NAMES]
        for k, positions in enumerate(dates.values()):
            bands = _places(spec, positions)
            lacking = [name for name in _CAP_BANDS if name not in bands]
            if lacking:
                raise ModelError(
                    f"`features` tasselled_cap needs {', '.join(_CAP_BANDS)} of each date, got "
                    f"bands without {', '.join(lacking)}; name the bands "
                    "(`landshift composite --bands`)."
                )
            sensor = spec.band_sensors[positions[0]] if spec.band_sensors else None
            rows = _CAPS.get(sensor or "", _TM)
            matrix[3 * k : 3 * k + 3, [bands[name] for name in _CAP_BANDS]] = rows
        self.matrix: torch.Tensor
        self.register_buffer("matrix", torch.from_numpy(matrix), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The channels ``(batch, channel, row, column)``."""
        return nn.functional.conv2d(images, self.matrix[:, :, None, None])


KINDS: Mapping[str, Callable[[InputSpec], _Part]] = {
    "difference": _Difference,
    "ratio": _Ratio,
    "mad": _Variates,
    "indices": _Indices,
    "tasselled_cap": _TasselledCap,
}
"""What may be derived from the bands."""


def _normalised(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    total = first.abs() + second.abs()
    return (first - second) / total.clamp_min(_SMALL)


def _places(spec: InputSpec, positions: Sequence[int]) -> dict[str, int]:
    """Position of each band of a date by all its common names."""
    inputs = spec.inputs()
    places: dict[str, int] = {}
    for k in positions:
        sensor = spec.band_sensors[k] if spec.band_sensors else None
        for name in names_of(inputs[k][1], sensor or ""):
            places.setdefault(name, k)
    return places


_ROUNDS = 30  # of reweighting, at most
_CONVERGED = 1e-3  # change of the canonical correlations


def alteration(
    early: NDArray[np.float64], late: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Maps to canonical variates whose differences show change, of no correlation.

    Args:
        early: ``(band, pixel)``.
        late: ``(band, pixel)``.

    Returns:
        ``(variate, band)`` of each date; variates of the earlier date have variance 1 over pixels
        without change.
    """
    from scipy import linalg, stats

    bands = len(early)
    weights = np.ones(early.shape[1])
    both = np.concatenate([early, late])
    correlations = np.zeros(bands)
    for _ in range(_ROUNDS):
        centred = both - np.average(both, axis=1, weights=weights)[:, None]
        covariance = (centred * weights) @ centred.T / weights.sum()
        covariance += np.eye(2 * bands) * max(_SMALL * np.trace(covariance) / (2 * bands), _SMALL)
        own, other = covariance[:bands, :bands], covariance[bands:, bands:]
        cross = covariance[:bands, bands:]
        values, vectors = linalg.eigh(cross @ linalg.solve(other, cross.T), own)
        known, correlations = correlations, np.sqrt(np.clip(values, 0, 1 - _SMALL))
        before = vectors.T
        after = linalg.solve(other, cross.T @ vectors).T / np.maximum(correlations, _SMALL)[:, None]
        variates = after @ centred[bands:] - before @ centred[:bands]
        spread = np.maximum(2 * (1 - correlations), _SMALL)
        weights = stats.chi2.sf((variates**2 / spread[:, None]).sum(axis=0), bands)
        if not weights.sum() > 0 or abs(correlations - known).max() < _CONVERGED:
            break
    return before, after

"""Calibration of probabilities: how reliable they are, and the temperature that corrects them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15
"""Equal bins of the top probability, from 0 to 1, as in Guo et al. 2017."""

TEMPERATURES = (0.1, 10.0)
"""Bounds of the search; at one of them the validation pixels don't determine a temperature."""


@dataclass(frozen=True)
class Reliability:
    """How often the likeliest class is right, by its probability.

    Attributes:
        pixels: Pixels in each of `BINS` bins of the top probability; each bin holds its upper
            edge.
        confidence: Sum of their top probabilities.
        right: Pixels among them whose likeliest class is right.
        loss: Sum of the negative log likelihood of the right class.
    """

    pixels: NDArray[np.int64]
    confidence: NDArray[np.float64]
    right: NDArray[np.int64]
    loss: float

    def __add__(self, other: Reliability) -> Reliability:
        return Reliability(
            self.pixels + other.pixels, self.confidence + other.confidence,
            self.right + other.right, self.loss + other.loss,
        )  # fmt: skip

    @property
    def ece(self) -> float | None:
        """Expected calibration error: mean gap of accuracy and confidence, weighted by pixels.

        Guo et al. 2017, 'On Calibration of Modern Neural Networks', ICML, arXiv:1706.04599,
        eq. 3. None without pixels.
        """
        total = self.pixels.sum()
        return float(np.abs(self.right - self.confidence).sum() / total) if total else None

    @property
    def nll(self) -> float | None:
        """Mean negative log likelihood of the right class; None without pixels."""
        total = self.pixels.sum()
        return float(self.loss / total) if total else None

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain numbers, for JSON; bins without pixels have None."""
        return {
            "ece": self.ece,
            "nll": self.nll,
            "bins": [
                {
                    "from": k / BINS,
                    "to": (k + 1) / BINS,
                    "pixels": int(n),
                    "confidence": float(self.confidence[k] / n) if n else None,
                    "accuracy": float(self.right[k] / n) if n else None,
                }
                for k, n in enumerate(self.pixels)
            ],
        }


@dataclass(frozen=True)
class Calibration:
    """Reliability of a model's probabilities on the same pixels, raw and scaled.

    Attributes:
        temperature: Divisor of the logits.
        raw: Of the softmax of the logits.
        scaled: Of the softmax of the logits divided by the temperature.
    """

    temperature: float
    raw: Reliability
    scaled: Reliability

    def __add__(self, other: Calibration) -> Calibration:
        assert self.temperature == other.temperature, "calibrations of two models"
        return Calibration(self.temperature, self.raw + other.raw, self.scaled + other.scaled)

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain numbers, for JSON."""
        return {
            "temperature": self.temperature,
            "raw": self.raw.as_dict(),
            "scaled": self.scaled.as_dict(),
        }


def reliability(
    logits: NDArray[np.float32], targets: NDArray[np.uint8], temperature: float = 1.0
) -> Reliability:
    """Bin some pixels by their top probability.

    Args:
        logits: ``(pixel, class)``.
        targets: The right class of each pixel.
        temperature: Divisor of the logits.
    """
    log_odds, loss = _log_probabilities(logits, targets, temperature)
    top = np.exp(log_odds)
    bins = np.clip(np.ceil(top * BINS).astype(np.int64) - 1, 0, BINS - 1)
    right = logits.argmax(axis=1) == targets
    return Reliability(
        pixels=np.bincount(bins, minlength=BINS),
        confidence=np.bincount(bins, weights=top, minlength=BINS).astype(np.float64),
        right=np.bincount(bins[right], minlength=BINS),
        loss=float(loss.sum()),
    )


def measure(
    logits: NDArray[np.float32], targets: NDArray[np.uint8], temperature: float
) -> Calibration:
    """The calibration of some pixels; arguments as those of `reliability`."""
    return Calibration(
        temperature, reliability(logits, targets), reliability(logits, targets, temperature)
    )


def fit_temperature(logits: NDArray[np.float32], targets: NDArray[np.uint8]) -> float:
    """The temperature with the least negative log likelihood, within `TEMPERATURES`.

    Guo et al. 2017, arXiv:1706.04599, section 4.2. The loss has one minimum in it, since it is
    convex in 1 / temperature.

    Args:
        logits: ``(pixel, class)``, at least one pixel.
        targets: The right class of each pixel.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        temperature = float(np.exp(log_temperature))
        return float(_log_probabilities(logits, targets, temperature)[1].mean())

    bounds = (float(np.log(TEMPERATURES[0])), float(np.log(TEMPERATURES[1])))
    minimum = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    return round(float(np.exp(minimum.x)), 4)


def _log_probabilities(
    logits: NDArray[np.float32], targets: NDArray[np.uint8], temperature: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log of each pixel's top probability, and negative log of that of its right class."""
    largest = logits.max(axis=1)
    behind = (logits - largest[:, np.newaxis]) / np.float32(temperature)  # none above 0
    log_sum = np.log(np.exp(behind).sum(axis=1, dtype=np.float64))
    of_target = np.take_along_axis(behind, targets[:, np.newaxis].astype(np.int64), axis=1)[:, 0]
    return -log_sum, log_sum - of_target

"""Errors that fall with the number of examples, fitted and extrapolated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["PowerLaw", "fit_power_law"]

_EXPONENTS = np.linspace(0.05, 1.5, 59)


@dataclass(frozen=True)
class PowerLaw:
    """A power law that falls to a floor: `scale * n ** -exponent + floor`.

    Attributes:
        scale: >= 0.
        exponent: > 0.
        floor: What remains however large `n` is, >= 0.

    Example:

    >>> PowerLaw(1.0, 0.5, 0.1).at(np.array([25.0])).round(3).tolist()
    [0.3]
    """

    scale: float
    exponent: float
    floor: float

    def at(self, n: np.ndarray) -> np.ndarray:
        """Return the values at `n`."""
        return self.scale * np.asarray(n, "float64") ** -self.exponent + self.floor


def fit_power_law(n: np.ndarray, values: np.ndarray) -> PowerLaw:
    """Fit a falling power law with a floor, by least squares of the relative errors.

    Args:
        n: Numbers of examples, shape `(points,)`, > 0.
        values: What was measured with so many, shape `(points,)`, >= 0, such as error rates.

    Returns:
        The best `PowerLaw` with an exponent from 0.05 to 1.5.

    Example:

    >>> n = np.array([10.0, 20.0, 40.0, 80.0])
    >>> law = fit_power_law(n, 2 * n**-0.5)
    >>> round(law.exponent, 2), round(law.floor, 3)
    (0.5, 0.0)

    Reference:
        Hestness et al., *Deep Learning Scaling is Predictable, Empirically* (2017),
        arXiv 1712.00409.
    """
    n, values = np.asarray(n, "float64"), np.asarray(values, "float64")
    weights = 1.0 / np.maximum(values, max(values.max(), 1e-12) * 0.05)
    best, least = PowerLaw(0.0, 1.0, float(values.mean())), np.inf
    for exponent in _EXPONENTS:
        shape = n**-exponent
        for scale, floor in _candidates(shape, values, weights):
            error = float(
                ((scale * shape + floor - values) * weights)
                @ ((scale * shape + floor - values) * weights)
            )
            if scale >= 0 and floor >= 0 and error < least:
                best, least = PowerLaw(scale, float(exponent), floor), error
    return best


def _candidates(
    shape: np.ndarray, values: np.ndarray, weights: np.ndarray
) -> list[tuple[float, float]]:
    """Return the best scale and floor, and the best scale without a floor."""
    columns = np.stack([shape, np.ones_like(shape)], axis=1) * weights[:, None]
    scale, floor = np.linalg.lstsq(columns, values * weights, rcond=None)[0]
    alone = float((columns[:, 0] @ (values * weights)) / (columns[:, 0] @ columns[:, 0]))
    return [(float(scale), float(floor)), (alone, 0.0)]

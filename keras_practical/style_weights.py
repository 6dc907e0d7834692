"""How strongly style and smoothness should count, read off a painting.

Reached as `keras_practical.style.painting_strength`.
"""

from __future__ import annotations

import numpy as np

__all__ = ["painting_strength", "smoothness_weight"]


def painting_strength(painting: np.ndarray) -> float:
    """Estimate how strongly a painting's style should count: rough brushwork wants more.

    Args:
        painting: uint8 of shape `(height, width, 3)`.

    Returns:
        1 for a painting whose neighbouring pixels differ by 1 % of the range or less on average,
        10 from 6 % up, in between linearly. The paper's network gives 1 for Baroque and
        Renaissance, 10 for Cubism and abstract art.

    Example:

    >>> painting_strength(np.zeros((8, 8, 3), "uint8"))
    1.0
    """
    light = painting.astype("float64").mean(-1) / 255
    roughness = (np.abs(np.diff(light, axis=0)).mean() + np.abs(np.diff(light, axis=1)).mean()) / 2
    return float(np.clip(1 + 9 * (roughness - 0.01) / 0.05, 1.0, 10.0))


def smoothness_weight(painting: np.ndarray) -> float:
    """Return the weight of the total variation: little for a painting that is noisy itself.

    Args:
        painting: uint8 of shape `(height, width, 3)`.

    Returns:
        10 / (1 + exp(10⁴ x - 25)), where x is the median of the squared differences between
        neighbouring pixels in [0, 1].

    Example:

    >>> round(smoothness_weight(np.zeros((8, 8, 3), "uint8")), 3)
    10.0

    Reference:
        Luan et al. (2018), arXiv 1804.03189, section 4.4.
    """
    pixels = painting.astype("float64") / 255
    down = ((pixels[1:, :-1] - pixels[:-1, :-1]) ** 2).sum(-1)
    right = ((pixels[:-1, 1:] - pixels[:-1, :-1]) ** 2).sum(-1)
    return float(10 / (1 + np.exp(min(1e4 * np.median(down + right) - 25, 700.0))))

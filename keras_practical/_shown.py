"""Whatever a model takes as a picture, as pixels that can be shown."""

from __future__ import annotations

import numpy as np


def value_range(pixels: np.ndarray) -> tuple[float, float]:
    """Return what must have been black and white: 0 and 255, 0 and 1, or the extremes."""
    if pixels.dtype == np.uint8:
        return 0.0, 255.0
    finite = pixels[np.isfinite(pixels)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 255.0)
    return range_of(low, high)


def range_of(low: float, high: float) -> tuple[float, float]:
    """Return what must have been black and white where values go from `low` to `high`."""
    if low < 0:
        return low, max(high, low + 1e-6)
    return 0.0, 1.0 if high <= 1 else max(high, 255.0)


def as_pixels(values: np.ndarray, black_white: tuple[float, float]) -> np.ndarray:
    """Return uint8 pixels of shape `(..., height, width, 3)`; of many channels, three are shown."""
    black, white = black_white
    values = values[..., :3] if values.shape[-1] >= 3 else values[..., :1]
    scaled = 255.0 * (np.nan_to_num(values.astype("float64"), nan=black) - black) / (white - black)
    pixels = np.rint(np.clip(scaled, 0, 255)).astype("uint8")
    return np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels

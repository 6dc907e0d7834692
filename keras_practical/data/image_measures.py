"""What can be told from an image's pixels alone: brightness, contrast, sharpness, blur."""

from __future__ import annotations

import numpy as np

__all__ = ["blur_effect", "look"]

# Of images with a longer side of at most 256 pixels.
BLUR_WINDOW = 9


def blur_effect(grey: np.ndarray) -> float:
    """Return how little a further blur changes an image, in the worse of the two directions.

    Args:
        grey: An image of shape `(height, width)`.

    Returns:
        From 0 (sharp) to 1; NaN for images too small or too flat to tell.

    Example:

    >>> blur_effect(np.zeros((8, 8)))
    nan

    Reference:
        Crété-Roffet, Dolmiere, Ladret & Nicolas, *The Blur Effect* (2007).
    """
    if min(grey.shape) < 4 * BLUR_WINDOW:
        return float("nan")
    import cv2

    image = grey.astype("float32")
    effects = []
    for axis, window in ((0, (1, BLUR_WINDOW)), (1, (BLUR_WINDOW, 1))):
        sharp = np.abs(np.diff(image, axis=axis))
        blurred = np.abs(np.diff(cv2.blur(image, window), axis=axis))
        total = float(sharp.sum())
        if total < sharp.size * 0.1:
            return float("nan")
        lost = float(np.maximum(sharp - blurred, 0).sum())
        effects.append(1.0 - lost / total)
    return max(effects)


def look(images: np.ndarray) -> dict[str, np.ndarray]:
    """Measure what can be told from pixels alone.

    Args:
        images: Images of shape `(n, height, width, channels)`.

    Returns:
        For each image, on the scale of its values: `"brightness"`, the mean; `"contrast"`, the
        standard deviation; `"sharpness"`, the standard deviation of the Laplacian.

    Example:

    >>> look(np.full((1, 4, 4, 3), 9.0))["brightness"].tolist()
    [9.0]
    """
    import cv2

    grey = images[..., :3].astype("float32").mean(-1)
    edges = np.array([cv2.Laplacian(image, cv2.CV_32F).std() for image in grey])
    return {
        "brightness": grey.mean((1, 2)),
        "contrast": grey.std((1, 2)),
        "sharpness": edges,
    }

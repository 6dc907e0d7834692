"""Pictures brought to a size and turned upright: the last steps of every way to read one."""

from __future__ import annotations

import math

import numpy as np


def finish(
    pixels: np.ndarray,
    size: tuple[int, int] | None,
    aspect: str,
    color_mode: str,
    orientation: int,
) -> np.ndarray:
    """Resize, turn upright and convert the colours of `(height, width, 3)` uint8 pixels."""
    if size is not None:
        # Turning the small picture afterwards is cheaper than turning the large one before.
        pixels = _resize(pixels, size[::-1] if orientation >= 5 else size, aspect)
    pixels = _upright(pixels, orientation)
    if color_mode == "grayscale":
        # ITU-R 601 luma, as in Pillow and in JPEG.
        grey = pixels @ np.array([0.299, 0.587, 0.114], "float32")
        pixels = np.rint(grey).astype("uint8")[:, :, None]
    # The caller's own: neither read-only nor the array that came in.
    return np.require(pixels, requirements=["C", "W"])


def array_to_uint8(values: np.ndarray) -> np.ndarray:
    """Return an array's pixels as uint8 of shape `(height, width, 3)`."""
    if values.ndim == 2:
        values = values[:, :, None]
    if values.ndim != 3 or values.shape[2] not in (1, 3) or 0 in values.shape:
        raise ValueError(
            "an array must be of shape (height, width), (height, width, 1) or (height, width, 3), "
            f"not {values.shape}"
        )
    if values.dtype != np.uint8:
        values = np.rint(np.clip(values, 0, 255)).astype("uint8")
    return np.broadcast_to(values, (*values.shape[:2], 3))


def scaled(height: int, width: int, size: tuple[int, int], aspect: str) -> tuple[int, int]:
    """Return the size that a whole `height` x `width` picture has once it fits `size`."""
    if aspect == "stretch":
        return size
    choose = max if aspect == "crop" else min
    factor = choose(size[0] / height, size[1] / width)
    return max(1, math.ceil(height * factor - 1e-6)), max(1, math.ceil(width * factor - 1e-6))


def _resize(pixels: np.ndarray, size: tuple[int, int], aspect: str) -> np.ndarray:
    height, width = pixels.shape[:2]
    target = size
    if aspect == "crop":
        factor = max(size[0] / height, size[1] / width)
        box = (
            min(height, max(1, round(size[0] / factor))),
            min(width, max(1, round(size[1] / factor))),
        )
        top, left = (height - box[0]) // 2, (width - box[1]) // 2
        pixels = pixels[top : top + box[0], left : left + box[1]]
    elif aspect == "pad":
        target = scaled(height, width, size, aspect)
    resized = _interpolate(pixels, target)
    if target == size:
        return resized
    padded = np.zeros((*size, 3), "uint8")
    row, column = (size[0] - target[0]) // 2, (size[1] - target[1]) // 2
    padded[row : row + target[0], column : column + target[1]] = resized
    return padded


def _interpolate(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize, several times faster than Pillow does."""
    height, width = pixels.shape[:2]
    if size == (height, width):
        return pixels
    import cv2

    # Bilinear interpolation looks at 2 x 2 pixels: it would skip some when shrinking further.
    skips = height > 2 * size[0] or width > 2 * size[1]
    filter_ = cv2.INTER_AREA if skips else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(pixels), size[::-1], interpolation=filter_)


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo the turn and the mirroring that the EXIF orientation tells of."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels

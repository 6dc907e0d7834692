"""What a detector should answer on a window: heatmap, sizes, offsets, and where it doesn't matter.

Which objects count is decided by their size in the window. Those near the size that the model
is for are its business; much larger or smaller ones are found at another scale of the image, and
here they are background. In between nothing is asked.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# Sizes, over the one that the model is for, of objects to be found, and of those that may be.
FOUND = (0.5, 2.0)
TOLERATED = (1 / 3, 3.0)
# Of an object that the window cuts, at least this much must be seen for it to be asked for.
LEAST_VISIBLE = 0.6
# The heatmap's bell around a centre: its deviation over the object's side, and the height from
# which a cell must know the object's size. TTFNet (arXiv 1909.00700) has 0.09 and no such height.
_DEVIATION = 0.135
_TELLS_SIZE = 0.3


def targets(
    boxes: np.ndarray,
    labels: np.ndarray,
    ignored: np.ndarray,
    *,
    class_count: int,
    window: int,
    stride: int,
    object_pixels: float,
) -> dict[str, np.ndarray]:
    """Return the targets of one window, float32, by the names of the model's outputs.

    `boxes` are in pixels of the window and may stick out. The last channel of each is a weight.
    """
    cells = -(-window // stride)
    heat = np.zeros((cells, cells, class_count + 1), "float32")
    sizes = np.zeros((cells, cells, 3), "float32")
    offsets = np.zeros((cells, cells, 3), "float32")
    heat[..., -1] = 1.0
    y, x = (np.mgrid[:cells, :cells] * stride + stride / 2).astype("float32")
    # Asked-for objects come last: what they cover is asked for even where another doesn't matter.
    judged = [_role(box, ignored[n], window, object_pixels) for n, box in enumerate(boxes)]
    for n in _places(judged, "tolerated"):
        heat[_inside(boxes[n], x, y), -1] = 0.0
    for n in _places(judged, "found"):
        heat[_inside(boxes[n], x, y), -1] = 1.0
    for n in _places(judged, "found"):
        left, top, right, bottom = boxes[n]
        width, height = right - left, bottom - top
        to_x, to_y = (left + right) / 2 - x, (top + bottom) / 2 - y
        bell = np.exp(
            -0.5 * ((to_x / (_DEVIATION * width)) ** 2 + (to_y / (_DEVIATION * height)) ** 2)
        )
        # The cell nearest to the centre is the peak, exactly.
        bell[np.unravel_index(np.argmin(to_x**2 + to_y**2), bell.shape)] = 1.0
        heat[..., labels[n]] = np.maximum(heat[..., labels[n]], bell)
        nearest = (bell >= _TELLS_SIZE) & (bell > sizes[..., 2])
        sizes[nearest] = np.stack(np.broadcast_arrays(width, height, bell), -1)[nearest]
        offsets[nearest] = np.stack([to_x, to_y, bell], -1)[nearest]
    return {"heatmap": heat, "sizes": sizes, "offsets": offsets}


def _role(box: np.ndarray, ignored: bool, window: int, object_pixels: float) -> str:
    """Say whether an object is to be found, may be, or is background."""
    left, top, right, bottom = box
    area = (right - left) * (bottom - top)
    seen = max(0.0, min(right, window) - max(left, 0.0))
    seen *= max(0.0, min(bottom, window) - max(top, 0.0))
    if seen <= 0.0 or area <= 0.0:
        return "background"
    centre = (left + right) / 2, (top + bottom) / 2
    whole = seen >= LEAST_VISIBLE * area and all(0 <= place < window for place in centre)
    ratio = np.sqrt(area) / object_pixels
    if FOUND[0] <= ratio <= FOUND[1]:
        return "found" if whole and not ignored else "tolerated"
    return "tolerated" if TOLERATED[0] <= ratio <= TOLERATED[1] or ignored else "background"


def _places(judged: Sequence[str], role: str) -> list[int]:
    return [place for place, judged_as in enumerate(judged) if judged_as == role]


def _inside(box: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    left, top, right, bottom = box
    return (x > left) & (x < right) & (y > top) & (y < bottom)

"""Copies of images that have only a few pixels: each of them counts.

Two of one size are compared slightly blurred, since a codec spoils single pixels; of two sizes, the
larger one is reduced to the smaller one's size, or trimmed to it where little is missing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

import numpy as np

# Chosen on the first half of scikit-learn's digits: of equal size, of different sizes.
_SAME_BLURRED = 0.996
_SAME_REDUCED = 0.994
_BLUR_PIXELS = 0.7
_LEAST_TRIMMED = 0.85
# Of two by two, any four images look alike.
_FEWEST_PIXELS = 3
_BLOCK = 128

Pair = tuple[int, int, float, bool]


def tiny_pairs(thumbnails: np.ndarray, sizes: np.ndarray, tiny_pixels: int) -> list[Pair]:
    """Return `(place, place, correlation, mirrored)` of tiny images and what they're copies of.

    Args:
        thumbnails: Grey images, shape `(n, side, side)`, each stretched linearly.
        sizes: Their heights and widths before that, shape `(n, 2)`.
        tiny_pixels: Below it, the shorter side makes an image tiny.
    """
    side = thumbnails.shape[1]
    tiny = sizes.min(1) < tiny_pixels
    if not tiny.any():
        return []
    # The thumbnail says all of a small image and is all that is known of a large one.
    known = np.where(tiny[:, None], np.minimum(sizes, side), side)
    groups = defaultdict(list)
    for index, (height, width) in enumerate(known.tolist()):
        groups[height, width].append(index)
    images = {size: _restored(thumbnails[indexes], *size) for size, indexes in groups.items()}
    pairs: list[Pair] = []
    for size, indexes in groups.items():
        if not _FEWEST_PIXELS <= min(size) < tiny_pixels:
            continue
        for first, other, similarity, mirrored in _alike_in_size(images[size]):
            pairs.append((indexes[first], indexes[other], similarity, mirrored))
        best: dict[int, Pair] = {}
        for larger, wholes in groups.items():
            if larger == size or larger[0] < size[0] or larger[1] < size[1]:
                continue
            for piece, whole, similarity, mirrored in _pieces(images[size], images[larger]):
                pair = (wholes[whole], indexes[piece], similarity, mirrored)
                best[piece] = max(pair, best.get(piece, pair), key=lambda pair: pair[2])
        # So few pixels may fit to several images.
        pairs.extend(best.values())
    return pairs


def _alike_in_size(images: np.ndarray) -> Iterator[Pair]:
    """Yield the pairs of one size."""
    blur = [_weights(_bell, length, length) for length in images.shape[1:]]
    upright = _unit(_resampled(images, *blur))
    for mirrored, targets in enumerate((upright, _unit(_resampled(images[:, :, ::-1], *blur)))):
        for start in range(0, len(upright), _BLOCK):
            similarity = upright[start : start + _BLOCK] @ targets.T
            for first, other in np.argwhere(
                np.triu(similarity >= _SAME_BLURRED, start + 1)
            ).tolist():
                yield first + start, other, float(similarity[first, other]), bool(mirrored)


def _pieces(pieces: np.ndarray, wholes: np.ndarray) -> Iterator[Pair]:
    """Yield for each piece the larger images that it is a copy of."""
    height, width = pieces.shape[1:]
    tall, wide = wholes.shape[1:]
    reduced = (_weights(_triangle, height, tall), _weights(_triangle, width, wide))
    views = [_resampled(wholes, *reduced)]
    if height >= _LEAST_TRIMMED * tall and width >= _LEAST_TRIMMED * wide:
        views += [
            wholes[:, top : top + height, left : left + width]
            for top in range(tall - height + 1)
            for left in range(wide - width + 1)
        ]
    targets = _unit(pieces)
    for view in views:
        for mirrored, seen in enumerate((view, view[:, :, ::-1])):
            units = _unit(seen)
            for start in range(0, len(targets), _BLOCK):
                similarity = targets[start : start + _BLOCK] @ units.T
                for piece, whole in np.argwhere(similarity >= _SAME_REDUCED).tolist():
                    yield piece + start, whole, float(similarity[piece, whole]), bool(mirrored)


def _restored(thumbnails: np.ndarray, height: int, width: int) -> np.ndarray:
    """Take back the stretching, but for rounding."""
    side = thumbnails.shape[1]
    if (height, width) == (side, side):
        return thumbnails
    back = [np.linalg.pinv(_weights(_triangle, side, length)) for length in (height, width)]
    return _resampled(thumbnails, *back)


def _resampled(images: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return `rows @ image @ columns.T` of each image."""
    left, right = rows.astype("float32"), columns.astype("float32").T
    new = np.empty((len(images), len(rows), len(columns)), "float32")
    # In blocks: as float32 the thumbnails would take four times the memory.
    for start in range(0, len(images), _BLOCK):
        block = images[start : start + _BLOCK].astype("float32")
        new[start : start + _BLOCK] = left @ block @ right
    return new


def _weights(kernel: Callable[[np.ndarray], np.ndarray], new: int, old: int) -> np.ndarray:
    """Return the matrix that resamples `old` pixels to `new` ones."""
    centres = (np.arange(new) + 0.5) * old / new
    # In pixels of the coarser grid: what is reduced must be smoothed.
    distances = np.abs(centres[:, None] - (np.arange(old) + 0.5)) / max(1.0, old / new)
    weights = kernel(distances)
    return weights / weights.sum(1, keepdims=True)


def _triangle(distances: np.ndarray) -> np.ndarray:
    return np.maximum(0, 1 - distances)


def _bell(distances: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * (distances / _BLUR_PIXELS) ** 2)


def _unit(images: np.ndarray) -> np.ndarray:
    """Return each image as a vector of mean 0 and length 1, zeros if it has no contrast."""
    rows = images.reshape(len(images), -1)
    rows = rows - rows.mean(1, keepdims=True)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)

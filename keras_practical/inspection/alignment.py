"""How alike two thumbnails are, once one is laid onto the other, and how alike any two are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from keras_practical.utils.progress import track

_CHANCE_PAIRS = 500
_FEWEST_FOR_CHANCE = 20
# Chosen on the first half of scikit-learn's digits, enlarged to 28 and 64 pixels.
_DEVIATIONS = 10
_MOST_NEEDED = 0.995
_NEIGHBOURS = 20
_BLOCK = 128
# Of 64 pixels: an image of 32 has half the detail.
_FULL_DETAIL_PIXELS = 32


def aligned_similarity(
    whole: np.ndarray, piece: np.ndarray, window: tuple[int, int, int], side: int
) -> float:
    """Return how well the details correlate where `piece`, laid onto `whole`, covers it.

    `window` is `(top, left, length)`: where to look for the piece first. `side` is the shorter one
    of the smaller image: what is finer than its pixels is left out. -1 if they can't be aligned.
    """
    import cv2

    top, left, length = window
    scale = length / len(whole)
    start = np.array([[scale, 0, left], [0, scale, top]], "float32")
    first, second = whole.astype("float32"), np.ascontiguousarray(piece, "float32")
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-4)
    try:
        _, shift = cv2.findTransformECC(second, first, start, cv2.MOTION_AFFINE, stop, None, 5)
    # What can't be aligned isn't the same image.
    except cv2.error:
        return -1.0
    laid = _warped(first, shift)
    covered = _warped(np.ones_like(first), shift) > 0.99
    # Codecs and interpolation spoil the edge.
    covered[[0, 1, -2, -1]] = covered[:, [0, 1, -2, -1]] = False
    if covered.sum() < covered.size / 2:
        return -1.0
    laid, second = _equally_bright(laid, second, covered)
    return correlation(_detail(laid, side)[covered], _detail(second, side)[covered])


def needed_by_chance(images: np.ndarray, sides: Sequence[int] | np.ndarray) -> float:
    """Return the similarity that images of a set need to be alike by more than chance.

    Photos have so much detail that any two correlate by 0 ± 0.06. Digits, scans, or photos in one
    frame do so by 0.2 or 0.6, ± 0.2. What is needed lies ten deviations above the median of random
    pairs, by Fisher's z, but never above 0.995; -1 for a set too small to say.

    The deviation is measured from the median down to the lowest quarter: of a few photos with many
    copies each, or of the frames of some videos, nearly half of all pairs may be alike.
    """
    if len(images) < _FEWEST_FOR_CHANCE:
        return -1.0
    rng = np.random.default_rng(0)
    first = rng.integers(0, len(images), _CHANCE_PAIRS)
    other = (first + rng.integers(1, len(images), _CHANCE_PAIRS)) % len(images)
    by_pair = []
    for pair in zip(first, other, strict=True):
        side = int(min(sides[index] for index in pair))
        details = (_detail(images[index].astype("float32"), side) for index in pair)
        by_pair.append(correlation(*details))
    low, median = np.arctanh(np.clip(np.quantile(by_pair, [0.25, 0.5]), -0.999, 0.999))
    deviation = (median - low) / 0.6745
    return min(float(np.tanh(median + _DEVIATIONS * deviation)), _MOST_NEEDED)


def usual_distances(
    images: np.ndarray, sides: Sequence[int] | np.ndarray, indexes: Sequence[int], *, verbose: bool
) -> dict[int, float]:
    """Return how far each of these places is from the images that look most like it.

    That is 1 less the median correlation with 20 neighbours in the set, aligned: small for the
    digit one, of which there are many.
    """
    shapes = np.stack([_shape(image) for image in images])

    def distance(index: int) -> float:
        nearest_first = np.argsort(-(shapes @ shapes[index]))
        neighbours = nearest_first[nearest_first != index][:_NEIGHBOURS].tolist()
        whole = (0, 0, len(images[index]))
        similarities = [
            aligned_similarity(
                images[other], images[index], whole, int(min(sides[other], sides[index]))
            )
            for other in neighbours
        ]
        return 1 - float(np.median(similarities))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        distances = track(pool.map(distance, indexes), "Looking around", len(indexes), show=verbose)
        return dict(zip(indexes, distances, strict=True))


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Return the correlation of two arrays' values, 0 if one of them is constant."""
    first, second = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / scale if scale else 0.0


def _warped(image: np.ndarray, transform: Any) -> np.ndarray:
    import cv2

    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, transform, image.shape[::-1], flags=flags)


def _equally_bright(
    first: np.ndarray, second: np.ndarray, covered: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Give the darker image the brighter one's tones: those that were cut off at white, too."""
    tones, others = (np.sort(image[covered]) for image in (first, second))
    if tones.mean() < others.mean():
        return np.interp(first, tones, others).astype("float32"), second
    return first, np.interp(second, others, tones).astype("float32")


def _shape(image: np.ndarray) -> np.ndarray:
    """Return what is neither fine nor coarse as a vector of mean 0 and length 1."""
    import cv2

    fine, coarse = (cv2.GaussianBlur(image.astype("float32"), (0, 0), s) for s in (2, 12))
    row = (fine - coarse)[::2, ::2].ravel()
    row -= row.mean()
    return row / max(float(np.linalg.norm(row)), 1e-6)


def _detail(image: np.ndarray, side: int) -> np.ndarray:
    """Keep what is neither finer than an image of this size can show nor coarse."""
    import cv2

    finest = max(1.0, _FULL_DETAIL_PIXELS / side)
    blurred = [cv2.GaussianBlur(image, (0, 0), sigma) for sigma in (finest, 3 * finest)]
    return blurred[0] - blurred[1]

"""The same photo twice: re-encoded, resized, trimmed, brighter, mirrored.

Perceptual hashes of the whole picture and of nine trimmed views of it find candidates; aligning the
two pictures and comparing their details confirms them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_practical._progress import track

__all__ = ["SimilarPair", "near_duplicates", "perceptual_hashes"]

THUMBNAIL_PIXELS = 64
# A view lacks this part of the height and of the width, so that pieces of 90 to 95 % are near one.
_TRIMMED = 0.075
_CODE_BITS = 16 * 16
# Chosen on ants_vs_bees and CIFAR-10 (`near_duplicates` says how they came out there).
_FARTHEST_LOW_BITS = 14
_FARTHEST_BITS = 70
_MOST_CANDIDATES = 20
_SAME_DETAIL = 0.9
_SAME_DETAIL_WITH_FEATURES = 0.8
_SAME_FEATURES = 0.85
# Chosen on the first half of the 8 x 8 digits.
_SAME_TINY = 0.99
_TINY_PIXELS = 12
_LOWEST_SPREAD = 2.0
_CHANCE_PAIRS = 500
_FEWEST_FOR_CHANCE = 20
_BLOCK = 128


@dataclass(frozen=True, order=True, slots=True)
class SimilarPair:
    """Two pictures that show the very same.

    Attributes:
        first: Place of one of them.
        second: Place of the other, greater than `first`.
        similarity: Correlation of their details once they are aligned, up to 1.
        mirrored: Whether one is the other's mirror image.

    Example:

    >>> SimilarPair(3, 8, 0.99, mirrored=True).mirrored
    True
    """

    first: int
    second: int
    similarity: float
    mirrored: bool


def near_duplicates(
    thumbnails: np.ndarray,
    *,
    sides_pixels: Sequence[int] | np.ndarray | None = None,
    features: np.ndarray | None = None,
    verbose: bool = False,
) -> tuple[SimilarPair, ...]:
    """Find the pictures that were made from the same one.

    Use it through `audit`; by itself for pictures without classes. There is no plain-Keras
    equivalent. Candidates differ in at most 70 of 256 hash bits, in any of ten views, mirrored or
    not. Then an affine map aligns them, and their details (what is finer than a twentieth of the
    picture) must correlate by 0.9: on ants_vs_bees and CIFAR-10, where this was chosen, true copies
    reach 0.92 and 0.85 to 1, other candidates at most 0.36 and 0.83. Pictures below 12 pixels
    can't be aligned, since their details say too little: as they are, they must correlate by 0.99
    (chosen on half of scikit-learn's digits), which trimmed copies hardly ever do. Pictures without
    any contrast aren't compared. Where all pictures share something, such as a frame or a ruler,
    any two are alike: if two by chance correlate by 0.6, what is left must do so by 0.9, and thus
    the whole by 0.96.

    Args:
        thumbnails: Grey pictures, uint8 of shape `(n, 64, 64)`, each the whole picture, stretched.
        sides_pixels: Shorter side of each picture, shape `(n,)`: the details of small pictures are
            coarser. Default: all are large enough (32 and more).
        features: What a network sees in each picture (`embed(...).features`), shape `(n, size)`.
            Pairs whose features are alike (cosine >= 0.85, which on ants_vs_bees no two photos
            reach, but half of the copies that lack 15 to 30 % of each side) are candidates too,
            whatever their hashes, and are confirmed if their details correlate by 0.8. Optional.
        verbose: Whether to show a progress bar.

    Returns:
        The pairs, ordered by place.

    Raises:
        ValueError: A shape is wrong.

    Example:

    >>> noise = np.random.default_rng(0).integers(0, 256, (2, 64, 64), "uint8")
    >>> near_duplicates(np.stack([*noise, noise[0, :, ::-1]]))
    (SimilarPair(first=0, second=2, similarity=1.0, mirrored=True),)

    Reference:
        Zauner, *Implementation and Benchmarking of Perceptual Image Hash Functions* (2010);
        Evangelidis & Psarakis, *Parametric Image Alignment Using Enhanced Correlation Coefficient
        Maximization* (2008).
    """
    pixels = np.asarray(thumbnails)
    n = len(pixels)
    if pixels.shape != (n, THUMBNAIL_PIXELS, THUMBNAIL_PIXELS) or pixels.dtype != np.uint8:
        raise ValueError(
            f"`thumbnails` must be uint8 of shape (n, {THUMBNAIL_PIXELS}, {THUMBNAIL_PIXELS}). "
            f"Received: {pixels.dtype} of shape {pixels.shape}"
        )
    sides = np.full(n, THUMBNAIL_PIXELS) if sides_pixels is None else np.asarray(sides_pixels)
    if sides.shape != (n,) or (features is not None and len(features) != n):
        raise ValueError(
            f"`sides_pixels` and `features` must have one row for each of {n} thumbnails. "
            f"Received: {len(sides)} sides, {None if features is None else len(features)} features"
        )
    told_apart = np.flatnonzero([picture.std() >= _LOWEST_SPREAD for picture in pixels])
    if len(told_apart) < 2:
        return ()
    by_chance = _similarity_by_chance(pixels[told_apart])
    found = _by_hashes(pixels[told_apart], verbose=verbose)
    alike: set[tuple[int, int]] = set()
    if features is not None:
        by_features = _by_features(np.asarray(features, "float32")[told_apart])
        alike = {(first, other) for _, first, other, _, _ in by_features.tolist()}
        found = np.concatenate([found, by_features])

    def confirmed(candidate: np.ndarray) -> SimilarPair | None:
        _, at, other, view, mirrored = candidate.tolist()
        seen_alike = (at, other) in alike or (other, at) in alike
        needed = _SAME_DETAIL_WITH_FEATURES if seen_alike else _SAME_DETAIL
        whole, piece = told_apart[[at, other]].tolist()
        second = pixels[piece][:, ::-1] if mirrored else pixels[piece]
        side = int(min(sides[whole], sides[piece]))
        if side < _TINY_PIXELS:
            needed = _SAME_TINY
            similarity = _correlation(pixels[whole].astype("float32"), second.astype("float32"))
        else:
            similarity = _aligned_similarity(pixels[whole], second, view, side)
            needed = by_chance + (1 - by_chance) * needed
        if similarity < needed:
            return None
        first, last = sorted((whole, piece))
        return SimilarPair(first, last, round(similarity, 3), bool(mirrored))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        pairs = track(pool.map(confirmed, found), "Comparing pictures", len(found), show=verbose)
        kept = sorted(pair for pair in pairs if pair is not None)
    # Of two ways in which a pair is alike, the better one comes last.
    best = {(pair.first, pair.second): pair for pair in kept}
    return tuple(best.values())


def perceptual_hashes(thumbnails: np.ndarray) -> np.ndarray:
    """Return each picture's pHash: which of its 16 x 16 lowest frequencies are above their median.

    The bits of ImageHash's `phash(..., hash_size=16)`, for all pictures in two matrix products.

    Args:
        thumbnails: Grey pictures of shape `(n, 64, 64)`.

    Returns:
        bool array of shape `(n, 16, 16)`.

    Example:

    >>> perceptual_hashes(np.zeros((3, 64, 64), "uint8")).shape
    (3, 16, 16)
    """
    return _hashes(np.asarray(thumbnails), np.eye(64), np.eye(64))


def _hashes(thumbnails: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return the hashes of `rows @ thumbnail @ columns.T`: of a part of it, or mirrored."""
    from scipy.fft import dct

    waves = dct(np.eye(THUMBNAIL_PIXELS), axis=0)[:16]
    left = (waves @ rows).astype("float32")
    right = (waves @ columns).astype("float32").T
    bits = np.empty((len(thumbnails), 16, 16), bool)
    # In blocks: as float32 the thumbnails would take four times the memory.
    for start in range(0, len(thumbnails), _BLOCK):
        block = left @ thumbnails[start : start + _BLOCK].astype("float32") @ right
        bits[start : start + _BLOCK] = block > np.median(block, (1, 2), keepdims=True)
    return bits


def _windows() -> list[tuple[int, int, int]]:
    """Return `(top, left, length)` of the views: the whole, and nine trimmed ones."""
    trim = round(THUMBNAIL_PIXELS * _TRIMMED)
    places = (0, trim // 2, trim)
    trimmed = [(top, left, THUMBNAIL_PIXELS - trim) for top in places for left in places]
    return [(0, 0, THUMBNAIL_PIXELS), *trimmed]


def _stretched(start: int, length: int) -> np.ndarray:
    """Return the matrix that interpolates `length` pixels from `start` on to a whole side."""
    side = np.arange(THUMBNAIL_PIXELS)
    positions = start + (side + 0.5) * length / THUMBNAIL_PIXELS - 0.5
    return np.stack([np.interp(positions, side, row) for row in np.eye(THUMBNAIL_PIXELS)], axis=1)


def _codes(bits: np.ndarray) -> np.ndarray:
    """Pack hashes into four numbers each, the lowest frequencies first."""
    row, column = np.indices((16, 16))
    order = np.argsort(np.maximum(row, column).ravel(), kind="stable")
    packed = np.packbits(bits.reshape(-1, _CODE_BITS)[:, order], axis=1)
    return np.ascontiguousarray(packed).view("uint64")


def _bits_set(words: np.ndarray) -> np.ndarray:
    """Count the bits of unsigned integers."""
    if hasattr(np, "bitwise_count"):
        return np.bitwise_count(words)
    # NumPy before 2.0.
    table = np.unpackbits(np.arange(256, dtype="uint8")[:, None], axis=1).sum(1, dtype="uint8")
    return table[words[..., None].view("uint8")].sum(-1, dtype="uint8")


def _by_hashes(pixels: np.ndarray, *, verbose: bool) -> np.ndarray:
    """Return rows `(distance, whole, piece, view, mirrored)`, each pair's nearest view only."""
    whole = np.eye(THUMBNAIL_PIXELS)
    targets = [_codes(_hashes(pixels, whole, turned)) for turned in (whole, whole[::-1])]
    views = [
        _codes(_hashes(pixels, _stretched(top, length), _stretched(left, length)))
        for top, left, length in _windows()
    ]

    def near(start: int) -> np.ndarray:
        rows = []
        for view, codes in enumerate(views):
            block = codes[start : start + _BLOCK]
            for mirrored, target in enumerate(targets):
                # A word at a time: the first one, of low frequencies, rules out nearly all.
                low = _bits_set(block[:, None, 0] ^ target[None, :, 0])
                at, other = np.nonzero(low <= _FARTHEST_LOW_BITS)
                distance = _bits_set(block[at] ^ target[other]).sum(1, dtype="int64")
                close = (distance <= _FARTHEST_BITS) & (at + start != other)
                at, other, distance = at[close] + start, other[close], distance[close]
                same = np.ones_like(at)
                rows.append(np.stack([distance, at, other, view * same, mirrored * same], axis=1))
        return _nearest(np.concatenate(rows))

    starts = range(0, len(pixels), _BLOCK)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        parts = track(pool.map(near, starts), "Comparing hashes", len(starts), show=verbose)
        return _nearest(np.concatenate(list(parts)))


def _by_features(features: np.ndarray) -> np.ndarray:
    """Return such rows for the pairs whose features are alike, both as they are and mirrored."""
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    rows = [np.empty((0, 5), "int64")]
    for start in range(0, len(unit), _BLOCK):
        cosines = unit[start : start + _BLOCK] @ unit.T
        at, other = np.nonzero(np.triu(cosines >= _SAME_FEATURES, start + 1))
        distance = np.rint(_CODE_BITS * (1 - cosines[at, other])).astype("int64")
        zero = np.zeros_like(at)
        rows.append(_nearest(np.stack([distance, at + start, other, zero, zero], axis=1)))
    found = np.concatenate(rows)
    mirrored = found.copy()
    mirrored[:, 4] = 1
    return np.concatenate([found, mirrored])


def _nearest(rows: np.ndarray) -> np.ndarray:
    """Keep the nearest view of each pair, and so many pairs a picture at most."""
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    pairs = np.sort(rows[:, 1:3], axis=1)
    _, first = np.unique(pairs, axis=0, return_index=True)
    rows = rows[np.sort(first)]
    by_picture = rows[np.argsort(rows[:, 1], kind="stable")]
    _, starts, counts = np.unique(by_picture[:, 1], return_index=True, return_counts=True)
    rank = np.arange(len(by_picture)) - np.repeat(starts, counts)
    return by_picture[rank < _MOST_CANDIDATES]


def _similarity_by_chance(pixels: np.ndarray) -> float:
    """Return how well the details of nearly any two pictures of a set correlate, 0 in small sets.

    It's the lowest quarter's limit: of a few photos with many copies each, or of the frames of some
    videos, half of all pairs may be alike.
    """
    if len(pixels) < _FEWEST_FOR_CHANCE:
        return 0.0
    rng = np.random.default_rng(0)
    first = rng.integers(0, len(pixels), _CHANCE_PAIRS)
    other = (first + rng.integers(1, len(pixels), _CHANCE_PAIRS)) % len(pixels)
    details = (
        [_detail(pixels[place].astype("float32"), 1.0) for place in pair]
        for pair in zip(first, other, strict=True)
    )
    return max(0.0, float(np.quantile([_correlation(*pair) for pair in details], 0.25)))


def _aligned_similarity(whole: np.ndarray, piece: np.ndarray, view: int, side: int) -> float:
    """Return how well the details correlate where `piece`, laid onto `whole`, covers it."""
    import cv2

    top, left, length = _windows()[view]
    scale = length / THUMBNAIL_PIXELS
    start = np.array([[scale, 0, left], [0, scale, top]], "float32")
    first, second = whole.astype("float32"), np.ascontiguousarray(piece, "float32")
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-4)
    try:
        _, found = cv2.findTransformECC(second, first, start, cv2.MOTION_AFFINE, stop, None, 5)
    # What can't be aligned isn't the same picture.
    except cv2.error:
        return -1.0
    laid = _warped(first, found)
    covered = _warped(np.ones_like(first), found) > 0.99
    # Codecs and interpolation spoil the edge.
    covered[[0, 1, -2, -1]] = covered[:, [0, 1, -2, -1]] = False
    if covered.sum() < covered.size / 2:
        return -1.0
    finest = max(1.0, THUMBNAIL_PIXELS / 2 / side)
    return _correlation(_detail(laid, finest)[covered], _detail(second, finest)[covered])


def _warped(picture: np.ndarray, transform: Any) -> np.ndarray:
    import cv2

    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(picture, transform, picture.shape[::-1], flags=flags)


def _detail(picture: np.ndarray, finest: float) -> np.ndarray:
    """Keep what is neither finer than a picture of this size can show nor coarse."""
    import cv2

    blurred = [cv2.GaussianBlur(picture, (0, 0), sigma) for sigma in (finest, 3 * finest)]
    return blurred[0] - blurred[1]


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    first, second = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / scale if scale else 0.0

"""The same photo twice: re-encoded, resized, trimmed, brighter, mirrored.

Perceptual hashes of the whole image and of nine trimmed views of it find candidates; aligning the
two images and comparing their details confirms them, if any two images aren't as much alike.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from keras_practical.inspection.alignment import (
    aligned_similarity,
    needed_by_chance,
    usual_distances,
)
from keras_practical.inspection.tiny_images import tiny_pairs
from keras_practical.utils.progress import track

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
# Chosen on the first half of scikit-learn's digits and on the lung scans.
_STANDS_OUT = 6
_TINY_PIXELS = 12
_LOWEST_SPREAD = 2.0
_BLOCK = 128


@dataclass(frozen=True, order=True, slots=True, kw_only=True)
class SimilarPair:
    """Two images that show the very same.

    Attributes:
        first: Place of one of them.
        second: Place of the other, greater than `first`.
        similarity: Correlation of their details once they are aligned, up to 1.
        mirrored: Whether one is the other's mirror image.

    Example:

    >>> SimilarPair(first=3, second=8, similarity=0.99, mirrored=True).mirrored
    True
    """

    first: int
    second: int
    similarity: float
    mirrored: bool

    def __str__(self) -> str:
        return f"images {self.first} and {self.second}, similarity {self.similarity:.3f}"


def near_duplicates(
    thumbnails: np.ndarray,
    *,
    sizes_pixels: Sequence[tuple[int, int]] | np.ndarray | None = None,
    features: np.ndarray | None = None,
    verbose: bool = True,
) -> tuple[SimilarPair, ...]:
    """Find the images that were made from the same one.

    Use it through `audit`; by itself for images without classes. There is no plain-Keras
    equivalent. Candidates differ in at most 70 of 256 hash bits, in any of ten views, mirrored or
    not. Then an affine map aligns them, and their details (what is finer than a twentieth of the
    image) must correlate by 0.9: on ants_vs_bees and CIFAR-10, where this was chosen, true copies
    reach 0.92 and 0.85 to 1, other candidates at most 0.36 and 0.83.

    Where any two images are alike (digits, scans, photos in one frame), more is needed: a
    correlation ten deviations above that of random pairs, 0.995 at most; or one that stands out, at
    most a sixth as far from 1 as with the images that look most alike. Images of 3 to 11 pixels
    can't be aligned, since their details say too little; the larger one is reduced or trimmed to
    the other's size, and they must correlate by 0.994 (0.996 slightly blurred, if of equal size).
    This was chosen on the first half of scikit-learn's digits and on CT slices. Images without
    any contrast aren't compared.

    Args:
        thumbnails: Grey images, uint8 of shape `(n, 64, 64)`, each the whole image, stretched.
        sizes_pixels: Height and width of each image, shape `(n, 2)`: the details of small
            images are coarser. Default: all are large enough (32 and more).
        features: What a network sees in each image (`embed(...).features`), shape `(n, size)`.
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
    >>> near_duplicates(np.stack([*noise, noise[0, :, ::-1]]), verbose=False)
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
    default = np.full((n, 2), THUMBNAIL_PIXELS)
    sizes = default if sizes_pixels is None else np.asarray(sizes_pixels).reshape(-1, 2)
    if len(sizes) != n or (features is not None and len(features) != n):
        raise ValueError(
            f"`sizes_pixels` and `features` must have one row for each of {n} thumbnails. "
            f"Received: {len(sizes)} sizes, {None if features is None else len(features)} features"
        )
    sides = sizes.min(1)
    told_apart = np.array([image.std() >= _LOWEST_SPREAD for image in pixels], bool)
    seen, large = np.flatnonzero(told_apart), np.flatnonzero(told_apart & (sides >= _TINY_PIXELS))
    pairs = [
        _pair(seen[first], seen[other], similarity, mirrored)
        for first, other, similarity, mirrored in tiny_pairs(
            pixels[seen], sizes[seen], _TINY_PIXELS
        )
    ]
    if len(large) >= 2:
        known = None if features is None else np.asarray(features, "float32")[large]
        pairs += [
            _pair(large[pair.first], large[pair.second], pair.similarity, pair.mirrored)
            for pair in _large_pairs(pixels[large], sides[large], known, verbose)
        ]
    # Of two ways in which a pair is alike, the better one comes last.
    return tuple({(pair.first, pair.second): pair for pair in sorted(pairs)}.values())


def perceptual_hashes(thumbnails: np.ndarray) -> np.ndarray:
    """Return each image's pHash: which of its 16 x 16 lowest frequencies are above their median.

    The bits of ImageHash's `phash(..., hash_size=16)`, for all images in two matrix products.

    Args:
        thumbnails: Grey images of shape `(n, 64, 64)`.

    Returns:
        bool array of shape `(n, 16, 16)`.

    Example:

    >>> perceptual_hashes(np.zeros((3, 64, 64), "uint8")).shape
    (3, 16, 16)
    """
    return _hashes(np.asarray(thumbnails), np.eye(64), np.eye(64))


def _pair(first: int, other: int, similarity: float, mirrored: bool) -> SimilarPair:
    low, high = sorted((int(first), int(other)))
    return SimilarPair(first=low, second=high, similarity=round(similarity, 3), mirrored=mirrored)


def _large_pairs(
    pixels: np.ndarray, sides: np.ndarray, features: np.ndarray | None, verbose: bool
) -> list[SimilarPair]:
    """Return the pairs that are candidates, alike once aligned, and more so than others are."""
    candidates = _by_hashes(pixels, verbose=verbose)
    alike: set[tuple[int, int]] = set()
    if features is not None:
        by_features = _by_features(features)
        alike = {(first, other) for _, first, other, _, _ in by_features.tolist()}
        candidates = np.concatenate([candidates, by_features])

    def confirmed(candidate: np.ndarray) -> SimilarPair | None:
        _, whole, piece, view, mirrored = candidate.tolist()
        seen_alike = (whole, piece) in alike or (piece, whole) in alike
        second = pixels[piece][:, ::-1] if mirrored else pixels[piece]
        side = int(min(sides[whole], sides[piece]))
        similarity = aligned_similarity(pixels[whole], second, _windows()[view], side)
        if similarity < (_SAME_DETAIL_WITH_FEATURES if seen_alike else _SAME_DETAIL):
            return None
        return _pair(whole, piece, similarity, bool(mirrored))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        pairs = track(
            pool.map(confirmed, candidates), "Comparing images", len(candidates), show=verbose
        )
        kept = [pair for pair in pairs if pair is not None]
    by_chance = needed_by_chance(pixels, sides)
    doubtful = [pair for pair in kept if pair.similarity < by_chance]
    indexes = sorted({index for pair in doubtful for index in (pair.first, pair.second)})
    usual = usual_distances(pixels, sides, indexes, verbose=verbose) if indexes else {}
    return [
        pair
        for pair in kept
        if pair.similarity >= by_chance
        or _STANDS_OUT * (1 - pair.similarity) <= min(usual[pair.first], usual[pair.second])
    ]


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
    indexes = (0, trim // 2, trim)
    trimmed = [(top, left, THUMBNAIL_PIXELS - trim) for top in indexes for left in indexes]
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
    pairs = np.concatenate(rows)
    mirrored = pairs.copy()
    mirrored[:, 4] = 1
    return np.concatenate([pairs, mirrored])


def _nearest(rows: np.ndarray) -> np.ndarray:
    """Keep the nearest view of each pair, and so many pairs an image at most."""
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    pairs = np.sort(rows[:, 1:3], axis=1)
    _, first = np.unique(pairs, axis=0, return_index=True)
    rows = rows[np.sort(first)]
    by_image = rows[np.argsort(rows[:, 1], kind="stable")]
    _, starts, counts = np.unique(by_image[:, 1], return_index=True, return_counts=True)
    rank = np.arange(len(by_image)) - np.repeat(starts, counts)
    return by_image[rank < _MOST_CANDIDATES]

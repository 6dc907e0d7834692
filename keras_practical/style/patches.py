"""Which patch of a painting stands for which place of a pasted object.

Used by `style.harmonize`: its first pass asks each place by itself (`nearest_patches`), its second
wants neighbours to come from neighbours (`consistent_mapping`).
"""

from __future__ import annotations

import numpy as np

__all__ = ["consistent_mapping", "nearest_patches", "upsampled_mapping"]

_MOST_CANDIDATES = 20_000
_CHUNK = 1024


def nearest_patches(
    features: np.ndarray, indexes: np.ndarray, painting: np.ndarray, *, seed: int = 0
) -> np.ndarray:
    """Find, for each place, the painting's patch of 3 x 3 cells that is most like its own.

    Patches are compared by the cosine between them, which doesn't mind that one is brighter.

    Args:
        features: Feature map of shape `(height, width, channels)`.
        indexes: Cells to ask for, `(row, column)` each, shape `(n, 2)`.
        painting: The painting's feature map, of any height and width.
        seed: Decides which 20,000 of the painting's patches are compared, if it has more.

    Returns:
        The cells of the painting, shape `(n, 2)`.

    Example:

    >>> ramp = np.arange(20.0).reshape(4, 5, 1) ** 2
    >>> nearest_patches(ramp, np.array([[1, 2], [2, 3]]), ramp).tolist()
    [[1, 2], [2, 3]]

    Reference:
        Li & Wand, *Combining Markov Random Fields and Convolutional Neural Networks* (2016), arXiv
        1601.04589; Luan et al. (2018), arXiv 1804.03189, algorithm 2.
    """
    candidates = np.indices(painting.shape[:2]).reshape(2, -1).T
    if len(candidates) > _MOST_CANDIDATES:
        rng = np.random.default_rng(seed)
        candidates = candidates[np.sort(rng.permutation(len(candidates))[:_MOST_CANDIDATES])]
    known = _patches(painting, candidates)
    nearest = [
        (_patches(features, indexes[start : start + _CHUNK]) @ known.T).argmax(1)
        for start in range(0, len(indexes), _CHUNK)
    ]
    return candidates[np.concatenate(nearest)]


def consistent_mapping(
    indexes: np.ndarray, matches: np.ndarray, painting: np.ndarray
) -> np.ndarray:
    """Let each place's neighbours vote, so that neighbours come from neighbours.

    Each neighbour, up to two cells away, proposes the cell that stands to its own match as the
    place stands to it. The proposal whose features are nearest to all the others' wins.

    Args:
        indexes: Cells of the object, `(row, column)` each, shape `(n, 2)`.
        matches: Cells of the painting that `nearest_patches` found for them, shape `(n, 2)`.
        painting: The painting's feature map.

    Returns:
        The cells of the painting that won, shape `(n, 2)`.

    Example:

    >>> places = np.array([[0, 0], [0, 1], [0, 2]])
    >>> painting = np.zeros((5, 9, 1))
    >>> painting[3, 8] = 7.0
    >>> consistent_mapping(places, np.array([[1, 1], [3, 8], [1, 3]]), painting).tolist()
    [[1, 1], [1, 2], [1, 3]]

    Reference:
        Luan et al., *Deep Painterly Harmonization* (2018), arXiv 1804.03189, algorithm 3.
    """
    height, width = painting.shape[:2]
    number = {(int(row), int(column)): n for n, (row, column) in enumerate(indexes)}
    won = np.empty_like(matches)
    for n, (row, column) in enumerate(indexes):
        proposals = [
            (matches[m][0] - down, matches[m][1] - right)
            for down in range(-2, 3)
            for right in range(-2, 3)
            if (m := number.get((row + down, column + right))) is not None
        ]
        # Its own match is always inside.
        inside = np.array([(r, c) for r, c in proposals if 0 <= r < height and 0 <= c < width])
        voices = painting[inside[:, 0], inside[:, 1]]
        distances = ((voices[:, None] - voices[None]) ** 2).sum((1, 2))
        won[n] = inside[distances.argmin()]
    return won


def upsampled_mapping(
    indexes: np.ndarray,
    coarse_places: np.ndarray,
    coarse_matches: np.ndarray,
    *,
    coarse_shape: tuple[int, int],
    shape: tuple[int, int],
    painting_shape: tuple[int, int],
) -> np.ndarray:
    """Carry a mapping over to a layer of another resolution.

    Each cell moves by as much, in pixels, as the coarse cell nearest to it.

    Args:
        indexes: Cells of the other layer, shape `(n, 2)`.
        coarse_places: Cells of the reference layer, >= 1.
        coarse_matches: The painting's cells that belong to them.
        coarse_shape: Height and width of the reference layer's map.
        shape: Height and width of the other layer's map.
        painting_shape: Height and width of the other layer's map of the painting.

    Returns:
        The painting's cells in the other layer, shape `(n, 2)`.

    Example:

    >>> upsampled_mapping(
    ...     np.array([[3, 2]]),
    ...     np.array([[1, 1]]),
    ...     np.array([[4, 0]]),
    ...     coarse_shape=(8, 8),
    ...     shape=(16, 16),
    ...     painting_shape=(16, 16),
    ... ).tolist()
    [[9, 0]]
    """
    from scipy.spatial import KDTree

    ratio = np.array(shape) / np.array(coarse_shape)
    # The nearest, not the one around: maps of unpadded networks aren't quite in step.
    _, around = KDTree(coarse_places).query((indexes + 0.5) / ratio - 0.5)
    moved = indexes + np.rint((coarse_matches[around] - coarse_places[around]) * ratio).astype(int)
    return np.clip(moved, 0, np.array(painting_shape) - 1)


def _patches(features: np.ndarray, indexes: np.ndarray) -> np.ndarray:
    """Return the 3 x 3 patches around places, of length one, shape `(n, 9 * channels)`."""
    padded = np.pad(features, ((1, 1), (1, 1), (0, 0)), mode="edge")
    rows, columns = indexes[:, 0], indexes[:, 1]
    parts = [padded[rows + down, columns + right] for down in range(3) for right in range(3)]
    patches = np.concatenate(parts, axis=1).astype("float32")
    return patches / np.maximum(np.linalg.norm(patches, axis=1, keepdims=True), 1e-8)

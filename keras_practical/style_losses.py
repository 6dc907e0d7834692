"""How far a picture's features are from a painting's style, and from what it showed before.

Each loss is relative to the size of what it compares with, so that it means the same for any
layer of any network: 1 is as far away as a picture without features.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

__all__ = [
    "content_loss",
    "gram_matrix",
    "histogram_loss",
    "quantiles",
    "style_loss",
    "total_variation",
]


def gram_matrix(features: Any) -> Any:
    """Return how often each two features come together, which is what a style is made of.

    Args:
        features: Feature vectors, shape `(n, channels)`.

    Returns:
        The mean of their products, shape `(channels, channels)`.

    Example:

    >>> ops.convert_to_numpy(gram_matrix(np.array([[1.0, 2.0], [3.0, 0.0]]))).tolist()
    [[5.0, 1.0], [1.0, 2.0]]

    Reference:
        Gatys, Ecker & Bethge, *A Neural Algorithm of Artistic Style* (2015), arXiv 1508.06576.
    """
    features = ops.convert_to_tensor(features)
    return ops.matmul(ops.transpose(features), features) / ops.cast(
        ops.shape(features)[0], features.dtype
    )


def style_loss(features: Any, gram: Any) -> Any:
    """Return how far the Gram matrix of features is from one that is wanted.

    Args:
        features: Feature vectors, shape `(n, channels)`.
        gram: The wanted matrix.

    Returns:
        The squared distance over the squared size of the wanted matrix.

    Example:

    >>> float(style_loss(np.array([[1.0, 0.0]]), np.array([[2.0, 0.0], [0.0, 0.0]])))
    0.25
    """
    return _relative(gram_matrix(features), ops.convert_to_tensor(gram))


def content_loss(features: Any, wanted: Any) -> Any:
    """Return how far features are, place by place, from those of the picture before.

    Args:
        features: Feature vectors, shape `(n, channels)`.
        wanted: As many of the picture before.

    Returns:
        The squared distance over the squared size of the wanted ones.

    Example:

    >>> float(content_loss(np.array([[1.0, 0.0]]), np.array([[0.0, 2.0]])))
    1.25
    """
    return _relative(ops.convert_to_tensor(features), ops.convert_to_tensor(wanted))


def histogram_loss(features: Any, wanted: Any) -> Any:
    """Return how far each channel is from its values remapped to a wanted histogram.

    A channel's values, remapped so that their histogram is the wanted one and their order stays,
    are the wanted values in the same order; so the distance to them is that of the sorted values.
    A Gram matrix leaves means and spreads free to trade; this pins each channel's distribution.

    Args:
        features: Feature vectors, shape `(n, channels)`.
        wanted: The wanted histograms as `quantiles`, shape `(n, channels)`.

    Returns:
        The squared distance over the squared size of the wanted values.

    Example:

    >>> round(float(histogram_loss(np.array([[3.0], [1.0]]), np.array([[1.0], [2.0]]))), 3)
    0.2

    Reference:
        Risser, Wilmot & Barnes, *Stable and Controllable Neural Texture Synthesis and Style
        Transfer Using Histogram Losses* (2017), arXiv 1701.08893.
    """
    ranked = ops.sort(ops.convert_to_tensor(features), axis=0)
    return _relative(ranked, ops.convert_to_tensor(wanted))


def quantiles(values: np.ndarray, n: int) -> np.ndarray:
    """Return `n` values a channel, ascending, that are spread as the given ones are.

    Args:
        values: Shape `(any, channels)`.
        n: Number of values, >= 1.

    Returns:
        float32 of shape `(n, channels)`.

    Example:

    >>> quantiles(np.array([[4.0], [0.0], [2.0]]), 6).ravel().tolist()
    [0.0, 0.5, 1.5, 2.5, 3.5, 4.0]
    """
    ranked = np.sort(values, axis=0)
    at = (np.arange(n) + 0.5) / n
    of = (np.arange(len(ranked)) + 0.5) / len(ranked)
    columns = [np.interp(at, of, column) for column in ranked.T]
    return np.stack(columns, axis=1).astype("float32")


def total_variation(picture: Any, weights: Any) -> Any:
    """Return the mean squared difference between neighbouring pixels where `weights` says.

    Args:
        picture: Shape `(height, width, channels)`.
        weights: Shape `(height, width)`, in [0, 1].

    Returns:
        The mean over pixels, weighted.

    Example:

    >>> float(total_variation(np.array([[[0.0], [2.0]], [[0.0], [0.0]]]), np.ones((2, 2))))
    2.0
    """
    picture, weights = ops.convert_to_tensor(picture), ops.convert_to_tensor(weights)
    down = ops.sum((picture[1:] - picture[:-1]) ** 2, axis=-1) * weights[1:]
    right = ops.sum((picture[:, 1:] - picture[:, :-1]) ** 2, axis=-1) * weights[:, 1:]
    return (ops.sum(down) + ops.sum(right)) / ops.maximum(ops.sum(weights), 1.0)


def _relative(found: Any, wanted: Any) -> Any:
    return ops.sum((found - wanted) ** 2) / ops.maximum(ops.sum(wanted**2), 1e-12)

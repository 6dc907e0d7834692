"""How far an image's features are from a painting's style, and from what it showed before.

Each loss is relative to the size of what it compares with, so that it means the same for any
layer of any network: 1 is as far away as an image without features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

if TYPE_CHECKING:
    from keras_practical.utils.types import Tensor

__all__ = [
    "StyleProgress",
    "content_loss",
    "gram_matrix",
    "histogram_loss",
    "painting_strength",
    "quantiles",
    "smoothness_weight",
    "style_loss",
    "total_variation",
]


def gram_matrix(features: Tensor) -> Tensor:
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


def style_loss(features: Tensor, gram: Tensor) -> Tensor:
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


def content_loss(features: Tensor, wanted: Tensor) -> Tensor:
    """Return how far features are, place by place, from those of the image before.

    Args:
        features: Feature vectors, shape `(n, channels)`.
        wanted: As many of the image before.

    Returns:
        The squared distance over the squared size of the wanted ones.

    Example:

    >>> float(content_loss(np.array([[1.0, 0.0]]), np.array([[0.0, 2.0]])))
    1.25
    """
    return _relative(ops.convert_to_tensor(features), ops.convert_to_tensor(wanted))


def histogram_loss(features: Tensor, wanted: Tensor) -> Tensor:
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


def total_variation(image: Tensor, weights: Tensor) -> Tensor:
    """Return the mean squared difference between neighbouring pixels where `weights` says.

    Args:
        image: Shape `(height, width, channels)`.
        weights: Shape `(height, width)`, in [0, 1].

    Returns:
        The mean over pixels, weighted.

    Example:

    >>> float(total_variation(np.array([[[0.0], [2.0]], [[0.0], [0.0]]]), np.ones((2, 2))))
    2.0
    """
    image, weights = ops.convert_to_tensor(image), ops.convert_to_tensor(weights)
    down = ops.sum((image[1:] - image[:-1]) ** 2, axis=-1) * weights[1:]
    right = ops.sum((image[:, 1:] - image[:, :-1]) ** 2, axis=-1) * weights[:, 1:]
    return (ops.sum(down) + ops.sum(right)) / ops.maximum(ops.sum(weights), 1.0)


def _relative(value: Any, wanted: Tensor) -> Tensor:
    return ops.sum((value - wanted) ** 2) / ops.maximum(ops.sum(wanted**2), 1e-12)


def painting_strength(painting: np.ndarray) -> float:
    """Estimate how strongly a painting's style should count: rough brushwork wants more.

    Args:
        painting: uint8 of shape `(height, width, 3)`.

    Returns:
        1 for a painting whose neighbouring pixels differ by 1 % of the range or less on average,
        10 from 6 % up, in between linearly. The paper's network gives 1 for Baroque and
        Renaissance, 10 for Cubism and abstract art.

    Example:

    >>> painting_strength(np.zeros((8, 8, 3), "uint8"))
    1.0
    """
    light = painting.astype("float64").mean(-1) / 255
    roughness = (np.abs(np.diff(light, axis=0)).mean() + np.abs(np.diff(light, axis=1)).mean()) / 2
    return float(np.clip(1 + 9 * (roughness - 0.01) / 0.05, 1.0, 10.0))


def smoothness_weight(painting: np.ndarray) -> float:
    """Return the weight of the total variation: little for a painting that is noisy itself.

    Args:
        painting: uint8 of shape `(height, width, 3)`.

    Returns:
        10 / (1 + exp(10⁴ x - 25)), where x is the median of the squared differences between
        neighbouring pixels in [0, 1].

    Example:

    >>> round(smoothness_weight(np.zeros((8, 8, 3), "uint8")), 3)
    10.0

    Reference:
        Luan et al. (2018), arXiv 1804.03189, section 4.4.
    """
    pixels = painting.astype("float64") / 255
    down = ((pixels[1:, :-1] - pixels[:-1, :-1]) ** 2).sum(-1)
    right = ((pixels[:-1, 1:] - pixels[:-1, :-1]) ** 2).sum(-1)
    return float(10 / (1 + np.exp(min(1e4 * np.median(down + right) - 25, 700.0))))


@dataclass(frozen=True, kw_only=True)
class StyleProgress:
    """Where an optimization is; what a `callback` gets.

    Attributes:
        stage: `"coarse, half size"`, `"coarse"`, `"fine"` or `"transfer"`.
        step: Evaluations in this stage so far.
        losses: The parts of the loss, unweighted, by name.
        image: The best so far: uint8 of shape `(height, width, 3)`, at working size.

    Example:

    >>> StyleProgress(
    ...     stage="fine", step=3, losses={"style": 0.1}, image=np.zeros((2, 2, 3), "uint8")
    ... ).stage
    'fine'
    """

    stage: str
    step: int
    losses: dict[str, float]
    image: np.ndarray

    def __str__(self) -> str:
        return f"{self.stage}, step {self.step}"


def objective_of(
    maps: keras.Model, content: str
) -> Callable[[Any, dict[str, Any]], tuple[Any, dict[str, Any]]]:
    """Return the weighted loss, and its parts, of pixels in [0, 1] and of what is wanted of them.

    What is wanted: `grams` and `histograms` by layer, at the cells of the layer's map that `places`
    numbers; the `content` layer's features there; the `painting` that shows through where `alpha`
    is below 1; the `mask` that is to be smooth; and the parts' `weights`.
    """

    def objective(pixels: Tensor, wanted: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        shown = wanted["painting"] + wanted["alpha"] * (pixels - wanted["painting"])
        features = maps(255.0 * shown[None])

        def at(name: str) -> Tensor:
            cells = ops.reshape(features[name], (-1, features[name].shape[-1]))
            return ops.take(cells, wanted["places"][name], axis=0)

        grams, histograms = wanted["grams"], wanted["histograms"]
        parts = {
            "style": sum(style_loss(at(name), grams[name]) for name in grams) / len(grams),
            "content": content_loss(at(content), wanted["content"]),
            "variation": total_variation(shown, wanted["mask"]),
        }
        if histograms:
            losses = [histogram_loss(at(name), histograms[name]) for name in histograms]
            parts["histogram"] = sum(losses) / len(losses)
        return sum(wanted["weights"][name] * parts[name] for name in parts), parts

    return objective

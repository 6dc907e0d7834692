"""The loss of a picture that should look painted, and what is told of it on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_practical.style_losses import (
    content_loss,
    histogram_loss,
    style_loss,
    total_variation,
)


@dataclass(frozen=True)
class StyleProgress:
    """Where an optimization is; what a `callback` gets.

    Attributes:
        stage: `"coarse, half size"`, `"coarse"`, `"fine"` or `"transfer"`.
        step: Evaluations in this stage so far.
        losses: The parts of the loss, unweighted, by name.
        picture: The best so far: uint8 of shape `(height, width, 3)`, at working size.

    Example:

    >>> StyleProgress("fine", 3, {"style": 0.1}, np.zeros((2, 2, 3), "uint8")).stage
    'fine'
    """

    stage: str
    step: int
    losses: dict[str, float]
    picture: np.ndarray


def objective_of(
    maps: keras.Model, content: str
) -> Callable[[Any, dict[str, Any]], tuple[Any, dict[str, Any]]]:
    """Return the weighted loss, and its parts, of pixels in [0, 1] and of what is wanted of them.

    What is wanted: `grams` and `histograms` by layer, at the cells of the layer's map that `places`
    numbers; the `content` layer's features there; the `painting` that shows through where `alpha`
    is below 1; the `mask` that is to be smooth; and the parts' `weights`.
    """

    def objective(pixels: Any, wanted: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        shown = wanted["painting"] + wanted["alpha"] * (pixels - wanted["painting"])
        found = maps(255.0 * shown[None])

        def at(name: str) -> Any:
            cells = ops.reshape(found[name], (-1, found[name].shape[-1]))
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

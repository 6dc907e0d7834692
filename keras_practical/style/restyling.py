"""A whole image in the style of another: neural style transfer.

Reached as `keras_practical.style.restyle`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np
from keras import ops

from keras_practical.models.opening import open_backbone
from keras_practical.style.descent import descend
from keras_practical.style.features import (
    StyleLayers,
    feature_maps,
    style_layers,
)
from keras_practical.style.losses import StyleProgress, gram_matrix, objective_of, smoothness_weight
from keras_practical.style.pasting import as_image
from keras_practical.style.scene import resized_image
from keras_practical.utils.checks import check_count, check_positive
from keras_practical.utils.keras_internals.gradients import value_and_gradient
from keras_practical.utils.progress import progress_bar

if TYPE_CHECKING:
    from keras_practical.utils.types import Image

__all__ = ["restyle"]


def restyle(
    content: Image,
    style: Image,
    *,
    extractor: str | keras.Model = "VGG19",
    layers: StyleLayers | None = None,
    weights: str | Path | None = "imagenet",
    preprocessing: str | None = None,
    image_size: int = 512,
    strength: float = 10.0,
    steps: int = 150,
    callback: Callable[[StyleProgress], None] | None = None,
    verbose: bool = True,
) -> np.ndarray:
    """Paint an image in the style of another.

    Use it to see what features and Gram matrices do, before `harmonize`, which paints only an
    object and looks for what suits it. The plain-Keras equivalent is the code example "Neural style
    transfer", whose gradient steps need ten times as many evaluations.

    Ctrl-C gives the best image so far.

    Args:
        content: What to show: a path, or an array of shape `(height, width, 3)` in [0, 255].
        style: How to paint it: the same, of any size.
        extractor: As in `harmonize`.
        layers: As in `harmonize`: `fine` for the style, `content` for the content.
        weights: As in `harmonize`.
        preprocessing: As in `harmonize`.
        image_size: The longer side, in pixels, of the result and of the style, >= 64. A smaller
            image isn't enlarged.
        strength: How strongly style counts against content, > 0.
        steps: Evaluations of the loss, >= 1.
        callback: As in `harmonize`.
        verbose: As in `harmonize`.

    Returns:
        The image: uint8, as large as `content` or smaller.

    Raises:
        ValueError: An argument is outside its range, or an image is transparent.
        RuntimeError: The ImageNet weights can't be had; the text says how to go on offline.

    Example:

    >>> network = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(4, 3, 2)])
    >>> images = np.random.default_rng(0).integers(0, 255, (2, 80, 64, 3))
    >>> restyle(*images, extractor=network, steps=2, verbose=False).shape
    (80, 64, 3)

    Reference:
        Gatys, Ecker & Bethge, *A Neural Algorithm of Artistic Style* (2015), arXiv 1508.06576.
    """
    check_count("image_size", image_size, minimum=64)
    check_count("steps", steps)
    check_positive("strength", strength)
    shown, painting = (
        resized_image(image, min(1.0, image_size / max(image.shape[:2])))
        for image in (as_image("content", content), as_image("style", style))
    )
    opened = open_backbone(
        extractor,
        argument="extractor",
        any_size=True,
        weights=weights,
        preprocessing=preprocessing,
        rgb=True,
    )
    network, scaling = opened.model, opened.preprocessing
    names = style_layers(network, layers)
    wanted_layers = tuple(dict.fromkeys((names.content, *names.fine)))

    def features(image: np.ndarray) -> tuple[keras.Model, dict[str, np.ndarray]]:
        maps = feature_maps(network, wanted_layers, scaling, image.shape[:2])
        found = maps(image[None].astype("float32"))
        return maps, {
            name: ops.convert_to_numpy(ops.reshape(values, (-1, values.shape[-1])))
            for name, values in found.items()
        }

    _, of_style = features(painting)
    maps, own = features(shown)
    best = begun = shown.astype("float32") / 255
    wanted = {
        "places": {name: np.arange(len(own[name]), dtype="int32") for name in wanted_layers},
        "content": own[names.content],
        "grams": {name: ops.convert_to_numpy(gram_matrix(of_style[name])) for name in names.fine},
        "histograms": {},
        "painting": begun,
        "alpha": np.ones((*shown.shape[:2], 1), "float32"),
        "mask": np.ones(shown.shape[:2], "float32"),
        "weights": {
            "style": np.float32(strength),
            "content": np.float32(0.5),
            "variation": np.float32(smoothness_weight(painting)),
        },
    }

    def as_pixels(pixels: np.ndarray) -> np.ndarray:
        return np.rint(255 * pixels).astype("uint8")

    with progress_bar("Style transfer", steps, show=verbose) as advance:

        def on_step(step: int, pixels: np.ndarray, losses: dict[str, float]) -> None:
            nonlocal best
            best = pixels
            advance(1, f"(style {losses['style']:.3f}, content {losses['content']:.3f})")
            if callback and (step % 10 == 0 or step == steps):
                callback(
                    StyleProgress(
                        stage="transfer", step=step, losses=losses, image=as_pixels(pixels)
                    )
                )

        objective = value_and_gradient(objective_of(maps, names.content))
        with suppress(KeyboardInterrupt):
            descend(objective, wanted, begun, steps=steps, on_step=on_step)
    return as_pixels(best)

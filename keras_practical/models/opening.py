"""A name or a model as a backbone: the one place that answers what was given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from keras_practical.models.backbones import BACKBONES, PREPROCESSING, build_backbone
from keras_practical.models.pixels import expected_preprocessing
from keras_practical.utils.checks import ImageSize, check_choice, check_image_size

__all__ = ["OpenedBackbone", "open_backbone"]


@dataclass(frozen=True, kw_only=True)
class OpenedBackbone:
    """A network from images to features, and what it expects.

    Attributes:
        model: The network.
        shape: `(height, width, channels)` of its images; `None` for sides of any length.
        preprocessing: One of `PREPROCESSING`.

    Example:

    >>> network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)])
    >>> OpenedBackbone(model=network, shape=(8, 8, 3), preprocessing="none").shape
    (8, 8, 3)
    """

    model: keras.Model
    shape: tuple[int | None, int | None, int]
    preprocessing: str


def open_backbone(
    backbone: Any,
    *,
    argument: str = "backbone",
    image_size: ImageSize | None = None,
    any_size: bool = False,
    weights: str | Path | None = "imagenet",
    preprocessing: str | None = None,
    rgb: bool = False,
) -> OpenedBackbone:
    """Open a name or a model as a backbone: the one place that answers what was given.

    Args:
        backbone: A name in `BACKBONES`, or a `keras.Model` of one batch of images, which is used
            itself.
        argument: What the caller's user calls it, for error texts.
        image_size: Pixels. Default: the network's own.
        any_size: Whether a network of a name is built for images of any size.
        weights: As in `build_backbone`; only for names.
        preprocessing: One of `PREPROCESSING`. Default: what the architecture needs; none for a
            model that isn't of `keras.applications` or scales its pixels itself.
        rgb: Whether it must take three channels.

    Returns:
        The backbone.

    Raises:
        ValueError: It is neither, or a model of other inputs.
        RuntimeError: As `build_backbone`.

    Example:

    >>> network = keras.applications.MobileNetV2(
    ...     include_top=False, weights=None, input_shape=(96, 96, 3)
    ... )
    >>> open_backbone(network).preprocessing
    'minus_one_to_one'
    """
    if preprocessing is not None:
        check_choice("preprocessing", preprocessing, PREPROCESSING)
    size = None if image_size is None else check_image_size("image_size", image_size)
    if isinstance(backbone, str):
        check_choice(argument, backbone, BACKBONES)
        entry = BACKBONES[backbone]
        chosen: Any = size or (entry.default_size, entry.default_size)
        if any_size:
            chosen = (None, None)
        return OpenedBackbone(
            model=build_backbone(backbone, image_size=chosen, weights=weights),
            shape=(*chosen, 3),
            preprocessing=preprocessing or entry.preprocessing,
        )
    shape = getattr(backbone, "input_shape", None)
    if not isinstance(backbone, keras.Model) or not isinstance(shape, tuple) or len(shape) != 4:
        shown = f" with input shape {shape}" if isinstance(backbone, keras.Model) else ""
        raise ValueError(
            f"`{argument}` must be a name in keras_practical.models.BACKBONES or a keras.Model of "
            "one batch of images, (batch, height, width, channels). "
            f"Received: {type(backbone).__name__}{shown}"
        )
    if rgb and shape[3] != 3:
        raise ValueError(f"`{argument}` must take RGB images. Received: input shape {shape}")
    height, width = size or shape[1:3]
    _, expected = expected_preprocessing(backbone) or ("", "none")
    return OpenedBackbone(
        model=backbone,
        shape=(height, width, shape[3]),
        preprocessing=preprocessing or (expected if shape[3] == 3 else "none"),
    )

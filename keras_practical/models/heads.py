"""What stands on a backbone: pooling, and the layer of class probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras

from keras_practical.models.class_names import named_classes

if TYPE_CHECKING:
    from keras_practical.utils.types import Tensor


def pooled(features: Tensor, *, argument: str = "backbone", kind: str = "Average") -> Tensor:
    """Return one vector an image, of a feature map, a sequence of vectors or a vector.

    Args:
        features: Tensor of shape `(batch, height, width, channels)`, `(batch, n, channels)` or
            `(batch, channels)`.
        argument: What the caller's user calls the network that gives them, for error texts.
        kind: `"Average"` or `"Max"`.

    Returns:
        Tensor of shape `(batch, channels)`.

    Raises:
        ValueError: The features are of another rank.
    """
    rank = len(getattr(features, "shape", ()))
    if rank not in (2, 3, 4):
        raise ValueError(
            f"`{argument}` must give a feature map (batch, height, width, channels), vectors "
            "(batch, n, channels) or one vector (batch, channels). "
            f"Received: an output {getattr(features, 'shape', type(features).__name__)}"
        )
    if rank == 2:
        return features
    return getattr(keras.layers, f"Global{kind}Pooling{rank - 2}D")()(features)


def linear_head(
    features: Tensor, classes: Sequence[str] | int, *, dropout: float, seed: int | None
) -> Tensor:
    """Return class probabilities of vectors, after dropout.

    Args:
        features: Tensor of shape `(batch, channels)`.
        classes: The classes' names, which the model then knows, or their number.
        dropout: Part of the features left out in each training step, in [0, 1).
        seed: Decides the first weights and the dropout. Default: Keras's global seed.

    Returns:
        Tensor of shape `(batch, classes)`.
    """
    features = keras.layers.Dropout(dropout, seed=seeded(seed, 2))(features)
    features = named_classes(features, classes)
    # float32 also under mixed precision: half precision would round the probabilities.
    return keras.layers.Dense(
        classes if isinstance(classes, int) else len(classes),
        activation="softmax",
        dtype="float32",
        kernel_initializer=keras.initializers.GlorotUniform(seeded(seed, 3)),
        name="probabilities",
    )(features)


def mlp_head(
    features: Tensor, classes: Sequence[str] | int, *, dropout: float, seed: int | None
) -> Tensor:
    """Return class probabilities by fastai's head: both kinds of pooling and a hidden layer.

    Args:
        features: As in `pooled`.
        classes: As in `linear_head`.
        dropout: As in `linear_head`; half of it before the hidden layer.
        seed: As in `linear_head`.

    Returns:
        As `linear_head`.

    Raises:
        ValueError: As `pooled`.
    """
    layers = keras.layers
    average = pooled(features)
    if average is not features:
        average = layers.Concatenate()([pooled(features, kind="Max"), average])
    hidden = layers.BatchNormalization()(average)
    hidden = layers.Dropout(dropout / 2, seed=seeded(seed, 0))(hidden)
    initializer = keras.initializers.GlorotUniform(seeded(seed, 1))
    hidden = layers.Dense(512, use_bias=False, kernel_initializer=initializer)(hidden)
    hidden = layers.BatchNormalization()(layers.ReLU()(hidden))
    return linear_head(hidden, classes, dropout=dropout, seed=seed)


def seeded(seed: int | None, offset: int) -> int | None:
    """Return a seed for one of several layers, `None` for Keras's own choice."""
    return None if seed is None else seed + offset

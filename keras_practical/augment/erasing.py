"""Erasing of random rectangles, with Keras's layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras

from keras_practical.augment.base import warn_of_range
from keras_practical.utils.keras_internals.layers import augments_by_default

if TYPE_CHECKING:
    from keras_practical.utils.types import Tensor

__all__ = ["RandomErasing"]


@keras.saving.register_keras_serializable(package="keras_practical")
class RandomErasing(keras.layers.RandomErasing):
    """Keras's `RandomErasing`, which leaves an exported model alone, in any precision.

    Keras's layer takes a call that doesn't say otherwise for training, and so goes on erasing in
    what `model.export` writes. This one does so only where it is called by itself, not by a model
    that learns. It computes in float32, because Keras's fails in half precision.

    Args:
        **options: As in `keras.layers.RandomErasing`.

    Example:

    >>> image = keras.ops.full((1, 4, 4, 3), 200.0)
    >>> layer = RandomErasing(factor=(1, 1), fill_value=0.0, seed=0)
    >>> float(keras.ops.min(layer(image))), float(keras.ops.min(layer(image, training=False)))
    (0.0, 200.0)

    Reference:
        Zhong et al., *Random Erasing Data Augmentation* (2017), arXiv 1708.04896.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"dtype": "float32", **options})
        self._looked = False

    def call(self, data: Tensor, training: bool | None = None) -> Tensor:
        """Return the images, with a hole in training."""
        if training is None:
            training = augments_by_default(self)
        if training and not self._looked and not isinstance(data, dict):
            self._looked = warn_of_range(self, data, self.value_range[1])
        return super().call(data, training=training)

"""Erasing of random rectangles, with Keras's layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras

if TYPE_CHECKING:
    from keras_practical.utils.types import Data, Tensor

__all__ = ["RandomErasing"]


@keras.saving.register_keras_serializable(package="keras_practical")
class RandomErasing(keras.layers.RandomErasing):
    """Keras's `RandomErasing`, which erases in training only, also in an exported model.

    Keras's layer takes a call that doesn't say otherwise for training, and so goes on erasing in
    what `model.export` writes.

    Args:
        **options: As in `keras.layers.RandomErasing`.

    Example:

    >>> image = keras.ops.ones((1, 4, 4, 3))
    >>> float(keras.ops.min(RandomErasing(factor=(1, 1), fill_value=0.0)(image)))
    1.0

    Reference:
        Zhong et al., *Random Erasing Data Augmentation* (2017), arXiv 1708.04896.
    """

    def call(self, data: Data, training: bool = False) -> Tensor:
        """Return the images, with a hole in training."""
        return super().call(data, training=training)

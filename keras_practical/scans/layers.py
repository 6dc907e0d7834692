"""Layers of a classifier of scans: slices as images, and attention over them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

if TYPE_CHECKING:
    from keras_practical.utils.types import Shape, Tensor

__all__ = ["AttentionPooling", "SlicesAsImages"]


# Files saved before the first release know it by this name.
@keras.saving.register_keras_serializable(package="keras_practical", name="SlicesAsPictures")
class SlicesAsImages(keras.layers.Layer):
    """Lay the slices of all scans of a batch side by side, as images for a backbone.

    Args:
        channels: Channels of the images; a grey scan is repeated to so many.
        **options: As in `keras.layers.Layer`.

    Example:

    >>> SlicesAsImages(3)(ops.zeros((2, 5, 8, 8, 1))).shape
    TensorShape([10, 8, 8, 3])
    """

    def __init__(self, channels: int, **options: Any) -> None:
        super().__init__(**options)
        self.channels = channels

    def call(self, volumes: Tensor) -> Tensor:
        """Return images of shape `(batch * depth, height, width, channels)`."""
        # Slices that only fill up are -1 all over; they become black.
        images = ops.maximum(ops.reshape(volumes, (-1, *volumes.shape[2:])), 0)
        if volumes.shape[-1] != self.channels:
            images = ops.repeat(images, self.channels, axis=-1)
        return images

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[Any, ...]:
        """Return the shape of the images."""
        return (None, *input_shape[2:4], self.channels)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "channels": self.channels}


@keras.saving.register_keras_serializable(package="keras_practical")
class AttentionPooling(keras.layers.Layer):
    """Gated attention: a weighted mean of slices' features, the weights learnt from the features.

    Called on the features of all slices, `(batch * depth, size)`, and the scans that they are of,
    `(batch, depth, ...)`. Slices of -1 throughout get no weight.

    Args:
        units: Size of the hidden layer that the weights come from.
        seed: Decides the first weights.
        **options: As in `keras.layers.Layer`.

    Example:

    >>> features, scans = ops.ones((6, 4)), ops.zeros((2, 3, 8, 8, 1))
    >>> pooled, attention = AttentionPooling(8)([features, scans])
    >>> pooled.shape, [round(float(weight), 3) for weight in attention[0]]
    (TensorShape([2, 4]), [0.333, 0.333, 0.333])

    Reference:
        Ilse, Tomczak & Welling, *Attention-based Deep Multiple Instance Learning* (2018),
        arXiv 1802.04712, equation 9.
    """

    def __init__(self, units: int = 128, *, seed: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.units = units
        self.seed = seed

    def build(self, input_shape: Shape) -> None:
        """Create the weights."""
        size = input_shape[0][-1]

        def matrix(name: str, shape: tuple[int, int], offset: int) -> Tensor:
            seed = None if self.seed is None else self.seed + offset
            return self.add_weight(
                name=name, shape=shape, initializer=keras.initializers.GlorotUniform(seed)
            )

        self.content = matrix("content", (size, self.units), 0)
        self.gate = matrix("gate", (size, self.units), 1)
        self.score = matrix("score", (self.units, 1), 2)

    def call(self, inputs: Tensor) -> tuple[Any, Any]:
        """Return one vector a scan, `(batch, size)`, and the weights of its slices."""
        features, volumes = inputs
        shape = ops.shape(volumes)
        hidden = ops.tanh(features @ self.content) * ops.sigmoid(features @ self.gate)
        scores = ops.cast(ops.reshape(hidden @ self.score, shape[:2]), "float32")
        # One pixel tells: no slice that was measured has values below 0.
        present = volumes[:, :, 0, 0, 0] >= 0
        attention = ops.softmax(ops.where(present, scores, -1e9), axis=1)
        attention = attention * ops.cast(present, "float32")
        stacked = ops.reshape(features, (shape[0], shape[1], features.shape[-1]))
        weights = ops.cast(attention, stacked.dtype)
        return ops.sum(stacked * weights[:, :, None], axis=1), attention

    def compute_output_shape(self, input_shape: Shape) -> tuple[Any, Any]:
        """Return the shapes of the vectors and of the weights."""
        features, volumes = input_shape
        return (volumes[0], features[-1]), tuple(volumes[:2])

    def compute_output_spec(self, inputs: Tensor) -> tuple[Any, Any]:
        """Return the kinds of both outputs."""
        vectors, weights = self.compute_output_shape([part.shape for part in inputs])
        return (
            keras.KerasTensor(vectors, self.compute_dtype),
            keras.KerasTensor(weights, "float32"),
        )

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "units": self.units, "seed": self.seed}

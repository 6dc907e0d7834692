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

    Slices that only fill up aren't laid there: they would count in the statistics of batch
    normalization. How many images come out then depends on the batch, for which TensorFlow doesn't
    compile the model with XLA. JAX can't in a step that it compiles: there slices of the scans come
    again instead, so that in the statistics of batch normalization that trains some count more than
    others. `compile(jit_compile=False)` is exact, and slow.

    Args:
        channels: Channels of the images; a grey scan is repeated to so many.
        scan_channels: Channels of the scans. With one more, the last says which slices are there,
            as in `pad_volumes`. Default: as many as there are, and all slices count.
        **options: As in `keras.layers.Layer`.

    Raises:
        ValueError: When called, if the scans have other channels.

    Example:

    >>> SlicesAsImages(3)(ops.zeros((2, 5, 8, 8, 1))).shape
    TensorShape([10, 8, 8, 3])
    """

    def __init__(self, channels: int, *, scan_channels: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.channels = channels
        self.scan_channels = scan_channels
        self.supports_jit = keras.backend.backend() != "tensorflow"

    def call(self, volumes: Tensor) -> Tensor:
        """Return images of shape `(slices of all scans, height, width, channels)`."""
        own = self.scan_channels or volumes.shape[-1]
        if volumes.shape[-1] not in (None, own, own + 1):
            raise ValueError(
                f"Scans must have {own} channels, or one more, which says which slices are there "
                f"(`pad_volumes`). Received: shape {tuple(volumes.shape)}"
            )
        batch, depth = ops.shape(volumes)[:2]
        images = ops.reshape(volumes[..., :own], (batch * depth, *volumes.shape[2:4], own))
        present = _present(volumes, self.scan_channels)
        if present is not None:
            images = ops.take(images, _rows(ops.reshape(present, (-1,))), axis=0)
        return images if own == self.channels else ops.repeat(images, self.channels, axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[Any, ...]:
        """Return the shape of the images."""
        return (None, *input_shape[2:4], self.channels)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        own = {"channels": self.channels, "scan_channels": self.scan_channels}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="keras_practical")
class AttentionPooling(keras.layers.Layer):
    """Gated attention: a weighted mean of slices' features, the weights learnt from the features.

    Called on the features of all slices, `(slices, size)`, as `SlicesAsImages` lays them, and the
    scans that they are of, `(batch, depth, ...)`. Slices that only fill up get no weight.

    Args:
        units: Size of the hidden layer that the weights come from.
        seed: Decides the first weights.
        scan_channels: As in `SlicesAsImages`.
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

    def __init__(
        self,
        units: int = 128,
        *,
        seed: int | None = None,
        scan_channels: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.units = units
        self.seed = seed
        self.scan_channels = scan_channels

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
        batch, depth = ops.shape(volumes)[:2]
        hidden = ops.tanh(features @ self.content) * ops.sigmoid(features @ self.gate)
        scores = ops.cast(hidden @ self.score, "float32")
        present = _present(volumes, self.scan_channels)
        if present is not None:
            own = ops.reshape(present, (-1,))
            places = ops.maximum(ops.cumsum(ops.cast(own, "int32")) - 1, 0)
            scores = ops.where(own[:, None], ops.take(scores, places, axis=0), -1e9)
            # Not by a weight of 0 alone: it doesn't take away what isn't finite.
            features = ops.where(own[:, None], ops.take(features, places, axis=0), 0)
        scores = ops.reshape(scores, (batch, depth))
        # By hand: Keras's softmax warns of scans of one slice.
        attention = ops.exp(scores - ops.max(scores, axis=1, keepdims=True))
        attention = attention / ops.sum(attention, axis=1, keepdims=True)
        stacked = ops.reshape(features, (batch, depth, features.shape[-1]))
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
        own = {"units": self.units, "seed": self.seed, "scan_channels": self.scan_channels}
        return {**super().get_config(), **own}


def _present(volumes: Tensor, channels: int | None) -> Tensor:
    """Return which slices are the scans' own, `(batch, depth)`; `None` if all of them are."""
    if channels is None or volumes.shape[-1] == channels:
        return None
    corner = volumes[:, :, 0, 0]
    # TensorFlow may have compiled one step for scans with and without the last channel.
    told = ops.concatenate([corner, ops.ones_like(corner[..., :1])], axis=-1)
    return told[..., channels] > 0


def _rows(present: Tensor) -> Tensor:
    """Return the places of the slices that are there, in order."""
    if keras.backend.backend() == "jax":
        import jax

        # Where JAX compiles, their number can't depend on values: they are repeated.
        if isinstance(present, jax.core.Tracer):
            places = ops.arange(present.shape[0])
            order = ops.argsort(ops.where(present, places, places + present.shape[0]))
            count = ops.maximum(ops.sum(ops.cast(present, "int32")), 1)
            return ops.take(order, places % count)
    return ops.nonzero(present)[0]

"""A detector's last layer, which also knows what inference must, and the losses it's trained with.

Importing `keras_practical` registers them, so that `keras.models.load_model` finds them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from keras_practical.utils.checks import check_count, check_positive

if TYPE_CHECKING:
    from keras_practical.utils.types import Shape, Tensor

__all__ = ["DetectionOutputs", "HeatmapLoss", "OffsetLoss", "SizeLoss"]


@keras.saving.register_keras_serializable(package="keras_practical")
class DetectionOutputs(keras.layers.Layer):
    """Turn a detector's last feature map into a heatmap of centres, sizes and offsets.

    `detection.build` puts it at the end. What `detect` has to know about a model is this layer's
    configuration, and so it's in the saved `.keras` file.

    Args:
        class_names: The classes' names.
        stride: Pixels of the input between two cells of the map.
        object_pixels: The size (side of a square of the same area) that objects have in the input
            when the model knows them best; images are scaled for it.
        window_pixels: Side of the square windows that the model is trained on.
        smallest_pixels: Size in a photo of the smallest objects to look for.
        largest_pixels: Size in a photo of the largest objects to look for.
        fixed_window: Whether the model takes windows of `window_pixels` only.
        **kwargs: As in `keras.layers.Layer`: `name`, `dtype`.

    Raises:
        ValueError: An argument is outside its range.

    Example:

    >>> layer = DetectionOutputs(["cat"], stride=8, smallest_pixels=30, largest_pixels=90)
    >>> outputs = layer(ops.zeros((1, 2, 2, 5)))
    >>> {name: tuple(value.shape) for name, value in outputs.items()}
    {'heatmap': (1, 2, 2, 1), 'sizes': (1, 2, 2, 2), 'offsets': (1, 2, 2, 2)}

    Reference:
        Zhou, Wang, Krähenbühl, *Objects as Points* (2019), arXiv 1904.07850.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        *,
        stride: int,
        smallest_pixels: float,
        largest_pixels: float,
        object_pixels: float = 48.0,
        window_pixels: int = 256,
        fixed_window: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_count("class_names", len(class_names))
        check_count("stride", stride)
        check_count("window_pixels", window_pixels)
        check_positive("object_pixels", object_pixels)
        check_positive("smallest_pixels", smallest_pixels)
        check_positive("largest_pixels", largest_pixels - smallest_pixels + 1e-9)
        self.class_names = tuple(class_names)
        self.stride = stride
        self.object_pixels = float(object_pixels)
        self.window_pixels = window_pixels
        self.smallest_pixels = float(smallest_pixels)
        self.largest_pixels = float(largest_pixels)
        self.fixed_window = fixed_window

    def call(self, features: Tensor) -> dict[str, Any]:
        """Return the outputs of features `(batch, height, width, classes + 4)`.

        `heatmap`, of shape `(…, classes)`, is the probability that the centre of an object lies at
        the cell; `sizes`, `(…, 2)`, its width and height in pixels of the input; `offsets`,
        `(…, 2)`, how far right and down from the cell's middle its centre is, in pixels.
        """
        classes = len(self.class_names)
        heat, sizes, offsets = ops.split(features, [classes, classes + 2], axis=-1)
        return {
            "heatmap": ops.sigmoid(heat),
            # Early in training an exponential may explode.
            "sizes": self.object_pixels * ops.exp(ops.clip(sizes, -4.0, 4.0)),
            "offsets": self.stride * offsets,
        }

    def compute_output_shape(self, input_shape: Shape) -> dict[str, Any]:
        """Return the shapes of the outputs."""
        grid = tuple(input_shape[:-1])
        channels = {"heatmap": len(self.class_names), "sizes": 2, "offsets": 2}
        return {name: (*grid, count) for name, count in channels.items()}

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, so that Keras can save and load the layer."""
        names = ("stride", "object_pixels", "window_pixels", "smallest_pixels", "largest_pixels")
        config = {name: getattr(self, name) for name in (*names, "fixed_window")}
        return {**super().get_config(), **config, "class_names": list(self.class_names)}


class _PerObjectLoss(keras.losses.Loss):
    """A loss whose last target channel is a weight; its sum is divided by that of the objects."""

    def __init__(
        self, *, reduction: str = "sum_over_batch_size", name: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(name=name, reduction=reduction, **kwargs)


@keras.saving.register_keras_serializable(package="keras_practical")
class HeatmapLoss(_PerObjectLoss):
    """Focal loss of a heatmap whose peaks are the centres of objects.

    Args:
        gamma: How much less a cell counts the surer the model is of it, >= 0.
        beta: How much less a cell near a centre counts as background, >= 0.
        name: The loss's name in logs.
        **kwargs: As in `keras.losses.Loss`: `reduction`, `dtype`.

    Example:

    >>> target = ops.array([[[[1.0, 1.0], [0.0, 1.0]]]])  # a centre, and a cell without; weight 1
    >>> round(float(HeatmapLoss()(target, ops.array([[[[0.5], [0.5]]]]))), 4)  # 2 * .25 * log 2
    0.3466

    Reference:
        Law & Deng, *CornerNet* (2018), arXiv 1808.01244, equation 1, as in CenterNet; the focal
        loss is that of arXiv 1708.02002.
    """

    def __init__(
        self, *, gamma: float = 2.0, beta: float = 4.0, name: str = "heatmap_loss", **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.gamma = gamma
        self.beta = beta

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the batch's loss for targets `(…, classes + 1)`, the last channel a weight."""
        target, weight = y_true[..., :-1], y_true[..., -1:]
        # float32 can't tell 1 - 1e-8 from 1, whose logarithm would be infinite.
        clipped = ops.clip(ops.cast(y_pred, "float32"), 1e-4, 1.0 - 1e-4)
        centre = ops.cast(target >= 1.0, "float32")
        hit = centre * (1.0 - clipped) ** self.gamma * ops.log(clipped)
        near = (1.0 - target) ** self.beta
        miss = (1.0 - centre) * near * clipped**self.gamma * ops.log(1.0 - clipped)
        return -ops.sum((hit + miss) * weight) / ops.maximum(1.0, ops.sum(centre * weight))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "gamma": self.gamma, "beta": self.beta}


@keras.saving.register_keras_serializable(package="keras_practical")
class SizeLoss(_PerObjectLoss):
    """Mean ratio, as a logarithm, between found and true widths and heights.

    Args:
        name: The loss's name in logs.
        **kwargs: As in `keras.losses.Loss`: `reduction`, `dtype`.

    Example:

    >>> target = ops.array([[[[10.0, 20.0, 1.0], [1.0, 1.0, 0.0]]]])  # the weight comes last
    >>> round(float(SizeLoss()(target, ops.array([[[[20.0, 20.0], [9.0, 9.0]]]]))), 4)  # log 2
    0.6931

    Reference:
        `DetectionOutputs`.
    """

    def __init__(self, *, name: str = "size_loss", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the batch's loss for targets `(…, 3)`: width, height, weight."""
        target, weight = ops.maximum(y_true[..., :2], 1e-3), y_true[..., 2:]
        clipped = ops.log(ops.maximum(ops.cast(y_pred, "float32"), 1e-3))
        return _weighted_mean(ops.abs(clipped - ops.log(target)), weight)


@keras.saving.register_keras_serializable(package="keras_practical")
class OffsetLoss(_PerObjectLoss):
    """Mean distance between found and true offsets, in cells.

    Args:
        stride: Pixels of a cell, > 0.
        name: The loss's name in logs.
        **kwargs: As in `keras.losses.Loss`: `reduction`, `dtype`.

    Raises:
        ValueError: `stride` isn't above 0.

    Example:

    >>> target = ops.array([[[[4.0, 0.0, 1.0], [1.0, 1.0, 0.0]]]])
    >>> float(OffsetLoss(stride=8)(target, ops.zeros((1, 1, 2, 2))))
    0.5

    Reference:
        `DetectionOutputs`.
    """

    def __init__(self, *, stride: float, name: str = "offset_loss", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        check_positive("stride", stride)
        self.stride = stride

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the batch's loss for targets `(…, 3)`: right, down, weight."""
        target, weight = y_true[..., :2], y_true[..., 2:]
        distance = ops.abs(ops.cast(y_pred, "float32") - target) / self.stride
        return _weighted_mean(distance, weight)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "stride": self.stride}


def _weighted_mean(errors: Any, weight: Any) -> Tensor:
    """Return the mean over the cells that count, summed over both directions."""
    return ops.sum(errors * weight) / ops.maximum(1.0, ops.sum(weight))

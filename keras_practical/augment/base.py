"""What this package's augmentation layers share: when they augment, and what they take."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from keras_practical.utils.checks import check_choice
from keras_practical.utils.keras_internals.layers import augments_by_default

if TYPE_CHECKING:
    from keras_practical.utils.types import Shape, Tensor

__all__ = ["ImageAugmentation", "warn_of_range"]

_FORMATS = ("channels_last", "channels_first")


class ImageAugmentation(keras.layers.Layer):
    """A layer that changes images at random, taken and left out as Keras's own are.

    Called without `training`, by itself or in a model of nothing but such layers, it augments, as
    Keras's layers do: `for layer in layers: images = layer(images)` in a `tf.data` map works.
    Inside a model that learns, `fit` augments; `evaluate`, `predict`, a plain call and an exported
    model don't.

    Args:
        data_format: `"channels_last"` or `"channels_first"`. Default: Keras's global setting.
        bounding_box_format: How boxes of a mapping are given, as in
            `keras.utils.bounding_boxes.convert_format`.
        **kwargs: As in `keras.layers.Layer`.

    Raises:
        ValueError: `data_format` is neither.

    Example:

    >>> ImageAugmentation(data_format="channels_first").get_config()["data_format"]
    'channels_first'
    """

    def __init__(
        self,
        *,
        data_format: str | None = None,
        bounding_box_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.data_format = data_format or keras.config.image_data_format()
        check_choice("data_format", self.data_format, _FORMATS)
        self.bounding_box_format = bounding_box_format

    def call(self, data: Tensor | Mapping[str, Any], training: bool | None = None) -> Tensor:
        """Return what `data` becomes: images, or a mapping with `"images"` and what goes with them.

        Args:
            data: A batch of images or one; or a mapping with `"images"` and any of
                `"segmentation_masks"`, `"bounding_boxes"` and `"labels"`, as Keras's layers take.
            training: Whether to augment. Default: as the class says.
        """
        if training is None:
            training = augments_by_default(self)
        if not isinstance(data, Mapping):
            images = self._channels_last(ops.cast(data, self.compute_dtype))
            drawn = self.get_random_transformation(images, training=training)
            return self._as_given(self.transform_images(images, drawn, training=training))
        images = self._channels_last(ops.cast(data["images"], self.compute_dtype))
        drawn = self.get_random_transformation(images, training=training)
        changed = dict(data)
        changed["images"] = self._as_given(self.transform_images(images, drawn, training=training))
        if "segmentation_masks" in data:
            masks = self._with_channel(data["segmentation_masks"], images)
            moved = self.transform_segmentation_masks(masks, drawn, training=training)
            changed["segmentation_masks"] = self._without_channel(
                moved, data["segmentation_masks"], images
            )
        if "bounding_boxes" in data:
            changed["bounding_boxes"] = self._moved_boxes(
                data["bounding_boxes"],
                drawn,
                before=images,
                after=changed["images"],
                training=training,
            )
        return changed

    def get_random_transformation(
        self, images: Tensor, training: bool = True, *, seed: Any = None
    ) -> Mapping[str, Any] | None:
        """Draw what is done to each image."""
        raise NotImplementedError

    def transform_images(
        self, images: Tensor, transformation: Any, training: bool = True
    ) -> Tensor:
        """Return images, channels last, as the transformation changes them."""
        raise NotImplementedError

    def transform_segmentation_masks(
        self, masks: Tensor, transformation: Any, training: bool = True
    ) -> Tensor:
        """Return masks that stay on their images; they don't move unless a subclass moves them."""
        return masks

    def transform_bounding_boxes(
        self, boxes: Tensor, transformation: Any, training: bool = True
    ) -> Tensor:
        """Return boxes that stay on their objects; as with masks."""
        return boxes

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of the result."""
        return input_shape

    def compute_output_spec(self, data: Any, training: bool | None = None) -> Any:
        """Return the shapes and the type of the result."""
        if not isinstance(data, Mapping):
            return keras.KerasTensor(self.compute_output_shape(data.shape), self.compute_dtype)
        spec = dict(data)
        for name in ("images", "segmentation_masks"):
            if name in data:
                kind = self.compute_dtype if name == "images" else data[name].dtype
                spec[name] = keras.KerasTensor(self._shape_of(data, name), kind)
        return spec

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, so that Keras can save and load the layer."""
        own = {"data_format": self.data_format, "bounding_box_format": self.bounding_box_format}
        return super().get_config() | own

    def _shape_of(self, data: Mapping[str, Any], name: str) -> Shape:
        shape = tuple(data[name].shape)
        has_channels = len(shape) == len(data["images"].shape)
        full = self.compute_output_shape(shape if has_channels else (*shape, 1))
        return full if has_channels else full[:-1]

    def _channels_last(self, images: Tensor) -> Tensor:
        return ops.moveaxis(images, -3, -1) if self.data_format == "channels_first" else images

    def _as_given(self, images: Tensor) -> Tensor:
        return ops.moveaxis(images, -1, -3) if self.data_format == "channels_first" else images

    def _with_channel(self, masks: Tensor, images: Tensor) -> Tensor:
        masks = ops.convert_to_tensor(masks)
        if len(masks.shape) < len(images.shape):
            return masks[..., None]
        return self._channels_last(masks)

    def _without_channel(self, moved: Tensor, masks: Any, images: Tensor) -> Tensor:
        if len(masks.shape) < len(images.shape):
            return moved[..., 0]
        return self._as_given(moved)

    def _moved_boxes(
        self, given: Any, drawn: Any, *, before: Tensor, after: Tensor, training: bool
    ) -> Any:
        if self.bounding_box_format is None:
            raise ValueError(
                f"Boxes need a `bounding_box_format`, such as {type(self).__name__}(..., "
                'bounding_box_format="xyxy").'
            )
        convert = keras.utils.bounding_boxes.convert_format
        boxes = given["boxes"] if isinstance(given, Mapping) else given
        boxes = ops.convert_to_tensor(boxes)
        single = len(boxes.shape) == 2
        boxes = ops.cast(boxes[None] if single else boxes, "float32")
        height, width = before.shape[-3:-1]
        named = self.bounding_box_format
        boxes = convert(boxes, source=named, target="xyxy", height=height, width=width)
        boxes = self.transform_bounding_boxes(boxes, drawn, training=training)
        height, width = self._channels_last(after).shape[-3:-1]
        boxes = convert(boxes, source="xyxy", target=named, height=height, width=width)
        boxes = boxes[0] if single else boxes
        return {**given, "boxes": boxes} if isinstance(given, Mapping) else boxes


def warn_of_range(layer: keras.layers.Layer, images: Any, high: float) -> bool:
    """Warn of images in [0, 1] where a layer was told of a larger range.

    Args:
        layer: The layer, for the text.
        images: An array, or a tensor that has values already; of any other nothing is known.
        high: The largest value of a pixel, as the layer was told.

    Returns:
        Whether there were values to look at.

    Warns:
        UserWarning: No pixel is above 1, some is above 0, and `high` is above 2.

    Example:

    >>> warn_of_range(keras.layers.Identity(), np.full((1, 2, 2, 3), 200.0), 255.0)
    True
    """
    try:
        largest = float(np.max(np.asarray(images)))
    # While a step is traced there are no values.
    except Exception:
        return False
    if 0.0 < largest <= 1.0 and high > 2.0:
        warnings.warn(
            f"{layer.name!r} changes pixels in a range up to {high:g}, but the largest is "
            f"{largest:.3g}: it will make them black or white. Pass value_range=(0, 1) to the "
            "layer or the preset.",
            stacklevel=3,
        )
    return True

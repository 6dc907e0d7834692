"""`RandomGeometry`: every geometric augmentation in one interpolation."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from keras_practical.augment.base import ImageAugmentation
from keras_practical.augment.warping import FILL_MODES, matrix, perspective, transform_points, warp
from keras_practical.utils.checks import (
    ImageSize,
    Range,
    check_between,
    check_choice,
    check_image_size,
    check_probability,
    check_range,
)

if TYPE_CHECKING:
    from keras_practical.utils.types import Shape, Tensor

__all__ = ["RandomGeometry", "matrices_of"]

_LOG_ASPECTS = (math.log(3 / 4), math.log(4 / 3))
_TRANSFORMS = ("crop", "rotation", "zoom", "shear", "translation", "perspective")


@keras.saving.register_keras_serializable(package="keras_practical")
class RandomGeometry(ImageAugmentation):
    """Flip, crop, rotate, zoom, shear, shift and tilt images at random, in one interpolation.

    Use it as the augmentation of an image classifier, inside the model or, with TensorFlow, in a
    `tf.data` map: `dataset.map(lambda x, y: (layer(x, training=True), y))`. No gradient leads back
    through it to the images.
    All transforms are multiplied into one matrix an image, so that the image is interpolated
    once: sharper, and several times faster, than the plain-Keras equivalent, a stack of
    `keras.layers.RandomFlip`, `RandomRotation`, `RandomZoom`, ... The transforms are applied in
    the order of the arguments. Called without `training` it augments, as Keras's layers do, but in
    a model that learns it doesn't: an exported model only gives images their `image_size`.

    It takes images, or a mapping of `"images"`, `"segmentation_masks"`, `"bounding_boxes"` and
    `"labels"`, all moved alike, as Keras's layers do.

    A range is a pair `(low, high)`, drawn from uniformly, or one number `n` that stands for
    `(-n, n)`; for `zoom`, for `(1 - n, 1 + n)`. 0 leaves the transform out.

    Args:
        crop: The part of the image's area that a random box takes (its sides' ratio between 3:4
            and 4:3), as a pair in (0, 1]; the box is shown as the whole image. `None`: no crop.
        horizontal_flip: Probability, in [0, 1].
        vertical_flip: Probability, in [0, 1].
        rotation: Degrees, positive anticlockwise.
        zoom: Magnification, > 0; above 1 things look larger.
        shear: Degrees, along both axes independently.
        translation: Part of the image's width and height, in [-1, 1]; positive is right or down.
        perspective: Part of half the image's sides, in [0, 0.9], by which each of its corners may
            move in or out.
        probability: How often each transform but the flips is applied, in [0, 1]; or a mapping from
            names, such as `{"rotation": 0.75}`. Those not named have 1.
        image_size: Pixels of the result, one number or `(height, width)`. Default: as they come.
            In training, images more than twice as large would be aliased: load them smaller.
        fill_mode: What lies outside the image: `"reflect"`, `"constant"` or `"nearest"`.
        fill_value: For `"constant"`, in the pixels' own range.
        seed: Decides what is drawn. Default: Keras's global seed.
        **kwargs: As in `keras.layers.Layer`: `name`, `dtype`.

    Raises:
        ValueError: An argument is outside its range.

    Example:

    >>> layer = RandomGeometry(horizontal_flip=0.5, rotation=10, zoom=0.1, image_size=8, seed=0)
    >>> layer(keras.ops.ones((2, 16, 16, 3)), training=True).shape == (2, 8, 8, 3)
    True

    Reference:
        `keras.layers.RandomRotation` and its siblings; random-resized-crop: Szegedy et al., *Going
        deeper with convolutions* (2015), arXiv 1409.4842, section 6.
    """

    def __init__(
        self,
        *,
        crop: tuple[float, float] | None = None,
        horizontal_flip: float = 0.0,
        vertical_flip: float = 0.0,
        rotation: Range = 0.0,
        zoom: Range = 0.0,
        shear: Range = 0.0,
        translation: Range = 0.0,
        perspective: float = 0.0,
        probability: float | Mapping[str, float] = 1.0,
        image_size: ImageSize | None = None,
        fill_mode: str = "reflect",
        fill_value: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_between("horizontal_flip", horizontal_flip, 0.0, 1.0)
        check_between("vertical_flip", vertical_flip, 0.0, 1.0)
        check_between("perspective", perspective, 0.0, 0.9)
        check_choice("fill_mode", fill_mode, FILL_MODES)
        self.crop = None if crop is None else check_range("crop", crop, 1e-3, 1.0)
        self.horizontal_flip = horizontal_flip
        self.vertical_flip = vertical_flip
        self.rotation = check_range("rotation", rotation, -360.0, 360.0)
        self.zoom = check_range("zoom", zoom, 0.01, 100.0, middle=1.0)
        self.shear = check_range("shear", shear, -80.0, 80.0)
        self.translation = check_range("translation", translation, -1.0, 1.0)
        self.perspective = perspective
        self.probability = check_probability(probability, _TRANSFORMS)
        self.image_size = None if image_size is None else check_image_size("image_size", image_size)
        self.fill_mode = fill_mode
        self.fill_value = fill_value
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)
        # TensorFlow has no XLA kernel for this; nor have Keras's own layers.
        self.supports_jit = keras.backend.backend() != "tensorflow"

    def get_random_transformation(
        self, images: Tensor, training: bool = True, *, seed: Any = None
    ) -> dict[str, Any] | None:
        """Draw a transformation for each image; the three methods below apply it."""
        if not training:
            return None
        shape = ops.shape(images)
        batch = shape[0] if len(shape) == 4 else 1
        height, width = shape[-3:-1]
        parameters = self._draw(batch, self.generator if seed is None else seed)
        return {
            "matrices": matrices_of(parameters, batch_size=batch, height=height, width=width),
            "input_size": (height, width),
        }

    def transform_images(
        self, images: Tensor, transformation: dict[str, Any] | None, training: bool = True
    ) -> Tensor:
        """Return the images that the transformation shows, with bilinear interpolation."""
        if not training or transformation is None:
            return self._resized(images)
        return self._warp(images, transformation, "bilinear")

    def transform_segmentation_masks(
        self, masks: Tensor, transformation: dict[str, Any] | None, training: bool = True
    ) -> Tensor:
        """Return masks that stay on their images: each pixel is the nearest one's."""
        if not training or transformation is None:
            return self._resized(masks, "nearest")
        return self._warp(masks, transformation, "nearest")

    def transform_bounding_boxes(
        self, boxes: Tensor, transformation: dict[str, Any] | None, training: bool = True
    ) -> Tensor:
        """Return boxes `(batch, n, 4)`, as `(left, top, right, bottom)` in pixels of the result.

        Each is the smallest upright box around the transformed one, cut at the image's edges.
        Without a transformation the boxes come back as they are.
        """
        if not training or transformation is None:
            return boxes
        height, width = (ops.cast(side, "float32") for side in transformation["input_size"])
        new_height, new_width = self._output_size(transformation["input_size"])
        left, top, right, bottom = ops.unstack(ops.cast(boxes, "float32"), 4, axis=-1)
        x = ops.stack([left, right, right, left], axis=-1) - width / 2
        y = ops.stack([top, top, bottom, bottom], axis=-1) - height / 2
        count = ops.shape(boxes)[1]
        corners = ops.reshape(ops.stack([x, y], axis=-1), (-1, 4 * count, 2))
        corners = transform_points(corners, transformation["matrices"])
        x = ops.reshape(corners[..., 0] / width + 0.5, (-1, count, 4)) * new_width
        y = ops.reshape(corners[..., 1] / height + 0.5, (-1, count, 4)) * new_height
        x, y = ops.clip(x, 0.0, new_width), ops.clip(y, 0.0, new_height)
        edges = [ops.min(x, -1), ops.min(y, -1), ops.max(x, -1), ops.max(y, -1)]
        return ops.stack(edges, axis=-1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of the result."""
        if self.image_size is None:
            return input_shape
        if self.data_format == "channels_first":
            return (*input_shape[:-2], *self.image_size)
        return (*input_shape[:-3], *self.image_size, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, so that Keras can save and load the layer."""
        names = ("crop", "horizontal_flip", "vertical_flip", *_TRANSFORMS[1:], "probability")
        options = ("image_size", "fill_mode", "fill_value", "seed")
        return super().get_config() | {name: getattr(self, name) for name in (*names, *options)}

    def _output_size(self, input_size: tuple[Any, Any]) -> tuple[Any, Any]:
        return input_size if self.image_size is None else self.image_size

    def _warp(self, images: Tensor, transformation: dict[str, Any], interpolation: str) -> Tensor:
        images = ops.convert_to_tensor(images)
        single = len(images.shape) == 3
        warped = warp(
            images[None] if single else images,
            transformation["matrices"],
            self._output_size(transformation["input_size"]),
            interpolation=interpolation,
            fill_mode=self.fill_mode,
            fill_value=self.fill_value,
        )
        return warped[0] if single else warped

    def _resized(self, images: Tensor, interpolation: str = "bilinear") -> Tensor:
        images = ops.convert_to_tensor(images)
        if self.image_size in (None, tuple(images.shape[-3:-1])):
            return images
        resized = ops.image.resize(
            images,
            self.image_size,
            interpolation=interpolation,
            antialias=interpolation == "bilinear",
            data_format="channels_last",
        )
        return ops.cast(resized, images.dtype)

    def _draw(self, batch: Any, seed: Any) -> dict[str, Any]:
        """Draw the parameters that `matrices_of` takes, of the transforms in use."""

        def uniform(low: float, high: float, *shape: int) -> Tensor:
            return keras.random.uniform((batch, *shape), low, high, dtype="float32", seed=seed)

        def sometimes(name: str, value: Tensor, neutral: Tensor) -> Tensor:
            chance = self.probability[name]
            if chance == 1.0:
                return value
            applied = uniform(0.0, 1.0) < chance
            applied = ops.reshape(applied, (-1, *[1] * (len(value.shape) - 1)))
            return ops.where(applied, value, neutral)

        drawn = {}
        if self.crop is not None:
            box = _box(uniform(*self.crop), uniform(*_LOG_ASPECTS), uniform(-0.5, 0.5, 2))
            drawn["crop"] = sometimes("crop", box, ops.convert_to_tensor([0.0, 0.0, 1.0, 1.0]))
        for name, chance in (("flip_x", self.horizontal_flip), ("flip_y", self.vertical_flip)):
            if chance:
                drawn[name] = ops.where(uniform(0.0, 1.0) < chance, -1.0, 1.0)
        if self.rotation != (0.0, 0.0):
            degrees = sometimes("rotation", uniform(*self.rotation), 0.0)
            drawn["angle"] = degrees * (math.pi / 180.0)
        if self.zoom != (1.0, 1.0):
            drawn["zoom"] = sometimes("zoom", uniform(*self.zoom), 1.0)
        if self.shear != (0.0, 0.0):
            degrees = sometimes("shear", uniform(*self.shear, 2), 0.0)
            drawn["shear"] = ops.tan(degrees * (math.pi / 180.0))
        if self.translation != (0.0, 0.0):
            drawn["shift"] = sometimes("translation", uniform(*self.translation, 2), 0.0)
        if self.perspective:
            moved = uniform(-self.perspective, self.perspective, 4, 2)
            drawn["corners"] = sometimes("perspective", moved, 0.0)
        return drawn


def matrices_of(
    parameters: Mapping[str, Any], *, batch_size: Tensor, height: Tensor, width: Tensor
) -> Tensor:
    """Return the matrices of transforms that follow each other in the order given below.

    Used by `RandomGeometry`; call it to apply transforms that you chose yourself.

    Args:
        parameters: float32 tensors, each optional: `crop` `(batch, 4)`, the box's middle from the
            image's and its size, as `(x, y, width, height)` in parts of the image's; `flip_x`
            and `flip_y` `(batch,)`, -1 or 1; `angle` `(batch,)` in radians, anticlockwise; `zoom`
            `(batch,)`, the magnification; `shear` `(batch, 2)`, pixels per pixel; `shift`
            `(batch, 2)` in parts of the image, right and down; `corners` `(batch, 4, 2)`, how far
            the output's corners lie outside the image, in parts of half its sides.
        batch_size: Number of images.
        height: Theirs, in pixels.
        width: Theirs, in pixels.

    Returns:
        float32 tensor of shape `(batch, 3, 3)`, from places in the result to places in the image,
        both `(x, y)` in pixels of the image from its middle.

    Example:

    >>> import numpy as np
    >>> parameters = {"shift": np.array([[0.5, 0.25]], "float32")}
    >>> np.array(matrices_of(parameters, batch_size=1, height=4, width=8))[0].tolist()
    [[1.0, 0.0, -4.0], [0.0, 1.0, -1.0], [0.0, 0.0, 1.0]]

    Reference:
        Hartley & Zisserman, *Multiple View Geometry* (2004), section 2.4.
    """
    height, width = ops.cast(height, "float32"), ops.cast(width, "float32")
    values = {name: ops.convert_to_tensor(value) for name, value in parameters.items()}
    steps = []
    if "crop" in values:
        x, y, part_of_width, part_of_height = ops.unstack(values["crop"], 4, axis=-1)
        steps.append(_affine(part_of_width, 0.0, x * width, 0.0, part_of_height, y * height))
    if "flip_x" in values:
        steps.append(_affine(values["flip_x"], 0.0, 0.0, 0.0, 1.0, 0.0))
    if "flip_y" in values:
        steps.append(_affine(1.0, 0.0, 0.0, 0.0, values["flip_y"], 0.0))
    if "angle" in values:
        sine, cosine = ops.sin(values["angle"]), ops.cos(values["angle"])
        steps.append(_affine(cosine, -sine, 0.0, sine, cosine, 0.0))
    if "zoom" in values:
        steps.append(_affine(1.0 / values["zoom"], 0.0, 0.0, 0.0, 1.0 / values["zoom"], 0.0))
    if "shear" in values:
        steps.append(_affine(1.0, values["shear"][:, 0], 0.0, values["shear"][:, 1], 1.0, 0.0))
    if "shift" in values:
        x, y = values["shift"][:, 0] * width, values["shift"][:, 1] * height
        steps.append(_affine(1.0, 0.0, -x, 0.0, 1.0, -y))
    if "corners" in values:
        signs = ops.convert_to_tensor([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
        corners = signs * (1.0 + values["corners"]) * ops.stack([width, height])
        steps.append(perspective(corners, height, width))
    identity = ops.broadcast_to(ops.eye(3, dtype="float32"), (batch_size, 3, 3))
    return functools.reduce(ops.matmul, steps, identity)


def _affine(*entries: Any) -> Tensor:
    return matrix(*entries, 0.0, 0.0, 1.0)


def _box(area: Tensor, log_aspect: Tensor, offset: Tensor) -> Tensor:
    """Return the middle and the size of a random-resized-crop, as `matrices_of` takes them."""
    aspect = ops.exp(log_aspect)
    size = ops.stack([ops.sqrt(area * aspect), ops.sqrt(area / aspect)], axis=-1)
    size = ops.minimum(size, 1.0)
    return ops.concatenate([offset * (1.0 - size), size], axis=-1)

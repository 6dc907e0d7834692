"""`RandomColor`: every change of brightness and colour in one matrix."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from keras_practical.augment.base import ImageAugmentation, warn_of_range
from keras_practical.augment.warping import OPENCV_CHANNELS, workers
from keras_practical.utils.checks import (
    Range,
    check_between,
    check_choice,
    check_probability,
    check_range,
)

if TYPE_CHECKING:
    from keras_practical.utils.types import Shape, Tensor

__all__ = ["RandomColor"]

_TRANSFORMS = ("brightness", "contrast", "saturation", "hue", "gamma")
_SPACES = ("linear", "logit")
# ITU-R 601, as in Pillow and in Keras.
_LUMA = np.array([0.2989, 0.5870, 0.1140], "float32")
_RGB_TO_YIQ = np.array(
    [[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]]
)
_YIQ_TO_RGB = np.linalg.inv(_RGB_TO_YIQ)
# The hue turns about the grey axis, from red to green to blue: `_FIXED + cos * _ALONG + sin *
# _ACROSS` is that rotation.
_FIXED = (_YIQ_TO_RGB @ np.diag([1.0, 0.0, 0.0]) @ _RGB_TO_YIQ).astype("float32")
_ALONG = (_YIQ_TO_RGB @ np.diag([0.0, 1.0, 1.0]) @ _RGB_TO_YIQ).astype("float32")
_ACROSS = (_YIQ_TO_RGB @ [[0, 0, 0], [0, 0, 1], [0, -1, 0]] @ _RGB_TO_YIQ).astype("float32")


@keras.saving.register_keras_serializable(package="keras_practical")
class RandomColor(ImageAugmentation):
    """Change brightness, contrast, saturation, hue and gamma at random, in one pass.

    Use it as augmentation where light and colour may vary without changing the label, inside the
    model or, with TensorFlow, in a `tf.data` map. No gradient leads back through it. All but gamma
    are affine in a pixel's colours, so they are multiplied into one matrix an image; the result is
    cut to `value_range` once, at the end. The plain-Keras equivalent is a stack of
    `keras.layers.RandomBrightness`, `RandomContrast`, `RandomSaturation`, `RandomHue` and
    `RandomGrayscale`, each of which passes over all pixels. The changes are applied in the order of
    the arguments. Called without `training` it augments, as Keras's layers do, but in a model that
    learns it doesn't, nor in an exported one. For noise and blur there are
    `keras.layers.GaussianNoise` and `RandomGaussianBlur`.

    A range is a pair `(low, high)`, drawn from uniformly, or one number `n` that stands for
    `(-n, n)`; for the factors `contrast` and `saturation`, for `(1 - n, 1 + n)`. 0 leaves the
    change out.

    Args:
        brightness: Added to all colours, in parts of the value range, in [-1, 1].
        contrast: Factor for the distance from each channel's mean, >= 0.
        saturation: Factor for the distance from the pixel's grey, >= 0.
        hue: Turn of the colours about grey, in parts of the circle, in [-0.5, 0.5]. Lightness stays
            (`keras.layers.RandomHue` turns in HSV, where it doesn't).
        grayscale: Probability that an image loses its colours, in [0, 1].
        gamma: One number n >= 0: the exponent lies between 1 / (1 + n) and 1 + n.
        space: `"linear"`, or `"logit"`: brightness and contrast change the logit of the colours,
            as in fastai, so that nothing is cut off at black and white. `brightness=n` then moves
            middle grey by up to half of n of the range, and `contrast=n` is a factor between 1 - n
            and 1 / (1 - n), drawn evenly on a logarithmic scale, as a pair is too.
        probability: How often each change but `grayscale` is applied, in [0, 1]; or a mapping from
            names, such as `{"hue": 0.5}`. Those not named have 1.
        value_range: The smallest and the largest value of a pixel.
        seed: Decides what is drawn. Default: Keras's global seed.
        **kwargs: As in `keras.layers.Layer`: `name`, `dtype`.

    Raises:
        ValueError: An argument is outside its range, or saturation, hue or greyscale are asked of
            images that don't have three channels.

    Example:

    >>> layer = RandomColor(brightness=(0.1, 0.1))
    >>> float(layer(ops.zeros((1, 2, 2, 3)), training=True)[0, 0, 0, 0])
    25.5

    Reference:
        Haeberli, *Matrix Operations for Image Processing* (1993); the logit form is that of
        fastai's `Brightness` and `Contrast`.
    """

    def __init__(
        self,
        *,
        brightness: Range = 0.0,
        contrast: Range = 0.0,
        saturation: Range = 0.0,
        hue: Range = 0.0,
        grayscale: float = 0.0,
        gamma: float = 0.0,
        space: str = "linear",
        probability: float | Mapping[str, float] = 1.0,
        value_range: tuple[float, float] = (0.0, 255.0),
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_choice("space", space, _SPACES)
        check_between("grayscale", grayscale, 0.0, 1.0)
        check_between("gamma", gamma, 0.0, 10.0)
        self.brightness = check_range("brightness", brightness, -1.0, 1.0)
        self.contrast = check_range("contrast", contrast, 0.0, 100.0, middle=1.0)
        if space == "logit" and self.contrast[0] <= 0.0:
            raise ValueError(
                '`contrast` must be < 1, or a pair of factors > 0, with space="logit". '
                f"Received: contrast={contrast!r}"
            )
        if space == "logit" and not isinstance(contrast, tuple | list):
            self.contrast = (self.contrast[0], 1.0 / self.contrast[0])
        self.saturation = check_range("saturation", saturation, 0.0, 100.0, middle=1.0)
        self.hue = check_range("hue", hue, -0.5, 0.5)
        self.grayscale = grayscale
        self.gamma = gamma
        self.space = space
        self.probability = check_probability(probability, _TRANSFORMS)
        self.value_range = (float(value_range[0]), float(value_range[1]))
        if self.value_range[0] >= self.value_range[1]:
            raise ValueError(
                "`value_range` must be a (smallest, largest) pair. "
                f"Received: value_range={value_range!r}"
            )
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)
        self._looked = False
        self.supports_jit = keras.backend.backend() != "tensorflow"

    def build(self, input_shape: Shape) -> None:
        """Check that there are colours to change."""
        colours = self.grayscale or self.hue != (0.0, 0.0) or self.saturation != (1.0, 1.0)
        if isinstance(input_shape, Mapping):
            input_shape = input_shape["images"]
        axis = -1 if self.data_format == "channels_last" else -3
        if colours and input_shape[axis] != 3:
            raise ValueError(
                "`saturation`, `hue` and `grayscale` need images of three channels. "
                f"Received: images of shape {tuple(input_shape)}"
            )
        self.built = True

    def get_random_transformation(
        self, images: Tensor, training: bool = True, *, seed: Any = None
    ) -> dict[str, Any] | None:
        """Draw, for each image, the changes that are in use: float32 tensors `(batch,)` by name."""
        if not training:
            return None
        shape = ops.shape(images)
        batch = shape[0] if len(shape) == 4 else 1
        seed = self.generator if seed is None else seed

        def uniform(low: float, high: float) -> Tensor:
            return keras.random.uniform((batch,), low, high, dtype="float32", seed=seed)

        def sometimes(name: str, value: Tensor, neutral: float) -> Tensor:
            if self.probability[name] == 1.0:
                return value
            return ops.where(uniform(0.0, 1.0) < self.probability[name], value, neutral)

        drawn = {}
        if self.brightness != (0.0, 0.0):
            drawn["brightness"] = sometimes("brightness", uniform(*self.brightness), 0.0)
        if self.contrast != (1.0, 1.0):
            if self.space == "logit":
                factor = ops.exp(uniform(*(math.log(end) for end in self.contrast)))
            else:
                factor = uniform(*self.contrast)
            drawn["contrast"] = sometimes("contrast", factor, 1.0)
        if self.saturation != (1.0, 1.0):
            drawn["saturation"] = sometimes("saturation", uniform(*self.saturation), 1.0)
        if self.hue != (0.0, 0.0):
            drawn["hue"] = sometimes("hue", uniform(*self.hue), 0.0)
        if self.grayscale:
            drawn["grayscale"] = ops.cast(uniform(0.0, 1.0) < self.grayscale, "float32")
        if self.gamma:
            limit = math.log(1.0 + self.gamma)
            drawn["gamma"] = sometimes("gamma", ops.exp(uniform(-limit, limit)), 1.0)
        return drawn

    def transform_images(
        self, images: Tensor, transformation: Mapping[str, Any] | None, training: bool = True
    ) -> Tensor:
        """Return the images with the changes that `transformation` names."""
        images = ops.convert_to_tensor(images)
        if not training or not transformation:
            return images
        self._look(images)
        single = len(images.shape) == 3
        pixels = ops.cast(images[None] if single else images, "float32")
        changes = {name: ops.convert_to_tensor(value) for name, value in transformation.items()}
        low, high = self.value_range
        if self.space == "logit":
            pixels = self._in_logit_space(pixels, changes)
            changes = {n: c for n, c in changes.items() if n not in ("brightness", "contrast")}
        gamma = changes.pop("gamma", None)
        matrices = _matrices(pixels, changes, high - low)
        # What logits were taken of says nothing any more.
        watch = None if self.space == "logit" else self._look
        pixels = _apply(pixels, matrices, gamma, value_range=self.value_range, watch=watch)
        if keras.backend.is_int_dtype(images.dtype):
            pixels = ops.round(pixels)
        pixels = ops.cast(pixels, images.dtype)
        return pixels[0] if single else pixels

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, so that Keras can save and load the layer."""
        names = ("brightness", "contrast", "saturation", "hue", "grayscale", "gamma", "space")
        options = ("probability", "value_range", "seed")
        return super().get_config() | {name: getattr(self, name) for name in (*names, *options)}

    def _look(self, images: Any) -> None:
        if not self._looked:
            self._looked = warn_of_range(self, images, self.value_range[1])

    def _in_logit_space(self, pixels: Tensor, changes: Mapping[str, Any]) -> Tensor:
        low, high = self.value_range
        share = ops.clip((pixels - low) / (high - low), 1e-6, 1.0 - 1e-6)
        logits = ops.log(share / (1.0 - share))
        if "brightness" in changes:
            # Middle grey, whose logit is 0, comes to lie at this share.
            middle = ops.clip(0.5 + changes["brightness"] / 2.0, 1e-6, 1.0 - 1e-6)
            logits = logits + ops.reshape(ops.log(middle / (1.0 - middle)), (-1, 1, 1, 1))
        if "contrast" in changes:
            logits = logits * ops.reshape(changes["contrast"], (-1, 1, 1, 1))
        return low + (high - low) * ops.sigmoid(logits)


def _matrices(pixels: Tensor, changes: Mapping[str, Any], span: float) -> Tensor:
    """Return what the changes come to, `(batch, channels, channels + 1)`: a matrix, and a shift."""
    channels = pixels.shape[-1]
    eye = ops.eye(channels, dtype="float32")
    means = ops.mean(ops.mean(pixels, axis=1), axis=1)[..., None]  # Faster than over both at once.
    shift = ops.zeros_like(means)
    matrices = eye + 0.0 * shift
    if "brightness" in changes:
        shift = shift + span * _column(changes["brightness"])
    if "contrast" in changes:
        factor = _column(changes["contrast"])
        # About the mean that brightness leaves.
        shift = shift + (1.0 - factor) * means
        matrices = factor * matrices
    grey = ops.convert_to_tensor(np.tile(_LUMA, (3, 1))) if channels == 3 else eye
    for name, mix in (("saturation", _saturate), ("hue", _turn), ("grayscale", _bleach)):
        if name in changes:
            mixed = mix(_column(changes[name]), eye, grey)
            matrices, shift = ops.matmul(mixed, matrices), ops.matmul(mixed, shift)
    return ops.concatenate([matrices, shift], axis=-1)


def _column(values: Tensor) -> Tensor:
    return ops.reshape(ops.cast(values, "float32"), (-1, 1, 1))


def _saturate(factor: Any, eye: Any, grey: Any) -> Tensor:
    return factor * eye + (1.0 - factor) * grey


def _turn(part: Tensor, eye: Any, grey: Any) -> Tensor:
    angle = 2.0 * math.pi * part
    return _FIXED + ops.cos(angle) * _ALONG + ops.sin(angle) * _ACROSS


def _bleach(chosen: Any, eye: Any, grey: Any) -> Tensor:
    return chosen * grey + (1.0 - chosen) * eye


def _apply(
    pixels: Tensor,
    matrices: Tensor,
    gamma: Any,
    *,
    value_range: tuple[float, float],
    watch: Callable[[np.ndarray], None] | None = None,
) -> Tensor:
    """Multiply each pixel's colours by its image's matrix, apply gamma, cut to the range."""
    channels = pixels.shape[-1]
    if keras.backend.backend() == "tensorflow" and channels in OPENCV_CHANNELS:
        import tensorflow as tf

        if not tf.config.get_visible_devices("GPU"):
            return _apply_with_opencv(pixels, matrices, gamma, value_range=value_range, watch=watch)
    return _apply_with_ops(pixels, matrices, gamma, value_range=value_range)


def _apply_with_ops(
    pixels: Tensor, matrices: Tensor, gamma: Any, *, value_range: tuple[float, float]
) -> Tensor:
    low, high = value_range
    channels = pixels.shape[-1]
    flat = ops.reshape(pixels, (ops.shape(pixels)[0], -1, channels))
    flat = ops.matmul(flat, ops.transpose(matrices[..., :-1], (0, 2, 1)))
    flat = ops.clip(flat + matrices[:, None, :, -1], low, high)
    if gamma is not None:
        share = (flat - low) / (high - low)
        flat = low + (high - low) * share ** ops.reshape(gamma, (-1, 1, 1))
    return ops.reshape(flat, ops.shape(pixels))


def _apply_with_opencv(
    pixels: Tensor,
    matrices: Tensor,
    gamma: Any,
    *,
    value_range: tuple[float, float],
    watch: Callable[[np.ndarray], None] | None = None,
) -> Tensor:
    """Use OpenCV: on a CPU twice as fast as TensorFlow's products of small matrices."""
    import cv2
    import tensorflow as tf

    low, high = value_range

    def apply(batch: np.ndarray, matrices: np.ndarray, gamma: np.ndarray) -> np.ndarray:
        out = np.empty_like(batch)
        if watch is not None:
            watch(batch)

        def apply_one(row: int) -> None:
            cv2.transform(batch[row], matrices[row], dst=out[row])
            np.clip(out[row], low, high, out=out[row])
            if gamma[row] != 1.0:
                share = (out[row] - low) / (high - low)
                out[row] = low + (high - low) * cv2.pow(share, gamma[row]).reshape(share.shape)

        list(workers().map(apply_one, range(len(batch))))
        return out

    gamma = tf.ones(tf.shape(pixels)[:1]) if gamma is None else gamma
    changed = tf.numpy_function(apply, [pixels, matrices, gamma], tf.float32, stateful=False)
    changed.set_shape(pixels.shape)
    return changed

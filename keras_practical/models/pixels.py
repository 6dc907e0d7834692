"""What a pretrained network expects of its pixels, and what it gets."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_practical.models.backbones import architecture_of
from keras_practical.models.first_weights import holds_first_weights
from keras_practical.utils.keras_internals.graph import Step, answer, inputs_structure, steps_of
from keras_practical.utils.keras_internals.layers import innermost_layers, learns

if TYPE_CHECKING:
    from keras_practical.models.backbones import Backbone

__all__ = ["assumption", "expected_preprocessing", "warn_of_pixels"]

_SCALING = (keras.layers.Normalization, keras.layers.Rescaling)
# Operations of `keras.ops` that may scale pixels.
_ARITHMETIC = {"Add", "Divide", "Multiply", "Subtract", "TrueDivide"}
# What a network of a family that scales its pixels itself expects if it was built without that.
_WITHOUT_OWN = {
    "ConvNeXt": "torch",
    "EfficientNetV2": "minus_one_to_one",
    "MobileNetV3": "minus_one_to_one",
}
_SAID = {
    "none": "in [0, 255], and scale them themselves",
    "minus_one_to_one": "in [-1, 1]",
    "caffe": "in BGR, less the ImageNet mean",
    "torch": "less the ImageNet mean, over its deviation",
}


def expected_preprocessing(model: keras.Model) -> tuple[str, str] | None:
    """Return which preprocessing a network of `keras.applications` needs before it.

    Args:
        model: A network, or a model with one inside.

    Returns:
        Its name, and one of `PREPROCESSING`: `"none"` if `model` scales pixels itself. `None` if it
        holds no such network.

    Example:

    >>> network = keras.applications.MobileNetV2(weights=None, input_shape=(96, 96, 3))
    >>> expected_preprocessing(network)
    ('MobileNetV2', 'minus_one_to_one')
    >>> scaling = [keras.Input((96, 96, 3)), keras.layers.Rescaling(1 / 127.5, offset=-1.0)]
    >>> expected_preprocessing(keras.Sequential([*scaling, network]))
    ('MobileNetV2', 'none')
    """
    row = architecture_of(model)
    if row is None:
        return None
    return row.name, "none" if _scales(model) else _at_the_door(row, own=False)


def assumption(model: keras.Model, preprocessing: str) -> str | None:
    """Say in a sentence why a network gets a preprocessing that nobody asked for.

    Args:
        model: A network, or a model with one inside.
        preprocessing: What it gets.

    Returns:
        The sentence; `None` where nothing was assumed.

    Example:

    >>> network = keras.applications.MobileNetV2(weights=None, input_shape=(96, 96, 3))
    >>> assumption(network, "minus_one_to_one")[:63]
    "'mobilenetv2_1.00_96' is a MobileNetV2 by its layers, whose wei"
    """
    row = architecture_of(model)
    if row is None or preprocessing == "none":
        return None
    return (
        f"{model.name!r} is a {row.name} by its layers, whose weights expect pixels "
        f'{_SAID[preprocessing]}: images in [0, 255] are scaled so. Pass preprocessing="none" '
        "where they are scaled already."
    )


def warn_of_pixels(model: keras.Model, images: np.ndarray, *, what: str) -> None:
    """Warn if pretrained weights of `keras.applications` get pixels of another range.

    What counts is what arrives at the first layer that learns, however it was scaled before.

    Args:
        model: A functional or sequential model.
        images: Some images as `model` gets them.
        what: What the caller is called, for the text.

    Warns:
        UserWarning: With what the weights expect, what arrives, and a remedy.

    Example:

    >>> network = keras.applications.MobileNetV2(weights=None, input_shape=(96, 96, 3))
    >>> warn_of_pixels(network, np.zeros((1, 96, 96, 3)), what="evaluate")
    """
    row = architecture_of(model)
    images = np.asarray(images)
    if row is None or images.ndim != 4 or np.ptp(np.nan_to_num(images)) == 0:
        return
    found = _first_learner(model)
    if found is None or holds_first_weights(found[1]) is not False:
        return
    arriving = _arriving(found[0], np.nan_to_num(images[:16]).astype("float32"))
    low, high = float(arriving.min()), float(arriving.max())
    preprocessing = _at_the_door(row, own=_scales(model))
    if not _fits(preprocessing, low, high):
        warnings.warn(
            f"{what}: the weights of {row.name} expect pixels {_SAID[preprocessing]}; in the first "
            f"images they get numbers from {low:.3g} to {high:.3g}, and will see little. Put the "
            "scaling into the model (models.preprocessing_layers) or leave it out, once.",
            stacklevel=3,
        )


def _at_the_door(row: Backbone, *, own: bool) -> str:
    """Return the preprocessing of an architecture that does or doesn't scale pixels itself."""
    if row.preprocessing != "none" or own:
        return row.preprocessing
    return next(
        (kind for family, kind in _WITHOUT_OWN.items() if row.name.startswith(family)), "none"
    )


def _fits(preprocessing: str, low: float, high: float) -> bool:
    return {
        # Behind the network's own scaling, pixels in [0, 1] are almost all the same.
        "none": high - low > 0.1,
        "minus_one_to_one": high <= 1.5 and low < -0.05,
        "caffe": high - low > 20 and low < -5,
        "torch": high <= 6 and low < -0.05,
    }[preprocessing]


def _first_learner(model: keras.Model) -> tuple[list[tuple[keras.Model, Step]], Any] | None:
    """Return the steps into nested models that lead to the first layer that learns, and it."""
    for step in steps_of(model):
        if learns(step.operation):
            if len(step.inputs) != 1:
                return None
            way = [(model, step)]
            if not getattr(step.operation, "layers", None):
                return way, step.operation
            inner = _first_learner(step.operation)
            return None if inner is None else (way + inner[0], inner[1])
    return None


def _arriving(way: list[tuple[keras.Model, Step]], images: np.ndarray) -> np.ndarray:
    """Return what images have become where they reach the last step of a way."""
    values = images
    for model, step in way:
        entrance = keras.Model(inputs_structure(model), step.inputs[0])
        values = keras.ops.convert_to_numpy(answer(entrance, values))
    return values


def _scales(model: keras.Model) -> bool:
    """Return whether a model scales its pixels before the first layer that learns."""
    for step in steps_of(model):
        operation = step.operation
        if getattr(operation, "layers", None) and learns(operation):
            return _scales(operation)
        if isinstance(operation, _SCALING) or type(operation).__name__ in _ARITHMETIC:
            return True
        inner = innermost_layers(operation) if isinstance(operation, keras.Layer) else []
        if any(isinstance(layer, _SCALING) for layer in inner):
            return True
        if isinstance(operation, keras.layers.Lambda):
            return True
        if isinstance(operation, keras.Layer) and learns(operation):
            return False
    return False

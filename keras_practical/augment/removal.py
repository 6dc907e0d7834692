"""A model without its augmentation, for use and export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras

from keras_practical.augment.color import RandomColor
from keras_practical.augment.erasing import RandomErasing
from keras_practical.augment.geometry import RandomGeometry
from keras_practical.utils.keras_internals.layers import every_layer

if TYPE_CHECKING:
    from keras_practical.utils.types import Tensor

__all__ = ["without_augmentation"]

_OURS = (RandomGeometry, RandomColor, RandomErasing)


def without_augmentation(model: keras.Model) -> keras.Model:
    """Return a model without this package's augmentation layers, on the same weights.

    Use it to save a file that plain Keras loads: a model with a `RandomGeometry` inside needs
    `import keras_practical` before `keras.models.load_model`. It predicts the same.

    Args:
        model: A functional or sequential model, such as `transfer.classifier`'s.

    Returns:
        A functional model that shares its layers, and so its weights, with `model`. If `model` is
        compiled, so is this one, with an optimizer that starts afresh.

    Raises:
        ValueError: There is augmentation in a model inside the model.

    Example:

    >>> from keras_practical.augment.presets import light
    >>> layers = [keras.Input((8, 8, 3)), *light(), keras.layers.Flatten(), keras.layers.Dense(2)]
    >>> plain = without_augmentation(keras.Sequential(layers))
    >>> [type(layer).__name__ for layer in plain.layers]
    ['InputLayer', 'Flatten', 'Dense']

    Reference:
        `keras.models.clone_model`, whose `call_function` leaves the layers out.
    """

    def call(layer: Any, *arguments: Any, **options: Any) -> Tensor:
        if not isinstance(layer, _OURS):
            return layer(*arguments, **options)
        size = getattr(layer, "image_size", None)
        if size in (None, tuple(arguments[0].shape[1:3])):
            return arguments[0]
        return keras.layers.Resizing(*size, antialias=True)(arguments[0])

    plain = keras.models.clone_model(
        keras.Model(model.inputs, model.outputs, name=model.name),
        clone_function=lambda layer: layer,
        call_function=call,
    )
    left = [layer.name for layer in every_layer(plain) if isinstance(layer, _OURS)]
    if left:
        raise ValueError(
            "The augmentation must stand in the model itself, not in a model inside it. Received: "
            f"{', '.join(left)}"
        )
    if model.compiled:
        plain.compile_from_config(model.get_compile_config())
    return plain

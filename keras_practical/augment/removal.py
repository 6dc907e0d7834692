"""A model without its augmentation, for use and export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras

from keras_practical.augment.color import RandomColor
from keras_practical.augment.erasing import RandomErasing
from keras_practical.augment.geometry import RandomGeometry
from keras_practical.models.deriving import (
    check_graph,
    check_prediction,
    compile_alike,
    derived_model,
)
from keras_practical.models.losses import SmoothedSparseCategoricalCrossentropy
from keras_practical.utils.keras_internals.graph import inputs_structure, outputs_structure
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
        compiled, so is this one, with the same loss and metrics and an optimizer that starts
        afresh; label smoothing, which needs this package, is left out of the loss. A model of a
        class of its own that prepares its inputs in `predict_step` becomes one of that class.

    Raises:
        ValueError: There is augmentation in a model inside the model, or its class overrides what
            can't be kept, or it has no graph.

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

    check_graph(model)
    plain = keras.models.clone_model(
        keras.Model(inputs_structure(model), outputs_structure(model), name=model.name),
        clone_function=lambda layer: layer,
        call_function=call,
    )
    left = [layer.name for layer in every_layer(plain) if isinstance(layer, _OURS)]
    if left:
        raise ValueError(
            "The augmentation must stand in the model itself, not in a model inside it. Received: "
            f"{', '.join(left)}"
        )
    plain = derived_model(model, inputs_structure(plain), outputs_structure(plain), name=model.name)
    if model.compiled:
        compile_alike(plain, model, **_plain_loss(model))
    check_prediction(plain, model)
    return plain


def _plain_loss(model: keras.Model) -> dict[str, Any]:
    """Return Keras's loss in the place of this package's, which a plain file can't hold."""
    if not isinstance(model.loss, SmoothedSparseCategoricalCrossentropy):
        return {}
    return {"loss": keras.losses.SparseCategoricalCrossentropy()}

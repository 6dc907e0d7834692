"""The names of a model's classes, kept in the model itself.

Labels are numbers, and which number is which class depends on the folder that training read. A
model that forgets it can be judged by another folder's alphabet without anybody noticing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import keras

if TYPE_CHECKING:
    from keras_practical.utils.types import Tensor

__all__ = ["class_names_of", "named_classes"]

_LAYER = "class_names"


def named_classes(features: Tensor, class_names: Sequence[str] | int) -> Tensor:
    """Return features unchanged, through a layer whose configuration holds the classes' names.

    Keras has no layer for that. A dropout of rate 0 lets everything through and keeps, as the shape
    of its noise, any list: so the names are in the saved file's `config.json`, survive
    `clone_model`, saving and export, and need nothing but Keras to be loaded.

    Args:
        features: Any tensor.
        class_names: The names; a number of classes leaves the features as they are.

    Returns:
        The same values.

    Example:

    >>> inputs = keras.Input((3,))
    >>> model = keras.Model(inputs, named_classes(inputs, ["cats", "dogs"]))
    >>> model.get_layer("class_names").noise_shape
    ['cats', 'dogs']
    """
    if isinstance(class_names, int):
        return features
    names = [str(name) for name in class_names]
    return keras.layers.AlphaDropout(0.0, noise_shape=names, name=_LAYER)(features)


def class_names_of(model: keras.Model) -> tuple[str, ...] | None:
    """Return the names of a model's classes, as `classifier` put them into it.

    Use it after `keras.models.load_model`, to name a prediction or to load other images in the same
    order: `load_images(folder, class_names=class_names_of(model))`. In plain Keras it is
    `model.get_layer("class_names").noise_shape`.

    Args:
        model: Any model.

    Returns:
        The names in the order of the model's outputs; `None` if it has none, or only numbers, or if
        parts of it disagree.

    Example:

    >>> from keras_practical.models import classifier
    >>> model = classifier("MobileNetV2", ["cats", "dogs"], image_size=96, weights=None)
    >>> class_names_of(model)
    ('cats', 'dogs')
    """
    known = set(_names_in(model))
    if len(known) != 1:
        return None
    [names] = known
    return None if names == tuple(str(number) for number in range(len(names))) else names


def _names_in(layer: keras.Layer) -> Iterator[tuple[str, ...]]:
    held = layer.noise_shape if isinstance(layer, keras.layers.AlphaDropout) else None
    if held and layer.rate == 0 and all(isinstance(name, str) for name in held):
        yield tuple(held)
    inside = getattr(layer, "layers", None) or [getattr(layer, "layer", None)]
    for part in inside:
        if isinstance(part, keras.Layer):
            yield from _names_in(part)

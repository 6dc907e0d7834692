"""The names of a model's classes, kept in the model itself.

Labels are numbers, and which number is which class depends on the folder that training read. A
model that forgets it can be judged by another folder's alphabet without anybody noticing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import keras
import numpy as np

if TYPE_CHECKING:
    from keras_practical.utils.types import Tensor

__all__ = ["class_names_of", "named_classes", "numbers_by_name"]

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
    return None if _are_numbers(names) else names


def numbers_by_name(
    known: Sequence[str], given: Sequence[str], *, present: Sequence[int] | None = None, remedy: str
) -> np.ndarray | None:
    """Return a model's number for each class of a data set that may list its classes otherwise.

    Use it wherever labels of two sets meet: another folder or file brings another order, or lacks a
    class. Names that are only numbers, counted from 0, name nothing: unless the other side has
    them too, labels count by number.

    Args:
        known: The model's class names.
        given: The data set's.
        present: Numbers of the data set's classes that occur. Default: all.
        remedy: What to do about a class that the model doesn't know, for the error.

    Returns:
        int64 of shape `(len(given),)`, -1 for classes that the model lacks and that don't occur;
        `None` if labels count by number, as they are.

    Raises:
        ValueError: A class that occurs is unknown to the model.

    Example:

    >>> numbers_by_name(["cats", "dogs", "horses"], ["horses", "cats"], remedy="")
    array([2, 0])
    """
    number = {name: place for place, name in enumerate(known)}
    found = np.array([number.get(name, -1) for name in given], "int64")
    numbered = _are_numbers(given) or _are_numbers(known)
    if tuple(given) == tuple(known) or (numbered and -1 in found):
        return None
    occurring = range(len(given)) if present is None else present
    strangers = [given[place] for place in occurring if found[place] < 0]
    if strangers:
        raise ValueError(
            f"The data have the class {strangers[0]!r}, which the model doesn't know; its classes "
            f"are {', '.join(known)}. {remedy}"
        )
    return found


def _are_numbers(names: Sequence[str]) -> bool:
    return tuple(names) == tuple(str(number) for number in range(len(names)))


def _names_in(layer: keras.Layer) -> Iterator[tuple[str, ...]]:
    held = layer.noise_shape if isinstance(layer, keras.layers.AlphaDropout) else None
    if held and layer.rate == 0 and all(isinstance(name, str) for name in held):
        yield tuple(held)
    inside = getattr(layer, "layers", None) or [getattr(layer, "layer", None)]
    for part in inside:
        if isinstance(part, keras.Layer):
            yield from _names_in(part)

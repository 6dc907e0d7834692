"""Where on an image each cell of a feature map looks: the centre of its receptive field."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_practical.utils.keras_internals.graph import steps_of

__all__ = ["Centres", "cell_centres"]

# Along the height and along the width: for each cell, a pixel of the input, from 0, with fractions.
Centres = tuple[np.ndarray, np.ndarray]

_WINDOWS = (
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
    keras.layers.MaxPooling2D,
    keras.layers.AveragePooling2D,
)


def cell_centres(model: keras.Model, operation: Any, size: tuple[int, int]) -> Centres | None:
    """Return the centre of the receptive field of each row and column of a feature map.

    Unpadded convolutions leave out the border of an image, and padding on one side shifts all that
    follows: a map stretched to the image then lies beside what it shows. The centres are counted
    through every layer from the image to the map. Where branches meet, their mean is taken; a layer
    that isn't known and changes the size is taken to stretch.

    Args:
        model: A functional or sequential model, models nested inside.
        operation: The layer that gives the map.
        size: Height and width of the image in pixels.

    Returns:
        The centres, or `None` if the graph doesn't lead from the image to the map.

    Example:

    >>> model = keras.Sequential([keras.Input((9, 9, 1)), keras.layers.Conv2D(1, 5, strides=2)])
    >>> rows, columns = cell_centres(model, model.layers[0], (9, 9))
    >>> rows.tolist()
    [2.0, 4.0, 6.0]

    Reference:
        Araujo, Norris & Sim, *Computing Receptive Fields of Convolutional Neural Networks* (2019),
        https://distill.pub/2019/computing-receptive-fields
    """
    start = (np.arange(size[0], dtype=float), np.arange(size[1], dtype=float))
    found, _ = _follow(model, operation, start)
    return found


def _follow(
    model: keras.Model, wanted: Any, start: Centres
) -> tuple[Centres | None, Centres | None]:
    """Return the centres of the wanted layer's map, if it is there, and of the model's output."""
    known: dict[int, Centres] = {}
    centres: Centres | None = None
    for step in steps_of(model):
        operation = step.operation
        if isinstance(operation, keras.layers.InputLayer):
            centres = start
        else:
            given = [known[id(tensor)] for tensor in step.inputs if id(tensor) in known]
            if not given:
                continue
            before = _mean(given)
            if isinstance(operation, keras.Model) and steps_of(operation):
                found, centres = _follow(operation, wanted, before)
                if found is not None:
                    return found, None
            else:
                centres = _through(operation, step.outputs[0].shape, before)
        if centres is None or len(step.outputs[0].shape) < 4:
            continue
        known[id(step.outputs[0])] = centres
        if operation is wanted:
            return centres, None
    return None, centres


def _mean(given: list[Centres]) -> Centres:
    same = [centres for centres in given if _sizes(centres) == _sizes(given[0])]
    rows, columns = zip(*same, strict=True)
    return np.mean(rows, axis=0), np.mean(columns, axis=0)


def _sizes(centres: Centres) -> tuple[int, int]:
    return len(centres[0]), len(centres[1])


def _through(operation: Any, shape: tuple[int | None, ...], before: Centres) -> Centres:
    """Return the centres behind one layer."""
    axes = []
    for axis, centres in enumerate(before):
        indexes = _indexes(operation, axis, len(centres), _side(shape, axis))
        axes.append(_at(centres, indexes))
    return axes[0], axes[1]


def _side(shape: tuple[int | None, ...], axis: int) -> int | None:
    return shape[axis - 3] if len(shape) >= 4 else None


def _indexes(operation: Any, axis: int, count: int, after: int | None) -> np.ndarray:
    """Return, for each cell behind a layer, which cell before it lies at its centre."""
    if isinstance(operation, _WINDOWS):
        pooled = hasattr(operation, "pool_size")
        size = (operation.pool_size if pooled else operation.kernel_size)[axis]
        stride = _pair(operation.strides)[axis]
        dilation = 1 if pooled else _pair(operation.dilation_rate)[axis]
        reach = (size - 1) * dilation + 1
        if operation.padding == "same":
            number = -(-count // stride)
            before = max((number - 1) * stride + reach - count, 0) // 2
        else:
            number, before = (count - reach) // stride + 1, 0
        return stride * np.arange(number) + (reach - 1) / 2 - before
    if isinstance(operation, keras.layers.ZeroPadding2D):
        low, high = operation.padding[axis]
        return np.arange(-low, count + high, dtype=float)
    if isinstance(operation, keras.layers.Cropping2D):
        low, high = operation.cropping[axis]
        return np.arange(low, count - high, dtype=float)
    factor = operation.size[axis] if isinstance(operation, keras.layers.UpSampling2D) else 0
    number = count * factor or after or count
    return (np.arange(number) + 0.5) * count / number - 0.5


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _at(centres: np.ndarray, indexes: np.ndarray) -> np.ndarray:
    """Return centres at indexes with fractions, and beyond the ends."""
    if len(centres) == 1:
        return np.full(len(indexes), centres[0])
    whole = np.clip(np.floor(indexes).astype(int), 0, len(centres) - 2)
    slope = centres[whole + 1] - centres[whole]
    return centres[whole] + (indexes - whole) * slope

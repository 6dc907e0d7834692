"""Different learning rates for different layers, on any Keras optimizer."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_practical.models.freezing import layer_groups as backbone_groups
from keras_practical.utils.checks import check_count, check_positive
from keras_practical.utils.keras_internals.layers import every_layer, own_trainable_variables
from keras_practical.utils.keras_internals.optimizer import innermost, steer_rates

if TYPE_CHECKING:
    from keras_practical.utils.types import BackbonePart

__all__ = ["geometric_multipliers", "layerwise", "scale_learning_rates"]

# The names that Keras's layers give to biases and to what normalization learns.
_NOT_DECAYED = ("bias", "gamma", "beta")


def layerwise(
    optimizer: keras.optimizers.Optimizer,
    model: keras.Model,
    *,
    earliest: float = 0.01,
    layer_groups: Sequence[str] | Callable[[keras.layers.Layer], int] | None = None,
    backbone: BackbonePart | None = None,
    decay_all: bool = True,
) -> keras.optimizers.Optimizer:
    """Make `optimizer` take smaller steps in earlier layers, geometrically spaced up to the head.

    Use it to fine-tune a pretrained network: early layers hold general features and should move
    less than the new head. `optimizer.learning_rate` stays one readable, settable number, the
    head's, so that `OneCycle`, `find_lr` and Keras's learning-rate callbacks keep working. The
    spacing lives in this optimizer object: a saved model holds the plain optimizer, and to train
    on after loading, call `layerwise` again. See `scale_learning_rates` for what is scaled.

    Args:
        optimizer: Any Keras optimizer that has not trained a compiled function yet, except a
            `MultiOptimizer`. It is changed in place.
        model: The built model that it will train.
        earliest: The earliest group's rate as a part of the head's, > 0.
        layer_groups: How layers are grouped. `None`: as `transfer.layer_groups` does, by the
            backbone's table. Patterns: regular expressions, searched in the variables' paths, one
            a group from the earliest to the last; what none matches belongs to the head, a group of
            its own after them. A function: from a layer to its group's number, 0 for the earliest;
            the largest is the head's.
        backbone: As in `transfer.layer_groups`, where no `layer_groups` are given.
        decay_all: Whether weight decay shrinks biases and the parameters of normalization layers
            too, as Keras does. `False` leaves them out; only for an optimizer that isn't built yet.

    Returns:
        The same `optimizer`.

    Raises:
        ValueError: An argument is outside its range, a pattern matches nothing, it isn't clear
            which part of the model is pretrained, or the optimizer has no learning rate of its own.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="early")])
    >>> model.add(keras.layers.Dense(1, name="head"))
    >>> adam = keras.optimizers.Adam(1e-3)
    >>> optimizer = layerwise(adam, model, layer_groups=["early"], earliest=0.1)
    >>> model.compile(optimizer, loss="mse")
    >>> round(float(optimizer.learning_rate), 6)
    0.001

    Reference:
        Howard & Ruder, *Universal Language Model Fine-tuning* (2018), arXiv 1801.06146, section
        3.2; the spacing is fastai's `even_mults`.
    """
    if layer_groups is None:
        layers = backbone_groups(model, backbone=backbone)
        variables = [[v for layer in group for v in layer.variables] for group in layers]
    elif callable(layer_groups):
        variables = _grouped_by_function(model, layer_groups)
    else:
        variables = _grouped_by_pattern(model, layer_groups)
    multipliers = geometric_multipliers(len(variables), earliest=earliest)
    if not decay_all:
        names = [v for v in model.trainable_variables if v.path.split("/")[-1] in _NOT_DECAYED]
        innermost(optimizer).exclude_from_weight_decay(var_list=names)
    return scale_learning_rates(optimizer, variables, multipliers.tolist())


def _grouped_by_function(
    model: keras.Model, groups: Callable[[keras.layers.Layer], int]
) -> list[list[keras.Variable]]:
    numbers = {}
    for layer in every_layer(model, include_self=False):
        own = own_trainable_variables(layer)
        if own:
            number = groups(layer)
            check_count("layer_groups", number, minimum=0)
            numbers.update({id(v): (number, v) for v in own})
    last = max((number for number, _ in numbers.values()), default=0)
    return [[v for n, v in numbers.values() if n == number] for number in range(last + 1)]


def _grouped_by_pattern(model: keras.Model, patterns: Sequence[str]) -> list[list[keras.Variable]]:
    groups: list[list[keras.Variable]] = [[] for _ in range(len(patterns) + 1)]
    for variable in model.variables:
        matches = [n for n, pattern in enumerate(patterns) if re.search(pattern, variable.path)]
        groups[matches[0] if matches else len(patterns)].append(variable)
    for pattern, variables in zip(patterns, groups, strict=False):
        if not variables:
            raise ValueError(
                "Each pattern of `layer_groups` must match a variable's path that none before it "
                f"does. Received: {pattern!r}; the paths look like {model.variables[0].path!r}"
            )
    return groups


def scale_learning_rates(
    optimizer: keras.optimizers.Optimizer,
    variable_groups: Sequence[Sequence[keras.Variable]],
    multipliers: Sequence[float],
) -> keras.optimizers.Optimizer:
    """Make `optimizer` take smaller or larger steps for groups of variables.

    Use it to fine-tune a pretrained network: its early layers should move less than the new head.
    The *step* is scaled, not the gradient (Adam would cancel that), and so is decoupled weight
    decay. `optimizer.learning_rate` stays one readable, settable number, so learning-rate
    callbacks keep working. A second call replaces the multipliers of the first. The scaling lives
    in this optimizer object: a saved model holds the plain optimizer. Plain Keras offers
    `keras.optimizers.MultiOptimizer`, which has no learning rate of its own to read or set.

    Args:
        optimizer: Any Keras optimizer that has not trained a compiled function yet. It is changed
            in place.
        variable_groups: The variables of each group. Variables in none keep the multiplier 1.
        multipliers: One number > 0 a group.

    Returns:
        The same `optimizer`.

    Raises:
        ValueError: `variable_groups` and `multipliers` differ in length, or a multiplier isn't
            positive.

    Example:

    >>> layer = keras.layers.Dense(1, kernel_initializer="zeros")
    >>> layer.build((None, 1))
    >>> optimizer = keras.optimizers.SGD(learning_rate=1.0)
    >>> _ = scale_learning_rates(optimizer, [[layer.kernel], [layer.bias]], [0.1, 1.0])
    >>> gradients = [keras.ops.ones((1, 1)), keras.ops.ones((1,))]
    >>> optimizer.apply(gradients, layer.trainable_variables)
    >>> [round(float(weight.squeeze()), 3) for weight in layer.get_weights()]
    [-0.1, -1.0]

    Reference:
        Howard & Ruder, *Universal Language Model Fine-tuning* (2018), arXiv 1801.06146, section
        3.2 ("discriminative fine-tuning").
    """
    if len(variable_groups) != len(multipliers):
        raise ValueError(
            "`variable_groups` and `multipliers` must be of one length. "
            f"Received: {len(variable_groups)} groups, {len(multipliers)} multipliers"
        )
    for multiplier in multipliers:
        check_positive("multipliers", float(multiplier))
    steer_rates(
        optimizer,
        [
            (variable, float(multiplier))
            for variables, multiplier in zip(variable_groups, multipliers, strict=True)
            for variable in variables
        ],
    )
    return optimizer


def geometric_multipliers(count: int, *, earliest: float) -> np.ndarray:
    """Return learning-rate multipliers from the earliest layer group to the head.

    Use it for discriminative learning rates: early layers of a pretrained network hold general
    features and should move least.

    Args:
        count: Number of layer groups, >= 1.
        earliest: The first group's multiplier, > 0. The last group's is 1.

    Returns:
        float64 array of shape `(count,)`, evenly spaced on a logarithmic scale.

    Raises:
        ValueError: An argument is outside its range.

    Example:

    >>> geometric_multipliers(3, earliest=0.01).round(6).tolist()
    [0.01, 0.1, 1.0]

    Reference:
        Howard & Ruder, *Universal Language Model Fine-tuning* (2018), arXiv 1801.06146, section
        3.2; the spacing is fastai's `even_mults`.
    """
    check_count("count", count)
    check_positive("earliest", earliest)
    return np.geomspace(earliest, 1.0, count) if count > 1 else np.ones(1)

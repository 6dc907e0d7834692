"""Different learning rates for different layers, on any Keras optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_practical._validation import check_positive

__all__ = ["scale_learning_rates"]


def scale_learning_rates(
    optimizer: keras.optimizers.Optimizer,
    groups: Sequence[Sequence[keras.Variable]],
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
        groups: The variables of each group. Variables in none keep the multiplier 1.
        multipliers: One number > 0 a group.

    Returns:
        The same `optimizer`.

    Raises:
        ValueError: `groups` and `multipliers` differ in length, or a multiplier isn't positive.

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
    if len(groups) != len(multipliers):
        raise ValueError(
            "`groups` and `multipliers` must be of one length. "
            f"Received: {len(groups)} groups, {len(multipliers)} multipliers"
        )
    for multiplier in multipliers:
        check_positive("multipliers", float(multiplier))
    # Under mixed precision the optimizer that takes the steps sits inside a loss-scaling one.
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    scale = {
        inner._var_key(variable): float(multiplier)
        for variables, multiplier in zip(groups, multipliers, strict=True)
        for variable in variables
    }

    def factor(variable: Any) -> float:
        return scale.get(inner._var_key(variable), 1.0)

    # Both ask the class, not the instance: a second call replaces what the first did.
    def update_step(gradient: Any, variable: Any, learning_rate: Any) -> None:
        type(inner).update_step(inner, gradient, variable, learning_rate * factor(variable))

    def apply_weight_decay(variables: Sequence[Any]) -> None:
        # The decay multiplies the weight decay by the learning rate, which it looks up by itself.
        for variable in variables:
            view = _SlowedOptimizer(inner, factor(variable))
            type(inner)._apply_weight_decay(view, [variable])

    inner.update_step = update_step
    inner._apply_weight_decay = apply_weight_decay
    return optimizer


class _SlowedOptimizer:
    """An optimizer with a multiplied learning rate, to look at.

    The replicas of a `tf.distribute` strategy trace their steps in threads, so that nothing of the
    optimizer itself may change for a moment.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer, factor: float) -> None:
        self._slowed, self._factor = optimizer, factor

    @property
    def learning_rate(self) -> Any:
        return self._slowed.learning_rate * self._factor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._slowed, name)

"""Does a layer still hold the weights that it was born with? Then it is new, not pretrained."""

from __future__ import annotations

from collections.abc import Iterable

import keras
import numpy as np

from keras_practical.utils.keras_internals.layers import every_layer, own_variables

__all__ = ["holds_first_weights"]

# How Keras's layers call the initializer of a weight that has another name.
_INITIALIZERS = {
    "depthwise_kernel": "depthwise_initializer",
    "pointwise_kernel": "pointwise_initializer",
    "recurrent_kernel": "recurrent_initializer",
}
# A chance in 10,000 to take first weights for trained ones.
_RARE = 1e-4
_FEWEST, _MOST = 32, 20_000


def holds_first_weights(layer: keras.layers.Layer) -> bool | None:
    """Say whether a layer's weights are those that its initializers draw.

    Constants, such as a bias of zeros, must be exact. Random weights are compared with others that
    the same initializer draws, by their distribution (Kolmogorov-Smirnov).

    Args:
        layer: A built layer or model.

    Returns:
        `True` if all weights could be first weights, `False` if one can't be, `None` if nothing
        speaks for either: no weights, few weights, unknown initializers.

    Example:

    >>> dense = keras.layers.Dense(8)
    >>> dense.build((None, 8))
    >>> holds_first_weights(dense)
    True
    >>> _ = dense.bias.assign(np.ones(8))
    >>> holds_first_weights(dense)
    False
    """
    verdict: bool | None = None
    for inner in every_layer(layer):
        for verdict_of_weight in _verdicts(inner):
            if verdict_of_weight is False:
                return False
            verdict = True if verdict_of_weight else verdict
    return verdict


def _verdicts(layer: keras.layers.Layer) -> Iterable[bool | None]:
    # The cheap ones first: a bias that moved, and the whole kernel needn't be looked at.
    for variable in sorted(own_variables(layer), key=lambda variable: np.prod(variable.shape)):
        name = variable.path.split("/")[-1]
        initializer = getattr(layer, _INITIALIZERS.get(name, f"{name}_initializer"), None)
        if isinstance(initializer, keras.initializers.Initializer):
            yield _is_drawn_by(initializer, variable)


def _is_drawn_by(
    initializer: keras.initializers.Initializer, variable: keras.Variable
) -> bool | None:
    from scipy.stats import ks_2samp

    settings = initializer.get_config()
    values = keras.ops.convert_to_numpy(variable).astype("float32").ravel()
    if "seed" in settings:
        initializer = type(initializer).from_config({**settings, "seed": 0})
    others = keras.ops.convert_to_numpy(initializer(variable.shape, dtype="float32")).ravel()
    if "seed" not in settings:
        return bool(np.array_equal(values, others))
    if len(values) < _FEWEST:
        return None
    step = -(-len(values) // _MOST)
    if np.abs(values).max() > 2.0 * np.abs(others).max():
        return False
    return bool(ks_2samp(values[::step], others[::step]).pvalue > _RARE)

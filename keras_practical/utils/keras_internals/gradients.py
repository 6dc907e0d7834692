"""A function's value and gradient outside `fit`, compiled by the backend in use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np


def value_and_gradient(
    function: Callable[[Any, Any], tuple[Any, dict[str, Any]]],
) -> Callable[[np.ndarray, Any], tuple[float, dict[str, float], np.ndarray]]:
    """Compile `function(x, constants)`, which returns a number and others to show beside it.

    The result takes the same arguments and returns the number, the others, and the gradient of the
    number by `x`. It is compiled anew when a shape changes.
    """
    backend = keras.backend.backend()
    compiled: Callable[[Any, Any], Any]
    if backend == "tensorflow":
        import tensorflow as tf

        @tf.function(reduce_retracing=True, autograph=False)
        def compiled(x: Any, constants: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(x)
                value, parts = function(x, constants)
            return value, parts, tape.gradient(value, x)

    elif backend == "jax":
        import jax

        differentiated = jax.jit(jax.value_and_grad(function, has_aux=True))

        def compiled(x: Any, constants: Any) -> Any:
            (value, parts), gradient = differentiated(x, constants)
            return value, parts, gradient

    else:
        raise _unsupported()

    def run(x: np.ndarray, constants: Any) -> tuple[float, dict[str, float], np.ndarray]:
        value, parts, gradient = compiled(keras.ops.convert_to_tensor(x), constants)
        shown = {name: float(part) for name, part in parts.items()}
        return float(value), shown, keras.ops.convert_to_numpy(gradient)

    return run


def gradient(function: Callable[[Any], Any], x: Any) -> np.ndarray:
    """Return the gradient of `function(x)`, a number, by `x`: once, without compiling anything."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        x = tf.convert_to_tensor(x)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            value = function(x)
        slope = tape.gradient(value, x, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    elif backend == "jax":
        import jax

        slope = jax.grad(function)(x)
    else:
        raise _unsupported()
    return keras.ops.convert_to_numpy(slope)


def _unsupported() -> NotImplementedError:
    return NotImplementedError(
        "Gradients outside `fit` are taken on the TensorFlow and JAX backends. Set "
        f'KERAS_BACKEND="tensorflow" before importing keras. Received: {keras.backend.backend()}'
    )

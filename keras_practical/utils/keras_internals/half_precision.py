"""Train a model that was built in float32 in half precision, and have it back as it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import keras

from keras_practical.utils.keras_internals.layers import innermost_layers


@contextmanager
def half_precision(model: keras.Model, layers: Sequence[keras.layers.Layer]) -> Iterator[None]:
    """Let `layers` of a model compute in float16 on their float32 weights while the block runs.

    Layers that compute in something else already are left alone.
    """
    chosen = [
        inner
        for layer in layers
        for inner in innermost_layers(layer)
        if inner.dtype_policy.name == "float32"
    ]
    try:
        for layer in chosen:
            layer.dtype_policy = "mixed_float16"
        _forget_functions(model)
        yield
    finally:
        for layer in chosen:
            layer.dtype_policy = "float32"
        _forget_functions(model)


def _forget_functions(model: keras.Model) -> None:
    model.train_function = model.test_function = model.predict_function = None

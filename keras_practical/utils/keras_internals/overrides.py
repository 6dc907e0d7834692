"""What a model's class does otherwise than Keras's own: a graph alone doesn't tell."""

from __future__ import annotations

from collections.abc import Sequence

import keras

# What decides what a model predicts, and how it trains. `call` counts for models with a graph.
PREDICTING = ("call", "predict_step", "predict", "make_predict_function")
TRAINING = (
    "call",
    "compute_loss",
    "compute_metrics",
    "evaluate",
    "fit",
    "make_test_function",
    "make_train_function",
    "test_step",
    "train_step",
)


def overridden(model: keras.Model, names: Sequence[str]) -> tuple[str, ...]:
    """Return which of these methods a model's class defines anew; `fit` may then do anything."""
    has_graph = bool(getattr(model, "inputs", None))
    return tuple(
        name
        for name in names
        if (name != "call" or has_graph) and not _is_kerass(type(model), name)
    )


def _is_kerass(kind: type, name: str) -> bool:
    owner = next((base for base in kind.__mro__ if name in vars(base)), keras.Model)
    return owner.__module__.split(".")[0] == "keras"

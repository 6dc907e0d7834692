"""The head that fine-tuning starts from, solved as a logistic regression instead of trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from keras_practical.data.features import Embeddings
from keras_practical.data.labels import class_numbers
from keras_practical.transfer.probe import Probe, fit_probe
from keras_practical.utils.keras_internals.graph import final_activation, steps_of

__all__ = ["solve", "why_not_solvable"]


def why_not_solvable(model: keras.Model) -> str | None:
    """Say why a classifier's head can't be solved as a logistic regression.

    Args:
        model: A compiled model.

    Returns:
        The reason, as text, or `None` if its last layer may be solved for.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, activation="relu")])
    >>> model.compile(loss="mse")
    >>> why_not_solvable(model)
    'the last layer gives no probabilities of classes'
    """
    dense = _last_layer(model)
    if dense is None:
        return "the last layer isn't a Dense layer"
    kind = final_activation(model)
    logits = bool(getattr(model.loss, "from_logits", False)) and kind is None
    one = dense.units == 1
    if not (logits or kind == ("sigmoid" if one else "softmax")):
        return "the last layer gives no probabilities of classes"
    if not dense.use_bias or not dense.trainable:
        return "the last layer has no bias" if dense.trainable else "the last layer is frozen"
    return None


def solve(
    head: keras.Model,
    embeddings: Embeddings,
    *,
    class_weight: Mapping[int, float] | None = None,
) -> Probe | str:
    """Set a head's one layer to the logistic regression of features.

    Args:
        head: A model from features to outputs whose last layer is `Dense`, and the only one with
            weights.
        embeddings: Features with labels: class numbers, or rows of zeros with a one.
        class_weight: As in `fit`.

    Returns:
        The `Probe`, or as a text why there is none; then nothing was changed.

    Example:

    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(60) % 2
    >>> found = Embeddings(rng.normal(size=(60, 3)) + 2 * labels[:, None], labels, (), ("a", "b"))
    >>> head = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="softmax")])
    >>> solve(head, found).held_out_loss < 0.2
    True

    Reference:
        Kumar et al., *Fine-Tuning can Distort Pretrained Features and Underperform
        Out-of-Distribution* (2022), arXiv 2202.10054.
    """
    dense = _last_layer(head)
    if dense is None or len(head.weights) != 2:
        return "the head has several layers with weights"
    classes = max(dense.units, 2)
    try:
        labels = class_numbers(embeddings.labels, classes=classes)
    except ValueError:
        return "the labels aren't one class each"
    if len(np.unique(labels)) < 2:
        return "the labels are of one class only"
    names = tuple(map(str, range(classes)))
    probe = fit_probe(
        replace(embeddings, labels=labels, class_names=names), class_weight=class_weight
    )
    kernel, bias = probe.kernel, probe.bias
    if dense.units == 1:
        kernel, bias = kernel[:, 1:] - kernel[:, :1], bias[1:] - bias[:1]
    dense.set_weights([kernel, bias])
    return probe


def _last_layer(model: keras.Model) -> Any:
    """Return the `Dense` layer that a model ends in, before an activation of its own."""
    layers = [step.operation for step in steps_of(model)]
    while layers and isinstance(layers[-1], keras.layers.Activation | keras.layers.Softmax):
        layers.pop()
    last = layers[-1] if layers else None
    if isinstance(last, keras.Model):
        return _last_layer(last)
    return last if type(last) is keras.layers.Dense else None

"""Several models as one."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from keras_practical.models.deriving import check_graph, check_prediction, derived_model
from keras_practical.utils.keras_internals.overrides import PREDICTING, overridden

__all__ = ["ensemble"]


def ensemble(models: Sequence[keras.Model], *, name: str = "ensemble") -> keras.Model:
    """Join classifiers into one whose probabilities are the mean of theirs.

    Use it on models of several seeds, or of several folds of the data: their errors differ, and
    the mean has fewer. With few images that is often worth more than the next idea. It costs as
    many passes as there are models. In plain Keras: `Average` over the models' outputs, with names
    of their own.

    Args:
        models: At least two models for the same inputs and classes, with probabilities as outputs.
            They are used themselves, not copied.
        name: The joint model's name.

    Returns:
        A plain `keras.Model`, not compiled: there is nothing left to train. Saved, it is one file.

    Raises:
        ValueError: There are fewer than two models, or their inputs or outputs differ.

    Example:

    >>> models = [
    ...     keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, activation="softmax")])
    ...     for _ in range(2)
    ... ]
    >>> ensemble(models).output_shape
    (None, 3)

    Reference:
        Lakshminarayanan et al., *Simple and Scalable Predictive Uncertainty Estimation using Deep
        Ensembles* (2017), arXiv 1612.01474.
    """
    models = list(models)
    if len(models) < 2:
        raise ValueError(f"`models` must be at least two. Received: {len(models)}")
    for model in models:
        check_graph(model, one_output=True)
    if not all(isinstance(model.input_shape, tuple) for model in models):
        raise ValueError("`models` must have one input and one output each.")
    shapes = {(str(model.input_shape), str(model.output_shape)) for model in models}
    if len(shapes) > 1:
        listed = ", ".join(f"{given} to {shape}" for given, shape in sorted(shapes))
        raise ValueError(
            f"`models` must have the same inputs and outputs. Received: models from {listed}"
        )
    first = models[0]
    own = {(type(model), overridden(model, PREDICTING)) for model in models}
    if len(own) > 1 and any(methods for _, methods in own):
        listed = ", ".join(sorted(kind.__name__ for kind, _ in own))
        raise ValueError(
            "`models` must all be of one class where a class overrides how they predict. "
            f"Received: models of {listed}"
        )
    inputs = keras.Input(first.input_shape[1:], name="inputs")
    # Names of their own: models of one recipe have the same.
    members = [
        keras.Model(model.inputs, model.outputs[0], name=f"{name}_member_{number}")
        for number, model in enumerate(models)
    ]
    outputs = keras.layers.Average(dtype="float32", name="mean")(
        [member(inputs) for member in members]
    )
    joint = derived_model(first, inputs, outputs, name=name)
    check_prediction(joint, *models)
    return joint

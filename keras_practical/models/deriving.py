"""Models made from a model's layers: of its class where that counts, compiled alike, checked."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_practical.utils.keras_internals.graph import answer
from keras_practical.utils.keras_internals.layers import compiled_settings
from keras_practical.utils.keras_internals.optimizer import fresh_optimizer
from keras_practical.utils.keras_internals.overrides import PREDICTING, overridden

if TYPE_CHECKING:
    from keras_practical.utils.types import Tensor

__all__ = ["check_graph", "check_prediction", "compile_alike", "derived_model"]

# The sides of an image or the length of a sequence, where a model leaves them open.
_SIDE = 64


def check_graph(model: keras.Model, *, one_output: bool = False) -> None:
    """Refuse a model that can't be taken apart.

    Args:
        model: Any model.
        one_output: Whether it must have only one.

    Raises:
        ValueError: `model` has no graph, or several outputs.

    Example:

    >>> check_graph(keras.Sequential([keras.Input((2,)), keras.layers.ReLU()]))
    """
    if not getattr(model, "inputs", None):
        raise ValueError(
            f"`model` has no graph to take apart, because its class {type(model).__name__} has a "
            "`call` of its own, or it isn't built. Give a functional or sequential model."
        )
    if one_output and len(model.outputs) > 1:
        raise ValueError(
            "`model` must have one output; make a model of one of them, such as "
            f"keras.Model(model.inputs, model.outputs[0]). Received: {len(model.outputs)} outputs"
        )


def derived_model(
    model: keras.Model, inputs: Tensor, outputs: Tensor, *, name: str | None = None
) -> keras.Model:
    """Return a model on tensors of another model's graph that prepares its inputs as that one does.

    Args:
        model: A functional or sequential model.
        inputs: Where the new one starts.
        outputs: Where it ends.
        name: Its name.

    Returns:
        A plain `keras.Model`; or one of `model`'s class, if that class overrides `predict_step` or
        the like: pixels scaled there would otherwise come in as they are.

    Raises:
        ValueError: The class overrides `call`, so that the graph isn't what the model computes; or
            it can't be made from inputs and outputs.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.ReLU(), keras.layers.Softmax()])
    >>> derived_model(model, model.inputs, model.layers[0].output).output_shape
    (None, 2)
    """
    own = overridden(model, PREDICTING)
    if not own:
        return keras.Model(inputs, outputs, name=name)
    kind = type(model)
    problem = f"its class {kind.__name__} overrides {' and '.join(own)}"
    if "call" in own or "predict" in own:
        raise ValueError(
            f"`model` can't be taken apart, because {problem}: its layers alone would compute "
            "something else. Put what that method does into layers."
        )
    try:
        return kind(inputs, outputs, name=name)
    except Exception as error:
        raise ValueError(
            f"`model` can't be taken apart, because {problem}, and no model of that class can be "
            f"made from inputs and outputs ({error}). Put what that method does into layers."
        ) from error


def compile_alike(copy: keras.Model, model: keras.Model, **changes: Any) -> None:
    """Compile a copy as a model is compiled, with the very same loss and metrics.

    The optimizer is a fresh one of the same settings. Objects are handed on as they are: a class of
    the user's own need not be registered.

    Args:
        copy: What to compile.
        model: A compiled model.
        **changes: Arguments of `compile` that are to differ.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", loss=keras.losses.MeanSquaredError())
    >>> copy = keras.models.clone_model(model)
    >>> compile_alike(copy, model)
    >>> copy.loss is model.loss, copy.optimizer is model.optimizer
    (True, False)
    """
    settings = {"optimizer": fresh_optimizer(model.optimizer), **compiled_settings(model)}
    keras.Model.compile(copy, **{**settings, **changes})


def check_prediction(
    derived: keras.Model,
    *models: keras.Model,
    expected: Callable[[np.ndarray], np.ndarray] = np.asarray,
) -> None:
    """Compare what a derived model predicts for one random batch with what it should.

    Args:
        derived: The model made from `models`.
        *models: The models it is made from.
        expected: From the mean of their outputs to those that `derived` should give.

    Raises:
        ValueError: They differ.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.ReLU()])
    >>> check_prediction(keras.Sequential([keras.Input((2,)), keras.layers.Rescaling(1.0)]), model)
    """
    batch = _random_batch(models[0])
    if batch is None:
        return
    wanted = expected(np.mean([_predicted(model, batch) for model in models], axis=0))
    given = _predicted(derived, batch)
    half = {"float16", "bfloat16"} & {model.compute_dtype for model in models}
    tolerance = 3e-2 if half else 1e-3
    if not np.allclose(wanted, given, rtol=tolerance, atol=tolerance, equal_nan=True):
        raise ValueError(
            f"The model made from {models[0].name!r} gives other outputs than it should: on a "
            f"random batch they differ by up to {np.nanmax(np.abs(wanted - given)):.2g}. Does a "
            "layer draw random numbers when it predicts, or the model prepare its inputs outside "
            "its layers?"
        )


def _random_batch(model: keras.Model) -> np.ndarray | None:
    """Return two inputs of a model of one input of numbers, `None` for any other."""
    inputs = model.inputs
    if len(inputs) != 1 or len(model.outputs) != 1 or inputs[0].dtype == "string":
        return None
    # Which numbers of channels it takes, its graph doesn't tell.
    if len(inputs[0].shape) > 2 and inputs[0].shape[-1] is None:
        return None
    shape = (2, *(side or _SIDE for side in inputs[0].shape[1:]))
    if math.prod(shape) > 2**24:
        return None
    rng = np.random.default_rng(0)
    # Few numbers for what may be an index into a table.
    highest = 2 if "int" in inputs[0].dtype and len(shape) < 4 else 256
    return rng.integers(0, highest, shape).astype(inputs[0].dtype)


def _predicted(model: keras.Model, batch: np.ndarray) -> np.ndarray:
    if overridden(model, PREDICTING):
        return np.asarray(model.predict_on_batch(batch))
    outputs = keras.tree.flatten(answer(model, batch))[0]
    return keras.ops.convert_to_numpy(keras.ops.cast(outputs, "float32"))

"""The state of stateful recurrent layers: carried on every backend, kept, put back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras


def stateful_layers(model: keras.Model) -> list[Any]:
    """Return the layers that go on from where the batch before ended, nested ones included."""
    return [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.RNN) and layer.stateful and layer.states is not None
    ]


def state_variables(model: keras.Model) -> list[keras.Variable]:
    """Return the variables that hold the state, layer by layer."""
    return [state for layer in stateful_layers(model) for state in keras.tree.flatten(layer.states)]


def reset(model: keras.Model) -> None:
    """Set every state to zero, and see to it that it will be carried."""
    _let_it_be_carried(model)
    for layer in stateful_layers(model):
        layer.reset_state()


def values_of(model: keras.Model) -> list[Any]:
    """Return a copy of every state."""
    return [keras.ops.convert_to_numpy(state).copy() for state in state_variables(model)]


def put_back(model: keras.Model, values: list[Any]) -> None:
    """Set every state to what `values_of` returned."""
    for state, value in zip(state_variables(model), values, strict=True):
        state.assign(value)


@contextmanager
def fresh_state(model: keras.Model) -> Iterator[None]:
    """Let the block start from zero, and leave the model's state as it was before."""
    before = values_of(model)
    reset(model)
    try:
        yield
    finally:
        put_back(model, before)


class _Carried:
    """What a layer's list of random generators may hold besides these: something with a state."""

    def __init__(self, state: keras.Variable) -> None:
        self.state = state


def _let_it_be_carried(model: keras.Model) -> None:
    """Hand the state through the compiled step on JAX, which Keras 3.15 forgets to do.

    There a step only changes variables that the model lists, and a layer doesn't list its state:
    `stateful=True` starts each batch from zero, without a word. Listed as a weight, it would end up
    in saved files, which plain Keras couldn't load; listed as a random generator's state it won't.
    """
    if keras.backend.backend() != "jax":
        return
    for layer in stateful_layers(model):
        listed = {id(variable) for variable in layer.variables}
        for state in keras.tree.flatten(layer.states):
            if id(state) not in listed:
                layer._seed_generators.append(_Carried(state))

"""Put a model back as it was, whatever happened to it in between."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np


@contextmanager
def snapshot(model: keras.Model, orders: Sequence[Any]) -> Iterator[Callable[[], None]]:
    """Leave no trace of what the block does to `model`, to the random generators and to `orders`.

    `orders` are the `EpochOrder`s behind the data that the block reads.

    The block is given a function that restores the variables only. It must not change the model's
    optimizer, but may put another in its place.
    """
    variables = {id(v): v for v in [*model.variables, *model.metrics_variables]}
    if model.optimizer is not None:
        variables |= {id(v): v for v in model.optimizer.variables}
    global_seeds = keras.src.random.seed_generator.global_seed_generator()
    values = [(v, v.numpy().copy()) for v in variables.values()]
    seeds = global_seeds.state.numpy().copy()
    # With its compiled loss and metrics: Keras builds them in the first `fit`, for which it reads a
    # batch more than in the ones that follow.
    objects = [model, model._compile_loss, model._compile_metrics]
    attributes = [(vars(owner), dict(vars(owner))) for owner in objects if owner is not None]
    generators = _generators()
    epochs = [(order, order.epoch) for order in orders]

    def restore_variables() -> None:
        for variable, value in values:
            variable.assign(value)

    try:
        yield restore_variables
    finally:
        if keras.backend.backend() == "jax":
            # An interrupted `fit` holds the state elsewhere, and has emptied the variables.
            model.jax_state_sync()
        model.reset_metrics()  # Some may have been built in the block.
        restore_variables()
        global_seeds.state.assign(seeds)
        for set_state, state in generators:
            set_state(state)
        for order, epoch in epochs:
            order.set_epoch(epoch)
        for now, before in attributes:
            now.clear()
            now.update(before)


def _generators() -> list[tuple[Callable[[Any], None], Any]]:
    """Return, for each global random generator that shuffling may use, how to restore it."""
    states: list[tuple[Callable[[Any], None], Any]] = [
        (random.setstate, random.getstate()),
        # NumPy's old global generator is what `fit` shuffles with on JAX.
        (np.random.set_state, np.random.get_state()),  # noqa: NPY002
    ]
    context = sys.modules.get("tensorflow.python.eager.context")
    if context is not None:
        # From it TensorFlow draws the seed of each new random operation, `fit`'s shuffle included.
        generator = getattr(context.context(), "_rng", None)
        if generator is not None:
            states.append((generator.setstate, generator.getstate()))
    return states

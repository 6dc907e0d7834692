"""How much of a training fits into so many minutes."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras

from keras_practical.data.batches import fit_arguments
from keras_practical.data.origin import origin_of
from keras_practical.utils.keras_internals.folding import FoldedTraining
from keras_practical.utils.keras_internals.optimizer import twin_with_own_state
from keras_practical.utils.keras_internals.snapshot import snapshot

if TYPE_CHECKING:
    from keras_practical.utils.types import Data

__all__ = ["affordable_epochs", "seconds_per_step", "steps_in"]

_SECONDS = 3.0
_FEWEST = 4


def steps_in(data: Data | None) -> int | None:
    """Return the number of batches in data as `fit` takes them; `None` if they don't say.

    Args:
        data: As in `fit`.

    Returns:
        A number, 0 for no data.

    Example:

    >>> steps_in((keras.ops.ones((33, 1)), keras.ops.ones((33, 1)))), steps_in(None)
    (2, 0)
    """
    if data is None:
        return 0
    if isinstance(data, tuple | list):
        return -(-len(keras.tree.flatten(data)[0]) // 32)
    try:
        return len(data)
    except TypeError:
        return None


def affordable_epochs(
    seconds: float, *, steps: int, held_out_steps: int, seconds_per_step: float
) -> int:
    """Return how many epochs fit into the time, with what is measured on held-out data.

    A step forward only, as on held-out data, counts for a third of a training step; there is one
    pass over them in each epoch and three at the end.

    Args:
        seconds: What is left.
        steps: Training batches in an epoch.
        held_out_steps: Batches of held-out data.
        seconds_per_step: Of training.

    Returns:
        A number >= 0.

    Example:

    >>> affordable_epochs(100, steps=10, held_out_steps=3, seconds_per_step=1.0)
    8
    """
    a_pass = held_out_steps * seconds_per_step / 3
    return max(0, int((seconds - 3 * a_pass) / (steps * seconds_per_step + a_pass)))


def seconds_per_step(
    model: keras.Model, data: Data, *, class_weight: Mapping[int, float] | None = None
) -> float:
    """Time some training steps and leave no trace of them.

    Args:
        model: A compiled model, frozen as it will train.
        data: Training data, as in `fine_tune`.
        class_weight: As in `fit`.

    Returns:
        Seconds, without what compiling took.

    Example:

    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> ones = keras.ops.ones((200, 1))
    >>> 0 < seconds_per_step(model, (ones, ones)) < 10
    True
    """
    clock, folding = _Clock(), FoldedTraining()
    with snapshot(model, origin_of(data).orders):
        model.optimizer = twin_with_own_state(model.optimizer, model.trainable_variables)
        model.train_step = functools.partial(model.train_step)
        model.make_train_function(force=True)
        model.fit(
            **fit_arguments(data),
            class_weight=class_weight,
            callbacks=[folding, clock],
            verbose=0,
            epochs=2,
        )
    return clock.seconds_per_step


class _Clock(keras.callbacks.Callback):
    """Times steps after the first, which compiles."""

    def __init__(self) -> None:
        super().__init__()
        self._began: float | None = None
        self._per_call = 1
        self._steps = 0
        self.seconds_per_step = 0.0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        now = time.perf_counter()
        if self._began is None:
            self._began, self._per_call = now, batch + 1
            return
        self._steps += self._per_call
        took = now - self._began
        self.seconds_per_step = took / self._steps
        if took > _SECONDS and self._steps >= _FEWEST:
            self.model.stop_training = True

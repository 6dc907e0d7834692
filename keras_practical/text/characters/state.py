"""`CarriedState`: truncated backpropagation through time, with the state where it belongs."""

from __future__ import annotations

from typing import Any

import keras

from keras_practical.utils.keras_internals.recurrent import (
    put_back,
    reset,
    stateful_layers,
    values_of,
)

__all__ = ["CarriedState"]


class CarriedState(keras.callbacks.Callback):
    """Start each epoch from an empty state, and keep validation's state apart from training's.

    Add it to every `fit` of a model with `stateful=True` layers. Such a model reads a long text as
    short sequences: its state goes on from batch to batch, the gradient stops at the batch's border
    (truncated backpropagation through time). Three things go wrong in plain Keras. The state of the
    text's end is carried into the next epoch's beginning. Validation starts from training's state
    and leaves its own behind. And on the JAX backend (Keras 3.15) the compiled step doesn't carry
    the state at all, without a word. With this callback each epoch and each validation start from
    zero; after validation, training's state is back; after `fit` the state is empty, so that a
    saved model starts clean; and the state is carried on JAX as on TensorFlow. The plain-Keras
    equivalent calls `layer.reset_state()` in `on_epoch_begin` and `on_test_begin`.

    The data must bring batches that continue each other, as `character_datasets` does, and
    `fit(..., shuffle=False)` must leave them in order. Give the callback to
    `model.evaluate(..., callbacks=[...])` too.

    Raises:
        ValueError: When `fit` starts: the model has no stateful layer, so that there is nothing to
            carry.

    Example:

    >>> model = keras.Sequential([keras.Input((None,), batch_size=2), keras.layers.Embedding(5, 4)])
    >>> model.add(keras.layers.GRU(3, return_sequences=True, stateful=True))
    >>> model.add(keras.layers.Dense(5, activation="softmax"))
    >>> model.compile("adam", loss="sparse_categorical_crossentropy")
    >>> x, y = keras.ops.ones((8, 6)), keras.ops.ones((8, 6))  # four batches, two rows each
    >>> _ = model.fit(x, y, batch_size=2, shuffle=False, verbose=0, callbacks=[CarriedState()])

    Reference:
        Williams & Peng, *An Efficient Gradient-Based Algorithm for On-Line Training of Recurrent
        Network Trajectories* (1990), Neural Computation 2(4).
    """

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Check that there is a state to carry."""
        self._check()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start from the text's beginning."""
        reset(self.model)

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Put training's state aside."""
        self._check()
        self._before = values_of(self.model)
        reset(self.model)

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """Go on with training's state."""
        put_back(self.model, self._before)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Leave an empty state."""
        reset(self.model)

    def _check(self) -> None:
        if not stateful_layers(self.model):
            raise ValueError(
                "`CarriedState` needs a model with a recurrent layer that has `stateful=True`, "
                "and an input of fixed batch size: keras.Input((None,), batch_size=32). "
                f"Received: model={self.model.name!r} without one"
            )

"""Callbacks for any compiled Keras model."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import keras
from keras import ops

from keras_practical._validation import check_count
from keras_practical.schedules import OneCycleSchedule

__all__ = ["OneCycle"]


class OneCycle(keras.callbacks.Callback):
    """Train with a one-cycle learning rate: up, then down to almost nothing.

    Add it to `fit` to train in fewer epochs than a constant rate needs. The rate is computed
    inside the compiled training step from the optimizer's own step counter, so it is exact for
    every batch whatever `steps_per_execution` is, and costs nothing in Python. The optimizer gets
    back its own learning rate, and its configuration never changes: a checkpoint saved on the way
    is an ordinary one. After an interrupted `fit` the next one finds everything as it was. The
    plain-Keras equivalent, a callback that assigns `optimizer.learning_rate` every batch, is late
    under `steps_per_execution` and fails on an optimizer built with a schedule.

    Adds `learning_rate`, the rate of the epoch's last step, to `fit`'s history.

    Args:
        max_learning_rate: The peak, > 0.
        start_divisor: The peak over the first rate, > 0.
        final_divisor: The peak over the final rate, > 0.
        warmup_fraction: Part of the steps spent rising, in [0, 1].
        start_epoch: The epoch, as `fit` counts them, at which the cycle starts. `fit` may begin
            later (`initial_epoch`): it then continues the same cycle.
        total_steps: Number of batches in the cycle. Default: those from `start_epoch` to `fit`'s
            last epoch. Needed only for a data set of unknown length.

    Raises:
        ValueError: An argument is outside its range; or, when `fit` starts, the number of batches
            is unknown and `total_steps` isn't given, or `fit` doesn't run `start_epoch` or begins
            before it.

    Example:

    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> history = model.fit(
    ...     ops.ones((8, 1)), ops.ones((8, 1)), batch_size=2, epochs=2, verbose=0,
    ...     callbacks=[OneCycle(max_learning_rate=0.1)])
    >>> [round(float(rate), 4) for rate in history.history["learning_rate"]]
    [0.0933, 0.0067]

    Reference:
        Smith, *A disciplined approach to neural network hyper-parameters* (2018), arXiv
        1803.09820, with fastai's defaults; `keras_practical.curves.one_cycle` has the formula.
    """

    def __init__(
        self,
        max_learning_rate: float,
        *,
        start_divisor: float = 25.0,
        final_divisor: float = 1e5,
        warmup_fraction: float = 0.25,
        start_epoch: int = 0,
        total_steps: int | None = None,
    ) -> None:
        super().__init__()
        check_count("start_epoch", start_epoch, minimum=0)
        if total_steps is not None:
            check_count("total_steps", total_steps)
        self.max_learning_rate = max_learning_rate
        self.start_divisor = start_divisor
        self.final_divisor = final_divisor
        self.warmup_fraction = warmup_fraction
        self.start_epoch = start_epoch
        self.total_steps = total_steps
        self._schedule_of(1)  # Complain about a bad argument now, not when training starts.
        self._first_step: int | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Learn how long the cycle is."""
        steps, epochs = self.params["steps"], self.params["epochs"]
        if self.start_epoch >= epochs:
            raise ValueError(
                "`start_epoch` must be less than the epochs that `fit` runs. "
                f"Received: start_epoch={self.start_epoch}, epochs={epochs}"
            )
        if steps is None and self.total_steps is None:
            raise ValueError(
                "The data set doesn't say how many batches it has, so the cycle has no length. "
                "Pass OneCycle(..., total_steps=<batches per epoch x epochs>), or give the data "
                "a length: fit(..., steps_per_epoch=n) or "
                "dataset.apply(tf.data.experimental.assert_cardinality(n))."
            )
        self._uninstall()  # Another model's, if its `fit` was interrupted.
        self._warned = False
        self._cycle_steps = self.total_steps or steps * (epochs - self.start_epoch)
        self._schedule = self._schedule_of(self._cycle_steps)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Put the curve into the training step before the first batch of this `fit`."""
        # Only here is `initial_epoch` known, also when `BackupAndRestore` has set it.
        if self._first_step is None:
            if epoch < self.start_epoch:
                raise ValueError(
                    "`start_epoch` must not come after the first epoch that `fit` runs, its "
                    "`initial_epoch`. "
                    f"Received: start_epoch={self.start_epoch}, initial_epoch={epoch}"
                )
            self._install(self._steps_before(epoch))
        if self._position() >= self._cycle_steps and not self._warned:
            self._warned = True
            warnings.warn(
                f"The one-cycle run of {self._cycle_steps} steps ended before epoch {epoch + 1}: "
                "the learning rate stays at its final value from here on.",
                stacklevel=2,
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the learning rate of the epoch's last step to the logs."""
        if logs is not None:
            logs["learning_rate"] = float(self._schedule(self._position() - 1))

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Hand the optimizer back as it was."""
        self._uninstall()

    def _schedule_of(self, total_steps: int) -> OneCycleSchedule:
        return OneCycleSchedule(
            total_steps,
            max_learning_rate=self.max_learning_rate,
            start_divisor=self.start_divisor,
            final_divisor=self.final_divisor,
            warmup_fraction=self.warmup_fraction,
        )

    def _steps_before(self, epoch: int) -> int:
        """Return how much of the cycle lies before `epoch`, in steps."""
        steps, epochs = self.params["steps"], self.params["epochs"]
        done = epoch - self.start_epoch
        if steps is not None:
            return done * steps
        return round(self._cycle_steps * done / (epochs - self.start_epoch))

    def _position(self) -> int:
        """Return the cycle's next step: 0 before the first batch."""
        return _iterations(self._optimizer) + self._shift

    def _install(self, steps_before: int) -> None:
        model = self._trained_model = self.model
        # Under mixed precision the optimizer that takes the steps sits inside a loss-scaling one.
        self._optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
        optimizer, schedule = self._optimizer, self._schedule
        self._first_step = _iterations(optimizer)
        self._shift = shift = steps_before - self._first_step

        # JAX may reuse what it traced for an equal function, and a model's bound methods are equal
        # to each other: let it trace a function that equals no other.
        model.train_step = functools.partial(model.train_step)
        model.make_train_function(force=True)
        del model.train_step

        # Keras asks the optimizer for its rate while it traces the training step. An attribute of
        # the instance answers in place of the method; the rate variable itself stays untouched.
        optimizer._get_current_learning_rate = lambda: schedule(
            ops.cast(optimizer._iterations, "int32") + shift
        )

        # Ctrl-C or an error skips `on_train_end`. The next `fit` first calls this method.
        def make_train_function(force: bool = False) -> Any:
            self._uninstall()
            return model.make_train_function(force=force)

        model.make_train_function = make_train_function

    def _uninstall(self) -> None:
        if self._first_step is None:
            return
        self._first_step = None
        del self._optimizer._get_current_learning_rate
        del self._trained_model.make_train_function
        self._trained_model.train_function = None


def _iterations(optimizer: keras.optimizers.Optimizer) -> int:
    # A variable of `tf.distribute` has no `int()`.
    return int(optimizer._iterations.numpy())

"""`OneCycle`: one-cycle training as a callback for any compiled Keras model."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from numbers import Real
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from keras_practical.training.curves import evaluate_segments, one_cycle
from keras_practical.utils.checks import check_count
from keras_practical.utils.keras_internals.optimizer import (
    innermost,
    momentum_name,
    steer,
    steps_taken,
)
from keras_practical.utils.keras_internals.step import Overlay, put_on, take_off

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from keras_practical.utils.types import Tensor

__all__ = ["OneCycle"]


class OneCycle(keras.callbacks.Callback):
    """Train with a one-cycle learning rate: up, then down to almost nothing; momentum mirrors it.

    Add it to `fit` to train in fewer epochs than a constant rate needs. Rate and momentum (SGD's
    and RMSprop's `momentum`, the Adam family's and Lion's `beta_1`) are computed inside the
    compiled training step from the optimizer's own step counter, so they are exact for every batch
    whatever `steps_per_execution` is, and cost nothing in Python. The optimizer keeps its class
    and its configuration: a checkpoint saved on the way is an ordinary one, and afterwards its own
    learning rate and momentum count again. After an interrupted `fit` the next one finds
    everything as it was. The plain-Keras equivalent, a callback that assigns
    `optimizer.learning_rate` every batch, is late under `steps_per_execution` and fails on an
    optimizer built with a schedule; one that assigns `optimizer.momentum` or `optimizer.beta_1`
    does nothing, because Keras reads them only once.

    Adds `learning_rate` and `momentum`, those of the epoch's last step, to `fit`'s history.

    With `keras.callbacks.BackupAndRestore` a killed run continues exactly: the cycle goes on at the
    step that was saved, and batches of the epoch that were trained before are read but not trained
    again. For the same weights as without the interruption, two things more must be as they were.
    Epoch `e` must bring the same batches in the same order: data that isn't shuffled, or that of
    `load_images` with `callbacks.SetEpoch`. And a model with dropout or random augmentation needs
    `callbacks.BackupAndRestore`, because Keras doesn't save the state of random layers.

    Args:
        max_learning_rate: The peak, > 0.
        start_divisor: The peak over the first rate, > 0.
        final_divisor: The peak over the final rate, > 0.
        warmup_fraction: Part of the steps spent rising, in [0, 1].
        momentum: The momentum at the start and the end, and the one at the peak, each in (0, 1).
            `None` leaves the optimizer its own. It has no effect on an optimizer without momentum,
            such as `SGD(momentum=0)`; `fit` says so.
        start_epoch: The epoch, as `fit` counts them, at which the cycle starts. `fit` may begin
            later (`initial_epoch`): it then continues the same cycle.
        total_steps: Number of batches in the cycle. Default: those from `start_epoch` to `fit`'s
            last epoch. Needed only for a data set of unknown length.

    Raises:
        ValueError: An argument is outside its range; or, when `fit` starts, the number of batches
            is unknown and `total_steps` isn't given, or `fit` doesn't run `start_epoch` or begins
            before it, or the optimizer has no learning rate of its own.

    Example:

    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(momentum=0.9), loss="mse")
    >>> history = model.fit(
    ...     ops.ones((8, 1)),
    ...     ops.ones((8, 1)),
    ...     batch_size=2,
    ...     epochs=2,
    ...     verbose=0,
    ...     callbacks=[OneCycle(max_learning_rate=0.1)],
    ... )
    >>> [round(float(rate), 4) for rate in history.history["learning_rate"]]
    [0.0933, 0.0067]
    >>> [round(float(momentum), 4) for momentum in history.history["momentum"]]
    [0.8567, 0.9433]

    Reference:
        Smith, *A disciplined approach to neural network hyper-parameters* (2018), arXiv
        1803.09820, with fastai's defaults; `training.OneCycleSchedule` is the same curve.
    """

    def __init__(
        self,
        max_learning_rate: float,
        *,
        start_divisor: float = 25.0,
        final_divisor: float = 1e5,
        warmup_fraction: float = 0.25,
        momentum: tuple[float, float] | None = (0.95, 0.85),
        start_epoch: int = 0,
        total_steps: int | None = None,
    ) -> None:
        super().__init__()
        check_count("start_epoch", start_epoch, minimum=0)
        if total_steps is not None:
            check_count("total_steps", total_steps)
        self.max_learning_rate = max_learning_rate
        self.start_epoch = start_epoch
        self.total_steps = total_steps
        self._segments = {
            "learning_rate": one_cycle(
                max_learning_rate,
                start_divisor=start_divisor,
                final_divisor=final_divisor,
                warmup_fraction=warmup_fraction,
            )
        }
        if momentum is not None:
            self._segments["momentum"] = _momentum_cycle(momentum, warmup_fraction)
        self._installed: keras.Model | None = None
        self._cycle_steps = total_steps

    @property
    def learning_rates(self) -> np.ndarray:
        """The learning rate of every step of the cycle; known once `fit` has started."""
        return evaluate_segments(self._segments["learning_rate"], self._known_steps())

    @property
    def momentums(self) -> np.ndarray | None:
        """The momentum of every step of the cycle; `None` if it isn't moved."""
        segments = self._segments.get("momentum")
        return None if segments is None else evaluate_segments(segments, self._known_steps())

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """Draw the cycle: the learning rate, and the momentum on an axis of its own.

        Args:
            ax: Where to draw. Default: a new figure.

        Returns:
            The axes with the learning rate.
        """
        from keras_practical.training.plots import schedule

        return schedule(self.learning_rates, momentums=self.momentums, ax=ax)

    def set_model(self, model: keras.Model) -> None:
        """Note the step that the optimizer stands at, before any callback restores another."""
        super().set_model(model)
        if model is not None and getattr(model, "optimizer", None) is not None:
            self._steps_at_start = steps_taken(model.optimizer)

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
        self._moved = {
            name: np.append(evaluate_segments(segments, self._cycle_steps), segments[-1].end)
            for name, segments in self._segments.items()
        }
        if "momentum" in self._moved and momentum_name(self.model.optimizer) is None:
            del self._moved["momentum"]
            if self.params["verbose"]:
                name = type(innermost(self.model.optimizer)).__name__
                print(f"OneCycle: this {name} has no momentum; only the learning rate moves.")

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Put the curves into the training step before the first batch of this `fit`."""
        # Only here is `initial_epoch` known, also when `BackupAndRestore` has set it.
        if self._installed is None:
            if epoch < self.start_epoch:
                raise ValueError(
                    "`start_epoch` must not come after the first epoch that `fit` runs, its "
                    "`initial_epoch`. "
                    f"Received: start_epoch={self.start_epoch}, initial_epoch={epoch}"
                )
            self._install(self._position_at(epoch))
        if self.params["steps"] is not None:
            self._batches_done = max(0, self._position() - self._steps_before(epoch))
        if self._position() >= self._known_steps() and not self._warned and not self._batches_done:
            self._warned = True
            warnings.warn(
                f"The one-cycle run of {self._cycle_steps} steps ended before epoch {epoch + 1}: "
                "the learning rate stays at its final value from here on.",
                stacklevel=2,
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the learning rate and the momentum of the epoch's last step to the logs."""
        if logs is not None:
            for name, values in self._moved.items():
                logs[name] = float(values[min(self._position(), len(values)) - 1])

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Hand the optimizer back as it was."""
        self._uninstall()

    def _known_steps(self) -> int:
        if self._cycle_steps is None:
            raise ValueError("The cycle has a length only once `fit` has started.")
        return self._cycle_steps

    def _position_at(self, epoch: int) -> int:
        """Return how much of the cycle is done when `fit` starts with `epoch`, in steps."""
        steps = self.params["steps"]
        restored = steps_taken(self.model.optimizer) - self._steps_at_start
        if restored <= 0:
            return self._steps_before(epoch)
        # `BackupAndRestore` has restored a state, and notes the epoch but not the batch.
        if steps is None or restored // steps + self.start_epoch > epoch:
            return restored
        return self._steps_before(epoch) + restored % steps

    def _steps_before(self, epoch: int) -> int:
        """Return how much of the cycle lies before `epoch`, in steps."""
        steps, epochs = self.params["steps"], self.params["epochs"]
        done = epoch - self.start_epoch
        if steps is not None:
            return done * steps
        return round(self._known_steps() * done / (epochs - self.start_epoch))

    def _position(self) -> int:
        """Return the cycle's next step: 0 before the first batch."""
        return steps_taken(self._optimizer) + self._shift

    def _install(self, position: int) -> None:
        model, optimizer = self.model, innermost(self.model.optimizer)
        self._installed = model
        self._optimizer = optimizer
        self._shift = shift = position - steps_taken(optimizer)
        self._batches_done = 0

        def curve(values: np.ndarray) -> Callable[[Any], Any]:
            # Looked up: the formulas take so many small operations that a small step would notice.
            table, last = ops.convert_to_tensor(values, "float32"), len(values) - 1
            return lambda step: ops.take(table, ops.minimum(ops.cast(step, "int32") + shift, last))

        self._overlay = Overlay(
            undo=lambda: steer(optimizer, learning_rate=None, momentum=None),
            function=lambda train: self._skipping(train, model.steps_per_execution),
        )
        # Traced at its first call: the steering is there by then.
        put_on(model, self._overlay)
        steer(optimizer, **{name: curve(values) for name, values in self._moved.items()})

    def _skipping(self, train_function: Callable[..., Any], batches: int) -> Callable[..., Any]:
        """Pass over what `self._batches_done` says was trained before a run was killed."""

        def step(*arguments: Any) -> Tensor:
            if self._batches_done <= 0:
                return train_function(*arguments)
            self._batches_done -= batches
            *state, iterator = arguments
            if hasattr(iterator, "__next__"):
                for _ in range(batches):
                    next(iterator, None)
            # On JAX the model's state goes in and out.
            return ({}, *state) if state else {}

        return step

    def _uninstall(self) -> None:
        if self._installed is not None:
            take_off(self._installed, self._overlay)
            self._installed = None


def _momentum_cycle(momentum: tuple[float, float], warmup_fraction: float) -> list[Any]:
    if not isinstance(momentum, tuple | list) or len(momentum) != 2:
        raise ValueError(
            "`momentum` must be a pair, the momentum at both ends and at the peak, or None. "
            f"Received: momentum={momentum!r}"
        )
    ends, peak = momentum
    if not (_is_fraction(ends) and _is_fraction(peak)):
        raise ValueError(
            "Both numbers of `momentum` must lie between 0 and 1, without 0 and 1 themselves. "
            f"Received: momentum={momentum!r}"
        )
    divisor = peak / ends
    return one_cycle(
        peak, start_divisor=divisor, final_divisor=divisor, warmup_fraction=warmup_fraction
    )


def _is_fraction(value: Tensor) -> bool:
    return isinstance(value, Real) and 0 < float(value) < 1

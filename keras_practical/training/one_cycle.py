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
    number_in,
    own_rate,
    steer,
    step_counter,
    steps_taken,
)
from keras_practical.utils.keras_internals.step import Overlay, give_back_state, put_on, take_off

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

    A step of the cycle is a batch, also for a model whose `train_step` takes several optimizer
    steps. `ReduceLROnPlateau` beside it lowers the rest of the cycle by its factor; a callback that
    sets the rate of each epoch, such as `LearningRateScheduler`, is refused.

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
            before it, or the optimizer has no learning rate of its own, or another callback sets
            the rate at the start of an epoch.

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
        self._restored = False

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
        self._fitted = self.model
        self._scale = 1.0
        self._steps_per_batch, self._counted = 1, False
        self._own_rate = own_rate(self.model.optimizer)
        self._rate_before = (
            None if self._own_rate is None else number_in(self.model.optimizer, own_rate)
        )
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
            self._refuse_a_second_hand()
            position = self._position_at(epoch)
            self._install(position)
            if self._restored and self.params["steps"] is not None:
                self._batches_done = max(0, position - self._steps_before(epoch))
        else:
            self._take_over_reduction()
        self._epoch_begins = True
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
                scale = self._scale if name == "learning_rate" else 1.0
                logs[name] = scale * float(values[min(self._position(), len(values)) - 1])

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Hand the optimizer back as it was."""
        if self._installed is not None and self._own_rate is not None:
            self._own_rate.assign(self._rate_before)
        self._uninstall()

    def _known_steps(self) -> int:
        if self._cycle_steps is None:
            raise ValueError("The cycle has a length only once `fit` has started.")
        return self._cycle_steps

    def _position_at(self, epoch: int) -> int:
        """Return how much of the cycle is done when `fit` starts with `epoch`, in steps."""
        steps = self.params["steps"]
        restored = steps_taken(self.model.optimizer) - self._steps_at_start
        self._restored = restored > 0
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
        steps = steps_taken(self._optimizer) - self._steps_installed
        return self._position_installed + steps // self._steps_per_batch

    def _install(self, position: int, *, steps: int | None = None) -> None:
        model, optimizer = self._fitted, innermost(self._fitted.optimizer)
        self._installed = model
        self._optimizer = optimizer
        self._batches_done = 0
        self._position_installed = position
        # While a JAX `fit` runs, the optimizer's variables are old.
        start = steps_taken(optimizer) if steps is None else steps
        self._steps_installed = start
        each = self._steps_per_batch

        def curve(values: np.ndarray) -> Callable[[Any], Any]:
            # Looked up: the formulas take so many small operations that a small step would notice.
            table, last = ops.convert_to_tensor(values, "float32"), len(values) - 1

            def value(step: Tensor) -> Tensor:
                done = ops.cast(step, "int32") - start
                return ops.take(table, ops.minimum(done // each + position, last))

            return value

        self._overlay = Overlay(
            undo=lambda: steer(optimizer, learning_rate=None, momentum=None),
            function=lambda train: self._watched(train, model.steps_per_execution),
        )
        # Traced at its first call: the steering is there by then.
        put_on(model, self._overlay)
        moved = {**self._moved, "learning_rate": self._scale * self._moved["learning_rate"]}
        steer(optimizer, **{name: curve(values) for name, values in moved.items()})

    def _watched(self, train_function: Callable[..., Any], batches: int) -> Callable[..., Any]:
        """Watch each step: pass over batches that were trained before a run was killed."""

        def step(*arguments: Any) -> Tensor:
            # On JAX the model's state goes in and out, and the model is empty meanwhile.
            *state, iterator = arguments
            if self._epoch_begins:
                self._epoch_begins = False
                self._refuse_a_second_hand(*state)
            if self._batches_done <= 0:
                result = train_function(*arguments)
                if not self._counted:
                    self._counted = True
                    self._count_steps(result, batches)
                return result
            self._batches_done -= batches
            if hasattr(iterator, "__next__"):
                for _ in range(batches):
                    next(iterator, None)
            return ({}, *state) if state else {}

        return step

    def _count_steps(self, result: Any, batches: int) -> None:
        """Notice a `train_step` that takes several steps a batch: the cycle counts batches."""
        state = result[1] if isinstance(result, tuple) else None
        taken = int(number_in(self._fitted.optimizer, step_counter, state=state))
        steps = self.params["steps"]
        batches = batches if steps is None else min(batches, steps)
        each = (taken - self._steps_installed) // batches
        if each > 1:
            position = self._position_installed + batches
            self._steps_per_batch = each
            self._uninstall()
            self._install(position, steps=taken)

    def _refuse_a_second_hand(self, state: Any = None) -> None:
        if self._own_rate is None:
            return
        # Not `self.model`: asking for it makes Keras put JAX's state of long ago into the model.
        model = self._fitted
        if number_in(model.optimizer, own_rate, state=state) == self._rate_before:
            return
        give_back_state(model, state)
        self._own_rate.assign(self._rate_before)
        self._uninstall()
        raise ValueError(
            "Another callback sets the learning rate at the start of an epoch, but `OneCycle` "
            "computes it for each batch. Take out one of them, such as LearningRateScheduler."
        )

    def _take_over_reduction(self) -> None:
        """Scale the rest of the cycle by what `ReduceLROnPlateau` wrote into the optimizer."""
        if self._own_rate is None:
            return
        written = number_in(self.model.optimizer, own_rate)
        if written == self._rate_before:
            return
        position = self._position()
        values = self._moved["learning_rate"]
        read = self._scale * float(values[min(position, len(values) - 1)])
        self._own_rate.assign(self._rate_before)
        self._scale *= written / read
        if self.params["verbose"]:
            print(f"OneCycle: the rest of the cycle is {written / read:.3g} times as high.")
        self._uninstall()
        self._install(position)

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


def _is_fraction(value: Any) -> bool:
    return isinstance(value, Real) and 0 < float(value) < 1

"""Learning-rate schedules that compute inside the training graph, on every Keras backend."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from keras_practical._validation import check_between, check_count, check_positive

__all__ = ["OneCycleSchedule"]


@keras.saving.register_keras_serializable(package="keras_practical")
class OneCycleSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """The one-cycle learning rate as a function of the optimizer's step.

    Use it to build an optimizer when the number of steps is known beforehand; the callback
    `keras_practical.OneCycle` learns that number from `fit` and leaves the optimizer as it was.
    Steps beyond the cycle keep the final rate. The plain-Keras neighbour is
    `keras.optimizers.schedules.CosineDecay(warmup_target=...)`, whose warm-up is a line.

    Args:
        total_steps: Number of optimizer steps in the cycle, >= 1.
        max_learning_rate: The peak, > 0.
        start_divisor: The peak over the first rate, > 0.
        final_divisor: The peak over the final rate, > 0.
        warmup_fraction: Part of the steps spent rising, in [0, 1].

    Raises:
        ValueError: An argument is outside its range.

    Example:

    >>> schedule = OneCycleSchedule(8, max_learning_rate=1.0)
    >>> [round(float(schedule(step)), 4) for step in (0, 1, 2, 5, 8)]
    [0.04, 0.52, 1.0, 0.5, 0.0]

    Reference:
        `keras_practical.curves.one_cycle`, which says where the formula comes from.
    """

    def __init__(
        self,
        total_steps: int,
        *,
        max_learning_rate: float,
        start_divisor: float = 25.0,
        final_divisor: float = 1e5,
        warmup_fraction: float = 0.25,
    ) -> None:
        super().__init__()
        check_count("total_steps", total_steps)
        check_positive("max_learning_rate", max_learning_rate)
        check_positive("start_divisor", start_divisor)
        check_positive("final_divisor", final_divisor)
        check_between("warmup_fraction", warmup_fraction, 0.0, 1.0)
        self.total_steps = total_steps
        self.max_learning_rate = max_learning_rate
        self.start_divisor = start_divisor
        self.final_divisor = final_divisor
        self.warmup_fraction = warmup_fraction

    def __call__(self, step: Any) -> Any:
        """Return the learning rate, a float32 scalar, of the 0-based step `step`."""
        step = ops.minimum(ops.cast(step, "float32"), self.total_steps)
        done, left = step / self.total_steps, (self.total_steps - step) / self.total_steps
        peak = self.max_learning_rate
        rising = _cosine(peak / self.start_divisor, peak, done / max(self.warmup_fraction, 1e-12))
        fall_fraction = max(1.0 - self.warmup_fraction, 1e-12)
        falling = _cosine(peak / self.final_divisor, peak, left / fall_fraction)
        return ops.where(done < self.warmup_fraction, rising, falling)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, so that Keras can save and load the schedule."""
        return {
            "total_steps": self.total_steps,
            "max_learning_rate": self.max_learning_rate,
            "start_divisor": self.start_divisor,
            "final_divisor": self.final_divisor,
            "warmup_fraction": self.warmup_fraction,
        }


def _cosine(low: float, high: float, fraction: Any) -> Any:
    # sin(x / 2)^2 is (1 - cos x) / 2, but keeps float32's digits where the rate is close to `low`.
    return low + (high - low) * ops.sin(math.pi / 2.0 * fraction) ** 2

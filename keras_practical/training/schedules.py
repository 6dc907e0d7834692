"""Learning-rate schedules that compute inside the training graph, on every Keras backend."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import keras
from keras import ops

from keras_practical.training import curves
from keras_practical.training.curves import Segment
from keras_practical.utils.checks import check_count

__all__ = [
    "CosineRestartsSchedule",
    "FlatCosineSchedule",
    "OneCycleSchedule",
    "SegmentSchedule",
    "ThreePhaseSchedule",
]


@keras.saving.register_keras_serializable(package="keras_practical")
class SegmentSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Any schedule composed of segments, as a function of the optimizer's step.

    Use it for a schedule of your own; the others of this module are made from it. Steps beyond the
    run keep the last value. In plain Keras you would write a `LearningRateSchedule`.

    Args:
        total_steps: Number of optimizer steps in the run, >= 1.
        segments: `training.Segment`s whose lengths add up to 1, or dictionaries of
            their fields.

    Raises:
        ValueError: An argument is outside its range.

    Example:

    >>> from keras_practical.training.curves import Segment
    >>> segments = [Segment(0.5, 0.0, 1.0, "linear"), Segment(0.5, 1.0, 1.0)]
    >>> schedule = SegmentSchedule(4, segments)
    >>> [float(schedule(step)) for step in (0, 1, 2, 9)]
    [0.0, 0.5, 1.0, 1.0]

    Reference:
        `keras_practical.training.curves.evaluate_segments`: the same numbers in numpy.
    """

    def __init__(self, total_steps: int, segments: Sequence[Segment | dict[str, Any]]) -> None:
        super().__init__()
        check_count("total_steps", total_steps)
        self.total_steps = total_steps
        self.segments = [s if isinstance(s, Segment) else Segment(**s) for s in segments]
        curves.check_segments(self.segments)

    def __call__(self, step: Any) -> Any:
        """Return the value, a float32 scalar, at the 0-based step `step`."""
        step = ops.minimum(ops.cast(step, "float32"), self.total_steps)
        value = ops.convert_to_tensor(self.segments[-1].end, "float32")
        # Added up from the first, as in `evaluate_segments`: lengths such as 0.3333333 matter.
        ends = list(itertools.accumulate(segment.length for segment in self.segments))
        # From the last to the first, so that each one decides up to its own end.
        for segment, end in zip(reversed(self.segments), reversed(ends), strict=True):
            if segment.length:
                # Steps are whole numbers: half of one keeps rounding away from the boundary.
                before_end = step < self._first_step(end) - 0.5
                value = ops.where(before_end, self._along(segment, step, end), value)
        return value

    def _first_step(self, boundary: float) -> int:
        # The tolerance is that of `evaluate_segments`.
        return math.ceil((boundary - 1e-9) * self.total_steps)

    def _along(self, segment: Segment, step: Any, end: float) -> Any:
        # Each fraction by a sum of its own: float32 keeps the digits of both small ones. Whole
        # steps come first, since float32 rounds a boundary such as 33333.3; `maximum` keeps
        # TensorFlow from merging the two constants.
        begin, steps = end - segment.length, segment.length * self.total_steps
        first, last = self._first_step(begin), self._first_step(end) - 1
        done = ops.maximum(step - first, 0.0) + (first - begin * self.total_steps)
        left = ops.maximum(last - step, 0.0) + (end * self.total_steps - last)
        done, left = ops.clip(done / steps, 0.0, 1.0), ops.clip(left / steps, 0.0, 1.0)
        start, final = segment.start, segment.end
        if segment.shape == "exponential":
            return start * ops.exp(math.log(final / start) * done)
        if segment.shape == "polynomial":
            return final + (start - final) * left**segment.power
        low, high, fraction = (start, final, done) if start <= final else (final, start, left)
        if segment.shape == "cosine":
            # sin(x / 2)^2 is (1 - cos x) / 2, but keeps the digits where the value is near `low`.
            fraction = ops.sin(math.pi / 2.0 * fraction) ** 2
        return low + (high - low) * fraction

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, so that Keras can save and load the schedule."""
        return {"total_steps": self.total_steps, "segments": [asdict(s) for s in self.segments]}


class _NamedSchedule(SegmentSchedule):
    """A schedule whose segments come from a function of `training.curves`."""

    def __init__(self, total_steps: int, segments: Sequence[Segment], **config: Any) -> None:
        super().__init__(total_steps, segments)
        self._config = config

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, so that Keras can save and load the schedule."""
        return {"total_steps": self.total_steps, **self._config}


@keras.saving.register_keras_serializable(package="keras_practical")
class OneCycleSchedule(_NamedSchedule):
    """The one-cycle learning rate as a function of the optimizer's step.

    Use it to build an optimizer when the number of steps is known beforehand; the callback
    `keras_practical.OneCycle` learns that number from `fit`, moves the momentum too and leaves the
    optimizer as it was. The plain-Keras neighbour is
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
        Smith, *A disciplined approach to neural network hyper-parameters* (2018), arXiv
        1803.09820; the cosine form and the defaults are those of fastai's `fit_one_cycle`
        (`div`, `div_final`, `pct_start`).
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
        config = {
            "max_learning_rate": max_learning_rate,
            "start_divisor": start_divisor,
            "final_divisor": final_divisor,
            "warmup_fraction": warmup_fraction,
        }
        super().__init__(total_steps, curves.one_cycle(**config), **config)


@keras.saving.register_keras_serializable(package="keras_practical")
class FlatCosineSchedule(_NamedSchedule):
    """A constant learning rate that falls along half a cosine at the end.

    Use it where a cycle's high peak is too much, or when you may decide late to stop: the flat part
    can go on as long as you like.

    Args:
        total_steps: Number of optimizer steps in the run, >= 1.
        learning_rate: The constant rate, > 0.
        flat_fraction: Part of the steps before the fall, in [0, 1].
        final_divisor: The constant rate over the final one, > 0.

    Raises:
        ValueError: An argument is outside its range.

    Example:

    >>> schedule = FlatCosineSchedule(4, learning_rate=1.0, flat_fraction=0.5)
    >>> [round(float(schedule(step)), 4) for step in range(4)]
    [1.0, 1.0, 1.0, 0.5]

    Reference:
        fastai's `fit_flat_cos`.
    """

    def __init__(
        self,
        total_steps: int,
        *,
        learning_rate: float,
        flat_fraction: float = 0.75,
        final_divisor: float = 1e5,
    ) -> None:
        config = {
            "learning_rate": learning_rate,
            "flat_fraction": flat_fraction,
            "final_divisor": final_divisor,
        }
        super().__init__(total_steps, curves.flat_cosine(**config), **config)


@keras.saving.register_keras_serializable(package="keras_practical")
class CosineRestartsSchedule(_NamedSchedule):
    """Cosine falls that start again at the peak (SGDR), dividing a run among them.

    Use it to get a usable model at the end of each fall. Keras's `CosineDecayRestarts` counts the
    first cycle's steps instead of dividing a run.

    Args:
        total_steps: Number of optimizer steps in the run, >= 1.
        max_learning_rate: The peak, > 0.
        cycles: Number of falls, >= 1.
        cycle_multiplier: Each fall's length over the one before, > 0.
        final_divisor: The peak over the rate that each fall ends at, > 0.

    Raises:
        ValueError: An argument is outside its range.

    Example:

    >>> schedule = CosineRestartsSchedule(6, max_learning_rate=1.0, cycles=2)
    >>> [round(float(schedule(step)), 4) for step in range(6)]
    [1.0, 0.5, 1.0, 0.8536, 0.5, 0.1465]

    Reference:
        Loshchilov & Hutter, *SGDR* (2017), arXiv 1608.03983.
    """

    def __init__(
        self,
        total_steps: int,
        *,
        max_learning_rate: float,
        cycles: int = 3,
        cycle_multiplier: float = 2.0,
        final_divisor: float = 1e5,
    ) -> None:
        config: dict[str, Any] = {
            "max_learning_rate": max_learning_rate,
            "cycles": cycles,
            "cycle_multiplier": cycle_multiplier,
            "final_divisor": final_divisor,
        }
        super().__init__(total_steps, curves.cosine_restarts(**config), **config)


@keras.saving.register_keras_serializable(package="keras_practical")
class ThreePhaseSchedule(_NamedSchedule):
    """Smith's own 1cycle: straight up, straight down, and an annihilation at the end.

    Args:
        total_steps: Number of optimizer steps in the run, >= 1.
        max_learning_rate: The peak, > 0, halfway through the cycle.
        start_divisor: The peak over the first rate, > 0. The cycle ends at that rate too.
        final_divisor: The peak over the final rate, > 0.
        annihilation_fraction: Part of the steps after the cycle, in [0, 1].

    Raises:
        ValueError: An argument is outside its range.

    Example:

    >>> schedule = ThreePhaseSchedule(10, max_learning_rate=1.0, annihilation_fraction=0.2)
    >>> [round(float(schedule(step)), 4) for step in (0, 4, 8)]
    [0.1, 1.0, 0.1]

    Reference:
        Smith & Topin, *Super-Convergence* (2018), arXiv 1708.07120.
    """

    def __init__(
        self,
        total_steps: int,
        *,
        max_learning_rate: float,
        start_divisor: float = 10.0,
        final_divisor: float = 1e3,
        annihilation_fraction: float = 0.1,
    ) -> None:
        config = {
            "max_learning_rate": max_learning_rate,
            "start_divisor": start_divisor,
            "final_divisor": final_divisor,
            "annihilation_fraction": annihilation_fraction,
        }
        super().__init__(total_steps, curves.three_phase(**config), **config)

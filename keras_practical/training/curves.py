"""Training curves in plain numpy: what the schedules must do, step by step.

Nothing here knows about Keras. `schedules` computes the same numbers inside the training graph,
and its tests compare the two. A schedule is a list of `Segment`s; step `i` of a run takes the
curve's value at `i / total_steps`, so that a run ends just before the curve does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_practical.utils.checks import check_between, check_choice, check_count, check_positive

SHAPES = ("linear", "cosine", "exponential", "polynomial")


@dataclass(frozen=True)
class Segment:
    """A stretch of a schedule: from one value to another along a curve.

    Attributes:
        length: Part of the run, >= 0.
        start: The value at its beginning.
        end: The value at its end.
        shape: `"linear"`, `"cosine"` (half a wave), `"exponential"` (a straight line on a
            logarithmic axis; `start` and `end` > 0) or `"polynomial"` (Keras's
            `PolynomialDecay`).
        power: For `"polynomial"`, > 0.

    Raises:
        ValueError: A field is outside its range.

    Example:

    >>> Segment(0.25, start=0.04, end=1.0).shape
    'cosine'
    """

    length: float
    start: float
    end: float
    shape: str = "cosine"
    power: float = 1.0

    def __post_init__(self) -> None:
        check_between("length", self.length, 0.0, 1.0)
        if not np.isfinite([self.start, self.end]).all():
            raise ValueError(
                "`start` and `end` must be finite numbers. "
                f"Received: start={self.start!r}, end={self.end!r}"
            )
        check_choice("shape", self.shape, SHAPES)
        check_positive("power", self.power)
        if self.shape == "exponential":
            check_positive("start", self.start)
            check_positive("end", self.end)


def anneal(
    fraction: np.ndarray, *, start: float, end: float, shape: str = "cosine", power: float = 1.0
) -> np.ndarray:
    """Return the curve that leads from `start` to `end`.

    Use it to see or to check an annealed learning rate. Plain Keras computes the same inside a
    model: `CosineDecay`, `ExponentialDecay`, `PolynomialDecay`.

    Args:
        fraction: Array of any shape in [0, 1]: how much of the way is done.
        start: The value where `fraction` is 0.
        end: The value where `fraction` is 1.
        shape: As in `Segment`.
        power: As in `Segment`.

    Returns:
        float64 array of `fraction`'s shape.

    Raises:
        ValueError: As `Segment`.

    Example:

    >>> anneal([0.0, 0.5, 1.0], start=100.0, end=1.0, shape="exponential").round(6).tolist()
    [100.0, 10.0, 1.0]

    Reference:
        Loshchilov & Hutter, *SGDR* (2017), arXiv 1608.03983, equation 5, for the cosine.
    """
    Segment(1.0, start, end, shape, power)  # Checks the arguments.
    done = np.asarray(fraction, "float64")
    if shape == "exponential":
        return start * (end / start) ** done
    weights = {
        "linear": done,
        "cosine": (1.0 - np.cos(np.pi * done)) / 2.0,
        "polynomial": 1.0 - (1.0 - done) ** power,
    }
    return start + (end - start) * weights[shape]


def evaluate_segments(segments: Sequence[Segment], total_steps: int) -> np.ndarray:
    """Return the value of a schedule at every step of a run.

    Use it to compose a schedule of your own, and `training.SegmentSchedule` to train with it.

    Args:
        segments: The stretches in their order; their lengths add up to 1. Where two meet, the
            later one counts.
        total_steps: Number of steps in the run, >= 1.

    Returns:
        float64 array of shape `(total_steps,)`.

    Raises:
        ValueError: `total_steps` is out of range, or the lengths don't add up to 1.

    Example:

    >>> warm_up, hold = Segment(0.5, 0.0, 1.0, shape="linear"), Segment(0.5, 1.0, 1.0)
    >>> evaluate_segments([warm_up, hold], total_steps=4).tolist()
    [0.0, 0.5, 1.0, 1.0]
    """
    check_count("total_steps", total_steps)
    check_segments(segments)
    progress = np.arange(total_steps) / total_steps
    values = np.full(total_steps, float(segments[-1].end))
    begin = 0.0
    for segment in segments:
        end = begin + segment.length
        # Rounding errors in the sum of the lengths, about 1e-16, must not move the step on a
        # boundary into the segment before it.
        here = (progress >= begin - 1e-9) & (progress < end - 1e-9)
        if segment.length:
            fraction = np.clip((progress[here] - begin) / segment.length, 0.0, 1.0)
            values[here] = anneal(
                fraction,
                start=segment.start,
                end=segment.end,
                shape=segment.shape,
                power=segment.power,
            )
        begin = end
    return values


def check_segments(segments: Sequence[Segment]) -> None:
    """Raise unless the segments fill a run."""
    total = sum(segment.length for segment in segments)
    if not segments or abs(total - 1.0) > 1e-6:
        raise ValueError(
            "The lengths of `segments` must add up to 1. "
            f"Received: {[segment.length for segment in segments]}"
        )


def one_cycle(
    max_learning_rate: float,
    *,
    start_divisor: float = 25.0,
    final_divisor: float = 1e5,
    warmup_fraction: float = 0.25,
) -> list[Segment]:
    """Return the segments of `OneCycleSchedule`: up along half a cosine, then down.

    For the momentum, which mirrors the rate, give the middle value as `max_learning_rate` and
    divisors < 1: fastai's 0.95, 0.85, 0.95 is
    `one_cycle(0.85, start_divisor=0.85 / 0.95, final_divisor=0.85 / 0.95)`.

    >>> evaluate_segments(one_cycle(1.0), total_steps=8).round(4).tolist()
    [0.04, 0.52, 1.0, 0.933, 0.75, 0.5, 0.25, 0.067]
    """
    check_positive("max_learning_rate", max_learning_rate)
    check_positive("start_divisor", start_divisor)
    check_positive("final_divisor", final_divisor)
    check_between("warmup_fraction", warmup_fraction, 0.0, 1.0)
    return [
        Segment(warmup_fraction, max_learning_rate / start_divisor, max_learning_rate),
        Segment(1.0 - warmup_fraction, max_learning_rate, max_learning_rate / final_divisor),
    ]


def flat_cosine(
    learning_rate: float, *, flat_fraction: float = 0.75, final_divisor: float = 1e5
) -> list[Segment]:
    """Return the segments of `FlatCosineSchedule`.

    >>> evaluate_segments(flat_cosine(1.0, flat_fraction=0.5), total_steps=4).round(4).tolist()
    [1.0, 1.0, 1.0, 0.5]
    """
    check_positive("learning_rate", learning_rate)
    check_between("flat_fraction", flat_fraction, 0.0, 1.0)
    check_positive("final_divisor", final_divisor)
    return [
        Segment(flat_fraction, learning_rate, learning_rate),
        Segment(1.0 - flat_fraction, learning_rate, learning_rate / final_divisor),
    ]


def cosine_restarts(
    max_learning_rate: float,
    *,
    cycles: int = 3,
    cycle_multiplier: float = 2.0,
    final_divisor: float = 1e5,
) -> list[Segment]:
    """Return the segments of `CosineRestartsSchedule`.

    >>> evaluate_segments(cosine_restarts(1.0, cycles=2), total_steps=6).round(4).tolist()
    [1.0, 0.5, 1.0, 0.8536, 0.5, 0.1465]
    """
    check_positive("max_learning_rate", max_learning_rate)
    check_count("cycles", cycles)
    check_positive("cycle_multiplier", cycle_multiplier)
    check_positive("final_divisor", final_divisor)
    lengths = float(cycle_multiplier) ** np.arange(cycles)  # Whole numbers would overflow.
    lowest = max_learning_rate / final_divisor
    return [
        Segment(length, max_learning_rate, lowest) for length in (lengths / lengths.sum()).tolist()
    ]


def three_phase(
    max_learning_rate: float,
    *,
    start_divisor: float = 10.0,
    final_divisor: float = 1e3,
    annihilation_fraction: float = 0.1,
) -> list[Segment]:
    """Return the segments of `ThreePhaseSchedule`.

    >>> segments = three_phase(1.0, annihilation_fraction=0.2, final_divisor=100.0)
    >>> evaluate_segments(segments, total_steps=10).round(4).tolist()
    [0.1, 0.325, 0.55, 0.775, 1.0, 0.775, 0.55, 0.325, 0.1, 0.055]
    """
    check_positive("max_learning_rate", max_learning_rate)
    check_positive("start_divisor", start_divisor)
    check_positive("final_divisor", final_divisor)
    check_between("annihilation_fraction", annihilation_fraction, 0.0, 1.0)
    low, half = max_learning_rate / start_divisor, (1.0 - annihilation_fraction) / 2.0
    return [
        Segment(half, low, max_learning_rate, "linear"),
        Segment(half, max_learning_rate, low, "linear"),
        Segment(annihilation_fraction, low, max_learning_rate / final_divisor, "linear"),
    ]

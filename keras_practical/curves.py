"""Training curves in plain numpy: what the schedules must do, step by step.

Nothing here knows about Keras. `schedules` computes the same numbers inside the training graph,
and its tests compare the two.
"""

from __future__ import annotations

import numpy as np

from keras_practical._validation import check_between, check_count, check_positive

__all__ = ["cosine", "geometric_multipliers", "one_cycle"]


def cosine(start: float, end: float, fraction: np.ndarray) -> np.ndarray:
    """Return the half cosine wave that leads from `start` to `end`.

    Use it to see or to check an annealed learning rate; inside a model,
    `keras.optimizers.schedules.CosineDecay` does the same.

    Args:
        start: The value where `fraction` is 0.
        end: The value where `fraction` is 1.
        fraction: Array of any shape in [0, 1]: how much of the way is done.

    Returns:
        float64 array of `fraction`'s shape.

    Example:

    >>> import numpy as np
    >>> cosine(1.0, 0.0, np.array([0.0, 0.5, 1.0])).round(6).tolist()
    [1.0, 0.5, 0.0]

    Reference:
        Loshchilov & Hutter, *SGDR* (2017), arXiv 1608.03983, equation 5.
    """
    return start + (end - start) * (1.0 - np.cos(np.pi * np.asarray(fraction, "float64"))) / 2.0


def one_cycle(
    total_steps: int,
    *,
    max_learning_rate: float,
    start_divisor: float = 25.0,
    final_divisor: float = 1e5,
    warmup_fraction: float = 0.25,
) -> np.ndarray:
    """Return the learning rate of every step of a one-cycle run.

    Use it to look at a cycle before training, or to check one. The rate rises along a half cosine
    from `max_learning_rate / start_divisor` to `max_learning_rate` during the first
    `warmup_fraction` of the steps, then falls along another to
    `max_learning_rate / final_divisor`. Step `i` takes the curve's value at `i / total_steps`.
    Plain Keras has no such curve: its `CosineDecay(warmup_target=...)` warms up along a line.

    Args:
        total_steps: Number of optimizer steps in the run, >= 1.
        max_learning_rate: The peak, > 0.
        start_divisor: The peak over the first rate, > 0. fastai's `div`.
        final_divisor: The peak over the rate that the fall ends at, > 0. fastai's `div_final`.
        warmup_fraction: Part of the steps spent rising, in [0, 1]. fastai's `pct_start`.

    Returns:
        float64 array of shape `(total_steps,)`.

    Raises:
        ValueError: An argument is outside its range.

    Example:

    >>> one_cycle(8, max_learning_rate=1.0).round(4).tolist()
    [0.04, 0.52, 1.0, 0.933, 0.75, 0.5, 0.25, 0.067]

    Reference:
        Smith, *A disciplined approach to neural network hyper-parameters* (2018), arXiv
        1803.09820; the cosine form and the defaults are those of fastai's `fit_one_cycle`.
    """
    check_count("total_steps", total_steps)
    check_positive("max_learning_rate", max_learning_rate)
    check_positive("start_divisor", start_divisor)
    check_positive("final_divisor", final_divisor)
    check_between("warmup_fraction", warmup_fraction, 0.0, 1.0)
    progress = np.arange(total_steps) / total_steps
    start, end = max_learning_rate / start_divisor, max_learning_rate / final_divisor
    # The maximum keeps a warm-up or a fall of no length from dividing by zero.
    rising = cosine(start, max_learning_rate, progress / max(warmup_fraction, 1e-12))
    falling = cosine(
        max_learning_rate,
        end,
        (progress - warmup_fraction) / max(1.0 - warmup_fraction, 1e-12),
    )
    return np.where(progress < warmup_fraction, rising, falling)


def geometric_multipliers(count: int, *, earliest: float) -> np.ndarray:
    """Return learning-rate multipliers from the earliest layer group to the head.

    Use it for discriminative learning rates: early layers of a pretrained network hold general
    features and should move least.

    Args:
        count: Number of layer groups, >= 1.
        earliest: The first group's multiplier, > 0. The last group's is 1.

    Returns:
        float64 array of shape `(count,)`, evenly spaced on a logarithmic scale.

    Raises:
        ValueError: An argument is outside its range.

    Example:

    >>> geometric_multipliers(3, earliest=0.01).round(6).tolist()
    [0.01, 0.1, 1.0]

    Reference:
        Howard & Ruder, *Universal Language Model Fine-tuning* (2018), arXiv 1801.06146, section
        3.2; the spacing is fastai's `even_mults`.
    """
    check_count("count", count)
    check_positive("earliest", earliest)
    return np.geomspace(earliest, 1.0, count) if count > 1 else np.ones(1)

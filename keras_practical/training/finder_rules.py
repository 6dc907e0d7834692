"""Rules that read a learning rate off the curve of a learning-rate finder.

Each takes the rates tried, in rising order, and the smoothed losses, as arrays of one shape
`(steps,)`, and returns one of the rates, or a tenth of one. They are interchangeable.
"""

from __future__ import annotations

import numpy as np

__all__ = ["minimum", "slide", "smooth", "steepest", "valley"]


def smooth(losses: np.ndarray, *, beta: float = 0.98) -> np.ndarray:
    """Return the exponential moving average of losses, corrected for its start at zero.

    Args:
        losses: Array of shape `(steps,)`.
        beta: Weight of the past, in [0, 1).

    Returns:
        float64 array of shape `(steps,)`.

    Example:

    >>> smooth([4.0, 1.0], beta=0.5).tolist()
    [4.0, 2.0]

    Reference:
        Kingma & Ba, *Adam* (2015), arXiv 1412.6980, section 3, for the correction.
    """
    average, averages = 0.0, []
    for step, loss in enumerate(np.asarray(losses, "float64"), start=1):
        average = beta * average + (1.0 - beta) * loss
        averages.append(average / (1.0 - beta**step))
    return np.array(averages)


def valley(learning_rates: np.ndarray, losses: np.ndarray) -> float:
    """Return the rate half of the way down the middle third of the longest valley.

    The valley is the longest run of losses, not necessarily neighbours, each lower than the one
    before.

    Args:
        learning_rates: The rates tried, rising.
        losses: The smoothed loss at each.

    Returns:
        One of the rates.

    Example:

    >>> rates = np.geomspace(1e-6, 1.0, 7)
    >>> round(valley(rates, np.array([2.0, 1.9, 1.7, 1.4, 1.0, 0.7, 5.0])), 9)
    0.0001

    Reference:
        fastai's `valley` (https://docs.fast.ai/callback.schedule.html), its default.
    """
    losses = np.asarray(losses, "float64")
    lengths = np.ones(len(losses), "int64")
    for step in range(1, len(losses)):
        longer = lengths[:step][losses[:step] > losses[step]]
        lengths[step] = 1 + longer.max(initial=0)
    end = int(lengths.argmax())
    third = lengths[end] / 3
    # As fastai counts, which takes the descent to begin a step earlier than it does.
    chosen = end - int(lengths[end]) + int(third) + int(third / 2)
    return float(learning_rates[max(0, chosen)])


def steepest(learning_rates: np.ndarray, losses: np.ndarray) -> float:
    """Return the rate at which the loss falls fastest on the logarithmic axis.

    Args:
        learning_rates: The rates tried, rising.
        losses: The smoothed loss at each.

    Returns:
        One of the rates.

    Example:

    >>> steepest(np.array([0.01, 0.1, 1.0]), np.array([3.0, 2.9, 1.0]))
    0.1

    Reference:
        fastai's `steep`.
    """
    slopes = np.diff(losses) / np.diff(np.log(learning_rates))
    return float(learning_rates[int(np.argmin(slopes))])


def minimum(learning_rates: np.ndarray, losses: np.ndarray) -> float:
    """Return a tenth of the rate with the lowest loss: there it is about to rise.

    Args:
        learning_rates: The rates tried, rising.
        losses: The smoothed loss at each.

    Returns:
        A tenth of one of the rates.

    Example:

    >>> round(minimum(np.array([0.01, 0.1, 1.0]), np.array([3.0, 1.0, 9.0])), 9)
    0.01

    Reference:
        fastai's `minimum`.
    """
    return float(learning_rates[int(np.argmin(losses))]) / 10.0


def slide(
    learning_rates: np.ndarray, losses: np.ndarray, *, window: int = 15, threshold: float = 0.005
) -> float:
    """Return the rate before the steep rise at the end, found by sliding a window backwards.

    Args:
        learning_rates: The rates tried, rising.
        losses: The smoothed loss at each.
        window: Distance in steps of the two slopes compared, >= 1.
        threshold: Difference of the slopes at which the sliding stops, > 0.

    Returns:
        One of the rates.

    Example:

    >>> rates = np.geomspace(1e-4, 1.0, 5)
    >>> slide(rates, np.array([1.0, 1.0, 1.0, 1.0, 3.0]), window=2)
    0.001

    Reference:
        fastai's `slide`, after an idea of ESRI's learning-rate finder.
    """
    slopes = np.gradient(np.asarray(losses, "float64"))
    right = len(slopes) - 1
    left = max(0, right - window)
    rate = float(learning_rates[left])
    while left >= 0 and abs(slopes[right] - slopes[left]) > threshold:
        rate = float(learning_rates[left])
        left, right = left - 1, right - 1
    return rate

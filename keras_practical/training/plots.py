"""Curves of a training: metrics over epochs, learning rates. Reached as `keras_practical.plots`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_practical.utils.drawing import BLUE, ORANGE, axes_or_new

if TYPE_CHECKING:
    import keras
    import numpy.typing as npt
    from matplotlib.axes import Axes

__all__ = ["learning_curves", "learning_rate_finder", "schedule"]


def learning_curves(
    history: keras.callbacks.History | Mapping[str, Sequence[float]],
    *,
    metric: str = "accuracy",
    ax: Axes | None = None,
) -> Axes:
    """Draw a metric over the epochs, for training and, if there is any, validation.

    Use it to see whether more epochs would help (both still rise) or the model learns by heart
    (validation falls behind).

    Args:
        history: What `fit` or `fine_tune` returned, or its dictionary.
        metric: The metric's name, such as `"accuracy"` or `"loss"`.
        ax: Where to draw. Default: a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: The history has no such metric.

    Example:

    >>> ax = learning_curves({"loss": [2.0, 1.0], "val_loss": [2.1, 1.5]}, metric="loss")
    >>> [line.get_label() for line in ax.get_lines()]
    ['training', 'validation']
    """
    from matplotlib.ticker import MaxNLocator

    values = getattr(history, "history", history)
    if metric not in values:
        raise ValueError(
            f"The history has no metric {metric!r}. It has: {', '.join(sorted(values))}"
        )
    ax = axes_or_new(ax, (5.0, 3.2))
    for name, label, color in (
        (metric, "training", BLUE),
        (f"val_{metric}", "validation", ORANGE),
    ):
        if name in values:
            epochs = range(1, len(values[name]) + 1)
            ax.plot(epochs, values[name], "o-", color=color, label=label)
    ax.set_xlabel("epoch")
    ax.set_ylabel(metric)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend()
    return ax


def schedule(
    learning_rates: npt.ArrayLike,
    *,
    momentums: npt.ArrayLike | None = None,
    label: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a learning-rate schedule, and the momentum on an axis of its own.

    Args:
        learning_rates: Array of shape `(steps,)`.
        momentums: Array of shape `(steps,)`, or `None`.
        label: The schedule's name in a legend.
        ax: Where to draw. Default: a new figure.

    Returns:
        The axes with the learning rate.

    Example:

    >>> from keras_practical.training.curves import evaluate_segments, one_cycle
    >>> ax = schedule(evaluate_segments(one_cycle(0.1), total_steps=100))
    >>> ax.get_ylabel()
    'learning rate'
    """
    ax = axes_or_new(ax, (5.0, 3.2))
    ax.plot(learning_rates, color=BLUE if label is None else None, label=label)
    ax.set_xlabel("step")
    ax.set_ylabel("learning rate")
    if momentums is not None:
        right = ax.twinx()
        right.plot(momentums, "--", color=ORANGE)
        right.set_ylabel("momentum (dashed)")
    return ax


def learning_rate_finder(
    learning_rates: npt.ArrayLike,
    smoothed: npt.ArrayLike,
    suggestions: Mapping[str, float],
    *,
    problem: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the curve of a learning-rate finder on a logarithmic axis, suggestions marked.

    Args:
        learning_rates: Array of shape `(steps,)`.
        smoothed: Smoothed losses: array of shape `(repeats, steps)`, NaN after a ramp's end.
        suggestions: From a rule's name to its learning rate.
        problem: Why there is none, for the title.
        ax: Where to draw. Default: a new figure.

    Returns:
        The axes.

    Example:

    >>> rates = np.geomspace(1e-4, 1.0, 5)
    >>> ax = learning_rate_finder(rates, np.array([[2, 2, 1, 1, 3.0]]), {"valley": 1e-2})
    >>> ax.get_xscale()
    'log'
    """
    ax = axes_or_new(ax, (5.5, 3.5))
    rates, ramps = np.asarray(learning_rates), np.asarray(smoothed)
    for losses in ramps:
        ax.plot(rates, losses, color=BLUE, alpha=1.0 if len(ramps) == 1 else 0.35)
    whole = np.isfinite(ramps).all(axis=0)
    mean = np.mean(ramps, axis=0)
    if len(ramps) > 1:
        ax.plot(rates[whole], mean[whole], color=BLUE)
    shown = mean[whole]
    for (name, rate), marker in zip(suggestions.items(), "osv^", strict=False):
        height = np.interp(np.log(rate), np.log(rates[whole]), shown)
        ax.plot(rate, height, marker, color=ORANGE, label=f"{name} {rate:.2g}")
    if len(shown):
        # The explosion at the end would flatten everything before it.
        low, start = float(shown.min()), float(shown[0])
        ax.set_ylim(low - 0.1 * abs(start - low) - 1e-9, start + 0.5 * abs(start - low) + 1e-9)
    ax.set_xscale("log")
    ax.set_xlabel("learning rate")
    ax.set_ylabel("smoothed loss")
    if suggestions:
        ax.legend()
    if problem:
        ax.set_title("no trustworthy answer: " + problem.split(";")[0], fontsize=9)
    return ax

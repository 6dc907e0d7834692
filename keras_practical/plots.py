"""Plots: each takes an `ax` (or makes one) and returns it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_practical._validation import check_count
from keras_practical.intervals import wilson_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "learning_curves",
    "learning_rate_finder",
    "reliability",
    "schedule",
    "show_batch",
    "show_images",
]

# Two of Okabe and Ito's colours that colour-blind people tell apart, on white and on black.
BLUE, ORANGE = "#0072B2", "#E69F00"


def show_images(
    images: Any,
    titles: Sequence[str] | None = None,
    *,
    columns: int = 6,
    ax: Axes | None = None,
) -> Axes:
    """Draw pictures in a grid, each with a title below it.

    Use it for anything worth looking at: a batch, the worst mistakes, an augmentation. The plain
    way is a loop over `plt.subplots` and `imshow`.

    Args:
        images: Array of shape `(n, height, width, channels)` with 1 or 3 channels in [0, 255], or
            a sequence of such pictures of one size.
        titles: One text a picture. Optional.
        columns: Pictures in a row, >= 1.
        ax: Where to draw. Default: a new figure that fits the grid.

    Returns:
        The axes, without ticks.

    Raises:
        ValueError: There are no pictures, or not one title for each.

    Example:

    >>> ax = show_images(np.zeros((3, 8, 8, 3)), ["a", "b", "c"])
    >>> [text.get_text() for text in ax.texts]
    ['a', 'b', 'c']
    """
    check_count("columns", columns)
    pictures = np.asarray(images)
    if pictures.ndim != 4 or not len(pictures):
        raise ValueError(
            "`images` must be of shape (n, height, width, channels) with n >= 1. "
            f"Received: shape {pictures.shape}"
        )
    if titles is not None and len(titles) != len(pictures):
        raise ValueError(f"Received {len(titles)} titles for {len(pictures)} images")
    pictures = np.clip(np.rint(pictures), 0, 255).astype("uint8")
    n, height, width = pictures.shape[:3]
    columns = min(columns, n)
    rows = -(-n // columns)
    gap = max(2, round(0.06 * width))
    # Room for a line of text below each picture.
    strip = round(0.2 * width) if titles is not None else gap
    canvas = np.full((rows * (height + strip), columns * (width + gap), 3), 255, "uint8")
    ax = axes_or_new(ax, (1.6 * columns, 1.6 * columns * canvas.shape[0] / canvas.shape[1]))
    for number, picture in enumerate(pictures):
        top, left = number // columns * (height + strip), number % columns * (width + gap)
        canvas[top : top + height, left : left + width] = picture
        if titles is not None:
            ax.text(
                left + width / 2,
                top + height + 0.03 * width,
                titles[number],
                ha="center",
                va="top",
                fontsize=8,
                color="black",
                parse_math=False,
            )
    ax.imshow(canvas)
    ax.set_axis_off()
    return ax


def show_batch(dataset: Any, *, n: int = 12, columns: int = 6, ax: Axes | None = None) -> Axes:
    """Draw the first pictures of a data set with their class names.

    Use it before training: are the pictures upright, whole, and labelled as you would label them?

    Args:
        dataset: A data set of `load_images`, or any of `(images, integer labels)` batches.
        n: Number of pictures, >= 1; one batch at most.
        columns: Pictures in a row, >= 1.
        ax: Where to draw. Default: a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: `n` or `columns` is below 1.

    Example:

    >>> ax = show_batch([(np.zeros((2, 8, 8, 3)), np.array([0, 1]))])
    >>> [text.get_text() for text in ax.texts]
    ['0', '1']
    """
    check_count("n", n)
    images, labels = next(iter(dataset))
    names = getattr(dataset, "class_names", None)
    titles = [names[label] if names else str(label) for label in np.asarray(labels)[:n].tolist()]
    return show_images(np.asarray(images)[:n], titles, columns=columns, ax=ax)


def learning_curves(history: Any, *, metric: str = "accuracy", ax: Axes | None = None) -> Axes:
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


def reliability(calibration: Any, *, ax: Axes | None = None) -> Axes:
    """Draw how often a model is right against how sure it is.

    Use it with `calibration.measure`: a calibrated model's points lie on the diagonal, below it
    the model is overconfident. The area of a point says how many examples it stands for, the bar
    how far chance may have moved it (95 %, Wilson).

    Args:
        calibration: What `calibration.measure` returned.
        ax: Where to draw. Default: a new figure.

    Returns:
        The axes.

    Example:

    >>> from keras_practical.calibration import Calibration
    >>> ax = reliability(Calibration(0.1, 0.2, (0.7, 0.95), (0.6, 0.9), (10, 90)))
    >>> ax.get_xlabel()
    'confidence'

    Reference:
        DeGroot & Fienberg, *The Comparison and Evaluation of Forecasters* (1983).
    """
    ax = axes_or_new(ax, (4.2, 4.0))
    counts = np.array(calibration.counts)
    ax.plot([0, 1], [0, 1], "--", color="grey", linewidth=1)
    hits = np.rint(np.multiply(calibration.accuracies, counts)).astype(int)
    bounds = [wilson_interval(int(k), int(n)) for k, n in zip(hits, counts, strict=True)]
    low, high = np.array(bounds).T
    ax.vlines(calibration.confidences, low, high, color=BLUE, alpha=0.5)
    sizes = 20 + 280 * counts / counts.max()
    ax.scatter(calibration.confidences, calibration.accuracies, sizes, color=BLUE, alpha=0.7)
    ax.set_xlabel("confidence")
    ax.set_ylabel("part that is right")
    ax.set_title(f"calibration error {100 * calibration.error:.1f} points")
    return ax


def schedule(
    learning_rates: Any, *, momentums: Any = None, label: str | None = None, ax: Axes | None = None
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

    >>> from keras_practical.curves import evaluate_segments, one_cycle
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
    learning_rates: Any,
    smoothed: Any,
    suggestions: Any,
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

    >>> import numpy as np
    >>> rates = np.geomspace(1e-4, 1.0, 5)
    >>> ax = learning_rate_finder(rates, np.array([[2, 2, 1, 1, 3.0]]), {"valley": 1e-2})
    >>> ax.get_xscale()
    'log'
    """
    import numpy as np

    ax = axes_or_new(ax, (5.5, 3.5))
    for losses in smoothed:
        ax.plot(learning_rates, losses, color=BLUE, alpha=1.0 if len(smoothed) == 1 else 0.35)
    whole = np.isfinite(smoothed).all(axis=0)
    mean = np.mean(smoothed, axis=0)
    if len(smoothed) > 1:
        ax.plot(learning_rates[whole], mean[whole], color=BLUE)
    shown = mean[whole]
    for (name, rate), marker in zip(suggestions.items(), "osv^", strict=False):
        height = np.interp(np.log(rate), np.log(learning_rates[whole]), shown)
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


def axes_or_new(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """Return `ax` or, if it is `None`, the axes of a new figure of so many inches."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]

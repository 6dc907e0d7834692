"""What a model gets right and wrong, drawn. Reached as `keras_practical.plots`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_practical.utils.checks import check_between, check_count
from keras_practical.utils.drawing import BLUE, GREY, axes_or_new, color_on, shortened
from keras_practical.utils.intervals import wilson_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from keras_practical.evaluation.calibration import Calibration

__all__ = ["accuracies", "confusion", "heatmap", "overlaid", "reliability"]

# Perceptually even, readable by colour-blind people, and hot things are bright.
_HEAT_COLORS = "inferno"

# With more classes than this, numbers in the cells would be too small to read.
_MOST_WRITTEN = 20
_LONGEST_NAME = 24


def confusion(
    counts: np.ndarray,
    *,
    class_names: Sequence[str] | None = None,
    normalize: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw a confusion matrix: which class is taken for which.

    Use it with more than two classes, where accuracy doesn't say what is mixed up. A cell's colour
    is its part of the row, so that a rare class shows as well as a frequent one; empty cells stay
    without a number, and beyond 20 classes only colours are drawn.

    Args:
        counts: Numbers of examples, whole, of shape `(classes, classes)`: one row a true class, one
            column a predicted one, such as `Interpretation.confusion()`.
        class_names: One name a class. Default: numbers.
        normalize: Whether to write each row's parts in per cent rather than counts.
        ax: Where to draw. Default: a new figure that fits the classes.

    Returns:
        The axes.

    Raises:
        ValueError: The counts are no square matrix of numbers >= 0, or the names don't fit it.

    Example:

    >>> ax = confusion(np.array([[8, 2], [0, 5]]), class_names=["cats", "dogs"], normalize=True)
    >>> [text.get_text() for text in ax.texts]
    ['80', '20', '100']
    """
    from matplotlib import colormaps

    counts = np.asarray(counts)
    classes = len(counts)
    if counts.ndim != 2 or counts.shape != (classes, classes) or not classes or (counts < 0).any():
        raise ValueError(
            "`counts` must be of shape (classes, classes), numbers >= 0. "
            f"Received: shape {counts.shape}"
        )
    names = [str(label) for label in range(classes)] if class_names is None else list(class_names)
    if len(names) != classes:
        raise ValueError(f"Received {len(names)} class names for {classes} classes")
    side = min(12.0, 2.6 + 0.5 * classes)
    ax = axes_or_new(ax, (side + 0.6, side))
    totals = counts.sum(1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    colors = colormaps["Blues"]
    image = ax.imshow(shares, cmap=colors, vmin=0, vmax=1)
    positions = range(classes)
    written = [shortened(name, _LONGEST_NAME) for name in names]
    upright = max(map(len, written)) <= 3
    ax.set_xticks(
        positions, written, rotation=0 if upright else 45, ha="center" if upright else "right"
    )
    ax.set_yticks(positions, written)
    for label in (*ax.get_xticklabels(), *ax.get_yticklabels()):
        label.set_parse_math(False)
    if not upright:
        for label in ax.get_xticklabels():
            label.set_rotation_mode("anchor")
    if classes <= _MOST_WRITTEN:
        for row, column in zip(*np.nonzero(counts), strict=True):
            share = shares[row, column]
            text = f"{100 * share:.0f}" if normalize else f"{counts[row, column]:,}"
            ax.text(
                column,
                row,
                text,
                ha="center",
                va="center",
                fontsize=8,
                color=color_on(colors(share)),
            )
    ax.set_xlabel("predicted")
    ax.set_ylabel("true")
    ax.set_title("per cent of each row" if normalize else "number of images", fontsize=10)
    ax.figure.colorbar(image, ax=ax, label="part of the row", shrink=0.8)
    return ax


def accuracies(
    names: Sequence[str],
    right: Sequence[int],
    counts: Sequence[int],
    *,
    intervals: Sequence[tuple[float, float]] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the accuracy of several groups of examples with 95 % intervals, and that of all.

    Use it to see where a model errs: by class, by camera, by brightness. A group whose interval
    lies off the dashed line, the accuracy of all examples, is worth a look; with many groups one
    or the other does by chance.

    Args:
        names: What the groups are called.
        right: How many examples of each group are right.
        counts: How many examples each group has, >= 1.
        intervals: Bounds of each accuracy, where the examples aren't independent of each other.
            Default: those of `wilson_interval`.
        ax: Where to draw. Default: a new figure that fits the groups.

    Returns:
        The axes.

    Raises:
        ValueError: There are no groups, not one number for each, or more examples are right than
            there are.

    Example:

    >>> ax = accuracies(["dark", "bright"], [6, 9], [10, 10])
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['dark (10)', 'bright (10)']

    Reference:
        Wilson (1927), as in `wilson_interval`.
    """
    if not len(names) or not len(names) == len(right) == len(counts) == len(intervals or names):
        raise ValueError(
            "There must be at least one group, with `right` and `counts` for each. Received: "
            f"{len(names)} names, {len(right)} and {len(counts)} numbers"
        )
    for count in counts:
        check_count("counts", count)
    bounds = intervals or [
        wilson_interval(int(k), int(n)) for k, n in zip(right, counts, strict=True)
    ]
    low, high = np.array(bounds).T
    ax = axes_or_new(ax, (5.5, 1.2 + 0.3 * len(names)))
    positions = np.arange(len(names))
    ax.axvline(sum(right) / sum(counts), linestyle="--", color=GREY, linewidth=1)
    ax.hlines(positions, low, high, color=BLUE, linewidth=1)
    ax.plot(np.divide(right, counts), positions, "o", color=BLUE)
    labels = [f"{name} ({n:,})" for name, n in zip(names, counts, strict=True)]
    ax.set_yticks(positions, labels)
    for label in ax.get_yticklabels():
        label.set_parse_math(False)
    ax.invert_yaxis()
    ax.set_xlabel("part that is right")
    return ax


def reliability(calibration: Calibration, *, ax: Axes | None = None) -> Axes:
    """Draw how often a model is right against how sure it is.

    Use it with `evaluation.measure_calibration`: a calibrated model's points lie on the diagonal,
    below it the model is overconfident. The area of a point says how many examples it stands for,
    the bar how far chance may have moved it (95 %, Wilson).

    Args:
        calibration: What `evaluation.measure_calibration` returned.
        ax: Where to draw. Default: a new figure.

    Returns:
        The axes.

    Example:

    >>> from keras_practical.evaluation.calibration import Calibration
    >>> ax = reliability(
    ...     Calibration(
    ...         error=0.1,
    ...         error_by_chance=0.2,
    ...         confidences=(0.7, 0.95),
    ...         accuracies=(0.6, 0.9),
    ...         counts=(10, 90),
    ...     )
    ... )
    >>> ax.get_xlabel()
    'confidence'

    Reference:
        DeGroot & Fienberg, *The Comparison and Evaluation of Forecasters* (1983).
    """
    ax = axes_or_new(ax, (4.2, 4.0))
    counts = np.array(calibration.counts)
    ax.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1)
    hits = np.rint(np.multiply(calibration.accuracies, counts)).astype(int)
    bounds = [wilson_interval(int(k), int(n)) for k, n in zip(hits, counts, strict=True)]
    low, high = np.array(bounds).T
    ax.vlines(calibration.confidences, low, high, color=BLUE, linewidth=1)
    sizes = 20 + 280 * counts / counts.max()
    ax.scatter(calibration.confidences, calibration.accuracies, sizes, color=BLUE)
    ax.set_xlabel("confidence")
    ax.set_ylabel("part that is right")
    ax.set_title(f"calibration error {100 * calibration.error:.1f} points")
    return ax


def heatmap(
    image: np.ndarray, heat: np.ndarray, *, opacity: float = 0.7, ax: Axes | None = None
) -> Axes:
    """Draw an image with heat laid over it: bright where a network looked, itself elsewhere.

    Use it for any map of numbers that belongs to an image; `HeatMap.plot` does for `grad_cam` and
    `occlusion`.

    Args:
        image: As in `overlaid`.
        heat: As in `overlaid`.
        opacity: As in `overlaid`.
        ax: Where to draw. Default: a new figure.

    Returns:
        The axes, without ticks.

    Raises:
        ValueError: As `overlaid`.

    Example:

    >>> ax = heatmap(np.full((8, 8, 3), 90), np.eye(8))
    >>> len(ax.get_images())
    1
    """
    drawn = overlaid(image, heat, opacity=opacity)
    ax = axes_or_new(ax, (3.2, 3.2 * drawn.shape[0] / drawn.shape[1]))
    ax.imshow(drawn)
    ax.set_axis_off()
    return ax


def overlaid(image: np.ndarray, heat: np.ndarray, *, opacity: float = 0.7) -> np.ndarray:
    """Return an image with heat laid over it, the more colour the more heat.

    Args:
        image: Pixels in [0, 255], of shape `(height, width, 3)` or `(height, width, 1)`.
        heat: Numbers in [0, 1] of shape `(height, width)`.
        opacity: How much of the image the hottest place hides, in [0, 1].

    Returns:
        uint8 array of shape `(height, width, 3)`.

    Raises:
        ValueError: The shapes don't fit, or a number is outside its range.

    Example:

    >>> overlaid(np.full((1, 2, 3), 90), np.array([[0.0, 1.0]]), opacity=1.0)[0, 0].tolist()
    [90, 90, 90]
    """
    from matplotlib import colormaps

    check_between("opacity", opacity, 0.0, 1.0)
    pixels, weights = np.asarray(image, "float64"), np.asarray(heat, "float64")
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or weights.shape != pixels.shape[:2]:
        raise ValueError(
            "`image` must be of shape (height, width, 3) or (height, width, 1), and `heat` of the "
            f"same (height, width). Received: shapes {pixels.shape} and {weights.shape}"
        )
    if not ((weights >= 0) & (weights <= 1)).all():
        raise ValueError(
            f"`heat` must be in [0, 1]. Received: {weights.min():.3g} to {weights.max():.3g}"
        )
    colors = 255.0 * colormaps[_HEAT_COLORS](weights)[:, :, :3]
    share = opacity * weights[:, :, None]
    return np.rint(np.clip((1 - share) * pixels + share * colors, 0, 255)).astype("uint8")

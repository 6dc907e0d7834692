"""Boxes drawn on images, and precision against recall: each takes an `ax` and returns it.

Reached as `keras_practical.detection.show` and `keras_practical.detection.plot_precision_recall`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_practical.data.reading import read_image
from keras_practical.utils.drawing import PALETTE, axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from keras_practical.detection.annotations import AnnotatedImage
    from keras_practical.detection.evaluation import DetectionEvaluation
    from keras_practical.detection.inference import Detections

__all__ = ["plot_precision_recall", "show"]

# Okabe and Ito's colours, which colour-blind people tell apart; first those that stand out from a
# photo.
_COLORS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#CC79A7", "#D55E00", "#0072B2")


def show(
    image: str | Path | bytes | np.ndarray,
    *,
    detections: Detections | None = None,
    truth: AnnotatedImage | None = None,
    class_names: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw boxes on an image: what was found, with scores, and the truth, dashed.

    Use it on your annotations before training (`truth` only), and on what `detect` found after.

    Args:
        image: As in `detect`.
        detections: From `detect`. Optional.
        truth: The `AnnotatedImage`, drawn dashed and white. Optional.
        class_names: Names for the truth's labels. Default: none are written.
        ax: Where to draw. Default: a new figure.

    Returns:
        The axes, without ticks.

    Example:

    >>> from keras_practical.detection.annotations import AnnotatedImage
    >>> image = np.zeros((20, 30, 3))
    >>> ax = show(image, truth=AnnotatedImage(image, np.array([[2, 3, 12, 13]]), [0], 30, 20))
    >>> [patch.get_width() for patch in ax.patches]
    [10.0]
    """
    pixels = read_image(image)
    height, width = pixels.shape[:2]
    ax = axes_or_new(ax, (5.0, max(1.5, 5.0 * height / width)))
    ax.imshow(pixels)
    ax.set_axis_off()
    if truth is not None:
        for box, label in zip(truth.boxes, truth.labels, strict=True):
            _draw(ax, box, "white", "--", class_names[label] if class_names else None)
    if detections is not None:
        several = len(detections.class_names) > 1
        rows = zip(
            detections.boxes, detections.labels, detections.scores, detections.names, strict=True
        )
        for box, label, score, name in rows:
            text = f"{name} {score:.2f}" if several else f"{score:.2f}"
            _draw(ax, box, _COLORS[label % len(_COLORS)], "-", text)
    return ax


def plot_precision_recall(evaluation: DetectionEvaluation, *, ax: Axes | None = None) -> Axes:
    """Draw, for each class, how precision falls as more of the objects are found.

    Use it with `evaluate` to choose a threshold, or to see whether there is a good one. The area
    under a line is the class's average precision at an intersection over union of .5.

    Args:
        evaluation: From `evaluate`.
        ax: Where to draw. Default: a new figure.

    Returns:
        The axes.

    Example:

    >>> from keras_practical.detection.annotations import AnnotatedImage, DetectionData
    >>> from keras_practical.detection.evaluation import evaluate_detections
    >>> from keras_practical.detection.inference import Detections
    >>> box = np.array([[10.0, 10, 30, 30]])
    >>> truth = DetectionData((AnnotatedImage("a.jpg", box, [0], 40, 40),), ("cat",))
    >>> found = Detections(
    ...     boxes=box, scores=np.array([0.9]), labels=np.array([0]), class_names=("cat",)
    ... )
    >>> ax = plot_precision_recall(evaluate_detections([found], truth))
    >>> [line.get_label() for line in ax.get_lines()]
    ['cat: average precision 1.00']

    Reference:
        Everingham et al., *The PASCAL Visual Object Classes Challenge* (2010), section 4.2.
    """
    ax = axes_or_new(ax, (4.6, 4.0))
    for number, name in enumerate(evaluation.class_names):
        precision = evaluation.precisions[number]
        if np.isnan(precision).any():
            continue
        area = evaluation.class_average_precision_50[number]
        ax.plot(
            evaluation.recalls,
            precision,
            color=PALETTE[number % len(PALETTE)],
            linestyle=("-", "--", ":")[number // len(PALETTE) % 3],
            linewidth=2,
            label=f"{name}: average precision {area:.2f}",
        )
    ax.set_xlim(0, 1.02)
    ax.set_ylim(0, 1.05)
    ax.set_xlabel("recall: part of the objects found")
    ax.set_ylabel("precision: part of the boxes that are right")
    ax.legend(loc="lower left")
    return ax


def _draw(ax: Axes, box: np.ndarray, color: str, style: str, text: str | None) -> None:
    from matplotlib.patches import Rectangle

    left, top, right, bottom = (float(edge) for edge in box)
    ax.add_patch(
        Rectangle(
            (left, top),
            right - left,
            bottom - top,
            fill=False,
            edgecolor=color,
            linestyle=style,
            linewidth=2 if style == "-" else 1.2,
        )
    )
    if text:
        ax.text(
            left,
            top,
            text,
            color="black",
            fontsize=7,
            # Above the box, or inside it where that would leave the image.
            va="bottom" if top > 0.05 * ax.get_ylim()[0] else "top",
            parse_math=False,
            bbox={"facecolor": color, "edgecolor": "none", "pad": 1.0},
        )

"""Pictures in a grid, and the heat of a map laid over one. Reached as `keras_practical.plots`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_practical._drawing import axes_or_new
from keras_practical._origin import origin_of
from keras_practical._validation import check_between, check_count

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["heatmap", "overlaid", "show_batch", "show_images"]

# Perceptually even, readable by colour-blind people, and hot things are bright.
_HEAT_COLORS = "inferno"


def show_images(
    images: Any,
    titles: Sequence[str] | None = None,
    *,
    columns: int = 6,
    ax: Axes | None = None,
) -> Axes:
    r"""Draw pictures in a grid, each with a title below it.

    Use it for anything worth looking at: a batch, the worst mistakes, an augmentation. The plain
    way is a loop over `plt.subplots` and `imshow`.

    Args:
        images: Array of shape `(n, height, width, channels)` with 1 or 3 channels in [0, 255], or
            a sequence of such pictures of one size.
        titles: One text a picture, of one or more lines (`"\n"`). Optional.
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
    lines = max((title.count("\n") + 1 for title in titles), default=0) if titles else 0
    # Room for the text below each picture.
    strip = round((0.08 + 0.12 * lines) * width) if lines else gap
    # See-through between the pictures: on a dark page the page is dark there.
    canvas = np.zeros((rows * (height + strip), columns * (width + gap), 4), "uint8")
    ax = axes_or_new(ax, (1.6 * columns, 1.6 * columns * canvas.shape[0] / canvas.shape[1]))
    for number, picture in enumerate(pictures):
        top, left = number // columns * (height + strip), number % columns * (width + gap)
        canvas[top : top + height, left : left + width, :3] = picture
        canvas[top : top + height, left : left + width, 3] = 255
        if titles is not None:
            ax.text(
                left + width / 2,
                top + height + 0.03 * width,
                titles[number],
                ha="center",
                va="top",
                fontsize=8,
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
    names = origin_of(dataset).class_names
    titles = [names[label] if names else str(label) for label in np.asarray(labels)[:n].tolist()]
    return show_images(np.asarray(images)[:n], titles, columns=columns, ax=ax)


def heatmap(
    image: np.ndarray, heat: np.ndarray, *, opacity: float = 0.7, ax: Axes | None = None
) -> Axes:
    """Draw a picture with heat laid over it: bright where a network looked, itself elsewhere.

    Use it for any map of numbers that belongs to a picture; `HeatMap.plot` does for `grad_cam` and
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
    """Return a picture with heat laid over it, the more colour the more heat.

    Args:
        image: Pixels in [0, 255], of shape `(height, width, 3)` or `(height, width, 1)`.
        heat: Numbers in [0, 1] of shape `(height, width)`.
        opacity: How much of the picture the hottest place hides, in [0, 1].

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

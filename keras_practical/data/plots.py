"""Images in a grid, and the heat of a map laid over one. Reached as `keras_practical.plots`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_practical.data.origin import origin_of
from keras_practical.utils.checks import ImageSize, check_count, check_image_size
from keras_practical.utils.drawing import axes_or_new

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes

    from keras_practical.utils.types import Data

__all__ = ["contact_sheet", "show_batch", "show_images"]


def show_images(
    images: Sequence[npt.ArrayLike] | np.ndarray,
    titles: Sequence[str] | None = None,
    *,
    columns: int = 6,
    ax: Axes | None = None,
) -> Axes:
    r"""Draw images in a grid, each with a title below it.

    Use it for anything worth looking at: a batch, the worst mistakes, an augmentation. The plain
    way is a loop over `plt.subplots` and `imshow`.

    Args:
        images: Array of shape `(n, height, width, channels)` with 1 or 3 channels in [0, 255], or
            a sequence of such images of one size.
        titles: One text an image, of one or more lines (`"\n"`). Optional.
        columns: Images in a row, >= 1.
        ax: Where to draw. Default: a new figure that fits the grid.

    Returns:
        The axes, without ticks.

    Raises:
        ValueError: There are no images, or not one title for each.

    Example:

    >>> ax = show_images(np.zeros((3, 8, 8, 3)), ["a", "b", "c"])
    >>> [text.get_text() for text in ax.texts]
    ['a', 'b', 'c']
    """
    check_count("columns", columns)
    pixels = np.asarray(images)
    if pixels.ndim != 4 or not len(pixels):
        raise ValueError(
            "`images` must be of shape (n, height, width, channels) with n >= 1. "
            f"Received: shape {pixels.shape}"
        )
    if titles is not None and len(titles) != len(pixels):
        raise ValueError(f"Received {len(titles)} titles for {len(pixels)} images")
    pixels = np.clip(np.rint(pixels), 0, 255).astype("uint8")
    n, height, width = pixels.shape[:3]
    columns = min(columns, n)
    rows = -(-n // columns)
    gap = max(2, round(0.06 * width))
    lines = max((title.count("\n") + 1 for title in titles), default=0) if titles else 0
    # Room for the text below each image.
    strip = round((0.08 + 0.12 * lines) * width) if lines else gap
    # See-through between the images: on a dark page the page is dark there.
    canvas = np.zeros((rows * (height + strip), columns * (width + gap), 4), "uint8")
    ax = axes_or_new(ax, (1.6 * columns, 1.6 * columns * canvas.shape[0] / canvas.shape[1]))
    for number, image in enumerate(pixels):
        top, left = number // columns * (height + strip), number % columns * (width + gap)
        canvas[top : top + height, left : left + width, :3] = image
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


def contact_sheet(
    images: Sequence[np.ndarray | None],
    titles: Sequence[str],
    *,
    image_size: ImageSize,
    columns: int = 6,
    ax: Axes | None = None,
) -> Axes:
    """Draw images that were fetched one by one; grey stands for one that can't be read any more.

    Args:
        images: uint8 arrays of shape `(height, width, channels)` and one size, or `None`.
        titles: A text for each.
        image_size: Their size in pixels.
        columns: Images in a row, >= 1.
        ax: Where to draw. Default: a new figure.

    Returns:
        The axes.

    Example:

    >>> ax = contact_sheet([None, np.zeros((8, 8, 1), "uint8")], ["gone", "black"], image_size=8)
    >>> [text.get_text() for text in ax.texts]
    ['gone', 'black']
    """
    size = check_image_size("image_size", image_size)
    unreadable = np.full((*size, 3), 128, "uint8")
    rgb = [np.broadcast_to(unreadable if i is None else i, (*size, 3)) for i in images]
    return show_images(np.stack(rgb), titles, columns=columns, ax=ax)


def show_batch(dataset: Data, *, n: int = 12, columns: int = 6, ax: Axes | None = None) -> Axes:
    """Draw the first images of a data set with their class names.

    Use it before training: are the images upright, whole, and labelled as you would label them?

    Args:
        dataset: A data set of `load_images`, or any of `(images, integer labels)` batches.
        n: Number of images, >= 1; one batch at most.
        columns: Images in a row, >= 1.
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


def value_range(pixels: np.ndarray) -> tuple[float, float]:
    """Return what must have been black and white: 0 and 255, 0 and 1, or the extremes."""
    if pixels.dtype == np.uint8:
        return 0.0, 255.0
    finite = pixels[np.isfinite(pixels)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 255.0)
    return range_of(low, high)


def range_of(low: float, high: float) -> tuple[float, float]:
    """Return what must have been black and white where values go from `low` to `high`."""
    if low < 0:
        return low, max(high, low + 1e-6)
    return 0.0, 1.0 if high <= 1 else max(high, 255.0)


def as_pixels(values: np.ndarray, black_white: tuple[float, float]) -> np.ndarray:
    """Return uint8 pixels of shape `(..., height, width, 3)`; of many channels, three are shown."""
    black, white = black_white
    values = values[..., :3] if values.shape[-1] >= 3 else values[..., :1]
    scaled = 255.0 * (np.nan_to_num(values.astype("float64"), nan=black) - black) / (white - black)
    pixels = np.rint(np.clip(scaled, 0, 255)).astype("uint8")
    return np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels

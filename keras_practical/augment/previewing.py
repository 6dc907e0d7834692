"""A look at what an augmentation does to an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_practical.data.plots import show_images
from keras_practical.utils.checks import as_layers, check_count

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from keras_practical.utils.types import Augmentation, Data

__all__ = ["preview"]


def preview(
    dataset: Data,
    augmentation: Augmentation,
    *,
    n: int = 4,
    views: int = 6,
    ax: Axes | None = None,
) -> Axes:
    """Draw images of a data set, each in a row with what augmentation makes of it.

    Use it before training, and ask: would I still give each of them its label?

    Args:
        dataset: A data set of `load_images`, or any of `(images, labels)` batches.
        augmentation: A Keras layer, or a list of them, such as a preset.
        n: Number of images, >= 1; one batch at most.
        views: Number of augmented views of each, >= 1.
        ax: Where to draw. Default: a new figure.

    Returns:
        The axes. The first column has the images as they are.

    Raises:
        ValueError: `n` or `views` is below 1.

    Example:

    >>> from keras_practical.augment.presets import light
    >>> ax = preview([(np.zeros((2, 8, 8, 3), "float32"), [0, 1])], light(), n=2, views=3)

    Reference:
        fastai's `show_batch(unique=True)`.
    """
    check_count("n", n)
    check_count("views", views)
    images = np.asarray(next(iter(dataset))[0])[:n]
    columns = [images]
    for _ in range(views):
        view: Any = images
        for layer in as_layers(augmentation):
            view = layer(view, training=True)
        columns.append(np.asarray(view))
    size = columns[-1].shape[1:3]
    if images.shape[1:3] != size:
        columns[0] = np.asarray(
            keras.ops.image.resize(images, size, antialias=True, data_format="channels_last")
        )
    rows = np.stack(columns, axis=1)
    return show_images(rows.reshape(-1, *rows.shape[2:]), columns=views + 1, ax=ax)

"""Occlusion: what a network says once a part of the image is covered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from keras_practical.data.batches import pad
from keras_practical.evaluation.heat_maps import (
    HeatMap,
    SeenImage,
    chosen_class,
    class_name_of,
    class_outputs,
    heated,
)
from keras_practical.utils.checks import check_count
from keras_practical.utils.keras_internals.graph import final_activation
from keras_practical.utils.progress import track

__all__ = ["occlusion"]


def occlusion(
    model: keras.Model,
    image: str | Path | bytes | np.ndarray,
    *,
    class_index: int | None = None,
    patch_pixels: int | None = None,
    stride_pixels: int | None = None,
    fill: float | Sequence[float] | None = None,
    class_names: Sequence[str] | None = None,
    aspect: str = "crop",
    batch_size: int = 32,
    verbose: bool = True,
) -> HeatMap:
    """Show where on an image a network sees a class, by covering one part after another.

    Use it to check what `grad_cam` shows: no theory, only what the model says without that part. It
    works with every model, on every backend, and takes a pass for each place: some 200 by default.
    In plain Keras one loops over `predict` with patched copies.

    Args:
        model: Any classifier of images, with one output for each class, or one in all.
        image: As in `grad_cam`, but no scan.
        class_index: As in `grad_cam`.
        patch_pixels: Side of the square that covers, in pixels of the model's input, >= 1. Default:
            an eighth of the shorter side. What is larger than the patch may go unnoticed, since the
            rest of it stays in sight.
        stride_pixels: From one place of the patch to the next, from 1 to `patch_pixels`. Default:
            half the patch.
        fill: What the patch shows: a number, or one a channel, as the model's input. Default: the
            image's mean colour.
        class_names: As in `grad_cam`.
        aspect: As in `grad_cam`.
        batch_size: Covered images at a time, >= 1.
        verbose: Whether to show a progress bar.

    Returns:
        A `HeatMap`. Its `values` are how much the output for the class falls at each place of the
        patch, below 0 where it rises; a pixel's heat is the mean over the patches that cover it.

    Raises:
        ValueError: An argument is out of range, or the model isn't one for single images.

    Example:

    >>> model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten()])
    >>> image = np.arange(16.0).reshape(4, 4, 1)
    >>> found = occlusion(model, image, patch_pixels=1, fill=0.0)
    >>> found.class_index, found.hottest, float(found.values[3, 3])
    (15, (3, 3), 15.0)

    Reference:
        Zeiler & Fergus, *Visualizing and Understanding Convolutional Networks* (2014),
        arXiv 1311.2901, section 4.2.
    """
    check_count("batch_size", batch_size)
    seen = SeenImage.of(model, image, aspect)
    if seen.inputs.ndim != 4:
        raise ValueError("`image` must be a single image; for scans use `grad_cam`.")
    height, width = seen.inputs.shape[1:3]
    patch = max(1, min(height, width) // 8) if patch_pixels is None else patch_pixels
    check_count("patch_pixels", patch)
    stride = max(1, patch // 2) if stride_pixels is None else stride_pixels
    check_count("stride_pixels", stride)
    if patch > min(height, width) or stride > patch:
        raise ValueError(
            f"`patch_pixels` must be at most the image's shorter side, {min(height, width)}, and "
            "`stride_pixels` at most `patch_pixels`, or pixels between would never be covered. "
            f"Received: patch_pixels={patch}, stride_pixels={stride}"
        )
    color = seen.inputs.mean((0, 1, 2)) if fill is None else np.asarray(fill, "float32")
    if color.shape not in ((), (1,), seen.inputs.shape[3:]):
        raise ValueError(f"`fill` must be a number, or one for each channel. Received: {fill!r}")

    activation = final_activation(model)

    def scores(images: np.ndarray) -> np.ndarray:
        return class_outputs(model.predict_on_batch(images), activation)

    whole = scores(seen.inputs)[0]
    chosen = chosen_class(whole, class_index)
    rows, columns = _starts(height, patch, stride), _starts(width, patch, stride)
    corners = [(row, column) for row in rows for column in columns]
    size = min(batch_size, len(corners))
    batches = [corners[i : i + size] for i in range(0, len(corners), size)]
    left: list[float] = []
    for batch in track(batches, "Covering", len(batches), show=verbose):
        covered = np.repeat(seen.inputs, len(batch), axis=0)
        for values, (row, column) in zip(covered, batch, strict=True):
            values[row : row + patch, column : column + patch] = color
        left += list(scores(pad(covered, size))[: len(batch), chosen])
    falls = whole[chosen] - np.array(left)
    total, count = np.zeros((2, height, width))
    for fall, (row, column) in zip(falls, corners, strict=True):
        total[row : row + patch, column : column + patch] += fall
        count[row : row + patch, column : column + patch] += 1
    return heated(
        seen.shown,
        falls.reshape(len(rows), len(columns)),
        class_index=chosen,
        class_name=class_name_of(chosen, class_names),
        output=float(whole[chosen]),
        method="occlusion",
        heat=total / count,
    )


def _starts(length: int, patch: int, stride: int) -> list[int]:
    """Return where patches start, so that each pixel is covered by at least one."""
    last = length - patch
    return [*range(0, last, stride), last]

"""Occlusion: what a network says once a part of the image is covered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    output_rows,
    rounding_of,
)
from keras_practical.utils.checks import check_count
from keras_practical.utils.keras_internals.graph import (
    answer,
    before_probabilities,
    final_activation,
    reaches_logits,
)
from keras_practical.utils.keras_internals.overrides import PREDICTING, overridden
from keras_practical.utils.progress import track

__all__ = ["occlusion"]

# The smallest normal number of float32.
_TINY = 2.0**-126
# By how much half precision lets probabilities miss 1.
_SUM_TOLERANCE = 0.02


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
        A `HeatMap`. Its `values` are how much the log-odds of the class, in nats, fall at each
        place of the patch, below 0 where they rise: the logarithm of its probability against that
        of all others, which also changes where the model is sure to 1.0000. They come from the
        logits before a final softmax or sigmoid, else from the probabilities; of a model that gives
        neither, `values` are how much the output falls. A pixel's heat is the mean over the patches
        that cover it, and 0 where that isn't more than rounding: 16 steps of the least precise
        layer's numbers, of the largest logit's size.

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

    whole = class_outputs(model.predict_on_batch(seen.inputs), final_activation(model))[0]
    chosen = chosen_class(whole, class_index)
    rows_of, by_logits = _asked(model)
    rows, columns = _starts(height, patch, stride), _starts(width, patch, stride)
    corners = [(row, column) for row in rows for column in columns]
    size = min(batch_size, len(corners))
    batches = [corners[i : i + size] for i in range(0, len(corners), size)]
    given = [rows_of(seen.inputs)]
    for batch in track(batches, "Covering", len(batches), show=verbose):
        covered = np.repeat(seen.inputs, len(batch), axis=0)
        for values, (row, column) in zip(covered, batch, strict=True):
            values[row : row + patch, column : column + patch] = color
        given.append(rows_of(pad(covered, size))[: len(batch)])
    scores, rounding = _scores(model, np.concatenate(given), chosen, by_logits=by_logits)
    falls = scores[0] - scores[1:]
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
        rounding=rounding,
    )


def _asked(model: keras.Model) -> tuple[Callable[[np.ndarray], np.ndarray], bool]:
    """Return what gives the model's rows for images, and whether these are logits."""
    # A class's own way to predict may prepare the pixels.
    if overridden(model, PREDICTING) or not reaches_logits(model):
        return lambda images: output_rows(model.predict_on_batch(images)), False

    def logits(images: np.ndarray) -> np.ndarray:
        with before_probabilities(model):
            return output_rows(answer(model, images))

    return logits, True


def _scores(
    model: keras.Model, rows: np.ndarray, chosen: int, *, by_logits: bool
) -> tuple[np.ndarray, float]:
    """Return each row's log-odds of a class, or its output for it, and what rounding is."""
    activation = final_activation(model)
    several = rows.shape[1] > 1
    shares = rows.min() >= 0 and bool((np.abs(rows.sum(1) - 1) < _SUM_TOLERANCE).all())
    unsure = 0.0
    if not by_logits and several and shares:
        # Logarithms of probabilities are logits; what is less than this, float32 doesn't know.
        activation, rows = "softmax", np.log(np.maximum(rows, _TINY))
    elif not by_logits and activation == "sigmoid":
        step = rounding_of(model, 1.0)
        rest = np.maximum(1 - rows, step)
        # How much the logarithm of what is left changes by one more step.
        unsure = float((step / rest).max())
        rows = np.log(np.maximum(rows, _TINY)) - np.log(rest)
    largest = float(np.abs(rows).max())
    rounding = rounding_of(model, max(1.0, largest) if activation else largest) + unsure
    if not several:
        # Alone in a softmax, it's always sure.
        return (activation != "softmax") * (2 * chosen - 1) * rows[:, 0], rounding
    if activation == "softmax":
        others = np.logaddexp.reduce(np.delete(rows, chosen, axis=1), axis=1)
        return rows[:, chosen] - others, rounding
    return rows[:, chosen], rounding


def _starts(length: int, patch: int, stride: int) -> list[int]:
    """Return where patches start, so that each pixel is covered by at least one."""
    last = length - patch
    return [*range(0, last, stride), last]

"""Projective transforms of images: matrices, points, and one interpolation for all of them.

A matrix leads from a place in the output to the place in the input that is shown there. Places are
`(x, y)` in pixels from the image's middle, so that a rotation is one whatever the image's size.
Transforms that follow each other are multiplied in the order in which they are applied.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

if TYPE_CHECKING:
    from keras_practical.utils.types import Tensor

FILL_MODES = ("reflect", "constant", "nearest")
# What OpenCV works on as it is; other types and channel counts are cast, or go another way.
_OPENCV_TYPES = ("uint8", "float32")
OPENCV_CHANNELS = (1, 3, 4)


def matrix(*entries: Any) -> Tensor:
    """Return matrices of shape `(batch, 3, 3)` from nine entries, row by row.

    Each is a number or a tensor of shape `(batch,)` or `()`, at least one a tensor.
    """
    zero = ops.zeros_like(next(entry for entry in entries if not isinstance(entry, float)))
    return ops.reshape(ops.stack([zero + entry for entry in entries], axis=-1), (-1, 3, 3))


def perspective(corners: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Return matrices that show a quadrilateral of the input as the whole output.

    `corners`, of shape `(batch, 4, 2)`, says where the output's corners lie in the input: top left,
    top right, bottom right, bottom left (Heckbert, *Fundamentals of Texture Mapping and Image
    Warping*, 1989, section 2.2.3).
    """
    x0, x1, x2, x3 = (corners[:, corner, 0] for corner in range(4))
    y0, y1, y2, y3 = (corners[:, corner, 1] for corner in range(4))
    dx1, dx2, sum_x = x1 - x2, x3 - x2, x0 - x1 + x2 - x3
    dy1, dy2, sum_y = y1 - y2, y3 - y2, y0 - y1 + y2 - y3
    determinant = dx1 * dy2 - dx2 * dy1
    g = (sum_x * dy2 - dx2 * sum_y) / determinant
    h = (dx1 * sum_y - sum_x * dy1) / determinant
    of_unit_square = matrix(
        *(x1 - x0 + g * x1, x3 - x0 + h * x3, x0),
        *(y1 - y0 + g * y1, y3 - y0 + h * y3, y0),
        *(g, h, 1.0),
    )
    to_unit_square = matrix(*(1 / width, 0.0, 0.5), *(0.0, 1 / height, 0.5), *(0.0, 0.0, 1.0))
    return ops.matmul(of_unit_square, to_unit_square)


def transform_points(points: Tensor, matrices: Tensor) -> Tensor:
    """Return where points of the input, of shape `(batch, n, 2)`, come to lie in the output."""
    inverse = ops.inv(ops.cast(matrices, "float32"))
    points = ops.cast(points, "float32")
    homogeneous = ops.concatenate([points, ops.ones_like(points[..., :1])], axis=-1)
    mapped = ops.matmul(homogeneous, ops.transpose(inverse, (0, 2, 1)))
    return mapped[..., :2] / mapped[..., 2:]


def warp(
    images: Tensor,
    matrices: Tensor,
    size: tuple[Any, Any],
    **options: Any,
) -> Tensor:
    """Return images of shape `(batch, *size, channels)`, interpolated once; the type stays.

    The options are `interpolation`, `"bilinear"` or `"nearest"`, `fill_mode` and `fill_value`.
    """
    height, width = (ops.cast(side, "float32") for side in ops.shape(images)[1:3])
    y_scale, x_scale = height / ops.cast(size[0], "float32"), width / ops.cast(size[1], "float32")
    # Pixel `i` lies at `i + 0.5`.
    from_index = matrix(
        *(x_scale, 0.0, 0.5 * x_scale - width / 2),
        *(0.0, y_scale, 0.5 * y_scale - height / 2),
        *(0.0, 0.0, 1.0),
    )
    to_index = matrix(*(1.0, 0.0, width / 2 - 0.5), *(0.0, 1.0, height / 2 - 0.5), *(0.0, 0.0, 1.0))
    matrices = ops.matmul(ops.matmul(to_index, ops.cast(matrices, "float32")), from_index)
    return _resampler(images)(images, matrices, size, **options)


def _resampler(images: Tensor) -> Callable[..., Any]:
    """Return the fastest way there is here; all give the same image."""
    if keras.backend.backend() != "tensorflow":
        return _gather
    import tensorflow as tf

    if tf.config.get_visible_devices("GPU") or images.shape[-1] not in OPENCV_CHANNELS:
        return _tensorflow_kernel
    return _opencv


def _opencv(
    images: Tensor,
    matrices: Tensor,
    size: tuple[Any, Any],
    *,
    interpolation: str,
    fill_mode: str,
    fill_value: float,
) -> Tensor:
    """Use OpenCV: on a CPU three times as fast as TensorFlow's kernel."""
    import cv2
    import tensorflow as tf

    flags = cv2.WARP_INVERSE_MAP | (
        cv2.INTER_NEAREST if interpolation == "nearest" else cv2.INTER_LINEAR
    )
    border = {
        "reflect": cv2.BORDER_REFLECT,
        "constant": cv2.BORDER_CONSTANT,
        "nearest": cv2.BORDER_REPLICATE,
    }[fill_mode]

    def warp_batch(batch: np.ndarray, matrices: np.ndarray, size: np.ndarray) -> np.ndarray:
        height, width = (int(side) for side in size)
        out = np.empty((len(batch), height, width, batch.shape[-1]), batch.dtype)

        def warp_one(row: int) -> None:
            cv2.warpPerspective(
                batch[row],
                matrices[row],
                (width, height),
                dst=out[row],
                flags=flags,
                borderMode=border,
                borderValue=(fill_value,) * 4,
            )

        list(workers().map(warp_one, range(len(batch))))
        return out

    dtype = images.dtype if images.dtype.name in _OPENCV_TYPES else tf.float32
    warped = tf.numpy_function(
        warp_batch, [tf.cast(images, dtype), matrices, tf.stack(size)], dtype, stateful=False
    )
    static = tuple(side if isinstance(side, int) else None for side in size)
    warped.set_shape((images.shape[0], *static, images.shape[-1]))
    return tf.cast(warped, images.dtype)


@functools.cache
def workers() -> ThreadPoolExecutor:
    """Return the threads that share a batch: OpenCV releases Python's lock."""
    return ThreadPoolExecutor(os.cpu_count())


def _tensorflow_kernel(
    images: Tensor,
    matrices: Tensor,
    size: tuple[Any, Any],
    *,
    interpolation: str,
    fill_mode: str,
    fill_value: float,
) -> Tensor:
    import tensorflow as tf

    flat = tf.reshape(matrices / matrices[:, 2:, 2:], (-1, 9))
    batch = tf.shape(images)[0]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.broadcast_to(flat, (batch, 9))[:, :8],
        output_shape=tf.stack(size),
        interpolation=interpolation.upper(),
        fill_mode=fill_mode.upper(),
        fill_value=fill_value,
    )


def _gather(
    images: Tensor,
    matrices: Tensor,
    size: tuple[Any, Any],
    *,
    interpolation: str,
    fill_mode: str,
    fill_value: float,
) -> Tensor:
    """Use `keras.ops` only: on any backend and accelerator, and inside XLA."""
    batch, height, width, channels = ops.shape(images)
    rows, columns = ops.meshgrid(
        ops.arange(size[0], dtype="float32"), ops.arange(size[1], dtype="float32"), indexing="ij"
    )
    positions = ops.stack([columns, rows, ops.ones_like(rows)])
    mapped = ops.matmul(matrices, ops.reshape(positions, (1, 3, -1)))
    x, y = mapped[:, 0] / mapped[:, 2], mapped[:, 1] / mapped[:, 2]
    pixels = ops.reshape(images, (batch, height * width, channels))

    def tap(column: Tensor, row: Tensor) -> Tensor:
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        index = _fold(row, height, fill_mode) * width + _fold(column, width, fill_mode)
        values = ops.take_along_axis(pixels, index[..., None], axis=1)
        values = ops.cast(values, "float32")
        return (
            values if fill_mode != "constant" else ops.where(inside[..., None], values, fill_value)
        )

    if interpolation == "nearest":
        values = tap(ops.round(x), ops.round(y))
    else:
        left, top = ops.floor(x), ops.floor(y)
        right_part, bottom_part = (x - left)[..., None], (y - top)[..., None]
        upper = tap(left, top) * (1 - right_part) + tap(left + 1, top) * right_part
        lower = tap(left, top + 1) * (1 - right_part) + tap(left + 1, top + 1) * right_part
        values = upper * (1 - bottom_part) + lower * bottom_part
    if keras.backend.is_int_dtype(images.dtype):
        values = ops.round(values)
    return ops.cast(ops.reshape(values, (batch, *size, channels)), images.dtype)


def _fold(index: Any, count: int, fill_mode: str) -> Tensor:
    """Return the pixel that stands in for `index`, an int32 in [0, count)."""
    if fill_mode == "reflect":
        index = ops.mod(index, 2 * count)
        index = ops.minimum(index, 2 * count - 1 - index)
    return ops.cast(ops.clip(index, 0, count - 1), "int32")

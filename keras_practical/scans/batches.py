"""Scans of any depth as batches that `fit` takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_practical.data.order import EpochOrder
from keras_practical.utils.checks import (
    check_count,
)

__all__ = ["VolumeBatches", "pad_volumes"]

PADDING = -1.0


def pad_volumes(volumes: Sequence[np.ndarray], *, depth: int | None = None) -> np.ndarray:
    """Stack scans of different depth; what is missing is filled with -1, which no pixel is.

    `scans.classifier` leaves such slices out. Use it to predict several scans at once.

    Args:
        volumes: Arrays of shape `(depth, height, width, channels)` with values in [0, 255], alike
            but for their depth.
        depth: Number of slices to fill up to. Default: that of the deepest scan.

    Returns:
        float32 array of shape `(n, depth, height, width, channels)`.

    Raises:
        ValueError: There are no scans, their shapes don't fit, or one is deeper than `depth`.

    Example:

    >>> pad_volumes([np.ones((2, 1, 1, 1)), np.ones((1, 1, 1, 1))])[:, :, 0, 0, 0].tolist()
    [[1.0, 1.0], [1.0, -1.0]]
    """
    shapes = [np.shape(volume) for volume in volumes]
    if not shapes or any(len(shape) != 4 or shape[1:] != shapes[0][1:] for shape in shapes):
        raise ValueError(
            "`volumes` must be arrays of shape (depth, height, width, channels), alike but for "
            f"their depth. Received: shapes {shapes[:5]}"
        )
    deepest = max(shape[0] for shape in shapes)
    if depth is not None and depth < deepest:
        raise ValueError(
            f"`depth` must be at least that of the deepest scan, {deepest}. Received: depth={depth}"
        )
    padded = np.full((len(shapes), depth or deepest, *shapes[0][1:]), PADDING, "float32")
    for row, volume in enumerate(volumes):
        padded[row, : len(volume)] = volume
    return padded


class VolumeBatches(keras.utils.PyDataset):
    """Batches of scans, filled up to the depth of the deepest one.

    All batches have one depth, because `fit` allows for no other, and each depth would compile the
    model anew. Slices that only fill up cost as much as real ones: where depths differ much, take
    the slices of the deepest scans at larger distances (`max_slices` of `load_volumes`).

    `load_volumes` makes them; make one by hand of scans that are in memory. `fit`, `fine_tune` and
    `evaluate` take it.

    Args:
        volumes: Arrays of shape `(depth, height, width, channels)`, alike but for their depth.
        labels: Their classes, integers of shape `(n,)`.
        batch_size: Scans a batch, >= 1.
        seed: Decides the order, a new one each epoch. Default: always in the order given.
        class_names: One name a class.
        depth: Number of slices to fill up to. Default: that of the deepest scan.

    Raises:
        ValueError: There isn't one label for each scan.

    Example:

    >>> batches = VolumeBatches([np.zeros((5, 4, 4, 1)), np.zeros((9, 4, 4, 1))], [0, 1])
    >>> batches[0][0].shape
    (2, 9, 4, 4, 1)
    """

    def __init__(
        self,
        volumes: Sequence[np.ndarray],
        labels: Any,
        *,
        batch_size: int = 2,
        seed: int | None = None,
        class_names: Sequence[str] | None = None,
        depth: int | None = None,
    ) -> None:
        super().__init__()
        check_count("batch_size", batch_size)
        self.volumes = volumes
        self.labels = np.asarray(labels, "int64")
        if self.labels.shape != (len(volumes),) or not len(volumes):
            raise ValueError(
                "There must be one label for each of at least one scan. "
                f"Received: {len(volumes)} scans, labels of shape {self.labels.shape}"
            )
        self.class_names = None if class_names is None else list(class_names)
        self._batch_size = batch_size
        self._depth = depth or max(len(volume) for volume in volumes)
        self.epoch_order = None if seed is None else EpochOrder(len(volumes), seed)

    def __len__(self) -> int:
        return -(-len(self.volumes) // self._batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return a batch of scans, float32, and their labels."""
        rows = slice(index * self._batch_size, (index + 1) * self._batch_size)
        positions = np.arange(len(self.volumes))[rows]
        if self.epoch_order is not None:
            positions = self.epoch_order.current()[rows]
        volumes = [self.volumes[position] for position in positions]
        return pad_volumes(volumes, depth=self._depth), self.labels[positions]

    def on_epoch_end(self) -> None:
        """Go on to the next epoch's order."""
        if self.epoch_order is not None:
            self.epoch_order.set_epoch(self.epoch_order.epoch + 1)

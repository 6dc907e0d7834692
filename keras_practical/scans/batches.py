"""Scans of any depth as batches that `fit` takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_practical.data.order import EpochOrder
from keras_practical.utils.checks import check_count

__all__ = ["VolumeBatches", "pad_volumes"]


def pad_volumes(volumes: Sequence[np.ndarray], *, depth: int | None = None) -> np.ndarray:
    """Stack scans of different depth, and say in one more channel which slices are theirs.

    A model of `scans.classifier` takes the stack, and leaves out the slices that only fill up. Use
    it to predict several scans at once, whatever their values are: no value stands for "missing".

    Args:
        volumes: Arrays of shape `(depth, height, width, channels)`, alike but for their depth.
        depth: Number of slices to fill up to. Default: that of the deepest scan.

    Returns:
        float32 array of shape `(n, depth, height, width, channels + 1)`, whose last channel is 1 in
        slices of the scan, and 0 in those that fill up, as is all else in them. Without that
        channel where nothing has to be filled up.

    Raises:
        ValueError: There are no scans, one has no slices, their shapes don't fit, or one is deeper
            than `depth`.

    Example:

    >>> scans = [np.full((2, 1, 1, 1), -7.0), np.full((1, 1, 1, 1), -7.0)]
    >>> pad_volumes(scans)[:, :, 0, 0].tolist()
    [[[-7.0, 1.0], [-7.0, 1.0]], [[-7.0, 1.0], [0.0, 0.0]]]
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
    depth = depth or deepest
    return _stacked(volumes, depth, filled=any(shape[0] != depth for shape in shapes))


def _stacked(volumes: Sequence[np.ndarray], depth: int, *, filled: bool) -> np.ndarray:
    """Return what `pad_volumes` does, with the last channel if `filled`."""
    if min(len(volume) for volume in volumes) < 1:
        raise ValueError("`volumes` must have at least one slice each. Received: one without any")
    shape = np.shape(volumes[0])[1:]
    stack = np.zeros((len(volumes), depth, *shape[:2], shape[2] + filled), "float32")
    for row, volume in enumerate(volumes):
        stack[row, : len(volume), ..., : shape[2]] = volume
        if filled:
            stack[row, : len(volume), ..., shape[2]] = 1
    return stack


class VolumeBatches(keras.utils.PyDataset):
    """Batches of scans, filled up to the depth of the deepest one.

    All batches have one depth, because `fit` allows for no other, and each depth would compile the
    model anew. Where depths differ, a last channel says which slices are the scan's, as in
    `pad_volumes`; a model of `scans.classifier` leaves the others out.

    `load_volumes` makes them; make one by hand of scans that are in memory. `fit`, `fine_tune` and
    `evaluate` take it.

    Args:
        volumes: Arrays of shape `(depth, height, width, channels)`, alike but for their depth.
        labels: Their classes, integers of shape `(n,)`.
        batch_size: Scans a batch, >= 1.
        seed: Decides the order, a new one each epoch. Default: always in the order given.
        class_names: One name a class.
        depth: Number of slices to fill up to. Default: that of the deepest scan.
        depths: How many slices each scan has, where that is known: otherwise every scan is looked
            at, which reads those that aren't in memory.

    Raises:
        ValueError: There isn't one label for each scan, one has no slices, or one is deeper than
            `depth`.

    Example:

    >>> batches = VolumeBatches([np.zeros((5, 4, 4, 1)), np.zeros((9, 4, 4, 1))], [0, 1])
    >>> batches[0][0].shape
    (2, 9, 4, 4, 2)
    >>> batches[0][0][:, :, 0, 0, 1].sum(1).tolist()
    [5.0, 9.0]
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
        depths: Sequence[int] | None = None,
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
        depths = [len(volume) for volume in volumes] if depths is None else depths
        self._depth = max(depths) if depth is None else depth
        if not 1 <= min(depths) <= max(depths) <= self._depth:
            raise ValueError(
                f"Scans must have from 1 to `depth` slices. Received: {min(depths)} to "
                f"{max(depths)} slices, depth={self._depth}"
            )
        # Of the whole set, so that all batches have as many channels.
        self._filled = min(depths) < self._depth
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
        return _stacked(volumes, self._depth, filled=self._filled), self.labels[positions]

    def on_epoch_end(self) -> None:
        """Go on to the next epoch's order."""
        if self.epoch_order is not None:
            self.epoch_order.set_epoch(self.epoch_order.epoch + 1)

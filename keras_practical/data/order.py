"""The order of each epoch: the same on every machine, whatever was read before."""

from __future__ import annotations

import numpy as np

__all__ = ["EpochOrder"]


class EpochOrder:
    """A new order of the images for each epoch, the same on every machine.

    Used by `load_images`. `tf.data`'s `shuffle` counts how often it was read in this process, so
    that a run which continues after a crash would see other orders than the run that went through.

    Args:
        count: Number of images.
        seed: Whole number >= 0.

    Example:

    >>> order = EpochOrder(3, seed=0)
    >>> first, second = order.draw().tolist(), order.draw().tolist()
    >>> order.set_epoch(1)
    >>> order.draw().tolist() == second
    True
    """

    def __init__(self, count: int, seed: int) -> None:
        self._count = count
        self._seed = seed
        self._epoch = 0

    @property
    def seed(self) -> int:
        """The seed."""
        return self._seed

    @property
    def epoch(self) -> int:
        """The epoch whose order the next reading has."""
        return self._epoch

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order the next reading has; the ones after it count on."""
        self._epoch = epoch

    def draw(self) -> np.ndarray:
        """Return the next epoch's order, int64 of shape `(count,)`, and count on."""
        order = self.current()
        self._epoch += 1
        return order

    def current(self) -> np.ndarray:
        """Return the next epoch's order as `draw` does, without counting on."""
        # The stream of `RandomState` never changes; that of newer generators may.
        seeds = [self._seed % 2**32, self._seed // 2**32 % 2**32, self._epoch]
        return np.random.RandomState(seeds).permutation(self._count).astype("int64")

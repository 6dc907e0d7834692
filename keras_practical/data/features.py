"""Features of images with their labels: what a network saw, as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from keras_practical.data.index import ImageRecord

__all__ = ["Embeddings"]


@dataclass(frozen=True)
class Embeddings:
    """Features of images with their labels, in order.

    Attributes:
        features: float32 of shape `(n, size)`, of the images as they are.
        labels: Integer labels of shape `(n,)`, or whatever the data have of shape `(n, ...)`.
        index: One `ImageRecord` an image; for data that isn't from `load_images`, named by place.
            Empty if nothing is known of them.
        class_names: One name a class.
        views: float32 of shape `(views, n, size)`, of augmented views of the images; of
            shape `(0, n, size)` without augmentation.
        computed: How many images went through the network for this; the others were in the
            cache.
        sample_weight: How much each image counts, of shape `(n,)`; `None` if all count alike.

    Example:

    >>> records = tuple(ImageRecord(name, 0) for name in "ab")
    >>> found = Embeddings(np.ones((2, 3)), np.array([0, 1]), records, ("x", "y"))
    >>> len(found), found.take([1]).labels.tolist()
    (2, [1])
    """

    features: np.ndarray
    labels: np.ndarray
    index: tuple[ImageRecord, ...]
    class_names: tuple[str, ...]
    views: np.ndarray = field(default_factory=lambda: np.empty((0, 0, 0), "float32"))
    computed: int = 0
    sample_weight: np.ndarray | None = None

    def __str__(self) -> str:
        return (
            f"{len(self):,} images, {self.features.shape[1]:,} features each, "
            f"{len(self.class_names)} classes"
            + f", {len(self.views)} augmented views"
            * bool(len(self.views))
        )

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indexes: Sequence[int] | np.ndarray) -> Embeddings:
        """Return the embeddings of the images at `indexes` only, in that order; or of a mask's."""
        chosen = np.asarray(indexes)
        indexes = np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype("int64")
        return replace(
            self,
            features=self.features[indexes],
            labels=self.labels[indexes],
            index=tuple(self.index[index] for index in indexes) if self.index else (),
            views=self.views[:, indexes] if len(self.views) else self.views,
            sample_weight=None if self.sample_weight is None else self.sample_weight[indexes],
        )

    def all_views(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the features of the images and all their views below each other, and labels."""
        if not len(self.views):
            return self.features, self.labels
        stacked = np.concatenate([self.features, *self.views])
        return stacked, np.tile(self.labels, 1 + len(self.views))

    def all_weights(self) -> np.ndarray | None:
        """Return the weights of the examples that `all_views` returns."""
        if self.sample_weight is None:
            return None
        return np.tile(self.sample_weight, 1 + len(self.views))

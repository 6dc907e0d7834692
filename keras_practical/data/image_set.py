"""What stands behind a data set of `load_images`: its images, their order, and one by one."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_practical.data.index import ImageIndex, ImageRecord
from keras_practical.data.order import EpochOrder
from keras_practical.data.pixel_store import PixelStore
from keras_practical.utils.checks import (
    ImageSize,
)

if TYPE_CHECKING:
    import tensorflow as tf


__all__ = ["ImageFinder", "PixelSource", "dataset_of"]


@dataclass(frozen=True)
class PixelSource:
    """The images and labels behind a data set of `load_images`, to be read in any order.

    `origin_of(dataset).source` finds it, also after `.cache` and `.prefetch`.

    Attributes:
        store: All images of the listing.
        rows: Where in `store` this data set's images are, int64 of shape `(n,)`.
        labels: Their classes, int64 of shape `(n,)`.
        records: What is known of each of them.
        class_names: One name a class.
        batch_size: Images a batch.
        order: Draws the order of each epoch; `None` for a data set that isn't shuffled.

    Raises:
        ValueError: From `read_filled`, if not one image can be read any more.

    Example:

    >>> store = PixelStore([np.zeros((8, 8), "uint8")] * 2, (4, 4), aspect="crop", color_mode="rgb")
    >>> records = ImageRecord("a", 0), ImageRecord("b", 1)
    >>> source = PixelSource(store, np.arange(2), np.arange(2), records, ("x", "y"), 32)
    >>> source.take([1]).records[0].name
    'b'
    """

    store: PixelStore
    rows: np.ndarray
    labels: np.ndarray
    records: tuple[ImageRecord, ...]
    class_names: tuple[str, ...]
    batch_size: int
    order: EpochOrder | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, indexes: Sequence[int] | np.ndarray) -> PixelSource:
        """Return a source of the images at `indexes` only, in that order."""
        indexes = np.asarray(indexes, "int64")
        order = self.order and EpochOrder(len(indexes), self.order.seed)
        return replace(
            self,
            rows=self.rows[indexes],
            labels=self.labels[indexes],
            records=tuple(self.records[index] for index in indexes),
            order=order,
        )

    def read_filled(self, indexes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the images at `indexes`, and the indexes that they really are of.

        A readable image stands in for each that can't be read: one of the same batch or, if there
        is none, any other. So batches keep their size and an epoch its number of steps, on which
        schedules rely.
        """
        images, readable = self.store.read(self.rows[indexes])
        if readable.all():
            return images, indexes
        indexes = np.array(indexes)
        gaps, whole = np.flatnonzero(~readable), np.flatnonzero(readable)
        if len(whole):
            fillers = np.resize(whole, len(gaps))
            images[gaps], indexes[gaps] = images[fillers], indexes[fillers]
            return images, indexes
        for other, row in enumerate(self.rows):
            image, readable = self.store.read([row])
            if readable[0]:
                return np.repeat(image, len(indexes), 0), np.full(len(indexes), other)
        raise ValueError("Not one of the training images can be read any more.")


def dataset_of(source: PixelSource) -> tf.data.Dataset:
    """Return the data set that reads a source, batch by batch.

    Args:
        source: Images and labels, such as `load_images(...).train.source.take(indexes)`.

    Returns:
        A `tf.data.Dataset` as in `ImageData`, shuffled anew each time if the source has an order.

    Raises:
        ValueError: While it is read, if the data set itself has been deleted.

    Example:

    >>> from keras_practical import load_images
    >>> digits = load_images("digits", verbose=False)
    >>> [(images, labels)] = dataset_of(digits.train.source.take([5, 7]))
    >>> images.shape
    TensorShape([2, 8, 8, 3])
    """
    import tensorflow as tf

    shape, order = source.store.shape, source.order
    # TensorFlow keeps every Python function that it is given for good: this one must not keep the
    # pixels with it. The data set below does, and so does all that is made from it.
    behind = weakref.ref(source)

    def read(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        source = behind()
        if source is None:
            raise ValueError(
                "The data set that is being read has been deleted. Keep what `load_images` "
                "returned for as long as it is read."
            )
        if source.order is not None:
            images, indexes = source.read_filled(batch)
            return images, source.labels[indexes]
        # What broke since it was loaded is left out, and said: black images would be judged.
        images, readable = source.store.read(source.rows[batch])
        return images[readable], source.labels[batch[readable]]

    def load(batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images, batch_labels = tf.numpy_function(
            read, [batch], (tf.uint8, tf.int64), stateful=False
        )
        images.set_shape((None, *shape))
        batch_labels.set_shape((None,))
        return tf.cast(images, tf.float32), batch_labels

    indexes = tf.data.Dataset.range(len(source))
    if order is not None:
        # Each iterator draws its order once, when it starts.
        indexes = tf.data.Dataset.range(1).map(
            lambda _: tf.ensure_shape(tf.numpy_function(order.draw, [], tf.int64), [None])
        )
        indexes = indexes.unbatch().apply(tf.data.experimental.assert_cardinality(len(source)))
    dataset = indexes.batch(source.batch_size).map(load, num_parallel_calls=tf.data.AUTOTUNE)
    dataset = dataset.prefetch(tf.data.AUTOTUNE)
    dataset.class_names = list(source.class_names)  # As Keras's own folder loader does.
    dataset.source = source
    return dataset


class ImageFinder:
    """Fetches images by their names, one at a time: none is kept in memory.

    Args:
        index: The images; where they aren't in `sources`, their names are files' paths.
        sources: What stands behind data sets of `load_images` (their attribute `source`).

    Example:

    >>> from keras_practical.data.loading import load_images
    >>> digits = load_images("digits", verbose=False)
    >>> find = ImageFinder(digits.index, [digits.train.source, digits.validation.source])
    >>> find("images[3]").shape
    (8, 8, 3)
    """

    def __init__(self, index: ImageIndex, sources: Sequence[PixelSource] = ()) -> None:
        self.index = index
        self._places: dict[str, tuple[PixelStore, int]] = {}
        for source in sources:
            for record, row in zip(source.records, source.rows, strict=True):
                self._places[record.name] = source.store, int(row)

    def __call__(self, name: str, *, image_size: ImageSize | None = None) -> np.ndarray | None:
        """Return an image, upright, uint8 of shape `(height, width, channels)`.

        Args:
            name: Its name in the index.
            image_size: Pixels; the whole image is shown, with borders. Default: its own size.

        Returns:
            The image; `None` if it can't be read.
        """
        store, row = self._places.get(name) or (_file(name), 0)
        return store.image(row, image_size=image_size)


def _file(name: str) -> PixelStore:
    return PixelStore([Path(name)], (1, 1), aspect="pad", color_mode="rgb")

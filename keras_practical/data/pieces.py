"""Any data set of images as pieces of equal size, in an order that doesn't change."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_practical.data.batches import weighted_batches_of
from keras_practical.data.image_set import PixelSource
from keras_practical.data.index import ImageRecord
from keras_practical.data.origin import origin_of

if TYPE_CHECKING:
    from keras_practical.utils.types import Data

__all__ = ["ArrayPieces", "SourcePieces", "StreamPieces", "pieces_of"]

PIECE = 256
Piece = tuple[int, np.ndarray, np.ndarray]
_NONE = np.empty((0,))
# Images that a thread reads in one go.
_CHUNK = 8


def pieces_of(
    data: Data, *, repeatable: bool, size: int = PIECE
) -> ArrayPieces | SourcePieces | StreamPieces:
    """Return the reader for a kind of data.

    Args:
        data: As in `embed`.
        repeatable: Whether the data must be read twice, once to know them again.
        size: Images a piece, >= 1.

    Returns:
        A reader with `shape` (of one image), `count` (`None` if unknown), `content` (a hash),
        `class_names` (`None` if unknown), `pieces` and `records`.

    Raises:
        ValueError: The data are of no such kind, there are no images, or they aren't of one
            shape `(height, width, channels)`.

    Example:

    >>> reader = pieces_of((np.zeros((300, 8, 8, 3)), np.zeros(300, int)), repeatable=False)
    >>> [(number, len(images)) for number, images, labels in reader.pieces(lambda number: True)]
    [(0, 256), (1, 44)]
    """
    reader: ArrayPieces | SourcePieces | StreamPieces
    source = origin_of(data).source
    if source is not None:
        reader = SourcePieces(source, size=size)
    elif isinstance(data, tuple | list):
        weighted_batches_of(data, 1)  # Checks that it is a pair, perhaps with weights.
        reader = ArrayPieces(*data, size=size)
    elif isinstance(data, keras.utils.PyDataset) or hasattr(data, "element_spec"):
        reader = StreamPieces(data, repeatable=repeatable, size=size)
    else:
        raise ValueError(
            "`data` must be a data set of `load_images` (such as photos.train), another "
            "tf.data.Dataset, a PyDataset or an (images, labels) pair. "
            f"Received: {type(data).__name__}"
        )
    if not reader.count and reader.count is not None:
        raise ValueError("`data` has no images.")
    return reader


class ArrayPieces:
    """Pieces of a pair of arrays.

    Args:
        images: Images of shape `(n, height, width, channels)`.
        labels: One label each.
        sample_weight: One weight each, if they count differently.
        size: Images a piece, >= 1.

    Raises:
        ValueError: The shapes are wrong.

    Example:

    >>> ArrayPieces(np.zeros((2, 8, 8, 3)), [0, 1]).records([0, 1])[1].name
    'images[1]'
    """

    class_names: tuple[str, ...] | None = None

    def __init__(
        self, images: Any, labels: Any, sample_weight: Any = None, *, size: int = PIECE
    ) -> None:
        self._images, self._labels = np.asarray(images), np.asarray(labels)
        self.sample_weight = None if sample_weight is None else np.asarray(sample_weight)
        self._size = size
        if self._images.ndim != 4 or len(self._images) != len(self._labels):
            raise ValueError(
                "Images must be of shape (n, height, width, channels), with a label for each. "
                f"Received: shapes {self._images.shape} and {self._labels.shape}"
            )
        self.count: int | None = len(self._images)
        self.shape = self._images.shape[1:]

    def first_images(self) -> np.ndarray:
        """Return some images, to look at."""
        return self._images[:_CHUNK]

    @property
    def content(self) -> str:
        """A hash of all images."""
        return array_hash(self._images)

    def pieces(self, wanted: Callable[[int], bool]) -> Iterator[Piece]:
        """Yield the number, images and labels of each piece; no images if it isn't wanted."""
        for number, start in enumerate(range(0, len(self._images), self._size)):
            rows = slice(start, start + self._size)
            yield number, self._images[rows] if wanted(number) else _NONE, self._labels[rows]

    def records(self, labels: Sequence[int]) -> tuple[ImageRecord, ...]:
        """Return what is known of each image, whose labels are given."""
        return tuple(ImageRecord(f"images[{n}]", label) for n, label in enumerate(labels))


class SourcePieces:
    """Pieces of a data set of `load_images`, in the order of its index.

    Args:
        source: The data set's `source`.
        size: Images a piece, >= 1.

    Example:

    >>> from keras_practical import load_images
    >>> reader = SourcePieces(load_images("digits", verbose=False).train.source)
    >>> reader.count, reader.shape
    (1438, (8, 8, 3))
    """

    def __init__(self, source: PixelSource, *, size: int = PIECE) -> None:
        self.source = source
        self.sample_weight = None
        self._size = size
        self.count: int | None = len(source)
        self.shape = source.store.shape
        self.class_names: tuple[str, ...] | None = source.class_names

    def first_images(self) -> np.ndarray:
        """Return as `ArrayPieces.first_images` does."""
        return self.source.store.read(self.source.rows[:_CHUNK])[0]

    @property
    def content(self) -> str:
        """A hash of all files."""
        return self.source.store.content_hash(self.source.rows)

    def pieces(self, wanted: Callable[[int], bool]) -> Iterator[Piece]:
        """Yield as `ArrayPieces.pieces` does; NaN stands for what can't be read."""
        source = self.source
        starts = range(0, len(source), self._size)
        # While the network works on a piece, threads read the next.
        with ThreadPoolExecutor(os.cpu_count()) as readers, ThreadPoolExecutor(1) as ahead:

            def begin(number: int) -> Future[np.ndarray] | None:
                if number >= len(starts) or not wanted(number):
                    return None
                rows = source.rows[starts[number] : starts[number] + self._size]
                return ahead.submit(self._read, readers, rows)

            coming = begin(0)
            for number, start in enumerate(starts):
                reading, coming = coming, begin(number + 1)
                images = _NONE if reading is None else reading.result()
                yield number, images, source.labels[start : start + self._size]

    def records(self, labels: Sequence[int]) -> tuple[ImageRecord, ...]:
        """Return as `ArrayPieces.records` does."""
        return self.source.records

    def _read(self, readers: ThreadPoolExecutor, rows: np.ndarray) -> np.ndarray:
        store = self.source.store
        chunks = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
        images, readable = zip(*readers.map(store.read, chunks), strict=True)
        pixels = np.concatenate(images).astype("float32")
        pixels[~np.concatenate(readable)] = np.nan
        return pixels


class StreamPieces:
    """Pieces of a `tf.data.Dataset` or `PyDataset`, in its own order.

    Args:
        data: Batches of `(images, labels)`.
        repeatable: Whether to read everything once beforehand, for `count` and `content`.
        size: Images a piece, >= 1.

    Raises:
        ValueError: There are no images, or the second reading differs from the first.

    Example:

    >>> from keras_practical import load_images
    >>> dataset = load_images("digits", verbose=False).validation
    >>> StreamPieces(dataset, repeatable=True).count
    359
    """

    def __init__(self, data: Data, *, repeatable: bool, size: int = PIECE) -> None:
        self._data = data
        self._weights: list[np.ndarray] = []
        self._size = size
        origin = origin_of(data)
        self.class_names: tuple[str, ...] | None = origin.class_names
        self._records = origin.records or ()
        first = next(iter(weighted_batches_of(data, PIECE)[0]), None)
        if first is None or np.ndim(first[0]) != 4:
            raise ValueError(
                "`data` must yield batches of images (batch, height, width, channels) and "
                f"labels. Received: {'nothing' if first is None else np.shape(first[0])}"
            )
        self.shape = np.shape(first[0])[1:]
        self._first = np.asarray(first[0])[:_CHUNK]
        self.count: int | None = None
        self._hashes: list[str] | None = None
        if repeatable:
            read = [(array_hash(images), len(labels)) for _, images, labels in self._regrouped()]
            self._hashes = [digest for digest, _ in read]
            self.count = sum(size for _, size in read)

    def first_images(self) -> np.ndarray:
        """Return as `ArrayPieces.first_images` does."""
        return self._first

    @property
    def content(self) -> str:
        """A hash of all images."""
        return hashlib.sha256(repr(self._hashes).encode()).hexdigest()

    def pieces(self, wanted: Callable[[int], bool]) -> Iterator[Piece]:
        """Yield as `ArrayPieces.pieces` does."""
        for number, images, labels in self._regrouped():
            if self._hashes is not None and (
                number >= len(self._hashes) or array_hash(images) != self._hashes[number]
            ):
                raise ValueError(
                    "The data set gave other images, or another order, when it was read again, "
                    "so they can't be told by a cache. Take out what shuffles or augments, or "
                    "leave `cache_dir` out."
                )
            yield number, images if wanted(number) else images[:0], labels

    def records(self, labels: Sequence[int]) -> tuple[ImageRecord, ...]:
        """Return as `ArrayPieces.records` does, by what is known of where the data come from."""
        # Only if what was read still is as many images with the same labels.
        if [record.label for record in self._records] == list(labels):
            return self._records
        return tuple(ImageRecord(f"image {n}", label) for n, label in enumerate(labels))

    @property
    def sample_weight(self) -> np.ndarray | None:
        """The weights of what was read last, `None` if there were none."""
        return np.concatenate(self._weights) if self._weights else None

    def _regrouped(self) -> Iterator[Piece]:
        number = 0
        self._weights = []
        images: list[np.ndarray] = []
        labels: list[np.ndarray] = []
        for batch, batch_labels, weights in weighted_batches_of(self._data, PIECE)[0]:
            if weights is not None:
                self._weights.append(np.asarray(weights))
            images += list(batch)
            labels += list(batch_labels)
            while len(labels) >= self._size:
                yield number, np.stack(images[: self._size]), np.stack(labels[: self._size])
                number, images, labels = number + 1, images[self._size :], labels[self._size :]
        if labels:
            yield number, np.stack(images), np.stack(labels)


def array_hash(images: np.ndarray) -> str:
    header = repr((images.shape, str(images.dtype))).encode()
    return hashlib.sha256(header + np.ascontiguousarray(images).tobytes()).hexdigest()

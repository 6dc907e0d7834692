"""A model's predictions of images in one reading, and the images themselves when asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_practical.data.batches import batches_of
from keras_practical.data.image_measures import look
from keras_practical.data.image_set import ImageFinder, PixelSource
from keras_practical.data.index import ImageIndex, ImageRecord
from keras_practical.data.pieces import (
    ArrayPieces,
    SourcePieces,
    StreamPieces,
    array_hash,
    pieces_of,
)
from keras_practical.data.pixel_store import PixelStore
from keras_practical.data.plots import as_pixels, range_of

if TYPE_CHECKING:
    from keras_practical.utils.types import Data

__all__ = ["InterpretedImages", "WatchedReading"]

# Images that are in memory at once, twice: those at work and the next.
_PIECE = 64
# Images that are kept from a reading that goes only after them.
_FETCHED_TOGETHER = 128
# Of a hash: enough to tell the images of a data set apart.
_DIGITS = 16


class WatchedReading:
    """The batches of any data of images, in a fixed order; notes on the way what they are like.

    Args:
        data: As in `interpret`.
        batch_size: Images a batch.

    Example:

    >>> reading = WatchedReading((np.zeros((3, 4, 4, 3)), [0, 1, 1]), 2)
    >>> [len(labels) for images, labels in reading]
    [2, 1]
    >>> reading.properties()["brightness"].tolist(), reading.readable.tolist()
    ([0.0, 0.0, 0.0], [True, True, True])
    """

    def __init__(self, data: Data, batch_size: int) -> None:
        self._data = data
        self._batch_size = batch_size
        self.pieces: ArrayPieces | SourcePieces | StreamPieces = pieces_of(
            data, repeatable=False, size=max(batch_size, _PIECE // batch_size * batch_size)
        )
        self._rows: list[dict[str, np.ndarray]] = []
        self._digests: list[str] = []
        self._low, self._high = np.inf, -np.inf

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The names of the classes, as the data have them."""
        return self.pieces.class_names

    def cardinality(self) -> int:
        """Return the number of batches, -2 if unknown; as a `tf.data.Dataset` does."""
        count = self.pieces.count
        return -2 if count is None else -(-count // self._batch_size)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for _, images, labels in self.pieces.pieces(lambda piece: True):
            for start in range(0, len(labels), self._batch_size):
                part = slice(start, start + self._batch_size)
                yield self._noted(images[part]), labels[part]

    def _noted(self, images: np.ndarray) -> np.ndarray:
        readable = ~np.isnan(images[:, 0, 0, 0])
        images = images if readable.all() else np.nan_to_num(images)
        self._rows.append({**look(images), "readable": readable})
        self._low = min(self._low, float(images.min()))
        self._high = max(self._high, float(images.max()))
        if isinstance(self.pieces, StreamPieces):
            self._digests += [array_hash(image)[:_DIGITS] for image in images]
        return images

    @property
    def readable(self) -> np.ndarray:
        """Whether each image could be read, bool of shape `(n,)`."""
        return self._column("readable")

    def properties(self) -> dict[str, np.ndarray]:
        """Return what each image is like, on a scale of 0 to 255."""
        black, white = range_of(self._low, self._high)
        scale = 255.0 / (white - black)
        return {
            "brightness": (self._column("brightness") - black) * scale,
            "contrast": self._column("contrast") * scale,
            "sharpness": self._column("sharpness") * scale,
        }

    def finder(self, index: ImageIndex, records: Sequence[ImageRecord]) -> InterpretedImages:
        """Return what fetches the images of `index`; `records` are all that were read."""
        if isinstance(self.pieces, SourcePieces):
            return InterpretedImages(index, [self.pieces.source])
        images: _Reread | _Converted
        black_white = range_of(self._low, self._high)
        if isinstance(self.pieces, StreamPieces):
            images = _Reread(self._data, self._digests, black_white)
        else:
            images = _Converted(self._data[0], black_white)
        height, width = self.pieces.shape[:2]
        store = PixelStore(images, (height, width), aspect="pad", color_mode="rgb")
        source = PixelSource(
            store,
            np.arange(len(records)),
            np.array([record.label for record in records]),
            tuple(records),
            index.class_names,
            self._batch_size,
        )
        return InterpretedImages(index, [source], images)

    def _column(self, name: str) -> np.ndarray:
        return np.concatenate([row[name] for row in self._rows])


class InterpretedImages(ImageFinder):
    """Fetches images by their names, whatever data they are in; few are kept in memory.

    Where data must be read through again, `expect` says beforehand which images will be asked
    for: they are fetched in one reading, 128 at a time. It may be called from several threads.

    Args:
        index: As in `ImageFinder`.
        sources: As in `ImageFinder`.
        images: What `sources` read from, where that is in a fixed order.

    Example:

    >>> reading = WatchedReading((np.ones((1, 4, 4, 3)), [0]), 2)
    >>> records = (ImageRecord("images[0]", 0),)
    >>> batches = list(reading)
    >>> find = reading.finder(ImageIndex(records, ("a", "b")), records)
    >>> find("images[0]").max()
    np.uint8(255)
    """

    def __init__(
        self, index: ImageIndex, sources: Sequence[PixelSource], images: Any = None
    ) -> None:
        super().__init__(index, sources)
        self._reread = images if isinstance(images, _Reread) else None

    def expect(self, names: Iterable[str]) -> None:
        """Say which images will be asked for next."""
        if self._reread is not None:
            self._reread.expect([self._places[name][1] for name in names])


class _Converted(Sequence[np.ndarray]):
    """An array's images as pixels, one at a time."""

    def __init__(self, images: Any, black_white: tuple[float, float]) -> None:
        self._images = images
        self._black_white = black_white

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: Any) -> Any:
        return as_pixels(np.asarray(self._images[index]), self._black_white)


class _Reread(Sequence[np.ndarray]):
    """The images of a data set, found again by what they look like, so that it may be shuffled.

    Args:
        data: The data set.
        digests: Of each of its images, in the order of the first reading.
        black_white: The values that stand for black and for white.
    """

    def __init__(
        self, data: Data, digests: Sequence[str], black_white: tuple[float, float]
    ) -> None:
        self._data = data
        self._digests = digests
        self._black_white = black_white
        self._expected: list[int] = []
        self._kept: dict[int, np.ndarray] = {}
        self._before: dict[int, np.ndarray] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._digests)

    def expect(self, indexes: Iterable[int]) -> None:
        self._expected = list(indexes)

    def __getitem__(self, index: Any) -> Any:
        # Threads may ask for images of one reading together, and for the last of the one before.
        with self._lock:
            if index not in self._kept and index not in self._before:
                start = self._expected.index(index) if index in self._expected else 0
                coming = self._expected[start : start + _FETCHED_TOGETHER]
                self._before, self._kept = self._kept, self._found({int(index), *coming})
            return self._kept[index] if index in self._kept else self._before[index]

    def _found(self, indexes: set[int]) -> dict[int, np.ndarray]:
        wanted: dict[str, list[int]] = {}
        for index in indexes:
            wanted.setdefault(self._digests[index], []).append(index)
        found: dict[int, np.ndarray] = {}
        for images, _ in batches_of(self._data, len(self))[0]:
            for image in images:
                for index in wanted.pop(array_hash(image)[:_DIGITS], ()):
                    found[index] = as_pixels(image, self._black_white)
            if not wanted:
                return found
        raise ValueError(
            "The data set gave other images when it was read again, so those that were "
            "interpreted can't be shown. Take out what augments them at random, or pass arrays or "
            "data that can be read more than once."
        )

"""What a person should look at, and where its picture is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_practical._validation import ImageSize
from keras_practical.index import ImageIndex
from keras_practical.pixels import PixelSource, PixelStore

__all__ = ["PictureFinder", "ReviewItem"]


@dataclass(frozen=True, kw_only=True)
class ReviewItem:
    """One picture that a person should decide on.

    Attributes:
        name: The picture's name in its index.
        finding: What kind of fault it may have, such as `"near duplicate"`.
        evidence: Why, in a sentence.
        label: The class that it has.
        split: The part of the data that it is in.
        suggestion: The class that it may belong to, if another.
        confidence: How sure that is, in [0, 1], if known.
        others: Names of the pictures to look at beside it, such as its duplicates.

    Example:

    >>> item = ReviewItem(name="a.jpg", finding="blurred", evidence="sharpness 3", label="cats")
    >>> item.split, item.suggestion
    ('train', None)
    """

    name: str
    finding: str
    evidence: str
    label: str
    split: str = "train"
    suggestion: str | None = None
    confidence: float | None = None
    others: tuple[str, ...] = ()


class PictureFinder:
    """Fetches pictures by their names, one at a time: none is kept in memory.

    Args:
        index: The pictures; where they aren't in `sources`, their names are files' paths.
        sources: What stands behind data sets of `load_images` (their attribute `source`).

    Example:

    >>> from keras_practical.data import load_images
    >>> digits = load_images("digits", verbose=False)
    >>> find = PictureFinder(digits.index, [digits.train.source, digits.validation.source])
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
        """Return a picture, upright, uint8 of shape `(height, width, channels)`.

        Args:
            name: Its name in the index.
            image_size: Pixels; the whole picture is shown, with borders. Default: its own size.

        Returns:
            The picture; `None` if it can't be read.
        """
        store, row = self._places.get(name) or (_file(name), 0)
        return store.picture(row, image_size=image_size)


def _file(name: str) -> PixelStore:
    return PixelStore([Path(name)], (1, 1), aspect="pad", color_mode="rgb")

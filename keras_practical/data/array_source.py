"""Images that are arrays already, listed as those of files are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_practical.data.folders import SPLIT_NAMES
from keras_practical.data.reading import check_range
from keras_practical.data.sources import Listing, decided, too_few_classes

if TYPE_CHECKING:
    from keras_practical.utils.types import Arrays

__all__ = ["from_arrays"]


def from_arrays(
    arrays: Arrays | Mapping[str, Arrays],
    *,
    class_names: Sequence[str] | None = None,
) -> Listing:
    """List the images of `(images, labels)`, or of a mapping from split to such pairs.

    Args:
        arrays: Images of shape `(n, height, width)`, `(n, height, width, 1)` or
            `(n, height, width, 3)` with values in [0, 255], and `n` integer labels.
        class_names: One name a class. Default: `"0"`, `"1"`, ...

    Returns:
        The listing, in the arrays' order.

    Raises:
        ValueError: A shape, a label or the range of the values is wrong.

    Example:

    >>> listing = from_arrays((np.zeros((3, 8, 8)), [0, 1, 0]))
    >>> listing.class_names, listing.native_size
    (('0', '1'), (8, 8))
    """
    parts: dict[str | None, tuple[Any, Any]] = {}
    if isinstance(arrays, Mapping):
        parts = {decided(name, arrays): pair for name, pair in arrays.items()}
    else:
        parts = {None: arrays}
    if isinstance(arrays, Mapping) and not {"train"} <= set(arrays) <= set(SPLIT_NAMES.values()):
        raise ValueError(
            "Arrays given by split need a 'train' pair and may have 'validation' and 'test'. "
            f"Received: {list(arrays)}"
        )
    images: list[Any] = []
    names: list[str] = []
    labels: list[int] = []
    splits: list[str | None] = []
    for part, pair in parts.items():
        where = part or "images"
        part_images, part_labels = _pair_of_arrays(where, pair)
        _check_arrays(where, part_images, part_labels)
        images += list(part_images)
        names += [f"{where}[{position}]" for position in range(len(part_images))]
        labels += part_labels.tolist()
        splits += [part] * len(part_images)
    found = sorted(set(labels))
    named = tuple(class_names or (str(label) for label in range(found[-1] + 1)))
    if len(named) < 2:
        raise ValueError(too_few_classes("The labels", named))
    missing = [label for label in range(len(named)) if label not in found]
    if missing or found[-1] >= len(named):
        raise ValueError(
            f"Labels must be whole numbers from 0 to {len(named) - 1}, every one of them used. "
            f"Received: labels {found} for {len(named)} classes"
        )
    return Listing(images, names, labels, splits, named, images[0].shape[:2])


def _pair_of_arrays(where: str, pair: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return `(images, labels)` as arrays."""
    try:
        images, labels = pair
        return np.asarray(images), np.asarray(labels)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{where}: give one (images, labels) pair, all images of one size, or a mapping such "
            "as {'train': (images, labels), 'test': (images, labels)}."
        ) from error


def _check_arrays(where: str, images: np.ndarray, labels: np.ndarray) -> None:
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3)):
        raise ValueError(
            f"{where}: images must be of shape (n, height, width), (n, height, width, 1) or "
            f"(n, height, width, 3). Received: shape {images.shape}"
        )
    if len(images) == 0 or labels.shape != (len(images),):
        raise ValueError(
            f"{where}: there must be one label for each of at least one image. "
            f"Received: {len(images)} images, labels of shape {labels.shape}"
        )
    if labels.dtype.kind not in "iu" or labels.min() < 0:
        raise ValueError(
            f"{where}: labels must be whole numbers >= 0, not {labels.dtype} "
            f"{labels.reshape(-1)[:3].tolist()}... For one-hot labels, pass labels.argmax(axis=1)."
        )
    try:
        check_range(images)
    except ValueError as error:
        raise ValueError(f"{where}: {error}.") from error

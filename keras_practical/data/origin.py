"""What is known of a data set, also after `.map`, `.cache`, `.prefetch` and the like."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keras_practical.data.image_set import PixelSource
from keras_practical.data.index import ImageRecord
from keras_practical.data.order import EpochOrder

if TYPE_CHECKING:
    from keras_practical.utils.types import Data

# Transformations of `tf.data` after which the elements are the very same, in the same order.
_SAME_ELEMENTS = {"AssertCardinality", "Cache", "Options", "Prefetch"}
# Those that make one element of one element.
_ONE_TO_ONE = {"Map", "ParallelMap"}


@dataclass(frozen=True, kw_only=True)
class DataOrigin:
    """What `load_images`, `load_volumes` or Keras's own loaders said of a data set.

    Attributes:
        class_names: One name a class; `None` if unknown, or if several origins disagree.
        orders: What draws the order of each epoch, one for each shuffled data set behind this one.
        source: The images themselves. `None` where the data set's elements may differ from them,
            as after `.map`.
        records: What is known of each image, in the order of reading. `None` where that order
            isn't known: after shuffling, or after anything that leaves out, repeats or regroups
            elements.
    """

    class_names: tuple[str, ...] | None = None
    orders: tuple[EpochOrder, ...] = ()
    source: PixelSource | None = None
    records: tuple[ImageRecord, ...] | None = None


def origin_of(data: Data) -> DataOrigin:
    """Return what is known of `data`, walking up through what it was made from.

    Args:
        data: Anything that `fit` takes, or a `PixelSource` itself.

    Returns:
        A `DataOrigin`, of which everything is `None` for data of unknown origin.

    Example:

    >>> from keras_practical import load_images
    >>> digits = load_images("digits", verbose=False)
    >>> scaled = digits.train.map(lambda images, labels: (images / 255, labels)).prefetch(2)
    >>> found = origin_of(scaled)
    >>> found.class_names[:3], len(found.orders), found.source
    (('0', '1', '2'), 1, None)
    """
    if isinstance(data, PixelSource):
        return DataOrigin(class_names=data.class_names, source=data, records=data.records)
    exact, in_order = True, True
    step = data
    while (source := _own(step, "source", PixelSource)) is None:
        inputs = _inputs(step)
        kind = type(step).__name__.strip("_").removesuffix("Dataset")
        if len(inputs) != 1 or kind not in _SAME_ELEMENTS | _ONE_TO_ONE:
            in_order = False
            break
        exact = exact and kind in _SAME_ELEMENTS
        [step] = inputs
    names, orders = set(), {}
    for step in _upstream(data):
        known = getattr(step, "class_names", None)
        if known:
            names.add(tuple(map(str, known)))
        order = _order(step)
        if order is not None:
            orders[id(order)] = order
    return DataOrigin(
        class_names=names.pop() if len(names) == 1 else None,
        orders=tuple(orders.values()),
        source=source if in_order and exact else None,
        records=source.records if source is not None and in_order and not orders else None,
    )


def groups_in_order(data: Data, n: int) -> list[str | None] | None:
    """Return the group of each example in the order of reading; `None` if none is known.

    Args:
        data: As in `origin_of`.
        n: How many examples were read.

    Returns:
        What each image belongs to, such as its patient; `None` for an image of which it's unknown.

    Warns:
        UserWarning: Groups were given to `load_images`, but in which order the images come isn't
            known any more.

    Example:

    >>> from keras_practical import load_images
    >>> digits = load_images("digits", groups=lambda record: record.name[-2], verbose=False)
    >>> groups = groups_in_order(digits.validation, len(digits.validation.source))
    >>> len(groups) == len(digits.validation.source), len(set(groups)) < 10
    (True, True)
    """
    records = origin_of(data).records
    if records is not None and len(records) == n:
        groups = [record.group for record in records]
        return None if all(group is None for group in groups) else groups
    sources = (_own(step, "source", PixelSource) for step in _upstream(data))
    if any(record.group is not None for source in sources if source for record in source.records):
        warnings.warn(
            "The images belong to groups, but in which order they come isn't known (after "
            "shuffling, or where some are left out or repeated). Each image counts as "
            "independent of all others, and intervals are too narrow: give unshuffled data, or "
            "`groups`, one value an example.",
            stacklevel=3,
        )
    return None


def _upstream(data: Data) -> Iterator[Any]:
    """Yield a data set and all that it was made from, nearest first."""
    waiting, seen = [data], set()
    while waiting:
        step = waiting.pop(0)
        if id(step) not in seen:
            seen.add(id(step))
            yield step
            waiting += _inputs(step)


def _inputs(step: Any) -> list[Any]:
    """Return the data sets that one of `tf.data` reads from."""
    if not hasattr(step, "element_spec"):
        return []
    # The strategies of `tf.distribute` keep what they were given under this name.
    original = getattr(step, "_original_dataset", None)
    if original is not None:
        return [original]
    inputs = getattr(step, "_inputs", None)
    return list(inputs()) if callable(inputs) else []


def _own(step: Any, name: str, kind: type) -> Any:
    value = getattr(step, name, None)
    return value if isinstance(value, kind) else None


def _order(step: Any) -> EpochOrder | None:
    source = _own(step, "source", PixelSource)
    return source.order if source is not None else _own(step, "epoch_order", EpochOrder)

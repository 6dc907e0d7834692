"""Any kind of data as batches of numpy arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_practical.data.order import EpochOrder
from keras_practical.data.origin import origin_of

if TYPE_CHECKING:
    from keras_practical.utils.types import Data

# What `tf.data` says of the number of batches.
_ENDLESS, _UNKNOWN = -1, -2


def batches_of(data: Data, batch_size: int) -> tuple[Iterator[tuple[Any, Any]], int | None]:
    """Return an iterator over `(inputs, labels)` batches of arrays, and how many there are.

    `batch_size` counts for arrays only; how many there are may be unknown (`None`).
    """
    if isinstance(data, tuple | list) and len(data) == 3:
        raise ValueError(
            "`data` must be a pair (inputs, labels): sample weights wouldn't count here. "
            "Received: 3 elements"
        )
    triples, count = weighted_batches_of(data, batch_size)
    return ((inputs, labels) for inputs, labels, _ in triples), count


def weighted_batches_of(
    data: Data, batch_size: int
) -> tuple[Iterator[tuple[Any, Any, Any]], int | None]:
    """Return as `batches_of` does, with each batch's sample weights, `None` if there are none."""
    if isinstance(data, tuple | list):
        if len(data) not in (2, 3):
            raise ValueError(
                "`data` must be a pair (inputs, labels), perhaps with sample weights as a third. "
                f"Received: {len(data)} elements"
            )
        arrays = [np.asarray(part) for part in data]
        starts = range(0, len(arrays[1]), batch_size)
        parts = (tuple(array[i : i + batch_size] for array in arrays) for i in starts)
        return (_tripled(part) for part in parts), len(starts)
    if isinstance(data, keras.utils.PyDataset):
        batches = (data[number] for number in range(len(data)))
        return (_tripled(batch) for batch in batches), len(data)
    if hasattr(data, "validation") and hasattr(data, "class_names"):
        raise ValueError(
            "This is all that a loader returned: pass one of its data sets, such as "
            f"`data.validation`. Received: {type(data).__name__}"
        )
    cardinality = getattr(data, "cardinality", None)
    count = int(cardinality()) if cardinality else _UNKNOWN
    if count == _ENDLESS:
        raise ValueError(
            "`data` repeats without end. Leave `.repeat()` out, or say how many batches count: "
            "`data.take(batches)`."
        )
    return (_tripled(_batch(part)) for part in data), None if count == _UNKNOWN else count


def _batch(part: Any) -> tuple[Any, ...]:
    batch = tuple(map(_array, part))
    if len(batch) > 1 and isinstance(batch[1], np.ndarray) and not batch[1].ndim:
        raise ValueError("`data` gives single examples. Batch them: `data.batch(32)`.")
    return batch


def _tripled(batch: Any) -> tuple[Any, Any, Any]:
    return batch[0], batch[1], batch[2] if len(batch) > 2 else None


def fit_arguments(data: Data) -> dict[str, Any]:
    """Return data as arguments of `fit`: `x`, `y`, `sample_weight` and whether to shuffle.

    Args:
        data: A tuple or list of arrays, a `PyDataset`, or any other data set.

    Returns:
        Keyword arguments. Data with an order of their own, as `load_images` makes, aren't shuffled
        again: Keras warns of every data set that it is told to shuffle and can't.

    Example:

    >>> sorted(fit_arguments((np.zeros(3), np.zeros(3))))
    ['shuffle', 'x', 'y']
    """
    if isinstance(data, tuple | list):
        return {**dict(zip(("x", "y", "sample_weight"), data, strict=False)), "shuffle": True}
    ordered = bool(origin_of(data).orders)
    return {"x": data, "shuffle": isinstance(data, keras.utils.PyDataset) and not ordered}


class ShuffledBatches(keras.utils.PyDataset):
    """Batches of arrays in a new order each epoch, whatever the global random generators say.

    Use it instead of giving `fit` the arrays, whose order comes from the global generators.

    Args:
        inputs: Array of shape `(n, ...)`.
        labels: Array of shape `(n, ...)`.
        batch_size: Examples a batch, >= 1.
        order: Draws the order of each epoch.
        sample_weight: One number an example, if they count differently.

    Example:

    >>> batches = ShuffledBatches(np.arange(3), np.arange(3), 2, EpochOrder(3, seed=0))
    >>> [labels.tolist() for _, labels in (batches[0], batches[1])]
    [[0, 2], [1]]
    """

    def __init__(
        self,
        inputs: np.ndarray,
        labels: np.ndarray,
        batch_size: int,
        order: EpochOrder,
        *,
        sample_weight: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        given = (inputs, labels, sample_weight)
        self._arrays = tuple(array for array in given if array is not None)
        self._batch_size = batch_size
        self.epoch_order = order

    def __len__(self) -> int:
        return -(-len(self._arrays[0]) // self._batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        """Return a batch of inputs and labels, with weights if there are any."""
        start = index * self._batch_size
        rows = self.epoch_order.current()[start : start + self._batch_size]
        return tuple(array[rows] for array in self._arrays)

    def on_epoch_end(self) -> None:
        """Go on to the next epoch's order."""
        self.epoch_order.set_epoch(self.epoch_order.epoch + 1)


def pad(batch: Any, size: int) -> Any:
    """Repeat the last example of a short batch until it has `size`.

    A last batch of another size would make the backend compile the model again.
    """

    def repeat(values: np.ndarray) -> np.ndarray:
        missing = size - len(values)
        return np.concatenate([values, np.repeat(values[-1:], missing, 0)]) if missing else values

    return keras.tree.map_structure(repeat, batch)


def _array(value: Any) -> Any:
    """Return numpy arrays, also inside a dictionary or a list of inputs."""
    return keras.tree.map_structure(np.asarray, value)

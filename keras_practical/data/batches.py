"""Any kind of data as batches of numpy arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np


def batches_of(data: Any, batch_size: int) -> tuple[Iterator[tuple[Any, Any]], int | None]:
    """Return an iterator over `(inputs, labels)` batches of arrays, and how many there are.

    `batch_size` counts for arrays only; how many there are may be unknown (`None`).
    """
    if isinstance(data, tuple | list):
        if len(data) != 2:
            raise ValueError(
                f"`data` must be a pair (inputs, labels). Received: {len(data)} elements"
            )
        inputs, labels = (np.asarray(part) for part in data)
        starts = range(0, len(labels), batch_size)
        pairs = ((inputs[i : i + batch_size], labels[i : i + batch_size]) for i in starts)
        return pairs, len(starts)
    if isinstance(data, keras.utils.PyDataset):
        batches = (data[number] for number in range(len(data)))
        return ((batch[0], batch[1]) for batch in batches), len(data)
    cardinality = getattr(data, "cardinality", None)
    count = int(cardinality()) if cardinality else -1
    return ((_array(batch[0]), _array(batch[1])) for batch in data), count if count >= 0 else None


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

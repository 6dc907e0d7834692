"""Which examples belong together: the one place that answers, for splits and for intervals."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from keras_practical.data.index import ImageRecord

__all__ = ["group_numbers"]


def group_numbers(
    groups: Sequence[Hashable] | np.ndarray | Callable[[ImageRecord], Hashable] | None,
    n: int,
    *,
    index: Sequence[ImageRecord] = (),
) -> np.ndarray | None:
    """Return the number of each example's group, or `None` if each stands by itself.

    Args:
        groups: One value an example, or a function from its `ImageRecord` to one. Default: what
            `index` knows. An example of which it is `None` stands by itself.
        n: Number of examples.
        index: What is known of each example.

    Returns:
        Integers of shape `(n,)`; `None` if there are no groups, or none with more than one member.

    Raises:
        ValueError: There isn't one value for each example.

    Example:

    >>> group_numbers(["ann", "bob", None, "ann"], 4).tolist()
    [0, 1, 2, 0]
    """
    if groups is None:
        groups = [record.group for record in index]
        if all(group is None for group in groups):
            return None
    elif callable(groups):
        groups = [groups(record) for record in index]
    named = list(groups)
    if len(named) != n:
        raise ValueError(f"`groups` must have one value an example. Received: {len(named)} for {n}")
    numbers: dict[Any, int] = {}
    for place, name in enumerate(named):
        numbers.setdefault(_key(name, place), len(numbers))
    found = np.array([numbers[_key(name, place)] for place, name in enumerate(named)])
    return found if len(numbers) < n else None


def _key(name: Any, place: int) -> Any:
    """Return what stands for a group: itself, or for an example without one, its place."""
    unknown = name is None or name != name
    return (place,) if unknown else str(name)

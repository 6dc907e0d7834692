"""Argument checks and their error texts: first the rule, then what came."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_practical.utils.types import Augmentation

ImageSize = int | tuple[int, int]
Range = float | tuple[float, float]


def check_positive(name: str, value: Any) -> None:
    """Raise `ValueError` unless `value` is a finite number above zero."""
    if not _is_number(value) or value <= 0:
        raise ValueError(f"`{name}` must be a number > 0. Received: {name}={value!r}")


def check_count(name: str, value: Any, *, minimum: int = 1) -> None:
    """Raise `ValueError` unless `value` is a whole number of at least `minimum`."""
    if not _is_whole(value) or value < minimum:
        raise ValueError(
            f"`{name}` must be a whole number >= {minimum}. Received: {name}={value!r}"
        )


def check_between(name: str, value: Any, low: float, high: float) -> None:
    """Raise `ValueError` unless `low <= value <= high`."""
    if not _is_number(value) or not low <= value <= high:
        raise ValueError(
            f"`{name}` must be a number from {low:g} to {high:g}. Received: {name}={value!r}"
        )


def check_choice(name: str, value: Any, choices: Iterable[Any]) -> None:
    """Raise `ValueError` unless `value` is one of `choices`."""
    choices = list(choices)
    if value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"`{name}` must be one of {listed}. Received: {name}={value!r}")


def check_image_size(name: str, value: Any) -> tuple[int, int]:
    """Return `value`, a whole number or a pair of them, as `(height, width)` in pixels."""
    pair = value if isinstance(value, tuple | list) else (value, value)
    if len(pair) != 2 or not all(_is_whole(side) and side >= 1 for side in pair):
        raise ValueError(
            f"`{name}` must be a whole number of pixels or a (height, width) pair of them, "
            f"each >= 1. Received: {name}={value!r}"
        )
    return (int(pair[0]), int(pair[1]))


def check_range(
    name: str, value: Any, low: float, high: float, *, middle: float = 0.0
) -> tuple[float, float]:
    """Return `value`, a pair or a number `n` for `middle` - n to `middle` + n, as a pair."""
    pair = value if isinstance(value, tuple | list) else None
    if pair is None and _is_number(value):
        pair = (middle - abs(value), middle + abs(value))
    if (
        pair is None
        or len(pair) != 2
        or not all(_is_number(end) and low <= end <= high for end in pair)
        or pair[0] > pair[1]
    ):
        raise ValueError(
            f"`{name}` must be a number or a (low, high) pair, within {low:g} to {high:g}. "
            f"Received: {name}={value!r}"
        )
    return (float(pair[0]), float(pair[1]))


def check_probability(value: Any, names: Sequence[str]) -> dict[str, float]:
    """Return `value`, one probability or a mapping from some of `names`, as a mapping from all."""
    given = value if isinstance(value, Mapping) else dict.fromkeys(names, value)
    for name, chance in given.items():
        check_choice("probability", name, names)
        check_between("probability", chance, 0.0, 1.0)
    return {name: float(given.get(name, 1.0)) for name in names}


def as_layers(augmentation: Augmentation) -> list[Any]:
    """Return `augmentation`, a layer, a list of them or `None`, as a list."""
    if augmentation is None:
        return []
    return list(augmentation) if isinstance(augmentation, list | tuple) else [augmentation]


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)

"""Argument checks and their error texts: first the rule, then what came."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

ImageSize = int | tuple[int, int]


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


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)

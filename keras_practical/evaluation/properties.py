"""Accuracy by what images are like: dark, small, turned, blurred."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from keras_practical.utils.checks import check_count
from keras_practical.utils.intervals import independent_examples, wilson_bounds

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["AccuracyByProperty", "PropertyBin", "accuracy_by_property"]

_DRAWS = 5000
_UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class PropertyBin:
    """The images that are alike in a property, and how many of them a model gets right.

    Attributes:
        name: What they are like, such as `"12 to 68"`.
        right: How many are right.
        n: How many there are.
        independent: As how many independent ones they count, where they come in groups; `None` as
            all of them.

    Example:

    >>> found = PropertyBin(name="12 to 68", right=9, n=10)
    >>> found.accuracy, round(found.interval[0], 2)
    (0.9, 0.6)
    """

    name: str
    right: int
    n: int
    independent: float | None = None

    def __str__(self) -> str:
        return f"{self.name}: {self.right} of {self.n} right"

    @property
    def accuracy(self) -> float:
        """Part that is right, in [0, 1]."""
        return self.right / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the accuracy, with groups of as many independent images."""
        return wilson_bounds(self.accuracy, self.independent or self.n)


@dataclass(frozen=True, kw_only=True)
class AccuracyByProperty:
    """A model's accuracy on images sorted by one property; prints as a table.

    Attributes:
        property: What they were sorted by, such as `"brightness"`.
        bins: From the lowest values to the highest; texts by how frequent they are.
        p_value: How often chance alone spreads as many errors at least as unevenly.

    Example:

    >>> print(accuracy_by_property("side", [10.0] * 5 + [99.0] * 5, [False] * 5 + [True] * 5))
    side (p = 0.0...)
      10    0.000 (0.000–0.434), n=5
      99    1.000 (0.566–1.000), n=5
    """

    property: str
    bins: tuple[PropertyBin, ...]
    p_value: float

    def __str__(self) -> str:
        chance = "p < 0.001" if self.p_value < 0.001 else f"p = {self.p_value:.3f}"
        width = max(len(bin_.name) for bin_ in self.bins)
        rows = [
            f"  {bin_.name:<{width}}    {bin_.accuracy:.3f} "
            f"({bin_.interval[0]:.3f}–{bin_.interval[1]:.3f}), n={bin_.n:,}"
            for bin_ in self.bins
        ]
        return "\n".join([f"{self.property} ({chance})", *rows])


def accuracy_by_property(
    name: str,
    values: npt.ArrayLike,
    right: npt.ArrayLike,
    *,
    bins: int = 4,
    groups: np.ndarray | None = None,
    seed: int = 0,
) -> AccuracyByProperty:
    """Sort images by a property and measure a model's accuracy in each part.

    Args:
        name: The property's name.
        values: One number or text an image; NaN for unknown.
        right: Whether the model is right, bool of shape `(n,)`.
        bins: Parts of about equal size that numbers are sorted into, >= 1; fewer where many are
            the same. Each text is a part of its own.
        groups: The number of each image's group, such as its patient: intervals and p-value then
            allow for how alike a group's images are. Default: every image by itself.
        seed: Decides the draws behind the p-value.

    Returns:
        An `AccuracyByProperty`.

    Raises:
        ValueError: There isn't one value for each of at least one image.

    Example:

    >>> found = accuracy_by_property("camera", ["A", "B", "A"], [True, True, False])
    >>> [(part.name, part.right, part.n) for part in found.bins]
    [('A', 1, 2), ('B', 1, 1)]
    """
    check_count("bins", bins)
    values, right = np.asarray(values), np.asarray(right, bool)
    if values.shape != right.shape or values.ndim != 1 or not len(values):
        raise ValueError(
            f"There must be one value of {name!r} for each of at least one image. Received: "
            f"shape {values.shape} for {len(right)} images"
        )
    numbers = values.dtype.kind in "iuf"
    parts = _numbers(values.astype("float64"), bins) if numbers else _texts(values)
    share = independent_examples(right, groups) / len(right)

    def bin_of(part: str, inside: np.ndarray) -> PropertyBin:
        n = int(inside.sum())
        independent = None if groups is None else max(1.0, share * n)
        return PropertyBin(name=part, right=int(right[inside].sum()), n=n, independent=independent)

    found = tuple(bin_of(part, inside) for part, inside in parts)
    return AccuracyByProperty(property=name, bins=found, p_value=_p_value(found, share, seed))


def _numbers(values: np.ndarray, bins: int) -> list[tuple[str, np.ndarray]]:
    known = values[np.isfinite(values)]
    levels = np.unique(known)
    # Where few values are possible, each is a part; otherwise parts of equal size.
    if len(levels) <= bins:
        starts = levels
    else:
        starts = np.unique(np.sort(known)[np.arange(bins) * len(known) // bins])
    parts = []
    for index, start in enumerate(starts):
        inside = values >= start
        if index + 1 < len(starts):
            inside &= values < starts[index + 1]
        low, high = values[inside].min(), values[inside].max()
        name = _written(low) if low == high else f"{_written(low)} to {_written(high)}"
        parts.append((name, inside))
    unknown = ~np.isfinite(values)
    return parts + [(_UNKNOWN, unknown)] * bool(unknown.any())


def _written(value: float) -> str:
    """Return a number in three digits, or whole."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _texts(values: np.ndarray) -> list[tuple[str, np.ndarray]]:
    names, counts = np.unique(values.astype(str), return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return [(str(names[i]), values.astype(str) == names[i]) for i in order]


def _p_value(bins: Sequence[PropertyBin], share: float, seed: int) -> float:
    """Return how often errors that don't care for the property are spread as unevenly.

    An exact question (how many of all errors fall into each part) answered by drawing: with few
    errors the chi-squared distribution would be far off. `share` is the part of the images that
    count as independent ones: the fewer, the more unevenness chance brings.
    """
    sizes = np.array([part.n for part in bins])
    wrong = sizes - np.array([part.right for part in bins])
    if len(bins) < 2 or wrong.sum() in (0, sizes.sum()):
        return 1.0
    expected = wrong.sum() * sizes / sizes.sum()

    def unevenness(errors: np.ndarray) -> np.ndarray:
        return ((errors - expected) ** 2 / expected).sum(-1)

    rng = np.random.default_rng(seed)
    drawn = rng.multivariate_hypergeometric(sizes, int(wrong.sum()), _DRAWS, method="marginals")
    # As counts of what was drawn: the case at hand is one of them, so that it's never 0.
    beyond = (unevenness(drawn) >= share * unevenness(wrong) - 1e-9).sum()
    return float((beyond + 1) / (_DRAWS + 1))

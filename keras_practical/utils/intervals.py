"""Intervals: what a number measured on so many examples says of the true one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from keras_practical.utils.checks import check_between, check_count

__all__ = [
    "auc_interval",
    "confusion_interval",
    "difference_interval",
    "independent_examples",
    "mean_interval",
    "proportion_interval",
    "wilson_interval",
]

Interval = tuple[float, float]

_DRAWS = 2000
# 95 % of a normal distribution lie within so many deviations.
_Z = 1.959963984540054
# How alike the members of a group may be: the part of the variance that lies between groups.
_LIKENESSES = (np.arange(16) + 0.5) / 16


def wilson_interval(successes: int, n: int, *, confidence: float = 0.95) -> Interval:
    """Return the Wilson score interval of a proportion, such as an accuracy.

    Use it for any "k of n" number. Unlike the textbook's `p ± 1.96 sqrt(p (1 - p) / n)` it is
    right for few examples and for proportions near 0 and 1.

    Args:
        successes: How many came out well, from 0 to `n`.
        n: How many there were, >= 1.
        confidence: How often such intervals hold the true proportion, in [0.5, 0.9999].

    Returns:
        The lower and the upper bound, in [0, 1].

    Raises:
        ValueError: An argument is outside its range.

    Example:

    >>> [round(bound, 3) for bound in wilson_interval(984, 1000)]
    [0.974, 0.99]

    Reference:
        Wilson, *Probable inference, the law of succession, and statistical inference* (1927);
        computed by `scipy.stats.binomtest(...).proportion_ci(method="wilson")`.
    """
    check_count("n", n)
    check_between("successes", successes, 0, n)
    check_between("confidence", confidence, 0.5, 0.9999)
    from scipy.stats import binomtest

    bounds = binomtest(int(successes), n).proportion_ci(confidence, method="wilson")
    return float(bounds.low), float(bounds.high)


def proportion_interval(values: np.ndarray, *, groups: np.ndarray | None = None) -> Interval:
    """Return a 95 % interval of a proportion, also where examples come in groups.

    Use it when several images show the same patient, plant or place: 40 images of 8 patients say
    less than 40 patients would, how much less depends on how alike a patient's images are.

    Args:
        values: For each example how well it came out, from 0 to 1, of shape `(n,)`: 1 for right, 0
            for wrong, or the part of several tries.
        groups: The number of each example's group, of shape `(n,)`. Default: every example by
            itself, and the interval is Wilson's.

    Returns:
        The lower and the upper bound, in [0, 1].

    Raises:
        ValueError: There are no values, one is outside [0, 1], or there isn't one group for each.

    Example:

    >>> right = np.ones(40)
    >>> [round(bound, 2) for bound in proportion_interval(right)]
    [0.91, 1.0]
    >>> [round(bound, 2) for bound in proportion_interval(right, groups=np.arange(40) // 5)]
    [0.75, 1.0]

    Reference:
        With groups, the proportion of a beta-binomial model, with all proportions and all
        likenesses within groups equally probable beforehand (Young-Xu & Chan, *Pooling
        overdispersed binomial data to estimate event rate*, BMC Medical Research Methodology 8,
        2008). How often it holds the truth: `benchmarks/interval_coverage.py`.
    """
    values = _checked(values, groups)
    mean = float(values.mean())
    if groups is None:
        return wilson_bounds(mean, len(values))
    angles, weights = _posterior(values, groups)
    middles = np.cumsum(weights) - weights / 2
    low, high = np.sin(np.interp([0.025, 0.975], middles, angles)) ** 2
    # Where all are right, 1 itself is the likeliest.
    return float(min(low, mean)), float(max(high, mean))


def independent_examples(values: np.ndarray, groups: np.ndarray | None) -> float:
    """Return as many independent examples as would tell a proportion as surely as these do.

    Args:
        values: As in `proportion_interval`.
        groups: As there.

    Returns:
        A number from 1 to `n`; `n` without groups.

    Raises:
        ValueError: As in `proportion_interval`.

    Example:

    >>> half = np.tile([1.0, 0.0], 20)
    >>> independent_examples(half, None)
    40.0
    >>> round(independent_examples(np.sort(half), np.arange(40) // 5))
    8
    """
    values = _checked(values, groups)
    if groups is None:
        return float(len(values))
    angles, weights = _posterior(values, groups)
    shares = np.sin(angles) ** 2
    mean = float(weights @ shares)
    variance = float(weights @ (shares - mean) ** 2)
    # The variance of a beta distribution with as many right and wrong ones, and one more of each.
    return float(np.clip(mean * (1 - mean) / variance - 3, 1.0, len(values)))


def wilson_bounds(share: float, n: float) -> Interval:
    """Return Wilson's 95 % interval of a share of `n` examples, neither of them whole.

    Example:

    >>> [round(bound, 3) for bound in wilson_bounds(0.984, 1000.0)]
    [0.974, 0.99]
    """
    square = _Z**2 / n
    middle = (share + square / 2) / (1 + square)
    half = (share * (1 - share) * square + square**2 / 4) ** 0.5 / (1 + square)
    return max(0.0, middle - half), min(1.0, middle + half)


def _checked(values: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    values = np.asarray(values, "float64")
    if values.ndim != 1 or not len(values) or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(
            "`values` must be at least one number from 0 to 1 in a row. "
            f"Received: shape {values.shape}"
        )
    if groups is not None and np.shape(groups) != values.shape:
        raise ValueError(
            "`groups` must have one number for each value. "
            f"Received: shapes {np.shape(groups)} and {values.shape}"
        )
    return values


def _posterior(values: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the arcsines of proportions and how probable each is, given sums over groups."""
    _, numbers = np.unique(groups, return_inverse=True)
    sums, sizes = np.bincount(numbers, values), np.bincount(numbers).astype("float64")
    kinds, times = np.unique(np.stack([sums, sizes]), axis=1, return_counts=True)
    ends = (0.0, np.pi / 2)
    # First where the proportion may be at all, then finely there.
    for _ in range(2):
        edges = np.linspace(*ends, 161)
        angles = (edges[1:] + edges[:-1]) / 2
        weights = _likelihood(np.sin(angles) ** 2, kinds, times) * np.sin(2 * angles)
        weights /= weights.sum()
        likely = np.flatnonzero(weights > 1e-7)
        ends = (edges[likely[0]], edges[likely[-1] + 1])
    return angles, weights


def _likelihood(shares: np.ndarray, kinds: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return how probable sums over groups are for each proportion, over all likenesses."""
    from scipy.special import betaln

    strength = (1 - _LIKENESSES) / _LIKENESSES
    right = shares[:, None] * strength
    wrong = (1 - shares)[:, None] * strength
    logs = -times.sum() * betaln(right, wrong)
    for hit, size, count in zip(*kinds, times, strict=True):
        logs += count * betaln(right + hit, wrong + size - hit)
    return np.exp(logs - logs.max()).sum(1)


def difference_interval(
    only_first: float, only_second: float, n: float, *, deviations: float = _Z
) -> Interval:
    """Return a 95 % interval of how much more often the second of two is right, on one set.

    Args:
        only_first: How many examples only the first gets right, >= 0.
        only_second: How many only the second gets right, >= 0.
        n: How many examples there are, > 0.
        deviations: How many standard errors wide each side is. Default: 95 % of a normal
            distribution.

    Returns:
        The lower and the upper bound, in [-1, 1].

    Example:

    >>> [round(bound, 3) for bound in difference_interval(3, 12, 100)]
    [0.016, 0.174]

    Reference:
        Tango, *Equivalence test and confidence interval for the difference in proportions for the
        paired-sample design*, Statistics in Medicine 17 (1998): the differences which McNemar's
        test, without correction, doesn't tell from the one that was found.
    """
    from scipy.optimize import brentq

    found = (only_second - only_first) / n

    def distance(difference: float) -> float:
        """Return how many standard errors what was found lies above `difference`."""
        linear = (2 * n - only_second + only_first) * difference - only_second - only_first
        constant = -only_first * difference * (1 - difference)
        root = max(0.0, linear**2 - 8 * n * constant) ** 0.5
        share = max(0.0, (root - linear) / (4 * n))
        variance = max(n * (2 * share + difference * (1 - difference)), 1e-12)
        return (only_second - only_first - n * difference) / variance**0.5

    ends = -1 + 1e-9, 1 - 1e-9
    low = -1.0 if distance(ends[0]) < deviations else None
    high = 1.0 if distance(ends[1]) > -deviations else None
    return (
        brentq(lambda at: distance(at) - deviations, ends[0], found) if low is None else low,
        brentq(lambda at: distance(at) + deviations, found, ends[1]) if high is None else high,
    )


def confusion_interval(
    confusion: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], *, seed: int = 0
) -> Interval:
    """Return a 95 % interval of a number that comes from a confusion matrix, such as macro-F1.

    The matrix is drawn anew many times, each class's row by itself, from what the data leave
    possible. The plain stratified bootstrap does the same without the fraction of an example that
    is added here to right and wrong of each class, and then takes a class without errors for one
    that can't have any: on 20 examples of two classes at 96 % accuracy its intervals hold the truth
    in 56 % of cases only, these in 95 % (`benchmarks/interval_coverage.py`).

    Args:
        confusion: Counts of shape `(classes, classes)`, one row a true class.
        statistic: From matrices of shape `(draws, classes, classes)` to one number each.
        seed: Decides the draws.

    Returns:
        The lower and the upper bound.

    Example:

    >>> def accuracy(matrices):
    ...     return np.trace(matrices, axis1=1, axis2=2) / matrices.sum((1, 2))
    >>> [round(bound, 2) for bound in confusion_interval(np.diag([10, 10]), accuracy)]
    [0.84, 1.0]

    Reference:
        Rubin, *The Bayesian Bootstrap* (1981), with Jeffreys's prior for two classes.
    """
    rng = np.random.default_rng(seed)
    counts = np.asarray(confusion, "float64")
    classes = len(counts)
    present = counts.sum(1) > 0
    # Half an example of right answers a class, and as much of wrong ones for two classes; with
    # more, less a class, or together they would outweigh the data.
    prior = np.full((classes, classes), 1.0 / classes / max(1, classes - 1))
    np.fill_diagonal(prior, 0.5)
    rows = np.stack(
        [
            rng.dirichlet(row, _DRAWS) if classes > 1 else np.ones((_DRAWS, 1))
            for row in counts + prior
        ],
        axis=1,
    )
    share = np.zeros((_DRAWS, classes))
    share[:, present] = rng.dirichlet(counts.sum(1)[present] + 0.5, _DRAWS)
    low, high = np.nanquantile(statistic(rows * share[:, :, None]), [0.025, 0.975])
    # Where all or none are right, that itself is the likeliest.
    [found] = statistic(counts[None])
    return float(np.fmin(low, found)), float(np.fmax(high, found))


def mean_interval(
    values: np.ndarray, *, groups: np.ndarray | None = None, seed: int = 0
) -> Interval:
    """Return a 95 % interval of a mean of numbers that may be very skewed, such as losses.

    Each of the bootstrap's draws counts by its distance in standard errors of its own
    (bootstrap-t): with few examples plain percentiles are too narrow. So are these where hardly any
    example has a loss to speak of: 20 of a model that is right in 96 % cover the truth in 82 %.

    Args:
        values: Numbers of shape `(n,)`.
        groups: The number of each example's group, of shape `(n,)`: whole groups are drawn then.
            Default: every example by itself.
        seed: Decides the draws.

    Returns:
        The lower and the upper bound; `nan` for fewer than two values, or groups.

    Example:

    >>> low, high = mean_interval(np.random.default_rng(0).exponential(size=50))
    >>> bool(low < 1.0 < high)
    True

    Reference:
        Efron & Tibshirani, *An Introduction to the Bootstrap* (1993), chapter 12.
    """
    numbers = np.arange(len(values))
    if groups is not None:
        _, numbers = np.unique(groups, return_inverse=True)
    sizes = np.bincount(numbers)
    n = len(sizes)
    if n < 2:
        return float("nan"), float("nan")
    sums = np.bincount(numbers, values)
    rng = np.random.default_rng(seed)
    mean = float(np.mean(values))
    error = float(_errors(sums[None], sizes[None])[0])
    distances = []
    # A few draws at a time: all of them would take 2,000 times the memory of the values.
    for _ in range(0, _DRAWS, 50):
        drawn = rng.integers(0, n, (50, n))
        means = sums[drawn].sum(1) / sizes[drawn].sum(1)
        # A draw of few values may happen to have hardly any spread.
        least = error / n**0.5 + 1e-300
        distances.append((means - mean) / np.maximum(_errors(sums[drawn], sizes[drawn]), least))
    low, high = np.quantile(np.concatenate(distances), [0.025, 0.975])
    return mean - float(high) * error, mean - float(low) * error


def _errors(sums: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return the standard error of each row's mean over groups, but for a common factor."""
    means = sums.sum(1, keepdims=True) / sizes.sum(1, keepdims=True)
    scaled = (sums - sizes * means) / sizes.mean(1, keepdims=True)
    return scaled.std(1, ddof=1)


def auc_interval(auc: float, positives: float, negatives: float) -> Interval:
    """Return a 95 % interval of an area under the ROC curve.

    Right also at an area of 1, where a bootstrap has no width at all.

    Args:
        auc: The area, in [0, 1].
        positives: Number of positive examples, >= 1; of independent ones, where they come in
            groups.
        negatives: Number of negative examples, as `positives`.

    Returns:
        The lower and the upper bound, in [0, 1].

    Raises:
        ValueError: An argument is outside its range.

    Example:

    >>> [round(bound, 3) for bound in auc_interval(0.9, 50, 50)]
    [0.816, 0.946]

    Reference:
        Newcombe, *Confidence intervals for an effect size measure based on the Mann-Whitney
        statistic. Part 2* (2006), method 5.
    """
    check_between("auc", auc, 0.0, 1.0)
    check_between("positives", positives, 1, np.finfo("float64").max)
    check_between("negatives", negatives, 1, np.finfo("float64").max)
    from scipy.optimize import brentq

    spread = (positives + negatives) / 2 - 1

    def distance(area: float) -> float:
        """Return how far `area` is from what was found, in squared standard errors, minus 1.96²."""
        shape = 1 + spread * ((1 - area) / (2 - area) + area / (1 + area))
        variance = area * (1 - area) * shape / (positives * negatives)
        return (auc - area) ** 2 - 1.959964**2 * variance

    # At areas of 0 and 1 the variance is 0, which would count as a solution there.
    low, high = 1e-9, 1 - 1e-9
    below = distance(low) > 0 and auc > low
    above = distance(high) > 0 and auc < high
    return (
        float(brentq(distance, low, min(auc, high))) if below else 0.0,
        float(brentq(distance, max(auc, low), high)) if above else 1.0,
    )

"""How many ill ones are found if so many healthy ones may be alarmed."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_practical.data.groups import group_numbers
from keras_practical.evaluation.outputs import predictions_and_labels
from keras_practical.utils.checks import check_between, check_count
from keras_practical.utils.intervals import (
    Interval,
    independent_examples,
    proportion_interval,
    wilson_bounds,
)

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["OperatingPoint", "sensitivity_at_specificity"]

_DRAWS = 2000


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """What a threshold does, with 95 % intervals; prints as text.

    Attributes:
        sensitivity: Part of the positive examples above the threshold, in [0, 1].
        sensitivity_interval: Of the sensitivity at this threshold if it came from other data;
            otherwise of the sensitivity at the specificity asked for, the choice of the threshold
            included.
        specificity: Part of the negative examples at or below the threshold, in [0, 1].
        specificity_interval: Of the specificity at this threshold; `None` if the same examples
            chose it, and so say nothing about it.
        threshold: Examples of a higher probability count as positive.
        positives: Number of positive examples.
        negatives: Number of negative examples.

    Example:

    >>> print(
    ...     OperatingPoint(
    ...         sensitivity=0.75,
    ...         sensitivity_interval=(0.6, 0.9),
    ...         specificity=0.9,
    ...         specificity_interval=None,
    ...         threshold=0.6,
    ...         positives=60,
    ...         negatives=58,
    ...     )
    ... )
    sensitivity 0.750 (0.600–0.900) of 60 at specificity 0.900 of 58, threshold 0.600 chosen on them
    """

    sensitivity: float
    sensitivity_interval: Interval
    specificity: float
    specificity_interval: Interval | None
    threshold: float
    positives: int
    negatives: int

    def __str__(self) -> str:
        low, high = self.sensitivity_interval
        interval, chosen = "", "on them"
        if self.specificity_interval is not None:
            interval = " ({:.3f}–{:.3f})".format(*self.specificity_interval)
            chosen = "on other data"
        return (
            f"sensitivity {self.sensitivity:.3f} ({low:.3f}–{high:.3f}) of {self.positives} at "
            f"specificity {self.specificity:.3f}{interval} of {self.negatives}, "
            f"threshold {self.threshold:.3f} chosen {chosen}"
        )


def sensitivity_at_specificity(
    probabilities: np.ndarray,
    labels: np.ndarray,
    *,
    specificity: float = 0.9,
    chosen_on: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    positive: int = 1,
    groups: Sequence[Hashable] | np.ndarray | None = None,
    seed: int = 0,
) -> OperatingPoint:
    """Say how many of the positive examples are found at a fixed rate of false alarms.

    Use it for tests and alarms, where a miss and a false alarm cost differently. A threshold that
    was chosen on the very examples by which it is judged has the wanted specificity on them by
    construction, but not on new ones: give the data to choose it on (such as cross-validated
    predictions of the training data) as `chosen_on`. Without, the interval allows for the choice.
    In plain Keras, `keras.metrics.SensitivityAtSpecificity` gives the number alone.

    Args:
        probabilities: Shape `(n, classes)`, such as `Evaluation.probabilities`; `(n, 1)`, what a
            sigmoid says of class 1; or `(n,)`, a number for the positive class, which may be any
            score that rises with its probability.
        labels: Integers of shape `(n,)`.
        specificity: Part of the negative examples that shall stay below the threshold, in (0, 1).
        chosen_on: Other `(probabilities, labels)`, on which the threshold is chosen. Default: the
            same examples.
        positive: The positive class; all others are negative.
        groups: What belongs together, such as the patient of each example, one value an example:
            the intervals then allow for how alike the examples of a group are, and the bootstrap
            draws whole groups. Default: every example by itself.
        seed: Decides what the bootstrap draws.

    Returns:
        An `OperatingPoint`; print it.

    Raises:
        ValueError: An argument is outside its range, or there are no positive or no negative
            examples.

    Example:

    >>> probabilities = np.array([0.1, 0.2, 0.3, 0.6, 0.4, 0.7, 0.8, 0.9])
    >>> labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    >>> point = sensitivity_at_specificity(probabilities, labels, specificity=0.75)
    >>> point.threshold, point.sensitivity, point.specificity
    (0.3, 1.0, 0.75)

    Reference:
        `proportion_interval`; where the threshold was chosen on the same examples, Wilson's with an
            effective number of examples: as many as give the variance of a bootstrap that repeats
            the choice (Platt, Hanley & Yang, *Bootstrap confidence intervals for the sensitivity
            of a quantitative diagnostic test*, Statistics in Medicine 19 (2000); Korn & Graubard,
            *Confidence intervals for proportions with small expected number of positive counts
            estimated from survey data*, Survey Methodology 24 (1998)).
    """
    # At 1 no threshold is low enough on new data, at 0 every one is.
    check_between("specificity", specificity, 0.01, 0.999)
    check_count("seed", seed, minimum=0)
    scores, truth = _scores("probabilities", probabilities, labels, positive)
    threshold = None
    if chosen_on is not None:
        if not isinstance(chosen_on, tuple | list) or len(chosen_on) != 2:
            raise ValueError("`chosen_on` must be a pair (probabilities, labels).")
        other_scores, other_truth = _scores("chosen_on", *chosen_on, positive)
        threshold = _threshold(other_scores[~other_truth], specificity)
    at = _threshold(scores[~truth], specificity) if threshold is None else threshold
    detected, spared = scores[truth] > at, scores[~truth] <= at
    grouping = group_numbers(groups, len(truth))
    of_positives = None if grouping is None else grouping[truth]
    of_negatives = None if grouping is None else grouping[~truth]
    spared_interval = None
    if threshold is not None:
        interval = proportion_interval(detected, groups=of_positives)
        spared_interval = proportion_interval(spared, groups=of_negatives)
    else:
        everyone = np.arange(len(truth)) if grouping is None else grouping
        draws = _bootstrap(scores, truth, everyone, specificity, seed)
        interval = _interval(detected, of_positives, draws)
    return OperatingPoint(
        sensitivity=float(detected.mean()),
        sensitivity_interval=interval,
        specificity=float(spared.mean()),
        specificity_interval=spared_interval,
        threshold=float(at),
        positives=len(detected),
        negatives=len(spared),
    )


def _scores(
    name: str, probabilities: Any, labels: Any, positive: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return each example's probability of the positive class, and whether it is positive."""
    check_count("positive", positive, minimum=0)
    if np.ndim(probabilities) == 1:
        # Any score that rises with the probability ranks the examples alike.
        found = np.asarray(probabilities, "float64")[:, None]
        if np.shape(labels) != found.shape[:1] or np.isnan(found).any():
            raise ValueError(
                f"`{name}`: there must be one number and one label for each example. Received: "
                f"shapes {np.shape(probabilities)} and {np.shape(labels)}, "
                f"{int(np.isnan(found).sum())} of the numbers NaN"
            )
        column, truth = 0, np.asarray(labels) == positive
    else:
        found, labels = predictions_and_labels(probabilities, labels, name=name)
        column, truth = positive, labels == positive
        if positive >= found.shape[1]:
            raise ValueError(
                f"`positive` must be one of {found.shape[1]} classes. Received: positive={positive}"
            )
    if truth.all() or not truth.any():
        raise ValueError(
            f"`{name}`: there must be positive and negative examples. "
            f"Received: {int(truth.sum())} positive ones of {len(truth)}"
        )
    return found[:, column], truth


def _threshold(negatives: np.ndarray, specificity: float) -> float:
    """Return the lowest threshold with so many of the negatives at or below it."""
    # Rounding must not ask for one more than is meant: 0.9 * 10 is a little more than 9.
    index = int(np.ceil(specificity * len(negatives) - 1e-9)) - 1
    return float(np.sort(negatives)[max(index, 0)])


def _bootstrap(
    scores: np.ndarray, truth: np.ndarray, grouping: np.ndarray, specificity: float, seed: int
) -> np.ndarray:
    """Return sensitivities of draws of groups, each with a threshold of its own."""
    rng = np.random.default_rng(seed)
    with_positives = np.bincount(grouping, truth) > 0
    strata = [np.flatnonzero(with_positives), np.flatnonzero(~with_positives)]
    order = np.argsort(scores[~truth], kind="stable")
    negatives = scores[~truth][order]
    sensitivities = []
    # A few draws at a time, for the memory.
    for _ in range(0, _DRAWS, 50):
        times = np.zeros((50, len(with_positives)))
        for stratum in strata:
            if len(stratum):
                share = np.full(len(stratum), 1 / len(stratum))
                times[:, stratum] = rng.multinomial(len(stratum), share, 50)
        of_positives = times[:, grouping[truth]]
        of_negatives = times[:, grouping[~truth]][:, order]
        usable = (of_positives.sum(1) > 0) & (of_negatives.sum(1) > 0)
        of_positives, of_negatives = of_positives[usable], of_negatives[usable]
        reached = np.cumsum(of_negatives, axis=1)
        wanted = specificity * reached[:, -1:] - 1e-9
        at = negatives[np.argmax(reached >= wanted, axis=1)][:, None]
        sensitivities.append((of_positives * (scores[truth] > at)).sum(1) / of_positives.sum(1))
    return np.concatenate(sensitivities)


def _interval(values: np.ndarray, grouping: np.ndarray | None, draws: np.ndarray) -> Interval:
    """Return Wilson's interval for as many independent examples as the draws' spread tells."""
    share = float(values.mean())
    plain, spread = share * (1 - share) / len(values), float(draws.var(ddof=1))
    effective = independent_examples(values, grouping)
    # Where all examples agree there is no spread.
    if plain > 0:
        effective = min(effective, len(values) * plain / max(plain, spread))
    return wilson_bounds(share, effective)

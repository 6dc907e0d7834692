"""Whether one model is really better than another, as far as so many images can tell."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_practical.data.groups import group_numbers
from keras_practical.data.origin import groups_in_order
from keras_practical.evaluation.metrics import Evaluation, evaluate_predictions
from keras_practical.evaluation.prediction import predict_side_by_side
from keras_practical.utils.cross_entropy import cross_entropies
from keras_practical.utils.intervals import Interval, difference_interval, mean_interval

if TYPE_CHECKING:
    from keras_practical.utils.types import Data

__all__ = ["Comparison", "compare"]

# Differences that chance brings more seldom count as real.
_LEVEL = 0.05


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two models judged by the same examples; prints as text.

    Attributes:
        names: What the models are called.
        accuracies: Their accuracies, in [0, 1].
        difference: The second's accuracy minus the first's.
        difference_interval: Bounds of the true difference, with 95 % confidence. They leave out 0
            if and only if `p_value` is below 0.05.
        only_first_right: Number of examples that only the first model gets right.
        only_second_right: Number of examples that only the second model gets right.
        p_value: How often chance alone would part the models at least so far, by McNemar's exact
            test; with groups, by his test over the sums of groups, against Student's distribution.
            Below 0.05 the difference counts as real.
        loss_difference: The second's log-loss minus the first's, in nats.
        loss_difference_interval: Its bounds.
        n: Number of examples.
        groups: Number of groups that they come in; `None` if each stands by itself.

    Example:

    >>> right, wrong = np.array([[0.9, 0.1]] * 20), np.array([[0.4, 0.6]] * 20)
    >>> labels = np.zeros(20, int)
    >>> worse, better = evaluate_predictions(wrong, labels), evaluate_predictions(right, labels)
    >>> compare(worse, better, names=("old", "new")).only_second_right
    20
    """

    names: tuple[str, str]
    accuracies: tuple[float, float]
    difference: float
    difference_interval: tuple[float, float]
    only_first_right: int
    only_second_right: int
    p_value: float
    loss_difference: float
    loss_difference_interval: tuple[float, float]
    n: int
    groups: int | None = None

    @property
    def real(self) -> bool:
        """Whether the difference in accuracy is more than chance would bring, at 5 %."""
        return self.p_value < _LEVEL

    def __str__(self) -> str:
        first, second = self.names
        low, high = (100 * bound for bound in self.difference_interval)
        loss_low, loss_high = self.loss_difference_interval
        among, test = "", "McNemar's exact test"
        if self.groups is not None:
            among, test = f" in {self.groups} groups", "McNemar's test over groups"
        lines = [
            f"{first} {100 * self.accuracies[0]:.1f} %, {second} {100 * self.accuracies[1]:.1f} % "
            f"of the same {self.n:,} examples{among}: {100 * self.difference:+.1f} points "
            f"(95 % interval {low:+.1f} to {high:+.1f})",
            f"only {first} is right on {self.only_first_right}, only {second} on "
            f"{self.only_second_right} ({test}: p = {self.p_value:.2g})",
            f"log-loss {self.loss_difference:+.4f} ({loss_low:+.4f} to {loss_high:+.4f})",
            self._verdict(),
        ]
        return "\n".join(lines)

    def _verdict(self) -> str:
        first, second = self.names
        if self.real:
            better = second if self.difference > 0 else first
            return f"{better} is really better: so far apart, chance is a poor explanation."
        split = self.only_first_right + self.only_second_right
        if not split:
            return f"They are right on the same examples: nothing tells {second} from {first}."
        text = f"These {self.n:,} examples can't tell which is better"
        if self.difference:
            # As many as at which the same shares would be 1.96 + 0.84 standard errors apart.
            share = split / self.n
            needed = round((2.8**2 * share) / self.difference**2)
            text += (
                f"; if the difference is what it seems, some {max(needed, self.n + 1):,} could, "
                "four times out of five"
            )
        return f"{text}."


def compare(
    model_a: keras.Model | Evaluation,
    model_b: keras.Model | Evaluation,
    data: Data | None = None,
    *,
    names: Sequence[str] = ("A", "B"),
    from_logits: bool = False,
    groups: Sequence[Hashable] | np.ndarray | None = None,
    batch_size: int = 32,
    seed: int = 0,
    verbose: bool = True,
) -> Comparison:
    """Compare two classifiers on the same examples, and say whether the difference is real.

    Use it before believing that a change has helped. Two intervals that overlap don't settle it:
    what both models get right or wrong tells nothing, and the few examples on which they part tell
    more than either accuracy. It has no equivalent in plain Keras.

    Args:
        model_a: A classifier, or what `evaluate` found of it.
        model_b: Another.
        data: As in `evaluate`; each batch goes through both models. Not with two `Evaluation`s,
            which must be of the same examples in the same order.
        names: What to call the models.
        from_logits: As in `evaluate`.
        groups: As in `evaluate`. Default: those of the data, or of the two `Evaluation`s.
        batch_size: As in `evaluate`.
        seed: Decides what the intervals draw.
        verbose: Whether to show a progress bar.

    Returns:
        A `Comparison`; print it.

    Raises:
        ValueError: The two are not of the same examples, or no data are given.

    Example:

    >>> labels = np.tile([0, 1], 50)
    >>> good = np.eye(2)[labels] * 0.8 + 0.1
    >>> poor = good.copy()
    >>> poor[:12] = poor[:12, ::-1]
    >>> found = compare(evaluate_predictions(poor, labels), evaluate_predictions(good, labels))
    >>> found.real, round(found.difference, 2)
    (True, 0.12)

    Reference:
        McNemar (1947); Dietterich, *Approximate Statistical Tests for Comparing Supervised
        Classification Learning Algorithms* (1998); the interval: Tango (1998), see
        `evaluation.difference_interval`; groups: Durkalski et al., *Analysis of clustered
        matched-pair data*, Statistics in Medicine 22 (2003).
    """
    if len(names) != 2:
        raise ValueError(f"`names` must be two. Received: {list(names)}")
    first, second = model_a, model_b
    if not (isinstance(first, Evaluation) and isinstance(second, Evaluation)):
        if data is None or isinstance(first, Evaluation) or isinstance(second, Evaluation):
            raise ValueError("Give two models and `data`, or two results of `evaluate`.")
        predicted, labels = predict_side_by_side(
            (first, second), data, from_logits=from_logits, batch_size=batch_size, verbose=verbose
        )
        if groups is None:
            groups = groups_in_order(data, len(labels))
        first, second = (evaluate_predictions(p, labels, seed=seed) for p in predicted)
    if not np.array_equal(first.labels, second.labels) or first.labels.ndim != 1:
        raise ValueError(
            "The two results must be of the same examples, in the same order, one label each. "
            f"Received: labels of shapes {first.labels.shape} and {second.labels.shape}"
        )
    if groups is not None:
        grouping = group_numbers(groups, first.n)
    else:
        grouping = first.grouping if first.grouping is not None else second.grouping
    rights = [result.probabilities.argmax(1) == first.labels for result in (first, second)]
    differences = rights[1].astype(int) - rights[0].astype(int)
    interval, p_value = _tested(differences, grouping)
    losses = [cross_entropies(result.probabilities, first.labels) for result in (first, second)]
    return Comparison(
        names=(str(names[0]), str(names[1])),
        accuracies=(first.accuracy, second.accuracy),
        difference=float(differences.mean()),
        difference_interval=interval,
        only_first_right=int((differences < 0).sum()),
        only_second_right=int((differences > 0).sum()),
        p_value=p_value,
        loss_difference=float(np.mean(losses[1] - losses[0])),
        loss_difference_interval=mean_interval(losses[1] - losses[0], groups=grouping, seed=seed),
        n=first.n,
        groups=None if grouping is None else int(grouping.max()) + 1,
    )


def _tested(differences: np.ndarray, grouping: np.ndarray | None) -> tuple[Interval, float]:
    """Return the interval of the mean difference and the p-value of the test it goes with.

    `differences` are 1 where only the second model is right, -1 where only the first is.
    """
    from scipy.stats import binomtest, t

    n, split = len(differences), int(np.abs(differences).sum())
    only_second = int((differences > 0).sum())
    only_first = split - only_second
    if grouping is None:
        low, high = difference_interval(only_first, only_second, n)
        p_value = float(binomtest(only_first, split).pvalue) if split else 1.0
        # The exact test is a little stricter than the one that the interval comes from.
        return ((low, high) if p_value < _LEVEL else (min(low, 0.0), max(high, 0.0))), p_value
    sums = np.bincount(grouping, differences)
    groups, freedom = len(sums), len(sums) - 1
    if not freedom:
        return (-1.0, 1.0), 1.0
    # How many examples count as one: as many times as the sums over groups scatter more than
    # single ones would, with one more example on which the models part, so that groups which agree
    # aren't certainty. Without any difference, a group is one example.
    less = max(1.0, (float(sums @ sums) + 1) / split) if split else n / groups
    # Student's test, in terms of distances from 0 instead of from the mean.
    quantile = float(t.ppf(0.975, freedom))
    deviations = quantile * (groups / (freedom + quantile**2)) ** 0.5
    bounds = difference_interval(
        only_first / less, only_second / less, n / less, deviations=deviations
    )
    square = (only_second - only_first) ** 2 / (split * less) if split else 0.0
    return bounds, float(2 * t.sf((square * freedom / (groups - square)) ** 0.5, freedom))

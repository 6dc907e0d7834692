"""One logistic regression for all: a linear head on features of images and of texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_practical.utils.cross_entropy import cross_entropies

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

# The logit of a class that has no examples.
_NEVER = -30.0

# Features, labels, and weights if there are any.
Examples = tuple[np.ndarray, np.ndarray, np.ndarray | None]


def logistic_regression(
    features: np.ndarray,
    labels: np.ndarray,
    *,
    strength: float,
    sample_weight: np.ndarray | None = None,
    tolerance: float = 1e-4,
    max_iterations: int = 2000,
) -> LogisticRegression:
    """Fit scikit-learn's on one core: between L-BFGS's many small products the others only spin."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    model = LogisticRegression(C=strength, max_iter=max_iterations, tol=tolerance)
    # On 2 cores it takes 0.4 to 0.7 of the time, for 500 to 5,000 rows of 1,280 features.
    with threadpool_limits(1, user_api="blas"):
        return model.fit(features, labels, sample_weight=sample_weight)


def linear_head(
    features: np.ndarray,
    labels: np.ndarray,
    class_count: int,
    *,
    strength: float,
    scale: bool,
    sample_weight: np.ndarray | None = None,
    tolerance: float = 1e-4,
) -> tuple[np.ndarray, np.ndarray]:
    """Return kernel and bias of a softmax layer that is a logistic regression.

    Args:
        features: Array of shape `(n, size)`, as the layer will get them.
        labels: Integers of shape `(n,)`, of at least two classes.
        class_count: Number of classes; one without examples is never predicted.
        strength: Inverse of the penalty on the coefficients, as scikit-learn's `C`.
        scale: Whether the penalty is on the coefficients of features of deviation 1, or of the
            features as they come. They are centred in both cases.
        sample_weight: How much each row counts. Default: all alike.
        tolerance: Where the fit stops.

    Returns:
        Arrays of shape `(size, class_count)` and `(class_count,)`, float64.
    """
    mean = features.mean(0)
    deviation = features.std(0) + 1e-6 if scale else np.ones_like(mean)
    model = logistic_regression(
        (features - mean) / deviation,
        labels,
        strength=strength,
        sample_weight=sample_weight,
        tolerance=tolerance,
    )
    weights, offsets = model.coef_.T.astype("float64"), model.intercept_.astype("float64")
    if len(model.classes_) == 2:  # One column then: the second class's log-odds.
        weights = np.concatenate([-weights, weights], axis=1) / 2
        offsets = np.array([-offsets[0], offsets[0]]) / 2
    kernel = np.zeros((features.shape[1], class_count))
    bias = np.full(class_count, _NEVER)
    kernel[:, model.classes_] = weights / deviation[:, None]
    bias[model.classes_] = offsets - mean @ kernel[:, model.classes_]
    return kernel, bias


def probabilities_of(features: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Return the softmax of a linear layer, of shape `(n, class_count)`."""
    logits = np.asarray(features, "float64") @ kernel + bias
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    return exponentials / exponentials.sum(1, keepdims=True)


def best_strength(
    folds: Sequence[tuple[Examples, Examples]],
    class_count: int,
    *,
    strengths: Sequence[float],
    start: float,
    scale: bool,
) -> tuple[float, float]:
    """Return the strength with the least log-loss on held-out folds, and that log-loss.

    The loss has one valley, so the search climbs down from `start` and stops at its floor.

    Args:
        folds: For each fold, what to fit and what to judge by: features, labels and weights,
            `None` if all count alike.
        class_count: As in `linear_head`.
        strengths: What to choose from, in order.
        start: One of them.
        scale: As in `linear_head`.

    Returns:
        One of `strengths`, and the mean over the folds, in nats.
    """
    known: dict[int, float] = {}

    def loss(place: int) -> float:
        if not 0 <= place < len(strengths):
            return np.inf
        if place not in known:
            losses = []
            for (features, labels, weights), (judged, truth, truth_weights) in folds:
                # Roughly: a strength is chosen by orders of magnitude.
                kernel, bias = linear_head(
                    features,
                    labels,
                    class_count,
                    strength=strengths[place],
                    scale=scale,
                    sample_weight=weights,
                    tolerance=1e-3,
                )
                chances = probabilities_of(judged, kernel, bias)
                losses.append(np.average(cross_entropies(chances, truth), weights=truth_weights))
            known[place] = float(np.mean(losses))
        return known[place]

    place = strengths.index(start)
    step = 1 if loss(place + 1) < loss(place) else -1
    while loss(place + step) < loss(place):
        place += step
    return strengths[place], loss(place)

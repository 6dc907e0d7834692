"""Honest numbers: what is known of a classifier after so many pictures."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_practical._validation import check_between, check_count
from keras_practical.predict import predict_with_labels, predict_with_tta

__all__ = ["Evaluation", "evaluate", "wilson_interval"]


@dataclass(frozen=True)
class Evaluation:
    """How good a classifier is on a data set, and how sure that is; prints as text.

    Attributes:
        accuracy: Part of the examples whose most probable class is right, in [0, 1].
        accuracy_interval: Bounds between which the true accuracy lies with 95 % confidence.
        loss: Mean cross-entropy in nats (without label smoothing).
        n: Number of examples.
        recall: For each class, the part of its examples that were found; `nan` without examples.
        recall_intervals: Bounds for each class's recall.
        class_counts: Number of examples of each class.
        class_names: One name a class.

    Example:

    >>> recall_intervals = ((0.376, 0.964), (0.566, 1.0))
    >>> names = ("a", "b")
    >>> print(Evaluation(0.9, (0.6, 0.98), 0.3, 10, (0.8, 1.0), recall_intervals, (5, 5), names))
    accuracy 0.900 (95 % interval 0.600–0.980, n=10), loss 0.3000
      recall of a  0.800 (0.376–0.964, n=5)
      recall of b  1.000 (0.566–1.000, n=5)
    """

    accuracy: float
    accuracy_interval: tuple[float, float]
    loss: float
    n: int
    recall: tuple[float, ...]
    recall_intervals: tuple[tuple[float, float], ...]
    class_counts: tuple[int, ...]
    class_names: tuple[str, ...]

    def __str__(self) -> str:
        low, high = self.accuracy_interval
        lines = [
            f"accuracy {self.accuracy:.3f} (95 % interval {low:.3f}–{high:.3f}, n={self.n}), "
            f"loss {self.loss:.4f}"
        ]
        width = max(len(name) for name in self.class_names)
        lines += [
            f"  recall of {name:<{width}}  "
            + (f"{recall:.3f} ({low:.3f}–{high:.3f}, n={count})" if count else "unknown (n=0)")
            for name, recall, (low, high), count in zip(
                self.class_names,
                self.recall,
                self.recall_intervals,
                self.class_counts,
                strict=True,
            )
        ]
        return "\n".join(lines)


def wilson_interval(successes: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
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


def evaluate(
    model: keras.Model,
    data: Any,
    *,
    class_names: Sequence[str] | None = None,
    tta: Any = None,
    from_logits: bool = False,
    batch_size: int = 32,
    verbose: bool = True,
) -> Evaluation:
    """Measure a classifier on held-out data, with 95 % intervals.

    Use it instead of `model.evaluate`, the plain-Keras equivalent, when the number will be
    believed: with 100 pictures, 92 % and 94 % are the same result. Works with any Keras
    classifier, compiled or not: softmax or sigmoid outputs, or logits when told so.

    Args:
        model: Outputs of shape `(batch, classes)`, or `(batch, 1)` or `(batch,)` for the
            probability of class 1.
        data: A `tf.data.Dataset` or `keras.utils.PyDataset` of `(inputs, labels)` batches, or one
            `(inputs, labels)` pair of arrays. Labels: integers of shape `(n,)` or `(n, 1)`, or
            one-hot of shape `(n, classes)`.
        class_names: One name a class. Default: the data set's `class_names`, or numbers.
        tta: Test-time augmentation: each picture is judged by several views of it, as
            `predict_with_tta` does with this `augmentation`. Default: by itself.
        from_logits: Whether the model's outputs are logits rather than probabilities.
        batch_size: Batch size for arrays.
        verbose: Whether to show a progress bar.

    Returns:
        An `Evaluation`; print it.

    Raises:
        ValueError: There are no examples, the outputs aren't probabilities, or a label has no
            output.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Softmax()])
    >>> data = np.array([[2.0, 0.0], [0.0, 2.0], [1.0, 0.0]]), np.array([0, 1, 1])
    >>> print(evaluate(model, data))
    accuracy 0.667 (95 % interval 0.208–0.939, n=3), loss 0.5224
      recall of 0  1.000 (0.207–1.000, n=1)
      recall of 1  0.500 (0.095–0.905, n=2)

    Reference:
        Wilson (1927), see `wilson_interval`.
    """
    predict: Callable[..., Any] = predict_with_labels
    if tta is not None:
        predict = functools.partial(predict_with_tta, augmentation=tta, return_labels=True)
    probabilities, labels = predict(
        model, data, from_logits=from_logits, batch_size=batch_size, verbose=verbose
    )
    names = class_names or getattr(data, "class_names", None)
    names = tuple(names or (str(label) for label in range(probabilities.shape[1])))
    if len(names) != probabilities.shape[1]:
        raise ValueError(
            f"The model tells {probabilities.shape[1]} classes apart, but there are {len(names)} "
            f"class names: {', '.join(names[:10])}"
        )
    n = len(labels)
    right = probabilities.argmax(1) == labels
    chosen = probabilities[np.arange(n), labels]
    counts = np.bincount(labels, minlength=len(names))
    found = np.bincount(labels[right], minlength=len(names))
    return Evaluation(
        accuracy=float(right.mean()),
        accuracy_interval=wilson_interval(int(right.sum()), n),
        loss=float(-np.log(np.clip(chosen, keras.config.epsilon(), 1.0)).mean()),
        n=n,
        recall=tuple(
            float(k / c) if c else float("nan") for k, c in zip(found, counts, strict=True)
        ),
        recall_intervals=tuple(
            wilson_interval(int(k), int(c)) if c else (0.0, 1.0)
            for k, c in zip(found, counts, strict=True)
        ),
        class_counts=tuple(int(count) for count in counts),
        class_names=names,
    )

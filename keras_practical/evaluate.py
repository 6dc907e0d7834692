"""Honest numbers: what is known of a classifier after so many pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_practical._progress import track
from keras_practical._validation import check_between, check_count

__all__ = ["Evaluation", "evaluate", "predict_with_labels", "wilson_interval"]


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
    probabilities, labels = predict_with_labels(
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


def predict_with_labels(
    model: keras.Model,
    data: Any,
    *,
    from_logits: bool = False,
    batch_size: int = 32,
    verbose: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Predict a data set and keep its labels beside the predictions, in order, in one pass.

    Use it to look at single examples. In plain Keras, `model.predict` drops the labels, and
    a second pass over a shuffled data set brings them in another order.

    Args:
        model: As in `evaluate`.
        data: As in `evaluate`.
        from_logits: As in `evaluate`.
        batch_size: As in `evaluate`.
        verbose: As in `evaluate`.

    Returns:
        Probabilities, float64 of shape `(n, classes)`, and integer labels of shape `(n,)`.

    Raises:
        ValueError: As in `evaluate`.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Softmax()])
    >>> probabilities, labels = predict_with_labels(model, (np.zeros((1, 2)), [1]))
    >>> probabilities.tolist(), labels.tolist()
    ([[0.5, 0.5]], [1])
    """
    check_count("batch_size", batch_size)
    outputs, labels = [], []
    full = 0
    batches, count = _batches(data, batch_size)
    for batch, batch_labels in track(batches, "Predicting", count, show=verbose):
        size = len(batch_labels)
        full = max(full, size)
        # A last batch of another size would make the backend compile the model again.
        predicted = np.asarray(model.predict_on_batch(_pad(batch, full)))[:size]
        outputs.append(predicted.astype("float64"))
        labels.append(np.asarray(batch_labels))
    if not outputs:
        raise ValueError("`data` has no examples.")
    probabilities = _probabilities(np.concatenate(outputs), from_logits)
    return probabilities, _integer_labels(np.concatenate(labels), probabilities.shape[1])


def _batches(data: Any, batch_size: int) -> tuple[Iterator[tuple[Any, Any]], int | None]:
    """Return an iterator over `(inputs, labels)` batches of arrays, and how many there are."""
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
        return ((data[i][0], data[i][1]) for i in range(len(data))), len(data)
    cardinality = getattr(data, "cardinality", None)
    count = int(cardinality()) if cardinality else -1
    return ((_array(batch[0]), _array(batch[1])) for batch in data), count if count >= 0 else None


def _array(value: Any) -> Any:
    """Return numpy arrays, also inside a dictionary or a list of inputs."""
    return keras.tree.map_structure(np.asarray, value)


def _pad(batch: Any, size: int) -> Any:
    """Repeat the last example of a short batch until it has `size`."""

    def pad(values: np.ndarray) -> np.ndarray:
        missing = size - len(values)
        return np.concatenate([values, np.repeat(values[-1:], missing, 0)]) if missing else values

    return keras.tree.map_structure(pad, batch)


def _probabilities(outputs: np.ndarray, from_logits: bool) -> np.ndarray:
    """Return outputs as probabilities of shape `(n, classes)`."""
    outputs = outputs.reshape(len(outputs), -1) if outputs.ndim == 1 else outputs
    if outputs.ndim != 2:
        raise ValueError(
            "The model must give one row of class probabilities for each example. "
            f"Received: outputs of shape {outputs.shape}"
        )
    if outputs.shape[1] == 1:
        positive = 1.0 / (1.0 + np.exp(-outputs)) if from_logits else outputs
        outputs = np.concatenate([1.0 - positive, positive], axis=1)
    elif from_logits:
        outputs = np.exp(outputs - outputs.max(1, keepdims=True))
        outputs = outputs / outputs.sum(1, keepdims=True)
    sums = outputs.sum(1)
    if not (np.all(outputs >= -1e-6) and np.allclose(sums, 1.0, atol=0.02)):
        worst = sums[np.argmax(np.abs(sums - 1.0))]
        raise ValueError(
            "The model's outputs are not probabilities: they range from "
            f"{outputs.min():.3g} to {outputs.max():.3g}, and a row sums to {worst:.3g}. Pass "
            "from_logits=True if the model gives logits."
        )
    return outputs


def _integer_labels(labels: np.ndarray, class_count: int) -> np.ndarray:
    """Return labels as integers of shape `(n,)`, from integers or one-hot rows."""
    if labels.ndim == 2 and labels.shape[1] > 1:
        if labels.shape[1] != class_count:
            raise ValueError(
                f"One-hot labels have {labels.shape[1]} columns, the model {class_count} classes."
            )
        return labels.argmax(1)
    flat = labels.reshape(-1).astype("int64")
    if flat.min() < 0 or flat.max() >= class_count:
        raise ValueError(
            f"Labels must be from 0 to {class_count - 1} for a model of {class_count} classes. "
            f"Received: labels from {flat.min()} to {flat.max()}"
        )
    return flat

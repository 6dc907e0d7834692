"""What a model's outputs mean: the one door through which predictions and labels come in."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_practical.data.labels import class_numbers

__all__ = ["labels_of", "predictions_and_labels", "probabilities_of"]

# By how much rows may miss a sum of 1: float16's rounding, added up over many classes.
_TOLERANCE = 0.02


def predictions_and_labels(
    probabilities: Any, labels: Any, *, multi_label: bool = False, name: str = "probabilities"
) -> tuple[np.ndarray, np.ndarray]:
    """Return predictions and labels in the one form that the figures are computed from.

    Args:
        probabilities: As in `probabilities_of`.
        labels: As in `class_numbers`; with `multi_label`, 0 or 1 of the probabilities' shape.
        multi_label: Whether an example may have any number of labels.
        name: What the caller's user calls the probabilities.

    Returns:
        Probabilities, float64 of shape `(n, classes)`, and labels, int64 of shape `(n,)`, with
        `multi_label` of shape `(n, classes)`.

    Raises:
        ValueError: There are no examples, not one label for each, or the two are something else
            than what they should be. The text says what to do.

    Example:

    >>> probabilities, labels = predictions_and_labels([0.75, 0.25], [True, False])
    >>> probabilities.tolist(), labels.tolist()
    ([[0.25, 0.75], [0.75, 0.25]], [1, 0])
    """
    given, labels = np.asarray(probabilities), np.asarray(labels)
    if given.ndim == 0 or labels.shape[:1] != given.shape[:1] or not len(given):
        raise ValueError(
            f"`{name}` and labels: there must be one row of probabilities and one label for each "
            f"of at least one example. Received: shapes {given.shape} and {labels.shape}"
        )
    found = probabilities_of(given, multi_label=multi_label, name=f"`{name}`")
    return found, labels_of(labels, found.shape, multi_label=multi_label)


def labels_of(labels: Any, shape: tuple[int, ...], *, multi_label: bool = False) -> np.ndarray:
    """Return the labels that belong to probabilities of `shape`, whose last axis is the classes.

    Args:
        labels: As in `predictions_and_labels`.
        shape: The probabilities' shape.
        multi_label: As there.

    Returns:
        Integers of shape `(n,)`; with `multi_label`, of `shape`.

    Raises:
        ValueError: As there.

    Example:

    >>> labels_of([[0.0, 1.0]], (1, 2)).tolist(), labels_of([[1, 1]], (1, 2), multi_label=True)
    ([1], array([[1, 1]]))
    """
    labels = np.asarray(labels)
    if not multi_label:
        return class_numbers(labels, classes=shape[-1])
    labels = labels.reshape(len(labels), -1)
    if labels.shape != shape or not np.isin(labels, (0, 1)).all():
        raise ValueError(
            f"With multi_label, labels must be 0 or 1 and of shape {shape}, as the outputs. "
            f"Received: {np.unique(labels)[:5].tolist()} of shape {labels.shape}"
        )
    return labels.astype("int64")


def probabilities_of(
    outputs: Any,
    *,
    from_logits: bool = False,
    multi_label: bool = False,
    name: str = "The model's outputs",
) -> np.ndarray:
    """Return outputs as probabilities, float64 of shape `(n, classes)`.

    Args:
        outputs: Rows of shape `(n, classes)` that sum to 1; or of shape `(n,)` or `(n, 1)`, what a
            sigmoid says of class 1, which become two columns. With `multi_label`, one probability
            for each label.
        from_logits: Whether they are logits.
        multi_label: Whether each column is a question of its own.
        name: What they are called in errors.

    Returns:
        The probabilities.

    Raises:
        ValueError: They aren't probabilities, or not of one row each.

    Example:

    >>> probabilities_of([[0.0, 0.0]], from_logits=True).tolist()
    [[0.5, 0.5]]
    """
    found = np.asarray(outputs)
    if found.dtype.kind not in "fiub" and found.dtype.name != "bfloat16":
        raise ValueError(
            f"{name} must be numbers. Received: {found.dtype} {found.reshape(-1)[:2].tolist()}"
        )
    found = found.astype("float64")
    if np.isnan(found).any():
        bad = int(np.isnan(found).reshape(len(found), -1).any(1).sum())
        raise ValueError(f"{name} are NaN for {bad} of {len(found)} examples.")
    if multi_label:
        found = found.reshape(len(found), -1)
        found = _sigmoid(found) if from_logits else found
        _check(found, np.ones(1), name)
        return found
    found = found[:, None] if found.ndim == 1 else found
    if found.ndim != 2:
        raise ValueError(
            f"{name} must be one row of class probabilities for each example. "
            f"Received: shape {found.shape}"
        )
    if found.shape[1] == 1:
        positive = _sigmoid(found) if from_logits else found
        found = np.concatenate([1.0 - positive, positive], axis=1)
    elif from_logits:
        found = np.exp(found - found.max(1, keepdims=True))
        found = found / found.sum(1, keepdims=True)
    _check(found, found.sum(1), name)
    return found


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.tanh(0.5 * logits))


def _check(found: np.ndarray, sums: np.ndarray, name: str) -> None:
    inside = found.size == 0 or (found.min() >= -1e-6 and found.max() <= 1 + 1e-3)
    if inside and np.allclose(sums, 1.0, atol=_TOLERANCE):
        return
    worst = sums[np.argmax(np.abs(sums - 1.0))]
    raise ValueError(
        f"{name} are not probabilities: they range from {found.min():.3g} to {found.max():.3g}, "
        f"and a row sums to {worst:.3g}. Pass from_logits=True where a model gives logits, or turn "
        "them into probabilities with keras.ops.softmax or keras.ops.sigmoid; where each column is "
        "a question of its own, pass multi_label=True if that is possible."
    )

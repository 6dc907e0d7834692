"""What labels mean: the one place that turns them into class numbers, or says why it can't."""

from __future__ import annotations

import warnings

import numpy as np

__all__ = ["are_class_numbers", "class_numbers"]

# Numbers up to here may be classes, however few examples there are.
_FEW = 1000


def class_numbers(labels: np.ndarray, *, classes: int | None = None) -> np.ndarray:
    """Return labels as class numbers, int64 of shape `(n,)`.

    Args:
        labels: Integers, or whole numbers or truth values of any type, of shape `(n,)` or `(n, 1)`;
            or one column a class: one-hot rows, or shares that add up to 1, of which the largest
            counts.
        classes: How many classes there are. Default: not known.

    Returns:
        The numbers, from 0.

    Raises:
        ValueError: They are something else: names, fractions, numbers to predict, several labels an
            example, -1 and 1, counted from 1, or NaN. The text says what to do.

    Warns:
        UserWarning: Rows of shares were taken for their largest.

    Example:

    >>> class_numbers(np.array([[0.0, 1.0], [1.0, 0.0]])).tolist()
    [1, 0]
    >>> class_numbers(np.array([-1, 1]))
    Traceback (most recent call last):
    ...
    ValueError: Labels are -1 and 1; classes are numbered from 0. Pass (labels + 1) // 2.
    """
    labels = np.asarray(labels)
    if labels.dtype.kind in "OSUT":
        raise ValueError(
            "Labels are names, not numbers; which name has which number isn't known. Pass "
            "[class_names.index(name) for name in labels]. "
            f"Received: {labels.reshape(-1)[:3].tolist()}"
        )
    if labels.ndim == 2 and labels.shape[1] > 1:
        return _of_rows(labels, classes)
    if labels.ndim > 2 or labels.ndim == 0:
        raise ValueError(
            f"There must be one label for each example. Received: labels of shape {labels.shape}"
        )
    flat = labels.reshape(-1)
    if flat.dtype.kind == "f":
        if not np.isfinite(flat).all():
            raise ValueError("Labels must be numbers. Received: NaN or infinity")
        if (flat != np.rint(flat)).any():
            raise ValueError(
                "Labels have fractions, and none of them is a class. If they were smoothed "
                "beforehand, round them; numbers to predict have no classes. "
                f"Received: {np.unique(flat)[:4].tolist()}"
            )
    whole = flat.astype("int64")
    _check_range(whole, classes)
    return whole


def are_class_numbers(labels: np.ndarray) -> bool:
    """Say whether labels can be class numbers; numbers to predict, and names, can't.

    Args:
        labels: Any.

    Returns:
        Whether `class_numbers` takes them, and their largest isn't out of all proportion.

    Example:

    >>> are_class_numbers(np.array([0, 1])), are_class_numbers(np.array([3e6, 1e5]))
    (True, False)
    """
    labels = np.asarray(labels)
    if not len(labels):
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            numbers = class_numbers(labels)
    except ValueError:
        return False
    return int(numbers.max()) <= max(_FEW, 10 * len(numbers))


def _of_rows(labels: np.ndarray, classes: int | None) -> np.ndarray:
    columns = labels.shape[1]
    if classes is not None and columns != classes:
        raise ValueError(f"One-hot labels have {columns} columns, the model {classes} classes.")
    sums = labels.sum(1)
    binary = np.isin(labels, (0, 1)).all()
    if binary and (sums == 1).all():
        return labels.argmax(1)
    if binary:
        raise ValueError(
            f"Some examples have {int(sums.max())} labels, some {int(sums.min())}: pass "
            "multi_label=True where that is possible."
        )
    if not np.isfinite(labels).all() or labels.min() < 0 or not np.allclose(sums, 1.0, atol=0.01):
        raise ValueError(
            "Rows of labels must be one-hot, or shares that add up to 1. "
            f"Received: a row {labels[0][:4].tolist()} of {columns} columns"
        )
    warnings.warn(
        "Labels are shares of the classes (smoothed or mixed): the largest of each row counts as "
        "its class.",
        stacklevel=4,
    )
    return labels.argmax(1)


def _check_range(whole: np.ndarray, classes: int | None) -> None:
    if not len(whole):
        return
    low, high = int(whole.min()), int(whole.max())
    if low == -1 and set(np.unique(whole)) <= {-1, 1}:
        raise ValueError(
            "Labels are -1 and 1; classes are numbered from 0. Pass (labels + 1) // 2."
        )
    if classes is not None and low >= 1 and high == classes:
        raise ValueError(
            f"Labels must be from 0 to {classes - 1} for a model of {classes} classes. Received: "
            f"labels from {low} to {high}. If they are counted from 1, pass labels - 1."
        )
    if low < 0 or (classes is not None and high >= classes):
        end = "on" if classes is None else f"to {classes - 1} for a model of {classes} classes"
        raise ValueError(f"Labels must be from 0 {end}. Received: labels from {low} to {high}")

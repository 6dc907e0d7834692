"""Cross-entropy in numpy, clipped where Keras clips it."""

from __future__ import annotations

import keras
import numpy as np


def clipped(probabilities: np.ndarray) -> np.ndarray:
    """Return probabilities of at least Keras's epsilon, 1e-7, so that logarithms stay finite."""
    return np.clip(probabilities, keras.config.epsilon(), 1.0)


def cross_entropies(
    probabilities: np.ndarray, labels: np.ndarray, *, multi_label: bool = False
) -> np.ndarray:
    """Return each example's cross-entropy in nats.

    Args:
        probabilities: Array of shape `(n, classes)`.
        labels: Integers of shape `(n,)`, or 0 and 1 of shape `(n, classes)`, as `multi_label`.
        multi_label: Whether each class is a question of its own; their mean is taken.

    Returns:
        Array of shape `(n,)`.
    """
    if multi_label:
        of_truth = np.where(np.asarray(labels) == 1, probabilities, 1 - probabilities)
        return -np.log(clipped(of_truth)).mean(1)
    return -np.log(clipped(probabilities[np.arange(len(labels)), labels]))

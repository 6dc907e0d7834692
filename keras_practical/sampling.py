"""Which character comes next: a model's probabilities, sharpened, flattened or cut."""

from __future__ import annotations

import numpy as np

from keras_practical._validation import check_between

__all__ = ["sampling_probabilities"]


def sampling_probabilities(
    probabilities: np.ndarray, *, temperature: float = 1.0, top_p: float = 1.0
) -> np.ndarray:
    """Change the probabilities from which the next character is drawn.

    Use it to see what `generate`'s options do. `temperature` divides the logits, as in
    `keras.ops.softmax(logits / temperature)`; then `top_p` (nucleus sampling) keeps the fewest most
    probable characters that together have at least that probability, and drops the rest, where a
    model's many small mistakes add up. Keras itself has neither.

    Args:
        probabilities: Non-negative numbers of shape `(characters,)` that sum to 1.
        temperature: Below 1 the probable become more probable, above 1 all more alike; in
            [0, 100]. 0 leaves only the most probable one, the first of several.
        top_p: In (0, 1]; 1 keeps all.

    Returns:
        Probabilities of the same shape, float64, that sum to 1.

    Raises:
        ValueError: An argument is outside its range, or `probabilities` aren't probabilities.

    Example:

    >>> sampling_probabilities(np.array([0.5, 0.3, 0.2]), top_p=0.6)
    array([0.625, 0.375, 0.   ])
    >>> sampling_probabilities(np.array([0.8, 0.2]), temperature=0.5).round(3)  # 16 to 1
    array([0.941, 0.059])

    Reference:
        Holtzman et al., *The Curious Case of Neural Text Degeneration* (2020), arXiv 1904.09751.
    """
    check_sampling(temperature, top_p)
    probabilities = np.asarray(probabilities, "float64")
    if (
        probabilities.ndim != 1
        or not (probabilities >= 0).all()
        or abs(probabilities.sum() - 1.0) > 1e-3
    ):
        raise ValueError(
            "`probabilities` must be one row of numbers >= 0 that sum to 1. Received: shape "
            f"{probabilities.shape}, from {probabilities.min(initial=np.inf):.3g}, "
            f"sum {probabilities.sum():.3g}"
        )
    if temperature == 0:
        changed = np.zeros_like(probabilities)
        changed[probabilities.argmax()] = 1.0
        return changed
    with np.errstate(divide="ignore"):
        logits = np.log(probabilities) / temperature
    changed = np.exp(logits - logits.max())
    changed /= changed.sum()
    if top_p < 1:
        order = np.argsort(-changed, kind="stable")
        # Kept: whoever isn't preceded by enough already. Sums are rounded; .3 + .3 is to reach .6.
        before = np.cumsum(changed[order]) - changed[order]
        changed[order[before >= top_p - 1e-9]] = 0.0
        changed /= changed.sum()
    return changed


def check_sampling(temperature: float, top_p: float) -> None:
    """Raise `ValueError` unless both are within their ranges."""
    check_between("temperature", temperature, 0.0, 100.0)
    check_between("top_p", top_p, 0.0, 1.0)
    if top_p == 0:
        raise ValueError("`top_p` must be a number > 0. Received: top_p=0")

"""The learning rates of `fine_tune`: by layer group, and from the finder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras

from keras_practical.models.freezing import layer_groups
from keras_practical.training.finder import LRFinderResult
from keras_practical.training.layer_rates import geometric_multipliers

if TYPE_CHECKING:
    from keras_practical.utils.types import BackbonePart

__all__ = ["multipliers_by_group", "supported_rate"]


def multipliers_by_group(
    model: keras.Model, backbone_multiplier: float | None, backbone: BackbonePart | None
) -> list[float]:
    """Return each layer group's learning rate as a part of the head's.

    Args:
        model: As in `fine_tune`.
        backbone_multiplier: As there; `None` for one rate.
        backbone: As in `layer_groups`.

    Returns:
        One number a group, or one for all.

    Example:

    >>> from keras_practical.models.classifiers import classifier
    >>> network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(5, 3)])
    >>> multipliers_by_group(classifier(network, 2), 0.01, None)
    [0.01, 1.0]
    """
    if backbone_multiplier is None:
        return [1.0]
    backbone_groups = len(layer_groups(model, backbone=backbone)) - 1
    if not backbone_groups:
        return [1.0]
    relative = geometric_multipliers(backbone_groups, earliest=0.1)
    return [*(backbone_multiplier * relative).tolist(), 1.0]


def supported_rate(result: LRFinderResult, default: float) -> tuple[float, str]:
    """Return the finder's rate or, if it gives none, one that its curve supports; and why.

    Args:
        result: What `find_lr` found.
        default: The rate to begin with where it found none, > 0.

    Returns:
        A rate and, in words, where it is from.

    Raises:
        ValueError: The loss rises at every rate.

    Example:

    >>> import numpy as np
    >>> rates = np.geomspace(1e-6, 1.0, 50)
    >>> losses = np.where(rates < 0.1, 2.0 - np.log10(rates / 1e-6) / 5, 9.0)[None]
    >>> supported_rate(LRFinderResult.of(rates, losses, seconds=1.0), 1e-3)[1]
    "the finder's valley"
    """
    found = result.learning_rate
    if found is not None and result.supports(found):
        return found, "the finder's valley"
    rate = default
    while not result.supports(rate):
        rate /= 2.0
        if rate < default / 1e4:
            raise ValueError(
                'max_learning_rate="auto" found no rate to train with: '
                f"{result.problem or 'the loss rises at every rate'}. "
                "Check data and loss, or pass a number."
            )
    lowered = "" if rate == default else ", lowered to where the loss hasn't risen yet"
    return rate, f"the finder gives no trustworthy answer, so the default{lowered}"

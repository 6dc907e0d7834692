"""Between the weights at the start of a training and those at its end: the best of the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_practical.data.batches import fit_arguments
from keras_practical.data.origin import groups_in_order
from keras_practical.evaluation.comparison import compare
from keras_practical.evaluation.metrics import Evaluation, evaluate_predictions
from keras_practical.evaluation.prediction import predict_with_labels
from keras_practical.utils.cross_entropy import cross_entropies
from keras_practical.utils.keras_internals.overrides import PREDICTING, TRAINING, overridden

if TYPE_CHECKING:
    from keras_practical.utils.types import Data

__all__ = ["Judged", "best_share", "gain", "judge", "set_between"]


@dataclass(frozen=True)
class Judged:
    """How good a model is on held-out data.

    Attributes:
        loss: The log-loss of its probabilities or, if it gives none, what it was compiled with.
        evaluation: All that its probabilities tell; `None` if it gives none.

    Example:

    >>> Judged(0.5).evaluation is None
    True
    """

    loss: float
    evaluation: Evaluation | None = None


def judge(
    model: keras.Model, data: Data, *, like: Data | None = None, verbose: bool = False
) -> Judged:
    """Measure a model on held-out data: by its probabilities of one class each, or its own loss.

    Args:
        model: A compiled model.
        data: As `fit` takes for validation.
        like: The data set that `data` was computed from, which knows the groups of its examples.
        verbose: Whether to show progress.

    Returns:
        What was found.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Softmax()])
    >>> model.compile(loss="sparse_categorical_crossentropy")
    >>> round(judge(model, (np.zeros((4, 2)), np.zeros(4, int))).loss, 3)
    0.693
    """
    weighted = isinstance(data, tuple | list) and len(data) > 2
    if not weighted and not overridden(model, (*TRAINING, *PREDICTING)):
        try:
            probabilities, labels = predict_with_labels(
                model,
                data,
                from_logits=bool(getattr(model.loss, "from_logits", False)),
                by_name=False,
                verbose=verbose,
            )
            groups = groups_in_order(data if like is None else like, len(labels))
            found = evaluate_predictions(probabilities, labels, groups=groups)
            return Judged(found.loss, found)
        except ValueError:
            # Several labels in a row, numbers, maps, or NaN: what isn't the probability of one
            # class each is judged by the model's own loss, below.
            pass
    arguments = {name: value for name, value in fit_arguments(data).items() if name != "shuffle"}
    return Judged(float(model.evaluate(**arguments, verbose=0, return_dict=True)["loss"]))


def set_between(
    model: keras.Model, start: Sequence[np.ndarray], end: Sequence[np.ndarray], share: float
) -> None:
    """Give a model the weights that lie at `share` of the way from `start` to `end`.

    Args:
        model: A built model.
        start: Arrays as of `model.get_weights()`.
        end: Arrays of the same shapes.
        share: 0 for the start, 1 for the end.

    Example:

    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    >>> set_between(model, [np.array([[1.0]])], [np.array([[3.0]])], 0.25)
    >>> model.get_weights()[0].tolist()
    [[1.5]]
    """
    if share == 0.0:
        # Exactly, whatever the end is: a training that diverged leaves NaN.
        model.set_weights(list(start))
        return
    between = []
    for old, new in zip(start, end, strict=True):
        counts = np.issubdtype(new.dtype, np.integer) or new.dtype == bool
        between.append(new if share == 1.0 or counts else old + share * (new - old))
    model.set_weights(between)


def best_share(
    model: keras.Model,
    start: Sequence[np.ndarray],
    *,
    at_start: Judged | None,
    measure: Callable[[], Judged],
    otherwise: float = 0.5,
    share: float | None = None,
) -> tuple[float, Judged, Judged]:
    """Set a model to the place between start and now that held-out data find best; say which.

    Of 0, 1/4, 1/2, 3/4 and 1, three are measured beside the start: half, all, and the quarter on
    the better side. A few dozen examples can't tell neighbours apart. So of those that are within
    one standard error of the best, paired by example, and not worse than the start, the one nearest
    to the choice without held-out data is taken.

    Args:
        model: A trained model; it gets the chosen weights.
        start: Its weights before the training.
        at_start: What was found of it then; `None` has it measured.
        measure: Measures the model as it is.
        otherwise: The share that would be taken without held-out data.
        share: The share to take, if it isn't to be chosen.

    Returns:
        The share of the way, what was found at the start, and what there.

    Raises:
        BaseException: Whatever `measure` raises; the model has its trained weights then.

    Example:

    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    >>> model.set_weights([np.array([[4.0]])])
    >>> def measure():
    ...     return Judged(float((model.get_weights()[0][0, 0] - 1.2) ** 2))
    >>> start = [np.array([[0.0]])]
    >>> share, before, after = best_share(model, start, at_start=None, measure=measure)
    >>> share, round(before.loss, 2), round(after.loss, 2)
    (0.25, 1.44, 0.04)

    Reference:
        Wortsman et al., *Robust fine-tuning of zero-shot models* (2021), arXiv 2109.01903; one
        standard error: Breiman et al., *Classification and Regression Trees* (1984), section 3.4.3.
    """
    end = model.get_weights()
    found: dict[float, Judged] = {} if at_start is None else {0.0: at_start}
    try:
        for place in (0.0, 0.5, 1.0, None) if share is None else (0.0, share):
            if place is None:
                place = 0.75 if _loss(found[1.0]) < _loss(found[0.0]) else 0.25
            if place not in found:
                set_between(model, start, end, place)
                found[place] = measure()
    except BaseException:
        model.set_weights(end)
        raise
    chosen = _chosen(found, otherwise) if share is None else share
    set_between(model, start, end, chosen)
    return chosen, found[0.0], found[chosen]


def gain(before: Judged, after: Judged) -> str:
    """Say in one line what a training brought, by the same held-out data.

    Args:
        before: What was found before it.
        after: What was found afterwards.

    Returns:
        Text.

    Example:

    >>> gain(Judged(0.5), Judged(0.4))
    'held-out loss 0.4, was 0.5'
    """
    losses = f"{after.loss:.3g}, was {before.loss:.3g}"
    first, second = before.evaluation, after.evaluation
    same = first is not None and second is not None and np.array_equal(first.labels, second.labels)
    if not same:
        return f"held-out loss {losses}"
    found = compare(first, second, verbose=False)
    low, high = (100 * bound for bound in found.difference_interval)
    return (
        f"{100 * found.accuracies[1]:.1f} % of {found.n:,} held-out examples right, was "
        f"{100 * found.accuracies[0]:.1f} %: {100 * found.difference:+.1f} points (95 % interval "
        f"{low:+.1f} to {high:+.1f}); log-loss {losses}"
    )


def _chosen(found: dict[float, Judged], otherwise: float) -> float:
    """Return the share that held-out data speak for, as far as they can tell."""
    best = min(found, key=lambda share: (_loss(found[share]), abs(share - otherwise)))
    as_good = [
        share
        for share, judged in found.items()
        if _loss(judged) <= _loss(found[0.0])
        and _loss(judged) - _loss(found[best]) <= _standard_error(judged, found[best])
    ]
    return min(
        as_good, key=lambda share: (abs(share - otherwise), _loss(found[share])), default=best
    )


def _standard_error(one: Judged, other: Judged) -> float:
    """Return how sure the difference of two losses is, from the examples that both judged."""
    first, second = one.evaluation, other.evaluation
    if first is None or second is None or not np.array_equal(first.labels, second.labels):
        return 0.0
    losses = [cross_entropies(each.probabilities, each.labels) for each in (first, second)]
    return float(np.std(losses[0] - losses[1]) / math.sqrt(len(first.labels)))


def _loss(judged: Judged) -> float:
    return math.inf if math.isnan(judged.loss) else judged.loss

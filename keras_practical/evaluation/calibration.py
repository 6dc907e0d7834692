"""Can the probabilities be believed? Measure it, mend it, and let the model say "don't know"."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_practical.data.groups import group_numbers
from keras_practical.evaluation.outputs import predictions_and_labels
from keras_practical.evaluation.prediction import predict_with_labels
from keras_practical.models.deriving import check_graph, check_prediction, derived_model
from keras_practical.utils.checks import check_between, check_count, check_positive
from keras_practical.utils.intervals import wilson_interval
from keras_practical.utils.keras_internals.graph import final_activation, inputs_structure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from keras_practical.utils.types import Data

__all__ = [
    "Calibration",
    "Threshold",
    "dont_know_threshold",
    "measure_calibration",
    "temperature_of",
    "temperature_scaled",
    "with_temperature",
]

_DRAWS = 1000


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How far a classifier's confidence is from how often it is right; prints as text.

    `plots.reliability` draws it.

    Attributes:
        error: Expected calibration error, in [0, 1]: the mean distance of confidence and accuracy
            over bins of confidence.
        error_by_chance: The 95 % bound of the error that a perfectly calibrated model would show on
            so many examples.
        confidences: Mean confidence in each bin that has examples.
        accuracies: Accuracy in each of them.
        counts: Number of examples in each of them.

    Example:

    >>> found = measure_calibration(np.array([[0.9, 0.1]] * 10), np.array([0] * 9 + [1]))
    >>> round(found.error, 3), found.counts
    (0.0, (10,))
    """

    error: float
    error_by_chance: float
    confidences: tuple[float, ...]
    accuracies: tuple[float, ...]
    counts: tuple[int, ...]

    def __str__(self) -> str:
        counts = np.array(self.counts)
        gap = float(np.dot(counts, np.subtract(self.confidences, self.accuracies)) / counts.sum())
        verdict = "no more than chance brings on so many examples"
        if self.error > self.error_by_chance:
            verdict = f"{'over' if gap > 0 else 'under'}confident by {100 * abs(gap):.1f} points"
        return (
            f"calibration error {100 * self.error:.1f} points (a perfectly calibrated model: up to "
            f"{100 * self.error_by_chance:.1f}, n={counts.sum()}): {verdict}"
        )

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """Draw how often the model is right against how sure it is; see `plots.reliability`."""
        from keras_practical.evaluation.plots import reliability

        return reliability(self, ax=ax)


def measure_calibration(
    probabilities: np.ndarray,
    labels: np.ndarray,
    *,
    bins: int = 15,
    groups: Sequence[Hashable] | np.ndarray | None = None,
    seed: int = 0,
) -> Calibration:
    """Measure whether a classifier that is 90 % sure is right in 90 % of cases.

    Use it on held-out predictions before anyone acts on a probability. It has no equivalent in
    plain Keras.

    Args:
        probabilities: Shape `(n, classes)`, such as `Evaluation.probabilities`; or `(n,)` or
            `(n, 1)`, what a sigmoid says of class 1.
        labels: Integers of shape `(n,)`, or one-hot.
        bins: Equal parts of the confidence from 0 to 1, >= 1.
        groups: What belongs together, such as the patient of each example, one value an example:
            what chance brings is then drawn by whole groups. Default: every example by itself.
        seed: Decides the draws behind `error_by_chance`.

    Returns:
        A `Calibration`; print it.

    Raises:
        ValueError: `bins` is below 1, or these aren't probabilities (but logits, say) and labels
            of as many examples.

    Example:

    >>> print(measure_calibration(np.array([[0.99, 0.01]] * 100), np.array([0, 1] * 50)))
    calibration error 49.0 points (a perfectly ...: up to ..., n=100): overconfident by 49.0 points

    Reference:
        Guo et al., *On Calibration of Modern Neural Networks* (2017), arXiv 1706.04599; the bound:
        Bröcker & Smith, *Increasing the Reliability of Reliability Diagrams* (2007).
    """
    check_count("bins", bins)
    probabilities, labels = predictions_and_labels(probabilities, labels)
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == labels
    indexes = np.minimum((confidence * bins).astype(int), bins - 1)
    counts = np.bincount(indexes, minlength=bins)
    sums = np.bincount(indexes, confidence, minlength=bins)

    def error(hits: np.ndarray) -> float:
        return float(np.abs(np.bincount(indexes, hits, minlength=bins) - sums).sum() / len(labels))

    grouping = group_numbers(groups, len(labels))
    rng = np.random.default_rng(seed)

    def by_chance() -> float:
        if grouping is None:
            return error(rng.random(len(labels)) < confidence)
        # A calibrated model misses upwards as often as downwards, a whole group at a time.
        signs = rng.choice([-1.0, 1.0], int(grouping.max()) + 1)[grouping]
        return error(confidence + signs * (right - confidence))

    chance = [by_chance() for _ in range(_DRAWS)]
    used = counts > 0
    accuracies = np.bincount(indexes, right, minlength=bins)[used] / counts[used]
    return Calibration(
        error=error(right),
        error_by_chance=float(np.quantile(chance, 0.95)),
        confidences=tuple((sums[used] / counts[used]).tolist()),
        accuracies=tuple(accuracies.tolist()),
        counts=tuple(counts[used].tolist()),
    )


def temperature_of(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature that makes probabilities fit the labels best.

    Args:
        probabilities: Of held-out examples, as in `measure_calibration`.
        labels: As there.

    Returns:
        The number > 0 by which to divide the logits: above 1 the model was overconfident.

    Raises:
        ValueError: As in `measure_calibration`.

    Example:

    >>> probabilities = np.array([[0.8, 0.2], [0.8, 0.2], [0.8, 0.2], [0.2, 0.8]])
    >>> round(temperature_of(probabilities, np.array([0, 0, 1, 1])), 2)
    1.26

    Reference:
        Guo et al. (2017), arXiv 1706.04599.
    """
    from scipy.optimize import minimize_scalar

    probabilities, labels = predictions_and_labels(probabilities, labels)
    logits = np.log(np.clip(probabilities, 1e-12, 1.0))
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        scaled -= scaled.max(1, keepdims=True)
        return float(np.mean(np.log(np.exp(scaled).sum(1)) - scaled[rows, labels]))

    # Beyond these a model is a coin, or has made no mistake at all.
    return float(np.exp(minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded").x))


def with_temperature(model: keras.Model, temperature: float) -> keras.Model:
    """Return a model whose logits are divided by a temperature: the same classes, other confidence.

    Args:
        model: A functional or sequential classifier that gives probabilities: of shape
            `(batch, classes)`, or `(batch, 1)` for the probability of class 1. Those of a final
            sigmoid (`multi_label`) are scaled each by itself.
        temperature: A number > 0.

    Returns:
        A plain Keras model on the same weights.

    Raises:
        ValueError: `temperature` is not above 0, the outputs have another shape, or the model's
            class overrides what can't be kept.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Softmax()])
    >>> softer = with_temperature(model, 2.0)
    >>> [[high, low]] = softer.predict(np.log([[0.8, 0.2]]), verbose=0)
    >>> round(float(high), 3), round(float(low), 3)
    (0.667, 0.333)

    Reference:
        Guo et al. (2017), arXiv 1706.04599.
    """
    check_positive("temperature", temperature)
    check_graph(model, one_output=True)
    outputs = model.outputs[0]
    if len(outputs.shape) != 2:
        raise ValueError(
            f"`model` must give one row of probabilities each. Received: shape {outputs.shape}"
        )
    tiny, power = keras.config.epsilon(), 1.0 / temperature
    layers = keras.layers
    by_itself = _each_by_itself(model)
    if by_itself:
        clipped = keras.ops.clip(outputs, tiny, 1.0 - tiny)
        logits = keras.ops.log(clipped) - keras.ops.log(1.0 - clipped)
        scaled = layers.Rescaling(power, name="temperature")(logits)
        scaled = layers.Activation("sigmoid", dtype="float32", name="calibrated")(scaled)
    else:
        logits = keras.ops.log(keras.ops.clip(outputs, tiny, 1.0))
        scaled = layers.Rescaling(power, name="temperature")(logits)
        scaled = layers.Softmax(dtype="float32", name="calibrated")(scaled)
    calibrated = derived_model(model, inputs_structure(model), scaled, name=model.name)

    def expected(probabilities: np.ndarray) -> np.ndarray:
        sums = probabilities.sum(1)
        if (
            probabilities.min() < 0
            or probabilities.max() > 1 + 1e-3
            or not (by_itself or np.allclose(sums, 1.0, atol=0.02))
        ):
            raise ValueError(
                "`model` must give probabilities. On a random batch its outputs range from "
                f"{probabilities.min():.3g} to {probabilities.max():.3g}: end a model that gives "
                "logits in a softmax or sigmoid."
            )
        kept = np.clip(probabilities.astype("float64"), tiny, 1.0 - tiny * by_itself)
        raised = kept**power
        others = (1.0 - kept) ** power if by_itself else raised.sum(1, keepdims=True) - raised
        return raised / (raised + others)

    check_prediction(calibrated, model, expected=expected)
    return calibrated


def _each_by_itself(model: keras.Model) -> bool:
    """Return whether each output is a probability of its own: several labels, or one class."""
    return model.output_shape[-1] == 1 or final_activation(model) == "sigmoid"


def temperature_scaled(
    model: keras.Model, data: Data, *, batch_size: int = 32, verbose: bool = True
) -> keras.Model:
    """Return a model whose confidence fits held-out data, and whose classes are the same.

    Use it when probabilities are acted upon. Choose other data for it than those by which the
    model is judged in the end. It has no equivalent in plain Keras.

    Args:
        model: As in `with_temperature`.
        data: As in `evaluate`; some hundred examples are plenty for one number.
        batch_size: As in `evaluate`.
        verbose: Whether to show progress and say what was found.

    Returns:
        As `with_temperature` does.

    Raises:
        ValueError: As in `evaluate`.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Softmax()])
    >>> logits = np.log([[0.8, 0.2], [0.8, 0.2], [0.8, 0.2], [0.2, 0.8]])
    >>> calibrated = temperature_scaled(model, (logits, [0, 0, 1, 1]))
    temperature_scaled: temperature 1.26 (the model was overconfident)

    Reference:
        Guo et al. (2017), arXiv 1706.04599.
    """
    multi_label = model.output_shape[-1] > 1 and _each_by_itself(model)
    probabilities, labels = predict_with_labels(
        model, data, multi_label=multi_label, batch_size=batch_size, verbose=verbose
    )
    if multi_label:
        probabilities, labels = probabilities.reshape(-1, 1), labels.reshape(-1)
        probabilities = np.concatenate([1.0 - probabilities, probabilities], axis=1)
    temperature = temperature_of(probabilities, labels)
    if verbose:
        was = "overconfident" if temperature > 1 else "underconfident"
        print(f"temperature_scaled: temperature {temperature:.2f} (the model was {was})")
    return with_temperature(model, temperature)


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """From which confidence on a model's answer is taken; prints as text.

    Attributes:
        threshold: The least confidence that counts; `None` if no confidence is enough.
        coverage: Part of the examples that get an answer, in [0, 1].
        precision: Part of the answers that are right; `nan` without answers.
        precision_interval: Wilson's 95 % interval.
        answered: Number of examples that get an answer.
        n: Number of examples.

    Example:

    >>> print(
    ...     Threshold(
    ...         threshold=0.8,
    ...         coverage=0.5,
    ...         precision=0.98,
    ...         precision_interval=(0.93, 0.995),
    ...         answered=100,
    ...         n=200,
    ...     )
    ... )
    answers from 80.0 % confidence on: 50.0 % of 200 examples, 98.0 % of them right (93.0–99.5)
    """

    threshold: float | None
    coverage: float
    precision: float
    precision_interval: tuple[float, float]
    answered: int
    n: int

    def __str__(self) -> str:
        if self.threshold is None:
            return f"no confidence is enough for the precision asked, on {self.n} examples"
        low, high = self.precision_interval
        return (
            f"answers from {100 * self.threshold:.1f} % confidence on: {100 * self.coverage:.1f} % "
            f"of {self.n} examples, {100 * self.precision:.1f} % of them right "
            f"({100 * low:.1f}–{100 * high:.1f})"
        )


def dont_know_threshold(
    probabilities: np.ndarray,
    labels: np.ndarray,
    *,
    precision: float = 0.99,
    confidence: float | None = None,
) -> Threshold:
    """Choose the confidence below which a model should say "don't know".

    Use it on held-out predictions when a wrong answer costs more than none. It has no equivalent
    in plain Keras.

    Args:
        probabilities: Shape `(n, classes)`, such as `Evaluation.probabilities`; or `(n,)` or
            `(n, 1)`, what a sigmoid says of class 1.
        labels: Integers of shape `(n,)`, or one-hot.
        precision: Part of the answers that shall be right, in (0, 1].
        confidence: How sure to be, in [0.5, 0.9999], that the true precision is as high. The
            threshold then comes with a guarantee, and is stricter. Default: the precision on
            these examples is as high.

    Returns:
        A `Threshold`: the one that answers most.

    Raises:
        ValueError: An argument is outside its range, or as in `measure_calibration`.

    Example:

    >>> sure, unsure = [[0.9, 0.1]] * 8, [[0.6, 0.4]] * 4
    >>> labels = np.array([0] * 8 + [0, 1, 0, 1])
    >>> print(dont_know_threshold(np.array(sure + unsure), labels))
    answers from 90.0 % confidence on: 66.7 % of 12 examples, 100.0 % of them right (67.6–100.0)

    Reference:
        Geifman & El-Yaniv, *Selective Classification for Deep Neural Networks* (2017),
        arXiv 1705.08500; the guarantee is their exact binomial bound, tested from the highest
        threshold downwards until it fails (Angelopoulos et al. (2021), arXiv 2110.01052).
    """
    check_between("precision", precision, 1e-9, 1.0)
    if confidence is not None:
        check_between("confidence", confidence, 0.5, 0.9999)
    probabilities, labels = predictions_and_labels(probabilities, labels)
    surest = probabilities.max(1)
    order = np.argsort(-surest, kind="stable")
    sure = surest[order]
    right = (probabilities.argmax(1) == labels)[order]
    n = len(labels)
    hits, answered = np.cumsum(right), np.arange(1, n + 1)
    # Examples of the same confidence are answered together.
    ends = np.append(sure[1:] < sure[:-1], True)
    if confidence is None:
        enough = ends & (hits / answered >= precision)
    else:
        enough = ends & _tested(hits, answered, ends, precision, confidence)
    chosen = np.flatnonzero(enough)
    if not len(chosen):
        return Threshold(
            threshold=None,
            coverage=0.0,
            precision=float("nan"),
            precision_interval=(0.0, 1.0),
            answered=0,
            n=n,
        )
    last = chosen[-1]
    k, answers = int(hits[last]), int(answered[last])
    return Threshold(
        threshold=float(sure[last]),
        coverage=answers / n,
        precision=k / answers,
        precision_interval=wilson_interval(k, answers),
        answered=answers,
        n=n,
    )


def _tested(
    hits: np.ndarray, answered: np.ndarray, ends: np.ndarray, precision: float, confidence: float
) -> np.ndarray:
    """Return which numbers of answers pass an exact test, up to the first failure that counts."""
    from scipy.stats import beta

    # The exact (Clopper-Pearson) lower bound. With fewer than `least` answers the bound stays
    # below `precision` even if all of them are right.
    low = beta.ppf(1 - confidence, hits, answered - hits + 1)
    least = np.log(1 - confidence) / np.log(precision) if precision < 1 else np.inf
    failed = ends & (answered >= least) & ~(low >= precision)
    first = int(np.argmax(failed)) if failed.any() else len(hits)
    return (low >= precision) & (np.arange(len(hits)) < first)

"""Honest numbers: what is known of a classifier after so many images."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_practical.data.groups import group_numbers
from keras_practical.data.origin import groups_in_order, origin_of
from keras_practical.evaluation.outputs import predictions_and_labels
from keras_practical.evaluation.prediction import predict_with_labels, predict_with_tta
from keras_practical.models.class_names import class_names_of
from keras_practical.utils.cross_entropy import cross_entropies
from keras_practical.utils.intervals import (
    Interval,
    auc_interval,
    confusion_interval,
    independent_examples,
    mean_interval,
    proportion_interval,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from keras_practical.utils.types import Augmentation, Data

__all__ = ["Evaluation", "evaluate", "evaluate_predictions"]

_UNKNOWN = (0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How good a classifier is on a data set, and how sure that is; prints as text.

    Every interval is one of 95 %. With `multi_label` a prediction is right if all its labels are.
    Where examples come in groups, such as several images of each patient, all intervals allow for
    how alike the members of a group are.

    Attributes:
        accuracy: Part of the examples whose most probable class is right, in [0, 1].
        accuracy_interval: Wilson's; with groups, that of `evaluation.proportion_interval`.
        balanced_accuracy: Mean of the classes' recalls, in [0, 1]: the accuracy if all classes were
            equally frequent. With `multi_label`, mean of each label's recall and specificity.
        balanced_accuracy_interval: See `evaluation.confusion_interval`.
        macro_f1: Mean over the classes of the harmonic mean of precision and recall, in [0, 1].
        macro_f1_interval: As for `balanced_accuracy`.
        roc_auc: Area under the ROC curve, in [0, 1]: how often a random example of a class gets
            a higher probability of it than one of another class; mean over the classes.
        roc_auc_interval: See `evaluation.auc_interval`; for several classes the mean of their
            bounds, which is wide.
        loss: Mean cross-entropy (log-loss) in nats, without label smoothing.
        loss_interval: See `evaluation.mean_interval`.
        n: Number of examples.
        precision: For each class, the part of its predictions that are right; `nan` without any.
        precision_intervals: As of the accuracy.
        recall: For each class, the part of its examples that were found; `nan` without examples.
        recall_intervals: As of the accuracy.
        class_counts: Number of examples of each class.
        class_names: One name a class.
        probabilities: What the model gave, float64 of shape `(n, classes)`.
        labels: The truth, integers of shape `(n,)`, with `multi_label` of shape `(n, classes)`.
        grouping: The number of each example's group; `None` if each stands by itself.

    Raises:
        ValueError: From `plot`, if an example may have several labels.

    Example:

    >>> found = evaluate_predictions(np.array([[0.8, 0.2], [0.3, 0.7]]), np.array([0, 1]))
    >>> found.accuracy, found.macro_f1, found.class_counts
    (1.0, 1.0, (1, 1))
    """

    accuracy: float
    accuracy_interval: Interval
    balanced_accuracy: float
    balanced_accuracy_interval: Interval
    macro_f1: float
    macro_f1_interval: Interval
    roc_auc: float
    roc_auc_interval: Interval
    loss: float
    loss_interval: Interval
    n: int
    precision: tuple[float, ...]
    precision_intervals: tuple[Interval, ...]
    recall: tuple[float, ...]
    recall_intervals: tuple[Interval, ...]
    class_counts: tuple[int, ...]
    class_names: tuple[str, ...]
    probabilities: np.ndarray = field(repr=False, compare=False)
    labels: np.ndarray = field(repr=False, compare=False)
    grouping: np.ndarray | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        low, high = self.accuracy_interval
        groups = "" if self.grouping is None else f" in {self.grouping.max() + 1} groups"
        lines = [
            f"accuracy {self.accuracy:.3f} (95 % interval {low:.3f}–{high:.3f}, n={self.n}{groups})"
        ]
        for name, value, (low, high) in (
            ("balanced accuracy", self.balanced_accuracy, self.balanced_accuracy_interval),
            ("macro-F1", self.macro_f1, self.macro_f1_interval),
            ("ROC-AUC", self.roc_auc, self.roc_auc_interval),
            ("log-loss", self.loss, self.loss_interval),
        ):
            known = not np.isnan(value)
            lines.append(
                f"{name} {value:.3f} ({low:.3f}–{high:.3f})" if known else f"{name} unknown"
            )
        width = max(5, *(len(name) for name in self.class_names))
        lines.append(f"{'class':<{width}}      n  {'recall':<20}  precision")
        columns = (self.recall, self.recall_intervals, self.precision, self.precision_intervals)
        for name, n, *row in zip(self.class_names, self.class_counts, *columns, strict=True):
            recall, precision = (_cell(*row[i : i + 2]) for i in (0, 2))
            lines.append(f"{name:<{width}}  {n:>5}  {recall:<20}  {precision}")
        return "\n".join(lines)

    def plot(self, *, normalize: bool = False, ax: Axes | None = None) -> Axes:
        """Draw the confusion matrix, as `plots.confusion` does; not for several labels an image."""
        from keras_practical.evaluation.plots import confusion

        if self.labels.ndim != 1:
            raise ValueError(
                "A confusion matrix needs one label for each example. "
                f"Received: labels of shape {self.labels.shape}"
            )
        counts = np.zeros((len(self.class_names),) * 2, int)
        np.add.at(counts, (self.labels, self.probabilities.argmax(1)), 1)
        return confusion(counts, class_names=self.class_names, normalize=normalize, ax=ax)


def evaluate(
    model: keras.Model,
    data: Data,
    *,
    class_names: Sequence[str] | None = None,
    tta: str | Augmentation | None = None,
    multi_label: bool = False,
    from_logits: bool = False,
    groups: Sequence[Hashable] | np.ndarray | None = None,
    batch_size: int = 32,
    seed: int = 0,
    verbose: bool = True,
) -> Evaluation:
    """Measure a classifier on held-out data, with 95 % intervals.

    Use it instead of `model.evaluate`, the plain-Keras equivalent, when the number will be
    believed: with 100 images, 92 % and 94 % are the same result. Works with any Keras
    classifier, compiled or not: softmax or sigmoid outputs, or logits when told so.

    Args:
        model: Outputs of shape `(batch, classes)`, or `(batch, 1)` or `(batch,)` for the
            probability of class 1.
        data: A `tf.data.Dataset` or `keras.utils.PyDataset` of `(inputs, labels)` batches, or one
            `(inputs, labels)` pair of arrays. Labels: integers of shape `(n,)` or `(n, 1)`, or
            one-hot of shape `(n, classes)`.
        class_names: One name a class; labels then count by number. Default: the names that the
            model has (`class_names_of`) and the data set's, whose labels count by name then, in
            whatever order the data have them; or numbers.
        tta: Test-time augmentation: each image is judged by several views of it, as
            `predict_with_tta` does with this `augmentation`. Default: by itself.
        multi_label: Whether an example may have any number of labels: the outputs are a probability
            (sigmoid) for each, the labels 0 or 1 of shape `(n, classes)`; from 0.5 on a label is
            predicted.
        from_logits: Whether the model's outputs are logits rather than probabilities.
        groups: What belongs together, such as the patient of each image, one value an example in
            the order of the data: images of one patient say less than as many patients would, and
            the intervals are wider. Default: the groups that `load_images` was given, if it was.
        batch_size: Batch size for arrays.
        seed: Decides what the intervals that need random numbers draw.
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
    accuracy 0.667 (95 % interval 0.208–0.939, n=3)
    balanced accuracy 0.750 (...)
    macro-F1 0.667 (...)
    ROC-AUC 1.000 (0.283–1.000)
    log-loss 0.522 (...)
    class      n  recall                precision
    0          1  1.000 (0.207–1.000)   0.500 (0.095–0.905)
    1          2  0.500 (0.095–0.905)   1.000 (0.207–1.000)

    Reference:
        The intervals' sources are in `keras_practical.utils.intervals`.
    """
    predict: Callable[..., Any] = predict_with_labels
    if tta is not None:
        predict = functools.partial(predict_with_tta, augmentation=tta)
    probabilities, labels = predict(
        model,
        data,
        multi_label=multi_label,
        from_logits=from_logits,
        by_name=class_names is None,
        batch_size=batch_size,
        verbose=verbose,
    )
    names = class_names or class_names_of(model) or origin_of(data).class_names
    return evaluate_predictions(
        probabilities,
        labels,
        class_names=names,
        multi_label=multi_label,
        groups=groups_in_order(data, len(labels)) if groups is None else groups,
        seed=seed,
    )


def evaluate_predictions(
    probabilities: np.ndarray,
    labels: np.ndarray,
    *,
    class_names: Sequence[str] | None = None,
    multi_label: bool = False,
    groups: Sequence[Hashable] | np.ndarray | None = None,
    seed: int = 0,
) -> Evaluation:
    """Measure predictions that were made before, as `evaluate` does.

    Args:
        probabilities: Shape `(n, classes)`; or `(n,)` or `(n, 1)`, what a sigmoid says of class 1.
        labels: Integers of shape `(n,)`, or one-hot; with `multi_label`, 0 or 1 of shape
            `(n, classes)`.
        class_names: One name a class. Default: numbers.
        multi_label: As in `evaluate`.
        groups: What belongs together, such as the patient of each example, one value an example.
            Default: every example by itself.
        seed: As in `evaluate`.

    Returns:
        An `Evaluation`.

    Raises:
        ValueError: The numbers of classes, names and examples don't fit each other, or these are
            something else than probabilities (logits, say) and labels.

    Example:

    >>> evaluate_predictions(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1])).accuracy
    0.5
    """
    probabilities, labels = predictions_and_labels(probabilities, labels, multi_label=multi_label)
    n, classes = probabilities.shape
    grouping = group_numbers(groups, n)
    names = tuple(class_names or (str(label) for label in range(classes)))
    if len(names) != classes:
        raise ValueError(
            f"The model tells {classes} classes apart, but there are {len(names)} "
            f"class names: {', '.join(names[:10])}"
        )
    truth = labels == 1 if multi_label else np.eye(classes, dtype=bool)[labels]
    predicted = probabilities >= 0.5
    if not multi_label:
        predicted = np.eye(classes, dtype=bool)[probabilities.argmax(1)]
    right = (truth == predicted).all(1)
    # Where examples come in groups, all tables count as fewer examples.
    share = independent_examples(right, grouping) / n
    if multi_label:
        tables = _tables(truth, predicted) * share
        balanced, balanced_interval = _over_labels(tables, _balanced_accuracy, seed)
        f1, f1_interval = _over_labels(tables, _second_f1, seed)
    else:
        matrix = truth.astype("float64").T @ predicted * share
        balanced = float(_balanced_accuracy(matrix[None])[0])
        balanced_interval = confusion_interval(matrix, _balanced_accuracy, seed=seed)
        f1 = float(_macro_f1(matrix[None])[0])
        f1_interval = confusion_interval(matrix, _macro_f1, seed=seed)
    losses = cross_entropies(probabilities, labels, multi_label=multi_label)
    hits, counts, calls = (truth & predicted).sum(0), truth.sum(0), predicted.sum(0)
    auc, bounds = _roc_auc(truth, probabilities, grouping, share)
    loss_low, loss_high = mean_interval(losses, groups=grouping, seed=seed)
    return Evaluation(
        accuracy=float(right.mean()),
        accuracy_interval=proportion_interval(right, groups=grouping),
        balanced_accuracy=balanced,
        balanced_accuracy_interval=balanced_interval,
        macro_f1=f1,
        macro_f1_interval=f1_interval,
        roc_auc=auc,
        roc_auc_interval=bounds,
        loss=float(losses.mean()),
        loss_interval=(max(0.0, loss_low), loss_high),
        n=n,
        precision=_shares(hits, calls),
        precision_intervals=_share_intervals(truth, predicted, grouping),
        recall=_shares(hits, counts),
        recall_intervals=_share_intervals(predicted, truth, grouping),
        class_counts=tuple(int(count) for count in counts),
        class_names=names,
        probabilities=probabilities,
        labels=labels,
        grouping=grouping,
    )


def _balanced_accuracy(matrices: np.ndarray) -> np.ndarray:
    """Return the mean recall of the classes that there are, for each confusion matrix."""
    sizes = matrices.sum(2)
    recalls = _diagonal(matrices) / np.where(sizes > 0, sizes, np.nan)
    return np.nanmean(recalls, axis=1)


def _macro_f1(matrices: np.ndarray) -> np.ndarray:
    """Return the mean F1 of the classes that there are, or are predicted."""
    sizes = matrices.sum(1) + matrices.sum(2)
    return np.nanmean(2 * _diagonal(matrices) / np.where(sizes > 0, sizes, np.nan), axis=1)


def _second_f1(matrices: np.ndarray) -> np.ndarray:
    """Return the F1 of class 1 of two; 0 if it neither is there nor is predicted."""
    sizes = matrices[:, 1].sum(1) + matrices[:, :, 1].sum(1)
    return 2 * matrices[:, 1, 1] / np.where(sizes > 0, sizes, 1.0)


def _diagonal(matrices: np.ndarray) -> np.ndarray:
    return np.diagonal(matrices, axis1=1, axis2=2)


def _tables(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return each label's confusion matrix: shape `(labels, 2, 2)`, absent first."""
    rows = [
        [(truth == real) & (predicted == said) for said in (False, True)] for real in (False, True)
    ]
    return np.array(rows).sum(2).transpose(2, 0, 1).astype("float64")


def _over_labels(
    tables: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], seed: int
) -> tuple[float, Interval]:
    """Return the mean over labels, and of their bounds: labels may err together."""
    value = float(np.mean(statistic(tables)))
    bounds = [confusion_interval(table, statistic, seed=seed) for table in tables]
    low, high = np.mean(bounds, axis=0)
    return value, (float(low), float(high))


def _roc_auc(
    truth: np.ndarray, probabilities: np.ndarray, grouping: np.ndarray | None, share: float
) -> tuple[float, Interval]:
    """Return the mean area of each class against the others; `nan` if none can be told.

    `share` is the part of the examples that count as independent ones where scores say nothing of
    that: all tied, or an area of 0 or 1.
    """
    from sklearn.metrics import roc_auc_score

    columns = range(truth.shape[1])
    if truth.shape[1] == 2 and (truth.sum(1) == 1).all():
        columns = range(1, 2)  # The first says the same.
    areas, bounds = [], []
    for column in columns:
        positives = int(truth[:, column].sum())
        negatives = len(truth) - positives
        if positives and negatives:
            area = float(roc_auc_score(truth[:, column], probabilities[:, column]))
            areas.append(area)
            part = share
            if grouping is not None:
                part = _independent_part(
                    truth[:, column], probabilities[:, column], grouping, otherwise=share
                )
            independent = (max(1.0, part * count) for count in (positives, negatives))
            bounds.append(auc_interval(area, *independent))
    if not areas:
        return float("nan"), _UNKNOWN
    low, high = np.mean(bounds, axis=0)
    return float(np.mean(areas)), (float(low), float(high))


def _independent_part(
    member: np.ndarray, scores: np.ndarray, grouping: np.ndarray, *, otherwise: float
) -> float:
    """Return the part of the examples that count as independent ones for an area.

    By how much more sums over groups scatter than single examples do, in how many of the others
    each example is placed right of (Obuchowski, *Nonparametric analysis of clustered ROC curve
    data*, Biometrics 53, 1997), with Student's distribution for few groups. `otherwise` is for
    scores that don't scatter.
    """
    from scipy.stats import norm, rankdata, t

    groups = int(grouping.max()) + 1
    if groups < 2:
        return 1 / len(scores)
    ranks = rankdata(scores)
    placed = np.empty(len(scores))
    # Members are placed right above the others, the others below them.
    for side, sign in ((member, 1), (~member, -1)):
        others = ranks[side] - rankdata(scores[side])
        placed[side] = sign * (others - others.mean()) / (side.sum() * (~side).sum())
    single = float(placed @ placed)
    if not single:
        return otherwise
    sums = np.bincount(grouping, placed)
    scatter = float(sums @ sums) * groups / (groups - 1) / single
    quantiles = norm.ppf(0.975) / t.ppf(0.975, groups - 1)
    return float(quantiles**2 / max(1.0, scatter))


def _shares(hits: np.ndarray, sizes: np.ndarray) -> tuple[float, ...]:
    pairs = zip(hits, sizes, strict=True)
    return tuple(float(hit / size) if size else float("nan") for hit, size in pairs)


def _share_intervals(
    hit: np.ndarray, among: np.ndarray, grouping: np.ndarray | None
) -> tuple[Interval, ...]:
    """Return the interval of each column's share of hits among those examples that count."""
    intervals = []
    for hits, counted in zip(hit.T, among.T, strict=True):
        groups = None if grouping is None else grouping[counted]
        found = proportion_interval(hits[counted], groups=groups) if counted.any() else _UNKNOWN
        intervals.append(found)
    return tuple(intervals)


def _cell(value: float, interval: Interval) -> str:
    if np.isnan(value):
        return "unknown"
    return f"{value:.3f} ({interval[0]:.3f}–{interval[1]:.3f})"

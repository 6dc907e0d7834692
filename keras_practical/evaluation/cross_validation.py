"""Cross-validation: every image judged by a model that hasn't seen it."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_practical.data.features import Embeddings
from keras_practical.data.groups import group_numbers
from keras_practical.data.image_set import PixelSource, dataset_of
from keras_practical.data.index import ImageRecord
from keras_practical.data.labels import class_numbers
from keras_practical.data.loading import ImageData
from keras_practical.data.order import EpochOrder
from keras_practical.data.origin import origin_of
from keras_practical.evaluation.metrics import Evaluation, evaluate_predictions
from keras_practical.evaluation.outputs import probabilities_of
from keras_practical.evaluation.prediction import predict_with_labels
from keras_practical.utils.checks import check_count
from keras_practical.utils.intervals import proportion_interval
from keras_practical.utils.keras_internals.layers import random_states
from keras_practical.utils.progress import track

if TYPE_CHECKING:
    from keras_practical.utils.types import Data

__all__ = ["CrossValidation", "cross_validate"]

Build = Callable[[Any], Any]


@dataclass(frozen=True, kw_only=True)
class CrossValidation:
    """What models say of the images that they haven't seen; prints as text.

    Attributes:
        accuracy: Mean accuracy over all images and repeats, in [0, 1].
        accuracy_interval: 95 % bounds, of `evaluation.proportion_interval`: they allow for how
            alike the images of a group are.
        fold_accuracies: Of each fold of each repeat, shape `(repeats, folds)`.
        evaluation: The first repeat's `Evaluation`.
        probabilities: For each image, by the models that haven't seen it: shape
            `(repeats, n, classes)`.
        folds: In which fold each image was held out: integers of shape `(repeats, n)`.
        labels: The truth, integers of shape `(n,)`.
        index: What is known of each image.

    Example:

    >>> from keras_practical.transfer.probe import fit_probe
    >>> labels = np.arange(40) % 2
    >>> records = tuple(ImageRecord(f"{place}.jpg", 0) for place in range(40))
    >>> features = np.random.default_rng(0).normal(size=(40, 2)) + 3 * labels[:, None]
    >>> found = cross_validate(
    ...     fit_probe, Embeddings(features, labels, records, ("a", "b")), verbose=False
    ... )
    >>> found.probabilities.shape, found.index[7].name
    ((1, 40, 2), '7.jpg')
    """

    accuracy: float
    accuracy_interval: tuple[float, float]
    fold_accuracies: np.ndarray
    evaluation: Evaluation
    probabilities: np.ndarray
    folds: np.ndarray
    labels: np.ndarray
    index: tuple[ImageRecord, ...]

    def __str__(self) -> str:
        low, high = self.accuracy_interval
        repeats, folds = self.fold_accuracies.shape
        worst, best = self.fold_accuracies.min(), self.fold_accuracies.max()
        often = f", {repeats} times" if repeats > 1 else ""
        return (
            f"accuracy {self.accuracy:.3f} (95 % interval {low:.3f}–{high:.3f}, "
            f"n={len(self.labels)}) in {folds} folds{often}, from {worst:.3f} to {best:.3f} by fold"
        )


def cross_validate(
    build: Build,
    data: Data,
    *,
    folds: int = 5,
    repeats: int = 1,
    groups: Sequence[Hashable] | Callable[[ImageRecord], Hashable] | None = None,
    seed: int = 0,
    jobs: int | None = None,
    verbose: bool = True,
) -> CrossValidation:
    """Train on all but a part, judge that part, and so on for every part.

    Use it with few images: all of them are judged, not only the fifth that a split would hold
    back. On embeddings it takes seconds. In plain Keras one writes the loops by hand around
    scikit-learn's splitters.

    Args:
        build: Gets the training part, of the kind of `data`, and returns a trained model: a
            `keras.Model`, or anything with scikit-learn's `predict_proba`, such as `fit_probe`
            gives. It must make a new model each time; a backbone that isn't trained may be shared.
        data: `Embeddings`, one `(inputs, labels)` pair of arrays, a data set of `load_images`, or
            its whole `ImageData`, of which training and validation images are taken together.
        folds: Parts, >= 2. Each has about the same share of every class.
        repeats: How often to divide anew, >= 1.
        groups: What belongs together and must not be torn apart, such as one patient's images:
            one value an image, or a function from its `ImageRecord` to one. Default: the groups
            that `load_images` was given, if it was. Without any, images of the same patient on
            both sides make the result too good.
        seed: Whole number >= 0; decides the parts.
        jobs: Folds trained at a time, in processes of their own (joblib); `build` must then be
            importable or picklable by cloudpickle. Default: one, or what an enclosing
            `joblib.parallel_config` says: with its `backend="dask"`, on other machines.
        verbose: Whether to show a progress bar.

    Returns:
        A `CrossValidation`; print it.

    Raises:
        ValueError: An argument is out of range, a class has fewer images than there are folds,
            there are fewer groups, a class lies in so few groups that a fold trains without it, or
            `build` goes on training weights of an earlier fold, which have seen what this one holds
            out.

    Example:

    >>> from sklearn.linear_model import LogisticRegression
    >>> inputs = np.arange(40.0)[:, None]
    >>> found = cross_validate(
    ...     lambda part: LogisticRegression().fit(*part), (inputs, inputs[:, 0] > 20), verbose=False
    ... )
    >>> found.accuracy > 0.9
    True

    Reference:
        Kohavi, *A Study of Cross-Validation and Bootstrap for Accuracy Estimation and Model
        Selection* (1995); `sklearn.model_selection.StratifiedGroupKFold`.
    """
    check_count("folds", folds, minimum=2)
    check_count("repeats", repeats)
    check_count("seed", seed, minimum=0)
    whole = _Whole.of(data)
    labels = whole.labels
    grouping = group_numbers(groups, len(labels), index=whole.index)
    rounds = [_split(labels, grouping, folds, seed + repeat) for repeat in range(repeats)]
    tests = [test for splits in rounds for test in splits]
    build = _NewModelEachTime(build)
    everywhere = np.arange(len(labels))
    tasks = [(build, whole, np.setdiff1d(everywhere, test), test) for test in tests]
    held_out = list(track(_in_parallel(tasks, jobs), "Folds", len(tasks), show=verbose))
    classes = held_out[0].shape[1]
    if any(part.shape[1] != classes for part in held_out):
        raise ValueError(
            "The folds' models know different numbers of classes: all of a class's examples were "
            "held out at once, because they belong to too few groups. Take fewer folds, or leave "
            f"that class out. Received: {sorted({part.shape[1] for part in held_out})} classes"
        )
    probabilities = np.zeros((repeats, len(labels), classes))
    fold_of = np.zeros((repeats, len(labels)), int)
    for number, (test, part) in enumerate(zip(tests, held_out, strict=True)):
        probabilities[number // folds, test] = part
        fold_of[number // folds, test] = number % folds
    right = probabilities.argmax(2) == labels
    fold_accuracies = [
        [right[repeat, fold_of[repeat] == fold].mean() for fold in range(folds)]
        for repeat in range(repeats)
    ]
    evaluation = evaluate_predictions(
        probabilities[0],
        labels,
        class_names=whole.class_names(classes),
        groups=grouping,
        seed=seed,
    )
    accuracy = float(right.mean())
    return CrossValidation(
        accuracy=accuracy,
        accuracy_interval=_interval(right, grouping),
        fold_accuracies=np.array(fold_accuracies),
        evaluation=evaluation,
        probabilities=probabilities,
        folds=fold_of,
        labels=labels,
        index=whole.index,
    )


@dataclass(frozen=True)
class _Whole:
    """All of the data, from which parts can be taken, also in another process."""

    data: Any
    labels: np.ndarray
    index: tuple[ImageRecord, ...]
    names: tuple[str, ...] | None = None

    @classmethod
    def of(cls, data: Data) -> _Whole:
        if isinstance(data, Embeddings):
            return cls(data, class_numbers(data.labels), data.index, data.class_names)
        if isinstance(data, ImageData):
            # The test data stay aside.
            count = 1 if data.validation is None else 2
            data = _joined(data.sources[:count])
        else:
            data = origin_of(data).source or data
        if isinstance(data, PixelSource):
            return cls(data, data.labels, data.records, data.class_names)
        if not isinstance(data, tuple | list) or len(data) != 2:
            raise ValueError(
                "`data` must be Embeddings, an (inputs, labels) pair of arrays or data of "
                f"load_images. Received: {type(data).__name__}"
            )
        inputs, labels = np.asarray(data[0]), np.asarray(data[1])
        if labels.shape != inputs.shape[:1]:
            raise ValueError(
                "There must be one label for each input. "
                f"Received: shapes {inputs.shape} and {labels.shape}"
            )
        labels = class_numbers(labels)
        records = (
            ImageRecord(f"inputs[{index}]", int(label)) for index, label in enumerate(labels)
        )
        return cls((inputs, labels), labels, tuple(records))

    def class_names(self, classes: int) -> tuple[str, ...] | None:
        return self.names if self.names and len(self.names) == classes else None

    def part(self, indexes: np.ndarray, *, training: bool) -> Any:
        """Return the examples at `indexes` in the form that the whole has."""
        if isinstance(self.data, Embeddings):
            return self.data.take(indexes)
        if isinstance(self.data, PixelSource):
            seed = self.data.order.seed if self.data.order else 0
            order = EpochOrder(len(indexes), seed) if training else None
            return dataset_of(replace(self.data.take(indexes), order=order))
        return tuple(part[indexes] for part in self.data)


def _joined(parts: Sequence[PixelSource]) -> PixelSource:
    return replace(
        parts[0],
        rows=np.concatenate([part.rows for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        records=tuple(record for part in parts for record in part.records),
    )


def _split(
    labels: np.ndarray, grouping: np.ndarray | None, folds: int, seed: int
) -> list[np.ndarray]:
    """Return the indexes that each fold holds out."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    smallest = int(np.bincount(labels)[np.unique(labels)].min())
    parts, what = smallest, "images in the smallest class"
    if grouping is not None:
        parts, what = len(np.unique(grouping)), "groups"
    if parts < folds:
        raise ValueError(f"`folds` is more than there are {what}: folds={folds}, {parts} {what}")
    kind = StratifiedKFold if grouping is None else StratifiedGroupKFold
    splitter = kind(folds, shuffle=True, random_state=seed)
    return [test for _, test in splitter.split(labels, labels, grouping)]


def _in_parallel(tasks: Sequence[tuple[Any, ...]], jobs: int | None) -> Iterator[np.ndarray]:
    """Yield each task's result in order, as it comes."""
    import joblib

    pool = joblib.Parallel(n_jobs=jobs)
    if pool._backend.supports_return_generator:
        pool = joblib.Parallel(n_jobs=jobs, return_as="generator")
    yield from pool(joblib.delayed(_held_out)(*task) for task in tasks)


def _held_out(build: Build, whole: _Whole, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return the probabilities of the held-out part by a model of the rest."""
    model = build(whole.part(train, training=True))
    part = whole.part(test, training=False)
    if isinstance(part, Embeddings):
        part = (part.features, part.labels)
    if not isinstance(model, keras.Model):
        return probabilities_of(model.predict_proba(part[0]), name="What predict_proba gives")
    return predict_with_labels(model, part, verbose=False)[0]


class _NewModelEachTime:
    """A `build` that is watched: no fold may train on from the weights of another."""

    def __init__(self, build: Build) -> None:
        self._build = build
        # Of each variable seen: itself, if it is still there, and a hash of its values.
        self._seen: dict[int, tuple[weakref.ref[keras.Variable], bytes]] = {}

    def __call__(self, part: Any) -> Any:
        model = self._build(part)
        if not isinstance(model, keras.Model):
            return model
        now = {}
        states = {id(state) for state in random_states(model)}
        for variable in (v for v in model.variables if id(v) not in states):
            digest = hashlib.sha256(keras.ops.convert_to_numpy(variable).tobytes()).digest()
            reference, before = self._seen.get(id(variable), (None, b""))
            same = reference is not None and reference() is variable
            if same and digest != before:
                raise ValueError(
                    "`build` must make a new model each time, but this fold's model has trained on "
                    f"from an earlier fold's: the weight {variable.path!r} is the same and has "
                    "changed. It has seen the images that this fold holds out. Make the model, and "
                    "a backbone that trains, inside `build`."
                )
            now[id(variable)] = (weakref.ref(variable), digest)
        self._seen |= now
        return model

    def __getstate__(self) -> dict[str, Any]:
        # Another process has variables of its own.
        return {"_build": self._build, "_seen": {}}


def _interval(right: np.ndarray, grouping: np.ndarray | None) -> tuple[float, float]:
    """Return bounds of the accuracy, from what each repeat got right: shape `(repeats, n)`."""
    # Repeats judge the same images again, so that there are no more of them.
    return proportion_interval(right.mean(0), groups=grouping)

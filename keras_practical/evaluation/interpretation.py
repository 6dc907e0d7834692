"""What is known of a model's mistakes: which, of what kind, on what kind of images."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_practical.data.decisions import ReviewItem, apply_decisions
from keras_practical.data.groups import group_numbers
from keras_practical.data.index import ImageIndex, ImageRecord
from keras_practical.data.plots import contact_sheet
from keras_practical.evaluation.images import InterpretedImages, WatchedReading
from keras_practical.evaluation.mistakes import ConfusedPair, Prediction
from keras_practical.evaluation.plots import accuracies
from keras_practical.evaluation.plots import confusion as draw_confusion
from keras_practical.evaluation.prediction import predict_with_labels
from keras_practical.evaluation.properties import AccuracyByProperty, accuracy_by_property
from keras_practical.models.class_names import class_names_of
from keras_practical.utils.checks import (
    ImageSize,
    check_choice,
    check_count,
)
from keras_practical.utils.cross_entropy import cross_entropies
from keras_practical.utils.intervals import proportion_interval

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes

    from keras_practical.utils.types import Data

__all__ = ["Interpretation", "interpret"]

_SIGNIFICANT = 0.05


@dataclass(frozen=True, kw_only=True, eq=False)
class Interpretation:
    """What a model says of each image of a data set, and where it errs; prints as text.

    Numbers are kept, images are fetched when they are drawn. `review` shows the mistakes to a
    person, and `apply` makes a new index of what the person decided.

    Attributes:
        probabilities: What the model gave, float64 of shape `(n, classes)`.
        labels: The truth, integers of shape `(n,)`, with `multi_label` of shape `(n, classes)`.
        losses: Cross-entropy of each image in nats, of shape `(n,)`; with `multi_label` the mean
            over its labels.
        index: The images, in the same order.
        images: Fetches an image by its name: `images(name, image_size=...)`.
        properties: From a property, such as `"brightness"`, to one value an image.
        multi_label: Whether an image may have any number of labels.

    Raises:
        ValueError: From methods, if an argument is out of range or a class unknown.

    Example:

    >>> import keras

    >>> model = keras.Sequential([keras.Input((1, 1, 3)), keras.layers.Flatten()])
    >>> images = np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [0.7, 0.3, 0]]).reshape(3, 1, 1, 3)
    >>> found = interpret(model, (images, [0, 0, 2]), class_names=["a", "b", "c"])
    >>> found.confusion().tolist()
    [[1, 1, 0], [0, 0, 0], [1, 0, 0]]
    >>> print(found.top_losses(1)[0])
    images[2]: is c, said a (0.70), loss 16.12
    """

    probabilities: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    losses: np.ndarray = field(repr=False)
    index: ImageIndex = field(repr=False)
    images: InterpretedImages = field(repr=False)
    properties: Mapping[str, np.ndarray] = field(repr=False)
    multi_label: bool = False

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def class_names(self) -> tuple[str, ...]:
        """One name a class."""
        return self.index.class_names

    @property
    def wrong(self) -> np.ndarray:
        """Whether the model errs on each image, bool of shape `(n,)`."""
        if self.multi_label:
            return ((self.probabilities >= 0.5) != (self.labels == 1)).any(1)
        return self.probabilities.argmax(1) != self.labels

    def __str__(self) -> str:
        wrong = int(self.wrong.sum())
        low, high = proportion_interval(~self.wrong, groups=self._groups)
        lines = [
            f"{len(self):,} image{'s' * (len(self) > 1)}, {wrong:,} wrong: "
            f"accuracy {1 - wrong / len(self):.3f} "
            f"(95 % interval {low:.3f}–{high:.3f})"
        ]
        if wrong:
            lines += ["worst mistakes", *(f"  {found}" for found in self.mistakes()[:5])]
        if wrong and not self.multi_label:
            lines += ["most confused", *(f"  {pair}" for pair in self.most_confused(5))]
        tables = self.by_property()
        uneven = [found for found in tables if found.p_value * len(tables) < _SIGNIFICANT]
        for found in uneven:
            first, *rest = str(found).splitlines()
            lines += [f"accuracy by {first}", *rest]
        if tables and not uneven:
            tested = ", ".join(found.property for found in tables)
            lines.append(f"no sign that errors depend on {tested}")
        return "\n".join(lines)

    @property
    def _groups(self) -> np.ndarray | None:
        return group_numbers(None, len(self), index=self.index.records)

    def top_losses(self, n: int, *, class_name: str | None = None) -> tuple[Prediction, ...]:
        """Return the `n` images with the highest loss, of one class or of all."""
        check_count("n", n)
        return self._of(self._sorted(class_name)[::-1][:n])

    def most_certain(self, n: int, *, class_name: str | None = None) -> tuple[Prediction, ...]:
        """Return the `n` images with the lowest loss: what the model takes for typical."""
        check_count("n", n)
        return self._of(self._sorted(class_name)[:n])

    def mistakes(
        self, *, class_name: str | None = None, predicted: str | None = None
    ) -> tuple[Prediction, ...]:
        """Return what the model gets wrong, worst first: all, of a class, or taken for another."""
        wrong = self.wrong
        predictions = self._of([index for index in self._sorted(class_name)[::-1] if wrong[index]])
        if predicted is None:
            return predictions
        check_choice("predicted", predicted, self.class_names)
        return tuple(prediction for prediction in predictions if prediction.prediction == predicted)

    def confusion(self, *, normalize: bool = False) -> np.ndarray:
        """Return the confusion matrix: one row a true class, one column a predicted one.

        Args:
            normalize: Whether to divide each row by its sum; a class without images gives NaN.

        Returns:
            Counts, int64 of shape `(classes, classes)`; normalized, float64.

        Raises:
            ValueError: With `multi_label` an image has no one class.
        """
        if self.multi_label:
            raise ValueError(
                "With multi_label there is no one class to be taken for another; `evaluate` gives "
                "precision and recall of each label."
            )
        classes = len(self.class_names)
        flat = self.labels * classes + self.probabilities.argmax(1)
        counts = np.bincount(flat, minlength=classes**2).reshape(classes, classes)
        if not normalize:
            return counts
        totals = counts.sum(1, keepdims=True)
        return np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)

    def most_confused(self, n: int) -> tuple[ConfusedPair, ...]:
        """Return the `n` pairs of classes that are mixed up most often, the most frequent first."""
        check_count("n", n)
        counts = self.confusion()
        np.fill_diagonal(counts, 0)
        sizes = np.bincount(self.labels, minlength=len(counts))
        pairs = [(row, column) for row, column in zip(*np.nonzero(counts), strict=True)]
        # Of equally many, those that are a larger part of their class.
        pairs.sort(key=lambda pair: (-counts[pair], sizes[pair[0]], pair))
        return tuple(
            ConfusedPair(
                label=self.class_names[row],
                prediction=self.class_names[column],
                count=int(counts[row, column]),
                n=int(sizes[row]),
                names=tuple(
                    prediction.name
                    for prediction in self.mistakes(
                        class_name=self.class_names[row], predicted=self.class_names[column]
                    )
                ),
            )
            for row, column in pairs[:n]
        )

    def by_property(
        self, *, more: Mapping[str, npt.ArrayLike] | None = None, bins: int = 4
    ) -> tuple[AccuracyByProperty, ...]:
        """Return the accuracy on dark, flat, blurred, small, narrow and turned images.

        Args:
            more: From further properties to one number or text an image, such as
                `{"camera": [...]}`.
            bins: As in `accuracy_by_property`.

        Returns:
            One table for each property in which the images differ.
        """
        values = {**self.properties, **(more or {})}
        tables = [
            accuracy_by_property(name, column, ~self.wrong, bins=bins, groups=self._groups)
            for name, column in values.items()
        ]
        return tuple(table for table in tables if len(table.bins) > 1)

    def plot_top_losses(
        self,
        *,
        n: int = 12,
        columns: int = 6,
        class_name: str | None = None,
        ax: Axes | None = None,
    ) -> Axes:
        """Draw the images with the highest loss, with what they are and what the model says."""
        return self.gallery(self.top_losses(n, class_name=class_name), columns=columns, ax=ax)

    def gallery(
        self,
        predictions: Sequence[Prediction],
        *,
        columns: int = 6,
        image_size: ImageSize = 160,
        ax: Axes | None = None,
    ) -> Axes:
        """Draw images with what they are, what the model says, and their names.

        Args:
            predictions: From `top_losses`, `most_certain` or `mistakes`; at least one.
            columns: Images in a row, >= 1.
            image_size: Pixels to draw each at; whole, with borders.
            ax: Where to draw. Default: a new figure.

        Returns:
            The axes.

        Raises:
            ValueError: There are no predictions.
        """
        if not len(predictions):
            raise ValueError("There are no images to draw: `predictions` is empty.")
        self.images.expect([prediction.name for prediction in predictions])
        images = [self.images(prediction.name, image_size=image_size) for prediction in predictions]
        titles = [prediction.title for prediction in predictions]
        return contact_sheet(images, titles, image_size=image_size, columns=columns, ax=ax)

    def plot_confusion(self, *, normalize: bool = False, ax: Axes | None = None) -> Axes:
        """Draw the confusion matrix, as `plots.confusion` does."""
        return draw_confusion(
            self.confusion(), class_names=self.class_names, normalize=normalize, ax=ax
        )

    def plot_properties(
        self,
        *,
        more: Mapping[str, npt.ArrayLike] | None = None,
        bins: int = 4,
        ax: Axes | None = None,
    ) -> Axes:
        """Draw the accuracies of `by_property` with their intervals."""
        parts = [
            (f"{table.property} {part.name}", part.right, part.n, part.interval)
            for table in self.by_property(more=more, bins=bins)
            for part in table.bins
        ]
        if not parts:
            raise ValueError("The images don't differ in any property.")
        names, right, counts, intervals = zip(*parts, strict=True)
        return accuracies(names, right, counts, intervals=intervals, ax=ax)

    def review_items(self) -> tuple[ReviewItem, ...]:
        """Return the mistakes that a person should look at, worst first."""
        mistakes = self.mistakes()
        self.images.expect([mistake.name for mistake in mistakes])
        return tuple(
            ReviewItem(
                name=mistake.name,
                finding="mistake of the model",
                evidence=f"said {mistake.prediction} with {mistake.confidence:.2f} "
                f"(loss {mistake.loss:.2f})",
                label=mistake.label,
                split=self.index.records[mistake.place].split,
                suggestion=None if self.multi_label else mistake.prediction,
                confidence=mistake.confidence,
            )
            for mistake in mistakes
        )

    def apply(self, decisions: str | Path, *, index: ImageIndex | None = None) -> ImageIndex:
        """Return the index with what a person decided on; no image's file is touched.

        Args:
            decisions: A CSV file, as in `apply_decisions`.
            index: The index to change, such as that of training and validation images together
                (`photos.index`). Default: that of the images interpreted.

        Returns:
            The new index.
        """
        return apply_decisions(self.index if index is None else index, decisions)

    def _sorted(self, class_name: str | None) -> np.ndarray:
        """Return the indexes of a class's images, or of all, by their loss."""
        order = np.argsort(self.losses, kind="stable")
        if class_name is None:
            return order
        check_choice("class_name", class_name, self.class_names)
        label = self.class_names.index(class_name)
        inside = self.labels[:, label] == 1 if self.multi_label else self.labels == label
        return order[inside[order]]

    def _of(self, indexes: Sequence[int] | np.ndarray) -> tuple[Prediction, ...]:
        return tuple(self._at(int(index)) for index in indexes)

    def _at(self, index: int) -> Prediction:
        chances, label = self.probabilities[index], self.labels[index]
        if self.multi_label:
            of_truth = np.where(label == 1, chances, 1 - chances)
            worst = float(of_truth.min())
            is_, said, confidence = (
                self._joined(label == 1),
                self._joined(chances >= 0.5),
                1 - worst,
            )
        else:
            is_, said = self.class_names[label], self.class_names[chances.argmax()]
            confidence = float(chances.max())
        return Prediction(
            name=self.index.records[index].name,
            place=index,
            label=is_,
            prediction=said,
            confidence=confidence,
            loss=float(self.losses[index]),
        )

    def _joined(self, present: np.ndarray) -> str:
        names = zip(self.class_names, present, strict=True)
        return " + ".join(name for name, there in names if there) or "none"


def interpret(
    model: keras.Model,
    data: Data,
    *,
    class_names: Sequence[str] | None = None,
    multi_label: bool = False,
    from_logits: bool = False,
    batch_size: int = 32,
    verbose: bool = True,
) -> Interpretation:
    """Find out where a model errs: the worst mistakes, what is mixed up, on what kind of images.

    Use it on validation data before collecting more of it or training longer: mistakes tell about
    wrong labels, odd images and classes that overlap. On training data it finds what the model
    can't learn. The data are read once; images are fetched again only when they are drawn, so
    that any number of them takes hardly more memory than the model. In plain Keras one sorts the
    losses of `predict` by hand and looks for the files.

    Args:
        model: As in `evaluate`, for images, with one output.
        data: A data set of `load_images`, in the order of its index also where `fit` gets it
            shuffled; any other `tf.data.Dataset` (TensorFlow Datasets' too) or `PyDataset` of
            `(images, labels)` batches that can be read more than once; or one `(images, labels)`
            pair of arrays. Images: shape `(n, height, width, channels)`.
        class_names: One name a class. Default: the data set's `class_names`, or numbers.
        multi_label: As in `evaluate`.
        from_logits: As in `evaluate`.
        batch_size: Images at a time, >= 1.
        verbose: Whether to show a progress bar.

    Returns:
        An `Interpretation`; print it, then draw `plot_top_losses()`.

    Raises:
        ValueError: There are no images, the outputs aren't probabilities, or labels, outputs and
            names don't fit each other.

    Example:

    >>> from keras_practical import load_images
    >>> digits = load_images("digits", verbose=False)
    >>> keras.utils.set_random_seed(0)
    >>> layers = [keras.layers.Flatten(), keras.layers.Dense(10, activation="softmax")]
    >>> model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
    >>> found = interpret(model, digits.validation)
    >>> len(found), found.confusion().shape, found.top_losses(1)[0].name in str(found)
    (359, (10, 10), True)

    Reference:
        fastai's `ClassificationInterpretation`.
    """
    check_count("batch_size", batch_size)
    if len(getattr(model, "outputs", None) or [0]) > 1:
        raise ValueError(
            "`model` must have one output; make a model of one of them, such as "
            f"keras.Model(model.inputs, model.outputs[0]). Received: {len(model.outputs)} outputs, "
            f"{', '.join(model.output_names)}"
        )
    reading = WatchedReading(data, batch_size)
    probabilities, labels = predict_with_labels(
        model,
        reading,
        multi_label=multi_label,
        from_logits=from_logits,
        by_name=class_names is None,
        batch_size=batch_size,
        verbose=verbose,
    )
    known = class_names or class_names_of(model) or reading.class_names
    names = tuple(known or _numbers(probabilities.shape[1]))
    if len(names) != probabilities.shape[1]:
        raise ValueError(
            f"The model tells {probabilities.shape[1]} classes apart, but there are {len(names)} "
            f"class names: {', '.join(names[:10])}"
        )
    plain = labels.argmax(1) if multi_label else labels
    records = reading.pieces.records(plain.tolist())
    usable = np.flatnonzero(reading.readable)
    if len(usable) < len(records):
        lost = [records[position].name for position in np.flatnonzero(~reading.readable)]
        warnings.warn(
            f"interpret leaves out {len(lost)} images that can't be read: {', '.join(lost[:5])}"
            + ", ..." * (len(lost) > 5),
            stacklevel=2,
        )
    index = ImageIndex(tuple(records[position] for position in usable), names)
    properties = {**reading.properties(), **_known_beforehand(records)}
    return Interpretation(
        probabilities=probabilities[usable],
        labels=labels[usable],
        losses=cross_entropies(probabilities, labels, multi_label=multi_label)[usable],
        index=index,
        images=reading.finder(index, records),
        properties={name: values[usable] for name, values in properties.items()},
        multi_label=multi_label,
    )


def _known_beforehand(records: Sequence[ImageRecord]) -> dict[str, np.ndarray]:
    """Return what the index knows of the images; NaN where it doesn't."""
    sides = np.array([(record.width, record.height) for record in records], "float64")
    sides[sides == 0] = np.nan
    turned = [
        "upright" if record.orientation == 1 else f"turned (EXIF {record.orientation})"
        for record in records
    ]
    return {
        "shorter side": sides.min(1),
        "width by height": sides[:, 0] / sides[:, 1],
        "orientation": np.array(turned),
    }


def _numbers(count: int) -> tuple[str, ...]:
    return tuple(str(label) for label in range(count))

"""Where a model errs, and on what kind of pictures: `interpret`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_practical._validation import check_count
from keras_practical.index import ImageIndex, ImageRecord
from keras_practical.interpretation import Interpretation
from keras_practical.interpreted_pictures import WatchedReading
from keras_practical.predict import predict_with_labels

__all__ = ["interpret"]


def interpret(
    model: keras.Model,
    data: Any,
    *,
    class_names: Sequence[str] | None = None,
    multi_label: bool = False,
    from_logits: bool = False,
    batch_size: int = 32,
    verbose: bool = True,
) -> Interpretation:
    """Find out where a model errs: the worst mistakes, what is mixed up, on what kind of pictures.

    Use it on validation data before collecting more of it or training longer: mistakes tell about
    wrong labels, odd pictures and classes that overlap. On training data it finds what the model
    can't learn. The data are read once; pictures are fetched again only when they are drawn, so
    that any number of them takes hardly more memory than the model. In plain Keras one sorts the
    losses of `predict` by hand and looks for the files.

    Args:
        model: As in `evaluate`, for pictures, with one output.
        data: A data set of `load_images`, in the order of its index also where `fit` gets it
            shuffled; any other `tf.data.Dataset` (TensorFlow Datasets' too) or `PyDataset` of
            `(images, labels)` batches that can be read more than once; or one `(images, labels)`
            pair of arrays. Images: shape `(n, height, width, channels)`.
        class_names: One name a class. Default: the data set's `class_names`, or numbers.
        multi_label: As in `evaluate`.
        from_logits: As in `evaluate`.
        batch_size: Pictures at a time, >= 1.
        verbose: Whether to show a progress bar.

    Returns:
        An `Interpretation`; print it, then draw `plot_top_losses()`.

    Raises:
        ValueError: There are no pictures, the outputs aren't probabilities, or labels, outputs and
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
        batch_size=batch_size,
        verbose=verbose,
    )
    names = tuple(class_names or reading.pieces.class_names or _numbers(probabilities.shape[1]))
    if len(names) != probabilities.shape[1]:
        raise ValueError(
            f"The model tells {probabilities.shape[1]} classes apart, but there are {len(names)} "
            f"class names: {', '.join(names[:10])}"
        )
    plain = labels.argmax(1) if multi_label else labels
    records = [reading.pieces.record(place, int(label)) for place, label in enumerate(plain)]
    usable = np.flatnonzero(reading.readable)
    if len(usable) < len(records):
        lost = [records[place].name for place in np.flatnonzero(~reading.readable)]
        warnings.warn(
            f"interpret leaves out {len(lost)} pictures that can't be read: {', '.join(lost[:5])}"
            + ", ..." * (len(lost) > 5),
            stacklevel=2,
        )
    index = ImageIndex(tuple(records[place] for place in usable), names)
    properties = {**reading.properties(), **_known_beforehand(records)}
    return Interpretation(
        probabilities=probabilities[usable],
        labels=labels[usable],
        losses=_losses(probabilities, labels, multi_label)[usable],
        index=index,
        pictures=reading.finder(index, records),
        properties={name: values[usable] for name, values in properties.items()},
        multi_label=multi_label,
    )


def _losses(probabilities: np.ndarray, labels: np.ndarray, multi_label: bool) -> np.ndarray:
    """Return each example's cross-entropy in nats."""
    if multi_label:
        of_truth = np.where(labels == 1, probabilities, 1 - probabilities)
    else:
        of_truth = probabilities[np.arange(len(labels)), labels][:, None]
    return -np.log(np.clip(of_truth, keras.config.epsilon(), 1)).mean(1)


def _known_beforehand(records: Sequence[ImageRecord]) -> dict[str, np.ndarray]:
    """Return what the index knows of the pictures; NaN where it doesn't."""
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

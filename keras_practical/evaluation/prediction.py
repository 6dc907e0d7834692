"""Predictions with their labels, in order, from one view of each image or from several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from keras_practical.data.batches import batches_of, pad
from keras_practical.data.labels import class_numbers
from keras_practical.data.origin import origin_of
from keras_practical.evaluation.outputs import labels_of, probabilities_of
from keras_practical.models.class_names import class_names_of, numbers_by_name
from keras_practical.utils.checks import as_layers, check_between, check_choice, check_count
from keras_practical.utils.keras_internals.graph import final_activation
from keras_practical.utils.progress import track

if TYPE_CHECKING:
    from keras_practical.utils.types import Augmentation, Data

__all__ = ["predict_side_by_side", "predict_with_labels", "predict_with_tta"]


def predict_with_labels(
    model: keras.Model,
    data: Data,
    *,
    multi_label: bool = False,
    from_logits: bool = False,
    by_name: bool = True,
    batch_size: int = 32,
    verbose: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Predict a data set and keep its labels beside the predictions, in order, in one pass.

    Use it to look at single examples. In plain Keras, `model.predict` drops the labels, and
    a second pass over a shuffled data set brings them in another order.

    Args:
        model: As in `evaluate`.
        data: As in `evaluate`.
        multi_label: As in `evaluate`.
        from_logits: As in `evaluate`.
        by_name: Whether labels count by the names of their classes where model and data have some
            (`class_names_of`, `load_images`), in whatever order. Otherwise by number.
        batch_size: As in `evaluate`.
        verbose: As in `evaluate`.

    Returns:
        Probabilities, float64 of shape `(n, classes)`, and integer labels of shape `(n,)`; with
        `multi_label`, labels of shape `(n, classes)`.

    Raises:
        ValueError: As in `evaluate`.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Softmax()])
    >>> probabilities, labels = predict_with_labels(model, (np.zeros((1, 2)), [1]))
    >>> probabilities.tolist(), labels.tolist()
    ([[0.5, 0.5]], [1])
    """

    _check_logits([model], from_logits)

    def predict(batch: Any) -> np.ndarray:
        return _probabilities(model, batch, from_logits, multi_label)

    models = [model] if by_name else []
    return _predict_batches(
        predict,
        data,
        batch_size=batch_size,
        verbose=verbose,
        multi_label=multi_label,
        models=models,
    )


def predict_side_by_side(
    models: Sequence[keras.Model],
    data: Data,
    *,
    from_logits: bool = False,
    batch_size: int = 32,
    verbose: bool = True,
) -> tuple[list[np.ndarray], np.ndarray]:
    """Predict with several models in one pass, so that also shuffled data line up.

    Args:
        models: Classifiers for the same classes.
        data: As in `evaluate`.
        from_logits: As in `evaluate`.
        batch_size: As in `evaluate`.
        verbose: As in `evaluate`.

    Returns:
        A list of each model's probabilities, as `predict_with_labels` gives them, and the labels.

    Raises:
        ValueError: As in `evaluate`, or the models have different numbers of classes.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Softmax()])
    >>> found, labels = predict_side_by_side([model, model], (np.zeros((1, 2)), [1]))
    >>> [probabilities.tolist() for probabilities in found]
    [[[0.5, 0.5]], [[0.5, 0.5]]]
    """

    _check_logits(models, from_logits)

    def predict(batch: Any) -> np.ndarray:
        predicted = [_probabilities(model, batch, from_logits, False) for model in models]
        if len({part.shape for part in predicted}) > 1:
            raise ValueError(
                "The models must tell the same classes apart. Received: "
                f"{', '.join(str(part.shape[1]) for part in predicted)} classes"
            )
        return np.stack(predicted, axis=1)

    stacked, labels = _predict_batches(
        predict, data, batch_size=batch_size, verbose=verbose, multi_label=False, models=models
    )
    return list(stacked.transpose(1, 0, 2)), labels


def predict_with_tta(
    model: keras.Model,
    data: Data,
    augmentation: str | Augmentation,
    *,
    n: int = 4,
    beta: float | None = 0.25,
    multi_label: bool = False,
    from_logits: bool = False,
    by_name: bool = True,
    batch_size: int = 32,
    verbose: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Predict each image by several views of it (test-time augmentation).

    Use it for the last few tenths of a per cent: the errors of the views differ, and their mean
    has fewer. It costs as many passes as there are views. In plain Keras one calls the
    augmentation and `predict` by hand and averages.

    Args:
        model: As in `evaluate`, from images of shape `(batch, height, width, channels)`.
        data: As in `evaluate`.
        augmentation: `"flip"`: the image and its mirror image. `"ten_crop"`: corners and middle,
            seven eighths of each side, and their mirror images. Or a Keras layer, or a list of
            them, best those that the model was trained with: `n` random views.
        n: Number of random views, >= 1.
        beta: Weight of the image itself against the mean of its random views, in [0, 1]; `None`
            counts all equally. The fixed views of `"flip"` and `"ten_crop"` always count equally.
        multi_label: As in `evaluate`.
        from_logits: As in `evaluate`.
        by_name: As in `predict_with_labels`.
        batch_size: As in `evaluate`.
        verbose: As in `evaluate`.

    Returns:
        As `predict_with_labels`: probabilities, float64 of shape `(n, classes)`, and integer labels
        of shape `(n,)`, both in the order of the data.

    Raises:
        ValueError: As in `evaluate`, or an argument is outside its range.

    Example:

    >>> inputs = keras.Input((2, 2, 1))
    >>> model = keras.Model(inputs, keras.layers.Softmax()(inputs[:, 0, :, 0]))
    >>> image = np.array([[[[2.0], [0.0]], [[0.0], [0.0]]]])
    >>> probabilities, labels = predict_with_tta(model, (image, [0]), "flip", verbose=False)
    >>> probabilities.round(3).tolist(), labels.tolist()
    ([[0.5, 0.5]], [0])

    Reference:
        fastai's `Learner.tta`, whose `n` and `beta` these are; ten crops: Krizhevsky et al. (2012).
    """
    check_count("n", n)
    _check_logits([model], from_logits)
    if beta is not None:
        check_between("beta", beta, 0.0, 1.0)
    fixed_views = None
    if isinstance(augmentation, str):
        check_choice("augmentation", augmentation, _FIXED_VIEWS)
        fixed_views = _FIXED_VIEWS[augmentation]
    layers = as_layers(augmentation)

    def predict(batch: Any) -> np.ndarray:
        if not isinstance(batch, np.ndarray) or batch.ndim != 4:
            raise ValueError(
                "Test-time augmentation needs images of shape (batch, height, width, channels). "
                f"Received: {getattr(batch, 'shape', type(batch).__name__)}"
            )
        views = fixed_views(batch) if fixed_views else _random_views(batch, layers, n)
        predicted = [_probabilities(model, view, from_logits, multi_label) for view in views]
        if fixed_views:
            return np.mean(predicted, axis=0)
        plain = _probabilities(model, batch, from_logits, multi_label)
        weight = 1.0 / (n + 1) if beta is None else beta
        return weight * plain + (1.0 - weight) * np.mean(predicted, axis=0)

    models = [model] if by_name else []
    return _predict_batches(
        predict,
        data,
        batch_size=batch_size,
        verbose=verbose,
        multi_label=multi_label,
        models=models,
    )


def _random_views(batch: np.ndarray, layers: Sequence[Any], n: int) -> Iterator[np.ndarray]:
    for _ in range(n):
        view: Any = batch
        for layer in layers:
            view = layer(view, training=True)
        yield np.asarray(view)


def _flipped(batch: np.ndarray) -> list[np.ndarray]:
    return [batch, batch[:, :, ::-1]]


def _ten_crops(batch: np.ndarray) -> Iterator[np.ndarray]:
    height, width = batch.shape[1:3]
    crop_height, crop_width = max(1, height * 7 // 8), max(1, width * 7 // 8)
    down, right = height - crop_height, width - crop_width
    for top, left in ((0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)):
        crop = batch[:, top : top + crop_height, left : left + crop_width].astype("float32")
        resized = ops.image.resize(crop, (height, width), data_format="channels_last")
        yield from _flipped(np.asarray(resized))


_FIXED_VIEWS = {"flip": _flipped, "ten_crop": _ten_crops}


def _probabilities(
    model: keras.Model, batch: Any, from_logits: bool, multi_label: bool
) -> np.ndarray:
    outputs = model.predict_on_batch(batch)
    return probabilities_of(outputs, from_logits=from_logits, multi_label=multi_label)


def _check_logits(models: Sequence[keras.Model], from_logits: bool) -> None:
    for model in models if from_logits else ():
        activation = final_activation(model)
        if activation is not None:
            raise ValueError(
                f"{model.name!r} ends in a {activation}: it gives probabilities already. Leave "
                "from_logits=True out."
            )


def _predict_batches(
    predict: Callable[[Any], np.ndarray],
    data: Data,
    *,
    batch_size: int,
    verbose: bool,
    multi_label: bool,
    models: Sequence[keras.Model],
) -> tuple[np.ndarray, np.ndarray]:
    check_count("batch_size", batch_size)
    numbers = _numbers_by_name(models, data)
    outputs, labels = [], []
    full = 0
    batches, count = batches_of(data, batch_size)
    for batch, batch_labels in track(batches, "Predicting", count, show=verbose):
        size = len(batch_labels)
        full = max(full, size)
        outputs.append(predict(pad(batch, full))[:size])
        labels.append(np.asarray(batch_labels))
    if not outputs:
        raise ValueError("`data` has no examples.")
    probabilities = np.concatenate(outputs)
    joined = np.concatenate(labels)
    if not multi_label and numbers is not None:
        joined = numbers[class_numbers(joined, classes=len(numbers))]
    return probabilities, labels_of(joined, probabilities.shape, multi_label=multi_label)


def _numbers_by_name(models: Sequence[keras.Model], data: Data) -> np.ndarray | None:
    """Return the models' number for each class of the data; `None` if there is nothing to change.

    Raises:
        ValueError: The models' classes differ, or the data have others.
    """
    known = {names for names in map(class_names_of, models) if names is not None}
    given = origin_of(data).class_names
    if len(known) > 1:
        raise ValueError(
            "The models must tell the same classes apart, in one order. Received: "
            f"{' and '.join(', '.join(names) for names in sorted(known))}"
        )
    if not known or given is None:
        return None
    [names] = known
    return numbers_by_name(
        names,
        given,
        remedy="Load the data with load_images(..., class_names=[...]) of the model's classes, or "
        "pass class_names to `evaluate` to count labels by number.",
    )

"""Augmentation for small data: the layers, presets made of them, and a look at what they do.

A preset is a plain list of Keras layers. Read it, print it, change it; pass it to
`transfer.classifier(augmentation=...)`, put it into a model of your own, or map a `tf.data.Dataset`
with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_practical._validation import ImageSize, as_layers, check_count
from keras_practical.color import RandomColor
from keras_practical.geometry import RandomGeometry
from keras_practical.mixing import BatchMixing
from keras_practical.plots import show_images
from keras_practical.presets import (
    RandomErasing,
    digits,
    documents,
    light,
    medical_greyscale,
    standard,
    strong,
    top_down,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "BatchMixing",
    "RandomColor",
    "RandomErasing",
    "RandomGeometry",
    "Recommendation",
    "digits",
    "documents",
    "light",
    "medical_greyscale",
    "preview",
    "recommended",
    "standard",
    "strong",
    "top_down",
    "without_augmentation",
]

_OURS = (RandomGeometry, RandomColor, RandomErasing)


@dataclass(frozen=True)
class Recommendation:
    """What `recommended` recommends.

    Attributes:
        augmentation: A list of Keras layers, empty where none helps.
        callbacks: Callbacks for `fit` or `fine_tune`: a `BatchMixing`, or none.
        reason: Why, in a sentence.

    Example:

    >>> recommended(400).reason
    'with so many pictures a pretrained network gains nothing from it in a few epochs'
    """

    augmentation: list[Any]
    callbacks: list[keras.callbacks.Callback]
    reason: str


def recommended(
    images_per_class: int,
    *,
    pretrained: bool = True,
    image_size: ImageSize | None = None,
    seed: int | None = None,
) -> Recommendation:
    """Return the augmentation to start from, by the number of pictures of each class.

    Use it for photos when you have no reason to do otherwise, then compare with what you believe
    in. It has no equivalent in plain Keras.

    Args:
        images_per_class: Training pictures of the smallest class, >= 1.
        pretrained: Whether the network is a pretrained one, trained for a few epochs, or starts
            from random weights.
        image_size: As in `light`.
        seed: Decides what is drawn and mixed. Default: Keras's global seed.

    Returns:
        A `Recommendation` with `augmentation`, `callbacks` and `reason`.

    Raises:
        ValueError: An argument is outside its range.

    Example:

    >>> few = recommended(5)
    >>> [type(layer).__name__ for layer in few.augmentation], few.callbacks
    (['RandomGeometry', 'RandomColor', 'RandomErasing'], [])

    Reference:
        Measured on photos of cats and dogs, features of a frozen MobileNetV2 with and without three
        augmented views, ten draws: with 5 photos of each class `strong` is worth 3.4 +- 0.9 points,
        `standard` 3.3 +- 0.7, `light` 2.5 +- 0.7; with 20, 0.2 +- 0.2, 0.1 +- 0.1, 0.2 +- 0.1; with
        100 and more, nothing or less. From scratch, on 2,000 such photos, `strong` with mixing gave
        86.6 +- 1.9 % (three seeds), neither of them 68.9 % (one seed).
        The form is that of BiT's hyper-rule: Kolesnikov et al. (2020), arXiv 1912.11370.
    """
    check_count("images_per_class", images_per_class)
    options: dict[str, Any] = {"image_size": image_size, "seed": seed}
    if not pretrained:
        mixing = BatchMixing(seed=seed or 0)
        return Recommendation(
            strong(**options),
            [mixing],
            "a network from scratch sees each picture many times, best never the same way",
        )
    if images_per_class <= 10:
        return Recommendation(strong(**options), [], "so few pictures gain from every view of them")
    if images_per_class <= 50:
        return Recommendation(
            light(**options), [], "with some tens of pictures more of it gains nothing"
        )
    return Recommendation(
        [],
        [],
        "with so many pictures a pretrained network gains nothing from it in a few epochs",
    )


def preview(
    dataset: Any,
    augmentation: Any,
    *,
    n: int = 4,
    views: int = 6,
    ax: Axes | None = None,
) -> Axes:
    """Draw pictures of a data set, each in a row with what augmentation makes of it.

    Use it before training, and ask: would I still give each of them its label?

    Args:
        dataset: A data set of `load_images`, or any of `(images, labels)` batches.
        augmentation: A Keras layer, or a list of them, such as a preset.
        n: Number of pictures, >= 1; one batch at most.
        views: Number of augmented views of each, >= 1.
        ax: Where to draw. Default: a new figure.

    Returns:
        The axes. The first column has the pictures as they are.

    Raises:
        ValueError: `n` or `views` is below 1.

    Example:

    >>> ax = preview([(np.zeros((2, 8, 8, 3), "float32"), [0, 1])], light(), n=2, views=3)

    Reference:
        fastai's `show_batch(unique=True)`.
    """
    check_count("n", n)
    check_count("views", views)
    images = np.asarray(next(iter(dataset))[0])[:n]
    columns = [images]
    for _ in range(views):
        view: Any = images
        for layer in as_layers(augmentation):
            view = layer(view, training=True)
        columns.append(np.asarray(view))
    size = columns[-1].shape[1:3]
    if images.shape[1:3] != size:
        columns[0] = np.asarray(
            keras.ops.image.resize(images, size, antialias=True, data_format="channels_last")
        )
    rows = np.stack(columns, axis=1)
    return show_images(rows.reshape(-1, *rows.shape[2:]), columns=views + 1, ax=ax)


def without_augmentation(model: keras.Model) -> keras.Model:
    """Return a model without this package's augmentation layers, on the same weights.

    Use it to save a file that plain Keras loads: a model with a `RandomGeometry` inside needs
    `import keras_practical` before `keras.models.load_model`. It predicts the same.

    Args:
        model: A functional or sequential model, such as `transfer.classifier`'s.

    Returns:
        A functional model that shares its layers, and so its weights, with `model`. If `model` is
        compiled, so is this one, with an optimizer that starts afresh.

    Raises:
        ValueError: There is augmentation in a model inside the model.

    Example:

    >>> layers = [keras.Input((8, 8, 3)), *light(), keras.layers.Flatten(), keras.layers.Dense(2)]
    >>> plain = without_augmentation(keras.Sequential(layers))
    >>> [type(layer).__name__ for layer in plain.layers]
    ['InputLayer', 'Flatten', 'Dense']

    Reference:
        `keras.models.clone_model`, whose `call_function` leaves the layers out.
    """

    def call(layer: Any, *arguments: Any, **options: Any) -> Any:
        if not isinstance(layer, _OURS):
            return layer(*arguments, **options)
        size = getattr(layer, "image_size", None)
        if size in (None, tuple(arguments[0].shape[1:3])):
            return arguments[0]
        return keras.layers.Resizing(*size, antialias=True)(arguments[0])

    plain = keras.models.clone_model(
        keras.Model(model.inputs, model.outputs, name=model.name),
        clone_function=lambda layer: layer,
        call_function=call,
    )
    left = [layer.name for layer in plain._flatten_layers() if isinstance(layer, _OURS)]
    if left:
        raise ValueError(
            "The augmentation must stand in the model itself, not in a model inside it. Received: "
            f"{', '.join(left)}"
        )
    if model.compiled:
        plain.compile_from_config(model.get_compile_config())
    return plain

"""A classifier on a pretrained backbone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import keras

from keras_practical.models.backbones import preprocessing_layers
from keras_practical.models.freezing import freeze_to
from keras_practical.models.heads import linear_head, mlp_head, pooled
from keras_practical.models.losses import SmoothedSparseCategoricalCrossentropy
from keras_practical.models.opening import open_backbone
from keras_practical.models.pixels import assumption
from keras_practical.utils.checks import (
    ImageSize,
    as_layers,
    check_between,
    check_choice,
    check_count,
)

if TYPE_CHECKING:
    from keras_practical.utils.types import Augmentation

__all__ = ["classifier"]


def classifier(
    backbone: str | keras.Model,
    class_names: Sequence[str] | int,
    *,
    image_size: ImageSize | None = None,
    weights: str | Path | None = "imagenet",
    head: str = "linear",
    dropout: float | None = None,
    augmentation: Augmentation | None = None,
    label_smoothing: float = 0.0,
    preprocessing: str | None = None,
    seed: int | None = None,
    verbose: bool = True,
) -> keras.Model:
    """Build an image classifier on a pretrained backbone, compiled, its backbone frozen.

    Use it to start from ImageNet features rather than from scratch. The model is an ordinary
    functional Keras model, complete by itself: pixels in [0, 255] in (uint8 or float),
    probabilities out, so a saved file needs neither this package nor any preprocessing (save it
    through `augment.without_augmentation` if there is augmentation of this package inside). In
    plain Keras one writes the same by hand from `keras.applications`, a pooling and a `Dense`
    layer, and must know the preprocessing that each network's weights expect.

    Args:
        backbone: A name in `keras_practical.models.BACKBONES`, or any `keras.Model` from images
            to a feature map, a sequence of vectors or one vector (keras-hub's included). A model
            is used itself, not a copy: its weights are shared and will train.
        class_names: The classes' names, which the model keeps (`class_names_of`), or how many
            there are; at least two.
        image_size: Pixels, one number or `(height, width)`. Default: the backbone's own.
        weights: `"imagenet"`, a weights file's path, or `None` for random weights. Not used with a
            `keras.Model`, which brings its own.
        head: `"linear"` (average pooling, dropout, softmax) or `"mlp"` (fastai's: average and
            maximum pooling side by side, a hidden layer of 512, batch normalization).
        dropout: Rate before the last layer, in [0, 1). Default: 0.2 for `"linear"`, 0.5 for
            `"mlp"`, whose first dropout is half as strong.
        augmentation: A Keras layer, or a list of them, applied to the pixels while training.
        label_smoothing: Part of each label spread over all classes, in [0, 1). Above 0 the loss is
            `keras_practical.models.losses.SmoothedSparseCategoricalCrossentropy`.
        preprocessing: What to do to pixels before the backbone: `"none"`, `"minus_one_to_one"`,
            `"caffe"` or `"torch"`. Default: what the weights need, also of a `keras.Model` that is
            one of `keras.applications`, known by its layers; any other gets pixels as they come.
        seed: Decides the head's first weights and its dropout. Default: Keras's global seed.
        verbose: Whether to say what was assumed of the pixels that a `keras.Model` wants.

    Returns:
        A compiled `keras.Model` from `(batch, height, width, channels)` to float32 probabilities
        of shape `(batch, classes)`, with Adam at 0.001, cross-entropy on integer labels and
        accuracy.

    Raises:
        ValueError: An argument is outside its range, or the backbone's output isn't usable.
        RuntimeError: The ImageNet weights can't be had; the text says how to go on offline.

    Example:

    >>> model = classifier("MobileNetV2", ["cats", "dogs"], image_size=96, weights=None)
    >>> model.output_shape
    (None, 2)

    Reference:
        https://keras.io/guides/transfer_learning/; the `"mlp"` head is fastai's
        `create_head`.
    """
    class_count = class_names if isinstance(class_names, int) else len(class_names)
    check_count("class_names", class_count, minimum=2)
    check_choice("head", head, ("linear", "mlp"))
    check_between("label_smoothing", label_smoothing, 0.0, 0.999)
    rate = {"linear": 0.2, "mlp": 0.5}[head] if dropout is None else dropout
    check_between("dropout", rate, 0.0, 0.999)
    opened = open_backbone(
        backbone, image_size=image_size, weights=weights, preprocessing=preprocessing
    )

    if verbose and preprocessing is None and isinstance(backbone, keras.Model):
        said = assumption(backbone, opened.preprocessing)
        if said is not None:
            print(f"classifier: {said}")
    inputs = keras.Input(opened.shape, name="images")
    features = inputs
    for layer in as_layers(augmentation):
        features = layer(features)
    for layer in preprocessing_layers(opened.preprocessing):
        features = layer(features)
    features = opened.model(features)
    if head == "mlp":
        outputs = mlp_head(features, class_names, dropout=rate, seed=seed)
    else:
        outputs = linear_head(pooled(features), class_names, dropout=rate, seed=seed)
    model = keras.Model(inputs, outputs, name=f"{opened.model.name}_classifier")
    freeze_to(model, -1)
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=1e-3),
        loss=SmoothedSparseCategoricalCrossentropy(label_smoothing)
        if label_smoothing
        else "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model

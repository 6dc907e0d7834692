"""A classifier of scans: it looks at every slice, and tells which of them mattered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_practical.models.backbones import preprocessing_layers
from keras_practical.models.freezing import freeze_to
from keras_practical.models.heads import linear_head, pooled
from keras_practical.models.opening import open_backbone
from keras_practical.scans.batches import VolumeBatches
from keras_practical.scans.layers import AttentionPooling, SlicesAsImages
from keras_practical.utils.checks import (
    ImageSize,
    as_layers,
    check_between,
    check_choice,
    check_count,
)
from keras_practical.utils.keras_internals.graph import outputs_in

if TYPE_CHECKING:
    from keras_practical.utils.types import Augmentation

__all__ = ["classifier", "slice_attention"]


def classifier(
    backbone: str | keras.Model,
    class_names: Sequence[str] | int,
    *,
    image_size: ImageSize | None = None,
    channels: int = 1,
    weights: str | Path | None = "imagenet",
    attention_units: int = 128,
    dropout: float = 0.2,
    augmentation: Augmentation | None = None,
    preprocessing: str | None = None,
    seed: int | None = None,
) -> keras.Model:
    """Build a classifier of scans of any depth on a backbone for images, compiled and frozen.

    Use it where a label belongs to a whole scan and nobody has marked the slices: one encoder sees
    each slice by itself, and attention learns how much each of them counts. `slice_attention` then
    tells where the model looked. The model is an ordinary functional Keras model; `fine_tune`,
    `evaluate` and `predict` take it. To load a saved file, `import keras_practical` first: two of
    its layers are of this package. Plain Keras has no equivalent.

    Args:
        backbone: As in `classifier`: a name, or a `keras.Model` from images to a feature map or a
            vector.
        class_names: The classes' names, or how many there are; at least two.
        image_size: Of the slices in pixels, one number or `(height, width)`. Default: the
            backbone's own.
        channels: Of the scans: 1 for grey ones, which are repeated if the backbone takes three, or
            as many as the backbone takes.
        weights: As in `classifier`.
        attention_units: Size of the hidden layer that the slices' weights come from, >= 1.
        dropout: Rate before the last layer, in [0, 1).
        augmentation: A Keras layer, or a list of them, applied to each slice while training.
        preprocessing: As in `classifier`.
        seed: Decides the first weights of attention and head, and the dropout. Default: Keras's
            global seed.

    Returns:
        A compiled `keras.Model` from scans of one depth, `(batch, depth, height, width, channels)`,
        or of several, as `pad_volumes` and `VolumeBatches` stack them, to float32 probabilities of
        shape `(batch, classes)`. Values are as the backbone wants them: with `preprocessing` in
        [0, 255].

    Raises:
        ValueError: An argument is outside its range, or the backbone's output isn't usable.
        RuntimeError: The ImageNet weights can't be had; the text says how to go on offline.

    Example:

    >>> encoder = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 3)])
    >>> model = classifier(encoder, ["well", "ill"])
    >>> model.predict(np.zeros((2, 7, 8, 8, 1)), verbose=0).shape
    (2, 2)

    Reference:
        Ilse, Tomczak & Welling, *Attention-based Deep Multiple Instance Learning* (2018),
        arXiv 1802.04712.
    """
    class_count = class_names if isinstance(class_names, int) else len(class_names)
    check_count("class_names", class_count, minimum=2)
    check_count("attention_units", attention_units)
    check_between("dropout", dropout, 0.0, 0.999)
    opened = open_backbone(
        backbone, image_size=image_size, weights=weights, preprocessing=preprocessing
    )
    shape = opened.shape
    check_choice("channels", channels, sorted({1, shape[2]}))

    # One channel more where slices fill up.
    volumes = keras.Input((None, *shape[:2], None), name="volumes")
    slices = SlicesAsImages(shape[2], scan_channels=channels, name="slices_as_images")
    features = slices(volumes)
    for layer in [*as_layers(augmentation), *preprocessing_layers(opened.preprocessing)]:
        features = layer(features)
    features = opened.model(features)
    vectors = pooled(features)
    attention = AttentionPooling(
        attention_units, seed=seed, scan_channels=channels, name="attention"
    )
    scan, _ = attention([vectors, volumes])
    outputs = linear_head(scan, class_names, dropout=dropout, seed=seed)
    model = keras.Model(volumes, outputs, name=f"{opened.model.name}_volume_classifier")
    freeze_to(model, -1)
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=1e-3),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def slice_attention(
    model: keras.Model,
    volumes: Sequence[np.ndarray] | np.ndarray | VolumeBatches,
    *,
    batch_size: int = 2,
) -> list[np.ndarray]:
    """Return how much each slice of a scan counted for a model's answer.

    Use it to look at the slices that matter, and to find out whether the model looks at what it
    should. High weights say where it looked, not what it saw there.

    Args:
        model: A model of `classifier`.
        volumes: Scans of shape `(depth, height, width, channels)` in a list, an array of several,
            or batches of `load_volumes`.
        batch_size: Scans at a time, >= 1.

    Returns:
        For each scan its weights, float32 of shape `(depth,)`, which sum to 1.

    Raises:
        ValueError: The model has no `AttentionPooling`.

    Example:

    >>> encoder = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 3)])
    >>> model = classifier(encoder, 2)
    >>> [weights.shape for weights in slice_attention(model, [np.zeros((7, 8, 8, 1))])]
    [(7,)]

    Reference:
        Ilse, Tomczak & Welling (2018), arXiv 1802.04712, section 3.
    """
    check_count("batch_size", batch_size)
    pooling = [layer for layer in model.layers if isinstance(layer, AttentionPooling)]
    if not pooling:
        raise ValueError(
            "`model` must be one of scans.classifier: it has no AttentionPooling. "
            f"Received: {model.name}"
        )
    looking = keras.Model(model.inputs[0], outputs_in(model)[pooling[0].name][1])
    scans = volumes.volumes if isinstance(volumes, VolumeBatches) else list(volumes)
    batches = VolumeBatches(scans, np.zeros(len(scans)), batch_size=batch_size)
    attention: list[np.ndarray] = []
    for number in range(len(batches)):
        weights = np.asarray(looking.predict_on_batch(batches[number][0]))
        for row in weights:
            attention.append(row[: len(scans[len(attention)])])
    return attention

"""A classifier of scans: it looks at every slice, and tells which of them mattered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_practical import backbones
from keras_practical._validation import (
    ImageSize,
    as_layers,
    check_between,
    check_choice,
    check_count,
)
from keras_practical.classifiers import resolve_backbone
from keras_practical.freezing import freeze_to
from keras_practical.volume_data import VolumeBatches

__all__ = ["AttentionPooling", "SlicesAsPictures", "slice_attention", "volume_classifier"]


@keras.saving.register_keras_serializable(package="keras_practical")
class SlicesAsPictures(keras.layers.Layer):
    """Lay the slices of all scans of a batch side by side, as pictures for a backbone.

    Args:
        channels: Channels of the pictures; a grey scan is repeated to so many.
        **options: As in `keras.layers.Layer`.

    Example:

    >>> SlicesAsPictures(3)(ops.zeros((2, 5, 8, 8, 1))).shape
    TensorShape([10, 8, 8, 3])
    """

    def __init__(self, channels: int, **options: Any) -> None:
        super().__init__(**options)
        self.channels = channels

    def call(self, volumes: Any) -> Any:
        """Return pictures of shape `(batch * depth, height, width, channels)`."""
        # Slices that only fill up are -1 all over; they become black.
        pictures = ops.maximum(ops.reshape(volumes, (-1, *volumes.shape[2:])), 0)
        if volumes.shape[-1] != self.channels:
            pictures = ops.repeat(pictures, self.channels, axis=-1)
        return pictures

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[Any, ...]:
        """Return the shape of the pictures."""
        return (None, *input_shape[2:4], self.channels)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "channels": self.channels}


@keras.saving.register_keras_serializable(package="keras_practical")
class AttentionPooling(keras.layers.Layer):
    """Gated attention: a weighted mean of slices' features, the weights learnt from the features.

    Called on the features of all slices, `(batch * depth, size)`, and the scans that they are of,
    `(batch, depth, ...)`. Slices of -1 throughout get no weight.

    Args:
        units: Size of the hidden layer that the weights come from.
        seed: Decides the first weights.
        **options: As in `keras.layers.Layer`.

    Example:

    >>> features, scans = ops.ones((6, 4)), ops.zeros((2, 3, 8, 8, 1))
    >>> pooled, attention = AttentionPooling(8)([features, scans])
    >>> pooled.shape, [round(float(weight), 3) for weight in attention[0]]
    (TensorShape([2, 4]), [0.333, 0.333, 0.333])

    Reference:
        Ilse, Tomczak & Welling, *Attention-based Deep Multiple Instance Learning* (2018),
        arXiv 1802.04712, equation 9.
    """

    def __init__(self, units: int = 128, *, seed: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.units = units
        self.seed = seed

    def build(self, input_shape: Any) -> None:
        """Create the weights."""
        size = input_shape[0][-1]

        def matrix(name: str, shape: tuple[int, int], offset: int) -> Any:
            seed = None if self.seed is None else self.seed + offset
            return self.add_weight(
                name=name, shape=shape, initializer=keras.initializers.GlorotUniform(seed)
            )

        self.content = matrix("content", (size, self.units), 0)
        self.gate = matrix("gate", (size, self.units), 1)
        self.score = matrix("score", (self.units, 1), 2)

    def call(self, inputs: Any) -> tuple[Any, Any]:
        """Return one vector a scan, `(batch, size)`, and the weights of its slices."""
        features, volumes = inputs
        shape = ops.shape(volumes)
        hidden = ops.tanh(features @ self.content) * ops.sigmoid(features @ self.gate)
        scores = ops.cast(ops.reshape(hidden @ self.score, shape[:2]), "float32")
        # One pixel tells: no slice that was measured has values below 0.
        present = volumes[:, :, 0, 0, 0] >= 0
        attention = ops.softmax(ops.where(present, scores, -1e9), axis=1)
        attention = attention * ops.cast(present, "float32")
        stacked = ops.reshape(features, (shape[0], shape[1], features.shape[-1]))
        weights = ops.cast(attention, stacked.dtype)
        return ops.sum(stacked * weights[:, :, None], axis=1), attention

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, Any]:
        """Return the shapes of the vectors and of the weights."""
        features, volumes = input_shape
        return (volumes[0], features[-1]), tuple(volumes[:2])

    def compute_output_spec(self, inputs: Any) -> tuple[Any, Any]:
        """Return the kinds of both outputs."""
        vectors, weights = self.compute_output_shape([part.shape for part in inputs])
        return (
            keras.KerasTensor(vectors, self.compute_dtype),
            keras.KerasTensor(weights, "float32"),
        )

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "units": self.units, "seed": self.seed}


def volume_classifier(
    backbone: str | keras.Model,
    class_names: Sequence[str] | int,
    *,
    image_size: ImageSize | None = None,
    channels: int = 1,
    weights: str | Path | None = "imagenet",
    attention_units: int = 128,
    dropout: float = 0.2,
    augmentation: Any = None,
    preprocessing: str | None = None,
    seed: int | None = None,
) -> keras.Model:
    """Build a classifier of scans of any depth on a backbone for pictures, compiled and frozen.

    Use it where a label belongs to a whole scan and nobody has marked the slices: one encoder sees
    each slice by itself, and attention learns how much each of them counts. `slice_attention` then
    tells where the model looked. The model is an ordinary functional Keras model; `fine_tune`,
    `evaluate` and `predict` take it. To load a saved file, `import keras_practical` first: two of
    its layers are of this package. Plain Keras has no equivalent.

    Args:
        backbone: As in `classifier`: a name, or a `keras.Model` from pictures to a feature map or a
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
        A compiled `keras.Model` from `(batch, depth, height, width, channels)`, values in [0, 255]
        and slices of -1 for what is missing, to float32 probabilities of shape `(batch, classes)`.

    Raises:
        ValueError: An argument is outside its range, or the backbone's output isn't usable.
        RuntimeError: The ImageNet weights can't be had; the text says how to go on offline.

    Example:

    >>> encoder = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 3)])
    >>> model = volume_classifier(encoder, ["well", "ill"])
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
    body, shape, scaling = resolve_backbone(backbone, image_size, weights, preprocessing)
    check_choice("channels", channels, sorted({1, shape[2]}))

    volumes = keras.Input((None, *shape[:2], channels), name="volumes")
    features = SlicesAsPictures(shape[2], name="slices_as_pictures")(volumes)
    for layer in [*as_layers(augmentation), *backbones.preprocessing_layers(scaling)]:
        features = layer(features)
    features = body(features)
    rank = len(getattr(features, "shape", ()))
    if rank not in (2, 3, 4):
        raise ValueError(
            "`backbone` must give a feature map, vectors or one vector for each picture. "
            f"Received: an output {getattr(features, 'shape', type(features).__name__)}"
        )
    if rank > 2:
        features = getattr(keras.layers, f"GlobalAveragePooling{rank - 2}D")()(features)
    pooled, _ = AttentionPooling(attention_units, seed=seed, name="attention")([features, volumes])
    pooled = keras.layers.Dropout(dropout, seed=seed)(pooled)
    outputs = keras.layers.Dense(
        class_count,
        activation="softmax",
        dtype="float32",
        kernel_initializer=keras.initializers.GlorotUniform(None if seed is None else seed + 3),
        name="probabilities",
    )(pooled)
    model = keras.Model(volumes, outputs, name=f"{body.name}_volume_classifier")
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
        model: A model of `volume_classifier`.
        volumes: Scans of shape `(depth, height, width, channels)` in a list, an array of several,
            or batches of `load_volumes`.
        batch_size: Scans at a time, >= 1.

    Returns:
        For each scan its weights, float32 of shape `(depth,)`, which sum to 1.

    Raises:
        ValueError: The model has no `AttentionPooling`.

    Example:

    >>> encoder = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 3)])
    >>> model = volume_classifier(encoder, 2)
    >>> [weights.shape for weights in slice_attention(model, [np.zeros((7, 8, 8, 1))])]
    [(7,)]

    Reference:
        Ilse, Tomczak & Welling (2018), arXiv 1802.04712, section 3.
    """
    check_count("batch_size", batch_size)
    pooling = [layer for layer in model.layers if isinstance(layer, AttentionPooling)]
    if not pooling:
        raise ValueError(
            "`model` must be one of transfer.volume_classifier: it has no AttentionPooling. "
            f"Received: {model.name}"
        )
    looking = keras.Model(model.inputs, pooling[0].output[1])
    scans = volumes.volumes if isinstance(volumes, VolumeBatches) else list(volumes)
    batches = VolumeBatches(scans, np.zeros(len(scans)), batch_size=batch_size)
    found: list[np.ndarray] = []
    for number in range(len(batches)):
        weights = np.asarray(looking.predict_on_batch(batches[number][0]))
        for row in weights:
            found.append(row[: len(scans[len(found)])])
    return found

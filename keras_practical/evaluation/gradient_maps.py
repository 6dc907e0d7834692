"""Grad-CAM: where on an image a network sees a class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_practical.evaluation.heat_maps import (
    HeatMap,
    SeenImage,
    chosen_class,
    class_name_of,
    class_outputs,
    heated,
    rounding_of,
)
from keras_practical.evaluation.receptive_fields import cell_centres
from keras_practical.utils.keras_internals.gradients import gradient
from keras_practical.utils.keras_internals.graph import (
    answer,
    before_probabilities,
    final_activation,
    last_map,
    map_layers,
    replaced,
)
from keras_practical.utils.keras_internals.overrides import overridden

__all__ = ["grad_cam"]


def grad_cam(
    model: keras.Model,
    image: str | Path | bytes | np.ndarray,
    *,
    class_index: int | None = None,
    layer: str | keras.layers.Layer | None = None,
    class_names: Sequence[str] | None = None,
    aspect: str = "crop",
) -> HeatMap:
    """Show where on an image a network sees a class, by the gradient of the class's score.

    Use it on images that a model gets wrong, and on some that it gets right: does it look at the
    animal, or at the fence behind it? It takes one pass and half another. It says where the last
    feature map holds evidence, roughly, not what the network makes of it; `occlusion` asks the
    same by experiment. A network that flattens its last map instead of pooling it weighs each place
    anew: there the mean over places, Grad-CAM's weight, may be wrong, and `occlusion` is better.
    One that knows a class only by the absence of another has no heat for it. In plain Keras one
    cuts the model in two and takes a gradient tape.

    Args:
        model: Any classifier with convolutions: of `transfer.classifier` (preprocessing and
            augmentation inside), functional or sequential, models nested inside, with softmax,
            sigmoid or logits at its end; of `scans.classifier`, which gives a map for
            each slice; or a subclassed one, if `layer` is given.
        image: A file's path or bytes, or an array of shape `(height, width, channels)` with values
            as the model takes them. Other sizes than the model's are brought to it, for which
            values must be in [0, 255]. For a scan, an array of shape
            `(depth, height, width, channels)`.
        class_index: The class to look for. Default: the most probable one. With one output, 1 is
            the class whose probability it is, 0 the other.
        layer: The layer, or its name, whose feature map is used. Default: the last that gives one;
            in an ensemble that is in its last member.
        class_names: One name a class. Default: numbers.
        aspect: How an image of another shape fits, as in `load_images`.

    Returns:
        A `HeatMap` at the image's own resolution, each cell of the map at the centre of what it
        sees; `plot` it.

    Raises:
        ValueError: The model has no feature map or several outputs, its class overrides
            `predict_step` or `predict`, or an argument isn't for it.
        NotImplementedError: The backend is neither TensorFlow nor JAX.

    Example:

    >>> layers = [keras.layers.Conv2D(2, 1), keras.layers.GlobalAveragePooling2D()]
    >>> model = keras.Sequential([keras.Input((4, 4, 3)), *layers])
    >>> model.layers[0].set_weights([np.array([[[[1, 0], [0, 1], [0, 0]]]]), np.zeros(2)])
    >>> image = np.zeros((4, 4, 3))
    >>> image[1, 2] = [0, 200, 0]
    >>> print(grad_cam(model, image, class_names=["red", "green"]))
    Grad-CAM for green (12.500): hottest at row 1, column 2 of 4 x 4 pixels

    Reference:
        Selvaraju et al., *Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
        Localization* (2017), arXiv 1610.02391, equations 1 and 2; the score is the class's logit.
    """
    own = overridden(model, ("predict_step", "predict"))
    if own:
        raise ValueError(
            f"Grad-CAM calls `model` itself, but its class {type(model).__name__} overrides "
            f"{own[0]}, which may prepare the pixels. Give keras.Model(model.inputs, "
            "model.outputs) and an image that is prepared, or use `occlusion`."
        )
    operation = _map_of(model, layer)
    seen = SeenImage.of(model, image, aspect)
    maps: list[Any] = []
    call = operation.call

    def recording(*inputs: Any, **options: Any) -> Any:
        maps.append(call(*inputs, **options))
        return maps[-1]

    with replaced(operation, "call", recording):
        outputs = class_outputs(answer(model, seen.inputs), final_activation(model))[0]
    if len(maps) != 1:
        raise ValueError(
            f"`layer` must be used once for an image. Received: {operation.name}, used "
            f"{len(maps)} times"
        )
    if len(maps[0].shape) != 4:
        raise ValueError(
            "`layer` must give a feature map (batch, height, width, channels). "
            f"Received: {operation.name}, which gives {tuple(maps[0].shape)}"
        )
    chosen = chosen_class(outputs, class_index)

    def score(values: Any) -> Any:
        """Return the class's logit for a feature map in place of the image's."""
        with replaced(operation, "call", lambda *inputs, **options: values):
            row = keras.ops.reshape(answer(model, seen.inputs), (-1,))
        logit = row[chosen] if len(row) > 1 else (2 * chosen - 1) * row[0]
        return keras.ops.cast(logit, "float32")

    with before_probabilities(model):
        slopes = gradient(score, maps[0]).astype("float32")
    values = keras.ops.convert_to_numpy(maps[0]).astype("float32")
    # One weight a channel: how much more of it everywhere would raise the score.
    weights = slopes.mean((1, 2), keepdims=True)
    heat = np.maximum((weights * values).sum(-1), 0)
    # Slopes may cancel, and so may channels.
    summands = (np.abs(slopes).mean((1, 2), keepdims=True) * np.abs(values)).sum(-1)
    # Slices that only fill up a scan have no map.
    return heated(
        seen.shown[: len(heat)] if seen.inputs.ndim == 5 else seen.shown,
        centres=_centres(model, operation, seen.inputs.shape[-3:-1], heat.shape[1:]),
        values=heat if seen.inputs.ndim == 5 else heat[0],
        class_index=chosen,
        class_name=class_name_of(chosen, class_names),
        output=float(outputs[chosen]),
        method="Grad-CAM",
        rounding=rounding_of(model, float(summands.max())),
    )


def _centres(
    model: keras.Model, operation: Any, size: tuple[int, ...], cells: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return where a map's cells look, as parts of the image's sides; `None` if it isn't known."""
    centres = cell_centres(model, operation, (size[0], size[1]))
    if centres is None or (len(centres[0]), len(centres[1])) != tuple(cells):
        return None
    rows, columns = ((places + 0.5) / side for places, side in zip(centres, size, strict=True))
    return rows, columns


def _map_of(model: keras.Model, layer: str | keras.layers.Layer | None) -> Any:
    """Return the operation whose feature map is used."""
    if isinstance(layer, keras.layers.Layer):
        return layer
    layers = map_layers(model)
    if layer is not None:
        if layer not in layers:
            raise ValueError(
                "`layer` must be a layer, or the name of one that gives a feature map: "
                f"{', '.join(layers) or 'here is none'}. Received: layer={layer!r}"
            )
        return layers[layer]
    if not model.built:
        raise ValueError(
            "`model` must be built: call it on a batch of images once, or begin it with "
            f"keras.Input. Received: {model.name}"
        )
    operation = last_map(model)
    if operation is None:
        raise ValueError(
            "`model` has no feature map (batch, height, width, channels) that its graph tells of: "
            "pass `layer` for a model of your own class, or use `occlusion`, which needs none. "
            f"Received: {model.name}"
        )
    return operation

"""Networks from images to feature vectors, cut out of classifiers or built on backbones."""

from __future__ import annotations

import gc
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_practical.data.batches import pad
from keras_practical.models.anatomy import anatomy_of
from keras_practical.models.backbones import preprocessing_layers
from keras_practical.models.deriving import derived_model
from keras_practical.models.heads import pooled
from keras_practical.models.opening import open_backbone
from keras_practical.models.resizing import from_config
from keras_practical.utils.keras_internals.folding import foldable, folded
from keras_practical.utils.keras_internals.graph import (
    Step,
    final_activation,
    inputs_structure,
    outputs_structure,
    steps_of,
)
from keras_practical.utils.keras_internals.layers import draws, learns, output_shapes

if TYPE_CHECKING:
    from keras_practical.utils.types import BackbonePart

__all__ = ["FeatureNetwork", "feature_model", "split_at_features"]

_MOST_AT_ONCE = 64


def split_at_features(
    model: keras.Model, *, backbone: BackbonePart | None = None
) -> tuple[keras.Model, keras.Model]:
    """Split a classifier into what computes its features and what decides by them.

    Use it to train the head on features that were computed once. Both parts share the model's own
    layers, so training the head trains the model.

    Args:
        model: A functional or sequential classifier, such as `transfer.classifier`'s.
        backbone: As in `transfer.layer_groups`.

    Returns:
        Two models: from images to the input of the head's first layer that has weights or draws
        random numbers, and from there to the outputs.

    Raises:
        ValueError: The graph has no such place: the head begins at once, or side paths lead
            round every possible cut. Or as in `transfer.layer_groups`.

    Example:

    >>> from keras_practical.models.classifiers import classifier
    >>> network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(5, 3)])
    >>> body, head = split_at_features(classifier(network, 2))
    >>> body.output_shape, head.output_shape
    ((None, 5), (None, 2))
    """
    anatomy = anatomy_of(model, backbone=backbone)
    body, tail = {id(layer) for layer in anatomy.body}, {id(layer) for layer in anatomy.head}
    steps = steps_of(model)
    if not steps:
        raise ValueError(
            "`model` can't be cut between backbone and head: it has no graph, because its class "
            "has a `call` of its own."
        )
    last = max((n for n, step in enumerate(steps) if id(step.operation) in body), default=0)
    try:
        learning = {id(layer) for layer in (*anatomy.body, *anatomy.head) if learns(layer)}
        if not learning & {id(step.operation) for step in steps}:
            return _split_inside(model, steps, backbone)
        cut = None
        for number, step in enumerate(steps):
            operation = step.operation
            if number > last and id(operation) in tail and (learns(operation) or draws(operation)):
                break
            if len(step.outputs) == 1 and not isinstance(operation, keras.layers.InputLayer):
                cut = step.outputs[0]
        if cut is None:
            raise ValueError("nothing comes before the head")
        return (
            derived_model(model, inputs_structure(model), cut, name=model.name),
            keras.Model(cut, outputs_structure(model), name="head"),
        )
    except ValueError as error:
        raise ValueError(
            f"`model` can't be cut between backbone and head: {str(error).rstrip('.')}. It must be "
            "one chain there."
        ) from error


def _split_inside(
    model: keras.Model, steps: Sequence[Step], backbone: BackbonePart | None
) -> tuple[keras.Model, keras.Model]:
    """Split the one nested model that holds both backbone and head."""
    inner = next((step for step in steps if learns(step.operation)), None)
    if inner is None or len(inner.inputs) != 1 or steps[-1] is not inner:
        raise ValueError("both are inside a nested model, and more layers follow it")
    body, head = split_at_features(inner.operation, backbone=backbone)
    features = body(inner.inputs[0])
    return derived_model(model, inputs_structure(model), features, name=model.name), head


def feature_model(
    model: str | keras.Model,
    shape: tuple[int, ...],
    *,
    preprocessing: str = "none",
    backbone: BackbonePart | None = None,
) -> keras.Model:
    """Return the model from images to vectors that `embed` uses.

    Args:
        model: As in `embed`.
        shape: Height, width and channels of the images.
        preprocessing: What is done to the pixels before a `keras.Model`, one of `PREPROCESSING`.
        backbone: As in `embed`.

    Returns:
        A model from `(batch, height, width, channels)` to `(batch, size)`, on the given model's
        own weights.

    Raises:
        ValueError: The model's output isn't vectors or maps, or as in `embed`.

    Example:

    >>> network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(5, 3)])
    >>> feature_model(network, (8, 8, 3)).output_shape
    (None, 5)
    """
    if isinstance(model, str):
        opened = open_backbone(model, argument="model", image_size=(shape[0], shape[1]))
        inputs = keras.Input(shape)
        features = inputs
        for layer in preprocessing_layers(opened.preprocessing):
            features = layer(features)
        features = opened.model(features)
        return keras.Model(inputs, pooled(features, argument="model"), name=model)
    if backbone is not None or (steps_of(model) and _is_classifier(model)):
        body, _ = split_at_features(model, backbone=backbone)
    elif steps_of(model):
        body = model
    else:
        raise ValueError(
            "`model` has no graph to take features from, because its class has a `call` of its "
            "own. Give the network inside it that computes the features."
        )
    inputs, features = body.inputs, outputs_structure(body)
    if preprocessing != "none":
        inputs = pixels = keras.Input(shape)
        for layer in preprocessing_layers(preprocessing):
            pixels = layer(pixels)
        features = body(pixels)
    return derived_model(body, inputs, pooled(features, argument="model"), name=model.name)


class FeatureNetwork:
    """A model that computes features of any number of images, a batch at a time.

    Args:
        model: A model from images to vectors.
        batch_size: Images at a time. Default: as many as fit into memory, at most 64; fewer
            after all if the device's memory runs out.
        half_precision: Whether to compute in float16.

    Raises:
        Exception: From a call, whatever the backend raises.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.ReLU()])
    >>> FeatureNetwork(model, None, False)(np.ones((3, 2))).shape
    (3, 2)
    """

    def __init__(self, model: keras.Model, batch_size: int | None, half_precision: bool) -> None:
        self._model = _in_half_precision(model) if half_precision else model
        pairs = foldable(self._model)
        weights = [weight for pair in pairs for layer in pair for weight in layer.weights]
        # TensorFlow's ReLU makes 0 of NaN where it is fused with a convolution: broken weights must
        # show.
        whole = not any(np.isnan(keras.ops.convert_to_numpy(weight)).any() for weight in weights)
        self._pairs = pairs if whole else []
        self.batch_size = batch_size or _batch_size(model)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return float32 features of shape `(n, size)`."""
        while True:
            size = min(self.batch_size, len(images))
            try:
                features = [
                    self._predict(images[start : start + size])
                    for start in range(0, len(images), size)
                ]
            except Exception as error:
                if size == 1 or not _out_of_memory(error):
                    raise
                self.batch_size = max(1, size // 2)
                gc.collect()
                continue
            return np.concatenate(features)

    def _predict(self, images: np.ndarray) -> np.ndarray:
        batch = pad(images, self.batch_size)
        with folded(self._pairs):
            features = self._model.predict_on_batch(batch)
        return np.asarray(features, "float32")[: len(images)]


def _is_classifier(model: keras.Model) -> bool:
    """Return whether a model was compiled for a task, or gives class probabilities."""
    trains = model.compiled and model.loss is not None
    return trains or len(model.outputs) > 1 or final_activation(model) is not None


def _batch_size(model: keras.Model) -> int:
    """Return how many images at a time are sure to fit into memory."""
    import psutil

    sizes = [math.prod(side or 1 for side in shape[1:]) for shape in output_shapes(model)]
    largest = max([1, *sizes])
    # A layer's input, its output and one more that waits for an addition.
    budget = min(2**31, psutil.virtual_memory().available // 4)
    return int(max(1, min(_MOST_AT_ONCE, budget // (3 * 4 * largest))))


def _out_of_memory(error: Exception) -> bool:
    text = f"{type(error).__name__} {error}".upper()
    return "RESOURCE_EXHAUSTED" in text or "RESOURCEEXHAUSTED" in text or "OUT OF MEMORY" in text


def _in_half_precision(model: keras.Model) -> keras.Model:
    """Return a copy of a model that computes in float16 on float32 weights."""
    copy = from_config(model, _with_policy(model.get_config(), "mixed_float16"))
    copy.set_weights(model.get_weights())
    return copy


def _with_policy(config: Any, policy: str) -> Any:
    if isinstance(config, list | tuple):
        return type(config)(_with_policy(part, policy) for part in config)
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "DTypePolicy" and config["config"].get("name") == "float32":
        return {**config, "config": {"name": policy}}
    return {name: _with_policy(part, policy) for name, part in config.items()}

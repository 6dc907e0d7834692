"""The frozen phase of fine-tuning, on features that were computed once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_practical.data.features import Embeddings
from keras_practical.data.order import EpochOrder
from keras_practical.data.origin import origin_of
from keras_practical.transfer.budget import steps_in
from keras_practical.transfer.embedding import embed
from keras_practical.transfer.feature_network import split_at_features
from keras_practical.utils.keras_internals.layers import (
    build_metrics,
    compiled_settings,
    draws,
    random_layer,
)
from keras_practical.utils.keras_internals.overrides import PREDICTING, TRAINING, overridden

if TYPE_CHECKING:
    from keras_practical.utils.types import BackbonePart, Data

__all__ = ["FeatureBatches", "HeadTraining", "head_training"]


class FeatureBatches(keras.utils.PyDataset):
    """Batches of features in a new order each epoch, one view of each image at a time.

    Args:
        embeddings: What to train on. Each epoch takes each image once: as it is or, in turn, in
            one of its augmented views.
        batch_size: Images a batch.
        order: Draws the order of each epoch.
        sample_weight: One number an image, if they count differently.

    Example:

    >>> found = Embeddings(np.eye(3), np.arange(3), (), ("a", "b", "c"))
    >>> batches = FeatureBatches(found, 2, EpochOrder(3, seed=0))
    >>> [labels.tolist() for _, labels in (batches[0], batches[1])]
    [[0, 2], [1]]
    """

    def __init__(
        self,
        embeddings: Embeddings,
        batch_size: int,
        order: EpochOrder,
        *,
        sample_weight: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        self._embeddings = embeddings
        self._labels = embeddings.labels
        self._sample_weight = sample_weight
        self._batch_size = batch_size
        self.epoch_order = order
        self._epoch = 0
        self._places = np.arange(len(embeddings))

    def __len__(self) -> int:
        return -(-len(self._embeddings) // self._batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        """Return a batch; number 0 begins an epoch."""
        if index == 0:
            self._epoch = self.epoch_order.epoch
            self._places = self.epoch_order.draw()
        start = index * self._batch_size
        positions = self._places[start : start + self._batch_size]
        embeddings = self._embeddings
        features = np.array(embeddings.features[positions])
        if len(embeddings.views):
            turn = (self._epoch + positions) % (1 + len(embeddings.views))
            for view in range(len(embeddings.views)):
                rows = turn == view + 1
                features[rows] = embeddings.views[view, positions[rows]]
        if self._sample_weight is None:
            return features, self._labels[positions]
        return features, self._labels[positions], self._sample_weight[positions]


@dataclass(frozen=True)
class HeadTraining:
    """What `fit` takes for the frozen phase.

    Attributes:
        head: The classifier's head as a compiled model of its own, on the same layers.
        train: Batches of features.
        validation_data: Features and labels, or `None`.
        embeddings: Features with the labels and weights that `train` has, in the data's order.

    Example:

    >>> found = Embeddings(np.eye(2), np.arange(2), (), ("a", "b"))
    >>> HeadTraining(keras.Sequential(), None, None, found).validation_data is None
    True
    """

    head: keras.Model
    train: Any
    validation_data: Any
    embeddings: Embeddings

    def finish(self, model: keras.Model) -> None:
        """Hand over to the classifier what training left behind beside the weights."""
        model.optimizer = self.head.optimizer


def head_training(
    model: keras.Model,
    train: Data,
    *,
    validation_data: Data,
    views: int | None,
    cache_dir: str | Path | None,
    verbose: bool,
    backbone: BackbonePart | None = None,
    seed: int = 0,
    solving: bool = False,
) -> HeadTraining | str:
    """Embed the data for the frozen phase, if training on features gives the same result.

    Args:
        model: A compiled classifier, frozen up to its head.
        train: As in `fine_tune`.
        validation_data: As in `fine_tune`.
        views: As in `fine_tune`.
        cache_dir: As in `fine_tune`.
        verbose: Whether to show progress.
        backbone: As in `fine_tune`.
        seed: Decides the order of arrays.
        solving: Whether the head will be solved for, which the images as they are serve for unless
            `views` asks for more.

    Returns:
        A `HeadTraining` or, as a text, why there is none.

    Example:

    >>> head_training(None, None, validation_data=None, views=0, cache_dir=None, verbose=False)
    'views=0'
    """
    if views == 0:
        return "views=0"
    problem = _problem_of_model(model) or _problem_of_data(
        train, validation_data, one_pass=solving and not views
    )
    if problem is not None:
        return problem
    try:
        body, head = split_at_features(model, backbone=backbone)
    except ValueError as error:
        return str(error)
    if body.trainable_variables or len(body.output_shape) != 2:
        return "the head doesn't stand on one vector of frozen features"
    augmentation = _leading_random_layers(body)
    random = random_layer(body)
    if views is None and random is not None and not solving:
        remedy = "views=4 embeds four draws" if augmentation else "views=1 trains without it"
        return f"{random.name!r} draws anew in each epoch; {remedy}"

    def embedded(data: Data, **options: Any) -> Embeddings:
        # Of arrays the places only: labels and weights go to `fit` as they are.
        pair = (data[0], np.arange(len(data[0]))) if isinstance(data, tuple | list) else data
        return embed(
            body,
            pair,
            cache_dir=cache_dir,
            # The very same features as in the network itself.
            mixed_precision=False,
            verbose=verbose,
            **options,
        )

    drawn = None if solving and views is None else augmentation or None
    features = embedded(train, augmentation=drawn, views=views or 1)
    held_out = None if validation_data is None else embedded(validation_data)
    validation: tuple[np.ndarray, ...] | None = None
    if held_out is not None:
        validation = (held_out.features, held_out.labels)
        if isinstance(validation_data, tuple | list):
            parts = (np.asarray(part)[held_out.labels] for part in validation_data[1:])
            validation = (held_out.features, *parts)
    source = origin_of(train).source
    weights = None
    if isinstance(train, tuple | list):
        labels, *others = (np.asarray(part)[features.labels] for part in train[1:])
        weights = others[0] if others else None
        features = replace(features, labels=labels, sample_weight=weights)
    batches = FeatureBatches(
        features,
        source.batch_size if source else 32,
        EpochOrder(len(features), source.order.seed if source and source.order else seed),
        sample_weight=weights,
    )
    head.compile(optimizer=model.optimizer, **compiled_settings(model))
    build_metrics(model, batches[0][1], head(batches[0][0]))
    batches.epoch_order.set_epoch(0)
    return HeadTraining(head, batches, validation, features)


def _problem_of_model(model: keras.Model) -> str | None:
    """Return what keeps a model from being trained on features, if anything does."""
    own = overridden(model, (*TRAINING, *PREDICTING))
    if own:
        return f"the model's class {type(model).__name__} overrides {own[0]}"
    if not getattr(model, "inputs", None):
        return f"the model's class {type(model).__name__} has a call of its own, and no graph"
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        return "the model has several inputs or outputs"
    return None


def _problem_of_data(train: Data, validation_data: Data, *, one_pass: bool) -> str | None:
    """Return what keeps data from being embedded, if anything does.

    Where one pass over the training data is all that is wanted, it may do with its images what it
    does.
    """
    for data in (train, validation_data):
        if isinstance(data, tuple | list):
            axes = [len(getattr(part, "shape", ())) for part in data]
            if 0 in axes or len(data) not in (2, 3) or axes[0] != 4:
                return "the data aren't one array of images and one of labels"
    known = isinstance(train, tuple | list) or origin_of(train).source
    if not known and not (one_pass and _is_batches(train) and steps_in(train)):
        return "what the data set does to its images isn't known; load_images or arrays tell"
    known = isinstance(validation_data, tuple | list) or origin_of(validation_data).source
    # Read once here, in its own order, which doesn't count for validation.
    if validation_data is not None and not known and not _is_batches(validation_data):
        return "the validation data aren't batches of images and labels"
    return None


def _is_batches(data: Data) -> bool:
    """Return whether a data set's batches are one array of images and one of labels each."""
    parts: Any = getattr(data, "element_spec", ())
    if isinstance(data, keras.utils.PyDataset) and len(data):
        parts = data[0]
    if not isinstance(parts, tuple) or len(parts) != 2:
        return False
    if not all(hasattr(part, "shape") for part in parts):
        return False
    shape = parts[0].shape
    return (shape.rank if hasattr(shape, "rank") else len(shape)) == 4


def _leading_random_layers(body: keras.Model) -> list[keras.layers.Layer]:
    """Return the augmentation that a model begins with."""
    leading = []
    for layer in body.layers[1:]:
        if not draws(layer):
            break
        leading.append(layer)
    return leading

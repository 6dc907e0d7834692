"""The frozen phase of fine-tuning, on features that were computed once."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_practical.data.features import Embeddings
from keras_practical.data.order import EpochOrder
from keras_practical.data.origin import origin_of
from keras_practical.transfer.embedding import embed
from keras_practical.transfer.feature_network import split_at_features
from keras_practical.utils.keras_internals.layers import compiled_metrics, draws, random_layer

if TYPE_CHECKING:
    from keras_practical.utils.types import Data

__all__ = ["FeatureBatches", "HeadTraining", "head_training"]

# They look at the epoch's numbers or at the weights that train, which the head has too.
_HARMLESS = (
    keras.callbacks.CSVLogger,
    keras.callbacks.EarlyStopping,
    keras.callbacks.History,
    keras.callbacks.ReduceLROnPlateau,
    keras.callbacks.TerminateOnNaN,
)


class FeatureBatches(keras.utils.PyDataset):
    """Batches of features in a new order each epoch, one view of each image at a time.

    Args:
        embeddings: What to train on. Each epoch takes each image once: as it is or, in turn, in
            one of its augmented views.
        batch_size: Images a batch.
        order: Draws the order of each epoch.

    Example:

    >>> found = Embeddings(np.eye(3), np.arange(3), (), ("a", "b", "c"))
    >>> batches = FeatureBatches(found, 2, EpochOrder(3, seed=0))
    >>> [labels.tolist() for _, labels in (batches[0], batches[1])]
    [[0, 2], [1]]
    """

    def __init__(self, embeddings: Embeddings, batch_size: int, order: EpochOrder) -> None:
        super().__init__()
        self._embeddings = embeddings
        self._batch_size = batch_size
        self.epoch_order = order
        self._epoch = 0
        self._places = np.arange(len(embeddings))

    def __len__(self) -> int:
        return -(-len(self._embeddings) // self._batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
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
        return features, embeddings.labels[positions]


@dataclass(frozen=True)
class HeadTraining:
    """What `fit` takes for the frozen phase.

    Attributes:
        head: The classifier's head as a compiled model of its own, on the same layers.
        train: Batches of features.
        validation_data: Features and labels, or `None`.

    Example:

    >>> HeadTraining(keras.Sequential(), None, None).validation_data is None
    True
    """

    head: keras.Model
    train: Any
    validation_data: Any

    def finish(self, model: keras.Model) -> None:
        """Hand over to the classifier what training left behind beside the weights."""
        model.optimizer = self.head.optimizer
        model.stop_training = self.head.stop_training


def head_training(
    model: keras.Model,
    train: Data,
    *,
    validation_data: Data,
    callbacks: Sequence[keras.callbacks.Callback],
    views: int | None,
    cache_dir: str | Path | None,
    verbose: bool,
) -> HeadTraining | str:
    """Embed the data for the frozen phase, if training on features gives the same result.

    Args:
        model: A compiled classifier, frozen up to its head.
        train: As in `fine_tune`.
        validation_data: As in `fine_tune`.
        callbacks: As in `fine_tune`.
        views: As in `fine_tune`.
        cache_dir: As in `fine_tune`.
        verbose: Whether to show progress.

    Returns:
        A `HeadTraining` or, as a text, why there is none.

    Example:

    >>> head_training(
    ...     None, None, validation_data=None, callbacks=[], views=0, cache_dir=None, verbose=False
    ... )
    'views=0'
    """
    if views == 0:
        return "views=0"
    for callback in callbacks:
        if type(callback) not in _HARMLESS:
            return f"{type(callback).__name__} may want to see the whole model"
    source = origin_of(train).source
    if source is None and not isinstance(train, tuple):
        return "what the data set does to its images isn't known; load_images or arrays tell"
    try:
        body, head = split_at_features(model)
    except ValueError as error:
        return str(error)
    if body.trainable_variables or len(body.output_shape) != 2:
        return "the head doesn't stand on one vector of frozen features"
    augmentation = _leading_random_layers(body)
    found = random_layer(body)
    if views is None and found is not None:
        remedy = "views=4 embeds four draws" if augmentation else "views=1 trains without it"
        return f"{found.name!r} draws anew in each epoch; {remedy}"
    parts = [train] if validation_data is None else [train, validation_data]
    if any(isinstance(part, tuple | list) and len(part) != 2 for part in parts):
        return "there are sample weights"
    embedded = embed(
        body,
        train,
        augmentation=augmentation or None,
        views=views or 1,
        cache_dir=cache_dir,
        # The very same features as in the network itself.
        mixed_precision=False,
        verbose=verbose,
    )
    validation = None
    if validation_data is not None:
        held_out = embed(
            body, validation_data, cache_dir=cache_dir, mixed_precision=False, verbose=verbose
        )
        validation = (held_out.features, held_out.labels)
    # Arrays are shuffled by a seed of their own, as `fit` does.
    seed = source.order.seed if source and source.order else random.getrandbits(31)
    batches = FeatureBatches(
        embedded, source.batch_size if source else 32, EpochOrder(len(embedded), seed)
    )
    metrics, weighted_metrics = compiled_metrics(model)
    head.compile(
        optimizer=model.optimizer,
        loss=model.loss,
        metrics=metrics,
        weighted_metrics=weighted_metrics,
        run_eagerly=model.run_eagerly,
        steps_per_execution=model.steps_per_execution,
        jit_compile=model.jit_compile,
    )
    return HeadTraining(head, batches, validation)


def _leading_random_layers(body: keras.Model) -> list[keras.layers.Layer]:
    """Return the augmentation that a model begins with."""
    leading = []
    for layer in body.layers[1:]:
        if not draws(layer):
            break
        leading.append(layer)
    return leading

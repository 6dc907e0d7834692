"""Which part of a network trains: layer groups, frozen and unfrozen."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import keras

from keras_practical.models.backbones import BACKBONES
from keras_practical.utils.keras_internals.layers import every_layer

__all__ = [
    "TransferSummary",
    "freeze_to",
    "groups_of_backbone",
    "layer_groups",
    "summary",
    "thirds",
    "unfreeze",
]


@dataclass(frozen=True, kw_only=True)
class TransferSummary:
    """What trains in a model, group by group; prints as a table.

    Attributes:
        rows: For each group from the input to the head: its name, its number of layers, of
            parameters, and of parameters that train.
        trainable_count: Number of parameters that train.
        total_count: Number of all parameters.
        frozen_batch_norm_count: `BatchNormalization` layers in inference mode: they neither learn
            nor follow the training data's statistics.
        batch_norm_count: Number of all `BatchNormalization` layers.

    Example:

    >>> print(
    ...     TransferSummary(
    ...         rows=(("group 0", 5, 90, 0), ("head", 1, 10, 10)),
    ...         trainable_count=10,
    ...         total_count=100,
    ...         frozen_batch_norm_count=2,
    ...         batch_norm_count=2,
    ...     )
    ... )
    group 0         5 layers            90 parameters  frozen
    head            1 layers            10 parameters  trains
    10 of 100 parameters train; BatchNormalization: 2 of 2 layers in inference mode
    """

    rows: tuple[tuple[str, int, int, int], ...]
    trainable_count: int
    total_count: int
    frozen_batch_norm_count: int
    batch_norm_count: int

    def __str__(self) -> str:
        lines = [
            f"{name:<10}{layers:>7} layers  {count:>12,} parameters  "
            + (
                "trains"
                if trainable == count
                else f"{trainable:,} train"
                if trainable
                else "frozen"
            )
            for name, layers, count, trainable in self.rows
        ]
        lines.append(
            f"{self.trainable_count:,} of {self.total_count:,} parameters train; "
            f"BatchNormalization: {self.frozen_batch_norm_count} of {self.batch_norm_count} layers "
            "in inference mode"
        )
        return "\n".join(lines)


def layer_groups(model: keras.Model) -> list[list[keras.layers.Layer]]:
    """Split a classifier into its backbone's layer groups and, last, its head.

    Use it to see what `freeze_to(model, group)` counts.

    Args:
        model: A model made by `transfer.classifier`, or any other with a backbone inside; in one
            without, the last layer with weights is the head.

    Returns:
        One list of layers a group, from the input to the head.

    Example:

    >>> model = keras.Sequential([keras.Input((4,))] + [keras.layers.Dense(2) for _ in range(4)])
    >>> [len(group) for group in layer_groups(model)]
    [1, 1, 1, 1]
    """
    backbone = _backbone(model)
    if backbone is not None:
        position = model.layers.index(backbone)
        return [*groups_of_backbone(backbone), model.layers[position + 1 :]]
    weighted = [layer for layer in model.layers if layer.weights]
    head = model.layers[model.layers.index(weighted[-1]) :]
    body = model.layers[: -len(head)]
    return [*thirds(body), head] if body else [head]


def freeze_to(model: keras.Model, group: int, *, train_batch_norm: bool = False) -> None:
    """Freeze the layer groups before `group`, and unfreeze `group` and all after it.

    Use it to train the head alone first (`freeze_to(model, -1)`), then more. Afterwards call
    `model.compile(...)`: an optimizer belongs to the parameters it was built for, and without a
    new one the next `fit` raises an error. In plain Keras, setting `layer.trainable` after `fit`
    without compiling again silently changes nothing.

    Args:
        model: As in `groups`.
        group: Number of the first group that trains, 0 for all. Negative numbers count from the
            head, which is -1.
        train_batch_norm: Whether unfrozen `BatchNormalization` layers of the backbone train and
            follow the batches' statistics. By default they stay in inference mode: the small
            batches and few images of transfer learning would spoil what they hold.

    Raises:
        ValueError: There is no such group.

    Example:

    >>> model = keras.Sequential([keras.Input((4,))] + [keras.layers.Dense(2) for _ in range(4)])
    >>> freeze_to(model, -1)
    >>> [layer.trainable for layer in model.layers]
    [False, False, False, True]

    Reference:
        https://keras.io/guides/transfer_learning/ on `BatchNormalization`; fastai's `freeze_to`.
    """
    groups = layer_groups(model)
    if not -len(groups) <= group < len(groups):
        raise ValueError(
            f"`group` must be from {-len(groups)} to {len(groups) - 1}: the model has "
            f"{len(groups)} layer groups, the head included. Received: group={group}"
        )
    first = group % len(groups)
    backbone = _backbone(model)
    if backbone is not None:
        # A frozen container freezes everything inside it, whatever the layers say.
        backbone.trainable = True
    for number, layers in enumerate(groups):
        for layer in layers:
            layer.trainable = number >= first
    for layer in _flatten(layer for layers in groups[:-1] for layer in layers):
        if isinstance(layer, keras.layers.BatchNormalization) and not train_batch_norm:
            layer.trainable = False
    # The next `fit` compiles its step anew, so that what is frozen really is.
    model.train_function = None


def unfreeze(model: keras.Model, *, train_batch_norm: bool = False) -> None:
    """Unfreeze every layer group: `freeze_to(model, 0)`.

    Args:
        model: As in `groups`.
        train_batch_norm: As in `freeze_to`.

    Example:

    >>> model = keras.Sequential([keras.Input((4,))] + [keras.layers.Dense(2) for _ in range(4)])
    >>> freeze_to(model, -1)
    >>> unfreeze(model)
    >>> [layer.trainable for layer in model.layers]
    [True, True, True, True]
    """
    freeze_to(model, 0, train_batch_norm=train_batch_norm)


def summary(model: keras.Model) -> TransferSummary:
    """Say what trains: the parameters of each layer group, and what `BatchNormalization` does.

    Use it after freezing or unfreezing; `model.summary()` lists layers but not groups.

    Args:
        model: As in `groups`.

    Returns:
        A `TransferSummary`; print it.

    Example:

    >>> model = keras.Sequential([keras.Input((4,))] + [keras.layers.Dense(2) for _ in range(4)])
    >>> freeze_to(model, -1)
    >>> summary(model).trainable_count
    6
    """
    groups = layer_groups(model)
    names = [*(f"group {number}" for number in range(len(groups) - 1)), "head"]
    rows = tuple(
        (
            name,
            len(layers),
            _count(weight for layer in layers for weight in layer.weights),
            _count(weight for layer in layers for weight in layer.trainable_weights),
        )
        for name, layers in zip(names, groups, strict=True)
    )
    batch_norms = [
        layer for layer in _flatten([model]) if isinstance(layer, keras.layers.BatchNormalization)
    ]
    return TransferSummary(
        rows=rows,
        trainable_count=_count(model.trainable_weights),
        total_count=_count(model.weights),
        frozen_batch_norm_count=sum(not layer.trainable for layer in batch_norms),
        batch_norm_count=len(batch_norms),
    )


def _backbone(model: keras.Model) -> keras.Model | None:
    """Return the model inside `model`, the largest if there are several."""
    nested = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    return max(nested, key=lambda layer: layer.count_params(), default=None)


def _flatten(layers: Iterable[keras.layers.Layer]) -> Iterable[keras.layers.Layer]:
    """Yield layers and the layers inside them."""
    for layer in layers:
        yield from every_layer(layer)


def _count(weights: Iterable[keras.Variable]) -> int:
    return sum(math.prod(weight.shape) for weight in weights)


def groups_of_backbone(model: keras.Model) -> list[list[keras.layers.Layer]]:
    """Split a backbone's layers into groups from the input (general) to the output (specific).

    Use it to give earlier layers lower learning rates or to unfreeze a network step by step.
    Networks of `keras.applications` are cut where `BACKBONES` says, any other model into thirds
    of its layers that have weights.

    Args:
        model: A backbone.

    Returns:
        One list of layers a group, all layers of the model once, in order.

    Example:

    >>> network = keras.Sequential([keras.Input((4,))] + [keras.layers.Dense(2) for _ in range(3)])
    >>> [len(group) for group in groups_of_backbone(network)]
    [1, 1, 1]

    Reference:
        fastai's `split` functions, which cut its backbones into three groups with the head.
    """
    known = BACKBONES.get(model.name)
    if known is None:
        return thirds(model.layers)
    starts = [
        next(position for position, layer in enumerate(model.layers) if part in layer.name)
        for part in known.group_starts
    ]
    return _cut(model.layers, starts)


def thirds(layers: Sequence[keras.layers.Layer]) -> list[list[keras.layers.Layer]]:
    """Cut layers into three runs with about as many weighted layers each, fewer if there are few.

    Args:
        layers: Layers in order.

    Returns:
        One list of layers a group.

    Example:

    >>> [len(group) for group in thirds([keras.layers.ReLU()])]
    [1]
    """
    weighted = [position for position, layer in enumerate(layers) if layer.weights]
    marks = (round(len(weighted) / 3), round(len(weighted) * 2 / 3))
    return _cut(layers, sorted({weighted[mark] for mark in marks if 0 < mark < len(weighted)}))


def _cut(
    layers: Sequence[keras.layers.Layer], starts: Sequence[int]
) -> list[list[keras.layers.Layer]]:
    edges = [0, *starts, len(layers)]
    return [list(layers[start:end]) for start, end in itertools.pairwise(edges)]

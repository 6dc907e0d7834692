"""Which part of a network trains: layer groups, frozen and unfrozen."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import keras

from keras_practical.models.anatomy import anatomy_of
from keras_practical.models.backbones import architecture_of
from keras_practical.utils.keras_internals.layers import every_layer, frozen_variables, learns

if TYPE_CHECKING:
    from keras_practical.utils.types import BackbonePart

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


def layer_groups(
    model: keras.Model, *, backbone: BackbonePart | None = None
) -> list[list[keras.layers.Layer]]:
    """Split a classifier into its backbone's layer groups and, last, its head.

    Use it to see what `freeze_to(model, group)` counts. The head is all that is new. What is
    pretrained is told by `backbone`; or else by the weights, where some are still the ones that
    their initializers drew and others aren't; or else by the structure: nested models that look at
    images or sequences, or what comes before the first layer that only sees vectors.

    Args:
        model: A built model: of `transfer.classifier`, or any other with a backbone inside, nested
            or not.
        backbone: The pretrained part: a layer of `model` (a nested model is one), its name, or a
            list of them. Default: as above.

    Returns:
        One list of layers a group, from the input to the head.

    Raises:
        ValueError: `model` has no weights yet, has no such layer, or it isn't clear which part is
            pretrained.

    Example:

    >>> model = keras.Sequential([keras.Input((4,))] + [keras.layers.Dense(2) for _ in range(4)])
    >>> [len(group) for group in layer_groups(model)]
    [1, 1, 1, 1]
    """
    anatomy = anatomy_of(model, backbone=backbone)
    head = list(anatomy.head)
    if not anatomy.backbone:
        return [head]
    if all(getattr(layer, "layers", None) for layer in anatomy.backbone):
        divided = [groups_of_backbone(layer) for layer in anatomy.backbone]
        count = max(len(groups) for groups in divided)
        # Of several backbones, the last groups are of one kind: the most specific.
        padded = [[[] for _ in range(count - len(groups))] + groups for groups in divided]
        return [*([*itertools.chain(*same)] for same in zip(*padded, strict=True)), head]
    return [*_divided(anatomy.body), head]


def freeze_to(
    model: keras.Model,
    group: int,
    *,
    train_batch_norm: bool = False,
    backbone: BackbonePart | None = None,
) -> None:
    """Freeze the layer groups before `group`, and unfreeze `group` and all after it.

    Use it to train the head alone first (`freeze_to(model, -1)`), then more. Afterwards call
    `model.compile(...)`: an optimizer belongs to the parameters it was built for, and without a
    new one the next `fit` raises an error. In plain Keras, setting `layer.trainable` after `fit`
    without compiling again silently changes nothing. Kernels that LoRA has frozen
    (`layer.enable_lora`) stay frozen.

    Args:
        model: As in `layer_groups`.
        group: Number of the first group that trains, 0 for all. Negative numbers count from the
            head, which is -1.
        train_batch_norm: Whether unfrozen `BatchNormalization` layers of the backbone train and
            follow the batches' statistics. By default they stay in inference mode: the small
            batches and few images of transfer learning would spoil what they hold.
        backbone: As in `layer_groups`.

    Raises:
        ValueError: There is no such group, or as in `layer_groups`.

    Example:

    >>> model = keras.Sequential([keras.Input((4,))] + [keras.layers.Dense(2) for _ in range(4)])
    >>> freeze_to(model, -1)
    >>> [layer.trainable for layer in model.layers]
    [False, False, False, True]

    Reference:
        https://keras.io/guides/transfer_learning/ on `BatchNormalization`; fastai's `freeze_to`.
    """
    groups = layer_groups(model, backbone=backbone)
    if not -len(groups) <= group < len(groups):
        raise ValueError(
            f"`group` must be from {-len(groups)} to {len(groups) - 1}: the model has "
            f"{len(groups)} layer groups, the head included. Received: group={group}"
        )
    first = group % len(groups)
    kept = frozen_variables(model)
    in_groups = {id(layer) for layers in groups for layer in layers}
    for layer in _containers(model, in_groups):
        # A frozen container freezes everything inside it, whatever the layers say.
        layer.trainable = True
    for number, layers in enumerate(groups):
        for layer in layers:
            layer.trainable = number >= first
    for layer in _flatten(layer for layers in groups[:-1] for layer in layers):
        if isinstance(layer, keras.layers.BatchNormalization) and not train_batch_norm:
            layer.trainable = False
    for variable in kept:
        variable.trainable = False
    # The next `fit` compiles its step anew, so that what is frozen really is.
    model.train_function = None


def unfreeze(
    model: keras.Model, *, train_batch_norm: bool = False, backbone: BackbonePart | None = None
) -> None:
    """Unfreeze every layer group: `freeze_to(model, 0)`.

    Args:
        model: As in `layer_groups`.
        train_batch_norm: As in `freeze_to`.
        backbone: As in `layer_groups`.

    Raises:
        ValueError: As in `layer_groups`.

    Example:

    >>> model = keras.Sequential([keras.Input((4,))] + [keras.layers.Dense(2) for _ in range(4)])
    >>> freeze_to(model, -1)
    >>> unfreeze(model)
    >>> [layer.trainable for layer in model.layers]
    [True, True, True, True]
    """
    freeze_to(model, 0, train_batch_norm=train_batch_norm, backbone=backbone)


def summary(model: keras.Model, *, backbone: BackbonePart | None = None) -> TransferSummary:
    """Say what trains: the parameters of each layer group, and what `BatchNormalization` does.

    Use it after freezing or unfreezing; `model.summary()` lists layers but not groups.

    Args:
        model: As in `layer_groups`.
        backbone: As in `layer_groups`.

    Returns:
        A `TransferSummary`; print it.

    Raises:
        ValueError: As in `layer_groups`.

    Example:

    >>> model = keras.Sequential([keras.Input((4,))] + [keras.layers.Dense(2) for _ in range(4)])
    >>> freeze_to(model, -1)
    >>> summary(model).trainable_count
    6
    """
    groups = layer_groups(model, backbone=backbone)
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


def _containers(model: keras.Model, in_groups: set[int]) -> list[keras.layers.Layer]:
    """Return the nested models that hold layers of the groups, outer ones first."""
    return [
        layer
        for layer in every_layer(model, include_self=False)
        if id(layer) not in in_groups
        and getattr(layer, "layers", None)
        and any(id(inner) in in_groups for inner in every_layer(layer))
    ]


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
    layers = list(model.layers)
    while len(layers) and len(nested := [layer for layer in layers if learns(layer)]) == 1:
        if not getattr(nested[0], "layers", None):
            break
        layers = list(nested[0].layers)
    return _divided(layers)


def _divided(layers: Sequence[keras.layers.Layer]) -> list[list[keras.layers.Layer]]:
    """Cut layers where the table of architectures says, or into thirds."""
    row = next((row for layer in layers if (row := architecture_of(layer)) is not None), None)
    starts = [
        next((position for position, layer in enumerate(layers) if part in layer.name), None)
        for part in (row.group_starts if row else ())
    ]
    known = [start for start in starts if start is not None]
    return _cut(layers, known) if known and len(known) == len(starts) else thirds(layers)


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

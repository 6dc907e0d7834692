"""Which part of a model is pretrained and which is new, and how we know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import keras

from keras_practical.models.first_weights import holds_first_weights
from keras_practical.utils.keras_internals.graph import steps_of
from keras_practical.utils.keras_internals.layers import (
    built_rank,
    every_layer,
    innermost_layers,
    learns,
)

if TYPE_CHECKING:
    from keras_practical.utils.types import BackbonePart

__all__ = ["Anatomy", "anatomy_of"]

# They work on vectors, whatever stands before them.
_OF_VECTORS = (
    keras.layers.BatchNormalization,
    keras.layers.Dense,
    keras.layers.LayerNormalization,
    keras.layers.PReLU,
)
_REMEDY = (
    "Name the pretrained part: backbone=<layer>, its name, or a list of them. The layers with "
    "weights are: {names}"
)


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """The parts of a classifier; prints as one sentence.

    Attributes:
        backbone: The pretrained layers with weights, from the input on: one nested model, several
            of them, or single layers.
        head: The new ones: all layers after the backbone, and those with weights before it that
            don't belong to it.
        body: The backbone with the layers without weights before, between and inside of it.
        reason: Why.

    Example:

    >>> dense = keras.layers.Dense(2, name="classes")
    >>> dense.build((None, 2))
    >>> print(Anatomy(backbone=(), body=(), head=(dense,), reason="there is nothing else"))
    pretrained: nothing; new: 'classes' (there is nothing else)
    """

    backbone: tuple[keras.layers.Layer, ...]
    body: tuple[keras.layers.Layer, ...]
    head: tuple[keras.layers.Layer, ...]
    reason: str

    def __str__(self) -> str:
        new = [layer for layer in self.head if learns(layer)]
        return f"pretrained: {_listed(self.backbone)}; new: {_listed(new)} ({self.reason})"


def anatomy_of(model: keras.Model, *, backbone: BackbonePart | None = None) -> Anatomy:
    """Tell a model's pretrained part from its new one.

    Asked in this order: the argument; the weights, where some are still the ones that their
    initializers drew and others aren't; the structure: nested models that look at images or
    sequences, or else what comes before the first layer that only sees vectors.

    Args:
        model: A built model.
        backbone: What is pretrained: layers of the model (a nested model is one) or their names.
            Default: as above.

    Returns:
        The parts. A model of one layer with weights, or all of whose layers only see vectors, has
        its last layer with weights for a head, and perhaps no backbone.

    Raises:
        ValueError: `model` has no weights yet, has no layer of that name, or it isn't clear which
            part is pretrained.

    Example:

    >>> network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)], name="net")
    >>> pooling = keras.layers.GlobalAveragePooling2D()
    >>> model = keras.Sequential([network, pooling, keras.layers.Dense(2, name="classes")])
    >>> print(anatomy_of(model))
    pretrained: 'net' (1 layer); new: 'classes' (the nested model; else say backbone=)
    """
    if backbone is not None:
        backbone = [_layer_called(model, part) for part in _parts(backbone)]
    layers = _opened(model, backbone)
    weighted = [layer for layer in layers if learns(layer)]
    if not weighted:
        raise ValueError(
            "`model` has no weights yet: call it on one batch, or model.build(input_shape), first."
        )
    if backbone is not None:
        chosen, reason = _named(layers, backbone), "as backbone= says"
    else:
        chosen, reason = _by_weights(weighted)
        if not chosen:
            chosen, reason = _by_structure(model, weighted)
        reason += "; else say backbone="
    return _anatomy(layers, chosen, reason)


def _opened(model: keras.Model, backbone: BackbonePart | None) -> list[keras.layers.Layer]:
    """Return a model's layers, opening nested models in which alone there is anything to find."""
    layers = list(model.layers)
    while True:
        weighted = [layer for layer in layers if learns(layer)]
        if backbone is None:
            closed = weighted if len(weighted) == 1 else []
        else:
            known = {id(layer) for layer in layers} | {layer.name for layer in layers}
            wanted = [part for part in _parts(backbone) if _key(part) not in known]
            closed = [
                layer
                for layer in weighted
                for part in wanted
                if any(part in (inner, inner.name) for inner in every_layer(layer))
            ]
        closed = [layer for layer in closed if getattr(layer, "layers", None)]
        if not closed:
            return layers
        position = layers.index(closed[0])
        layers[position : position + 1] = closed[0].layers


def _parts(backbone: BackbonePart) -> list[str | keras.layers.Layer]:
    return list(backbone) if isinstance(backbone, list | tuple) else [backbone]


def _layer_called(model: keras.Model, part: str | keras.layers.Layer) -> str | keras.layers.Layer:
    """Return the layer that a model of a class of its own holds under this name."""
    attribute = getattr(model, part, None) if isinstance(part, str) else None
    is_layer = isinstance(attribute, keras.layers.Layer)
    return attribute if attribute is not None and is_layer else part


def _key(part: str | keras.layers.Layer) -> str | int:
    return part if isinstance(part, str) else id(part)


def _named(
    layers: Sequence[keras.layers.Layer], backbone: BackbonePart
) -> list[keras.layers.Layer]:
    chosen = []
    for part in _parts(backbone):
        same = [layer for layer in layers if part in (layer, layer.name)]
        if not same:
            shown = repr(part) if isinstance(part, str) else repr(getattr(part, "name", part))
            raise ValueError(
                "`backbone` must be a layer of `model`, the name of one, or a list of them. "
                f"Received: {shown}; the layers with weights are: "
                f"{_listed([layer for layer in layers if learns(layer)])}"
            )
        chosen += same
    weighted = [layer for layer in chosen if learns(layer)]
    if len(weighted) == len([layer for layer in layers if learns(layer)]):
        raise ValueError("`backbone` must leave a layer with weights for the head.")
    return weighted


def _by_weights(weighted: Sequence[keras.layers.Layer]) -> tuple[list[keras.layers.Layer], str]:
    """Return the layers that hold other weights than first ones, if all the others are new."""
    new: set[int] = set()
    # From both ends: what lies between two trained layers belongs to them.
    for run, from_the_end in ((weighted[::-1], True), (weighted, False)):
        for layer in run:
            verdict = holds_first_weights(layer)
            if verdict is False:
                break
            # A layer too small to say anything goes with what comes before it.
            if verdict or from_the_end:
                new.add(id(layer))
        else:
            return [], ""
    # A trained head on a network that isn't pretrained says nothing.
    if id(weighted[-1]) not in new:
        return [], ""
    trained = [layer for layer in weighted if id(layer) not in new]
    return trained, "the new ones hold their first weights"


def _by_structure(
    model: keras.Model, weighted: list[keras.layers.Layer]
) -> tuple[list[keras.layers.Layer], str]:
    nested = [layer for layer in weighted if getattr(layer, "layers", None)]
    lookers = [layer for layer in nested if not _only_of_vectors(layer)]
    if lookers:
        after = weighted[weighted.index(lookers[-1]) + 1 :]
        if not after and len(weighted) > 1:
            raise ValueError(
                "It isn't clear which part of `model` is pretrained: its last part, "
                f"{lookers[-1].name!r}, could be a head or a backbone. "
                + _REMEDY.format(names=_listed(weighted))
            )
        several = len(lookers) > 1
        return lookers, f"the nested model{'s that see images or sequences' if several else ''}"
    steps = steps_of(model)
    if not steps and len(weighted) > 1:
        raise ValueError(
            "It isn't clear which part of `model` is pretrained: a model of a class of its own "
            "doesn't say in which order its layers work, and all of them, or none, hold their "
            "first weights. " + _REMEDY.format(names=_listed(weighted))
        )
    last_looker = max(
        (number for number, layer in enumerate(weighted) if not _only_of_vectors(layer)),
        default=-1,
    )
    if 0 <= last_looker < len(weighted) - 1:
        return weighted[: last_looker + 1], "what comes before the layers that see vectors only"
    if last_looker < 0 and nested and nested[-1] is not weighted[-1]:
        return nested, "the nested model"
    return weighted[:-1], "all but the last layer with weights"


def _only_of_vectors(layer: keras.layers.Layer) -> bool:
    leaves = [inner for inner in innermost_layers(layer) if learns(inner)]
    if not all(isinstance(leaf, _OF_VECTORS) for leaf in leaves):
        return False
    # A Dense layer of a transformer works on sequences.
    return all((built_rank(leaf) or 2) <= 2 for leaf in leaves)


def _anatomy(
    layers: Sequence[keras.layers.Layer], backbone: Sequence[keras.layers.Layer], reason: str
) -> Anatomy:
    pretrained = {id(layer) for layer in backbone}
    last = max((n for n, layer in enumerate(layers) if id(layer) in pretrained), default=-1)
    new_before = [
        layer for layer in layers[: last + 1] if learns(layer) and id(layer) not in pretrained
    ]
    return Anatomy(
        backbone=tuple(layer for layer in layers if id(layer) in pretrained),
        body=tuple(layer for layer in layers[: last + 1] if layer not in new_before),
        head=(*new_before, *layers[last + 1 :]),
        reason=reason,
    )


def _listed(layers: Sequence[keras.layers.Layer]) -> str:
    """Return names of layers, the middle ones of a long list left out."""
    names = []
    for layer in layers:
        count = len([inner for inner in innermost_layers(layer) if learns(inner)])
        nested = getattr(layer, "layers", None)
        names.append(f"{layer.name!r}" + f" ({count} layer{'s' * (count != 1)})" * bool(nested))
    if len(names) > 4:
        return f"{len(names)} layers, {names[0]} to {names[-1]}"
    return ", ".join(names) or "nothing"

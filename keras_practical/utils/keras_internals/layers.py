"""What is inside of layers and models: layers, variables, random generators, shapes, metrics."""

from __future__ import annotations

from typing import Any

import keras


def every_layer(
    layer: keras.layers.Layer, *, include_self: bool = True
) -> list[keras.layers.Layer]:
    """Return a layer or model and all layers inside of it, however deep."""
    return list(layer._flatten_layers(include_self=include_self))


def innermost_layers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Return the layers inside of a layer or model that hold no others."""
    return [inner for inner in layer._flatten_layers() if not inner._layers]


def seed_generators(layer: keras.layers.Layer) -> list[keras.random.SeedGenerator]:
    """Return what a layer, and those inside of it, draw random numbers from."""
    return [each for inner in layer._flatten_layers() for each in inner._seed_generators]


def draws(layer: keras.layers.Layer) -> bool:
    """Return whether a layer, or one inside of it, draws random numbers in training."""
    return bool(seed_generators(layer))


def random_layer(model: keras.Model) -> keras.layers.Layer | None:
    """Return a layer of a model that draws random numbers in training, `None` if there is none."""
    return next((layer for layer in innermost_layers(model) if draws(layer)), None)


def own_trainable_variables(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Return the variables that a layer trains by itself, without those of layers inside of it."""
    return list(layer._trainable_variables)


def output_shapes(model: keras.Model) -> list[tuple[int | None, ...]]:
    """Return the shapes of all tensors that the layers of a built model give."""
    return [
        output.shape
        for layer in model._flatten_layers()
        for node in layer._inbound_nodes
        for output in node.output_tensors
    ]


def compiled_metrics(model: keras.Model) -> tuple[Any, Any]:
    """Return the `metrics` and `weighted_metrics` that a model was compiled with."""
    compiled = model._compile_metrics
    if not compiled:
        return None, None
    return compiled._user_metrics, compiled._user_weighted_metrics

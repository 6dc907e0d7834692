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


def compiled_settings(model: keras.Model) -> dict[str, Any]:
    """Return what a model was compiled with, the very same objects, but for the optimizer."""
    metrics, losses = model._compile_metrics, model._compile_loss
    return {
        "loss": model.loss,
        "loss_weights": losses._user_loss_weights if losses else None,
        "metrics": metrics._user_metrics if metrics else None,
        "weighted_metrics": metrics._user_weighted_metrics if metrics else None,
        "run_eagerly": model.run_eagerly,
        "steps_per_execution": model.steps_per_execution,
        "jit_compile": model.jit_compile,
    }


def own_variables(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Return the variables that a layer holds by itself, without those of layers inside of it."""
    return [*layer._trainable_variables, *layer._non_trainable_variables]


def learns(layer: keras.layers.Layer) -> bool:
    """Return whether a layer, or one inside of it, has weights to train, frozen or not."""
    return any(own_trainable_variables(inner) for inner in layer._flatten_layers())


def built_rank(layer: keras.layers.Layer) -> int | None:
    """Return how many axes a layer's inputs have, the batch included; `None` if it isn't known."""
    shapes = [s for s in (layer._build_shapes_dict or {}).values() if isinstance(s, list | tuple)]
    return max((len(shape) for shape in shapes), default=None)


def frozen_variables(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Return the weights that don't train although their layers do, as LoRA leaves a kernel."""
    frozen = []
    for inner in layer._flatten_layers():
        if inner.trainable:
            frozen += [v for v in inner._trainable_variables if not v.trainable]
        elif getattr(inner, "lora_enabled", False):
            base = getattr(inner, "_kernel", None)
            frozen.append(inner._embeddings if base is None else base)
    return frozen


def state_variables(model: keras.Model) -> list[keras.Variable]:
    """Return all variables of a model, states of random layers included, each once."""
    return list({id(variable): variable for variable in model.variables}.values())


def random_states(model: keras.Model) -> list[keras.Variable]:
    """Return the states of the generators that a model's random layers draw from."""
    return [v for v in model.variables if v.path.endswith("seed_generator_state")]


def build_metrics(model: keras.Model, labels: Any, outputs: Any) -> None:
    """Build a compiled model's metrics, so that callbacks find them before its first `fit`."""
    metrics = model._compile_metrics
    if metrics is not None and not metrics.built:
        metrics.build(labels, outputs)


def augments_by_default(layer: keras.layers.Layer) -> bool:
    """Return whether a layer that wasn't told augments: unless it is called by a model that learns.

    Keras's own augmentation layers always do, also in a model that was exported.
    """
    outermost = layer._get_call_context().entry_layer
    return outermost is None or outermost is layer or not learns(outermost)

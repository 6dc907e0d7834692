"""A look into a model's graph, and one of its operations changed for a moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import keras

_PROBABILITIES = ("softmax", "sigmoid")


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Give a layer another attribute or method while the block runs.

    Nothing is built or compiled anew, and it works at any depth of nested models, where cutting
    the graph would leave further nodes on the user's layers each time.
    """
    own = vars(owner).get(name)
    # Past the layer's own `__setattr__`, which would track the value.
    object.__setattr__(owner, name, value)
    try:
        yield
    finally:
        if own is None:
            object.__delattr__(owner, name)
        else:
            object.__setattr__(owner, name, own)


def answer(model: keras.Model, inputs: Any) -> Any:
    """Return a model's outputs for one batch, also where it wants its one input in a list."""
    if getattr(model, "inputs", None):
        inputs = keras.tree.pack_sequence_as(inputs_structure(model), [inputs])
    return model(inputs, training=False)


def inputs_structure(model: keras.Model) -> Any:
    """Return a functional or sequential model's inputs, in the lists or mappings it wants."""
    structure = getattr(model, "_inputs_struct", None)
    return model.inputs[0] if structure is None else structure


def outputs_structure(model: keras.Model) -> Any:
    """Return a functional or sequential model's outputs, in the lists or mappings it gives."""
    structure = getattr(model, "_outputs_struct", None)
    return model.outputs[0] if structure is None else structure


@dataclass(frozen=True)
class Step:
    """One use of an operation in a model's graph; a shared layer has several, also elsewhere."""

    operation: Any
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]


def steps_of(model: keras.Model) -> list[Step]:
    """Return the steps of a model's graph in order; none of a model that isn't functional.

    `layer.output` isn't asked: it is that of the layer's first use, perhaps in another model.
    """
    if not getattr(model, "inputs", None):
        return []
    nodes_by_depth = keras.Model(model.inputs, model.outputs)._nodes_by_depth
    return [
        Step(node.operation, tuple(node.input_tensors), tuple(node.output_tensors))
        for depth in sorted(nodes_by_depth, reverse=True)
        for node in nodes_by_depth[depth]
    ]


def outputs_in(model: keras.Model) -> dict[str, list[Any]]:
    """Return the tensors that each layer of a model gives in this model, by the layer's name."""
    outputs: dict[str, list[Any]] = {}
    for step in steps_of(model):
        if not isinstance(step.operation, keras.layers.InputLayer):
            outputs.setdefault(step.operation.name, list(step.outputs))
    return outputs


def last_map(model: keras.Model) -> Any:
    """Return the last operation that gives a feature map, `None` if no layer makes one.

    Of a nested model whose own output is a map, it's that model.
    """
    operations = operations_of(model)
    learnt = [bool(getattr(operation, "weights", None)) for operation in operations]
    for index in reversed(range(len(operations))):
        operation = operations[index]
        # Pixels that were only scaled are no features.
        if not any(learnt[: index + 1]):
            return None
        if is_map(operation):
            return operation
        inner = last_map(operation) if isinstance(operation, keras.Model) else None
        if inner is not None:
            return inner
    return None


def last_operation(model: keras.Model) -> Any:
    """Return the operation that gives a model's one output, inside nested models too."""
    operations = operations_of(model)
    last = operations[-1] if operations else None
    return (isinstance(last, keras.Model) and last_operation(last)) or last


def map_layers(model: keras.Model) -> dict[str, Any]:
    """Return all layers that give feature maps, by name, those of nested models included."""
    layers = [layer for layer in model._flatten_layers() if is_map(layer)]
    return {layer.name: layer for layer in layers if layer is not model}


def is_map(operation: Any) -> bool:
    """Return whether an operation gives `(batch, height, width, channels)` of several places."""
    shape = getattr(_output(operation), "shape", ())
    inputs = isinstance(operation, keras.layers.InputLayer)
    return len(shape) == 4 and tuple(shape[1:3]) != (1, 1) and not inputs


def operations_of(model: keras.Model) -> list[Any]:
    """Return a model's operations in order; none of a model that isn't functional."""
    if not getattr(model, "inputs", None):
        return []
    return list(keras.Model(model.inputs, model.outputs).operations)


def final_activation(model: keras.Model) -> str | None:
    """Return `"softmax"` or `"sigmoid"` if a model ends in it, `None` if its outputs are others."""
    return _activation_of(last_operation(model))


@contextmanager
def before_probabilities(model: keras.Model) -> Iterator[None]:
    """Make a model leave out its final softmax or sigmoid, if it has one, while the block runs.

    Temperature scaling behind a softmax, which takes the logarithm of probabilities, is seen
    through: what's sure to 1.0000 has no slope any more.
    """
    with ExitStack() as changes:
        for owner, name, value in _steps_to_probabilities(model):
            changes.enter_context(replaced(owner, name, value))
        yield


def reaches_logits(model: keras.Model) -> bool:
    """Return whether a model gives its logits inside `before_probabilities`.

    Not one that isn't functional, or whose last activation stands on logarithms of probabilities
    that aren't seen through.
    """
    changed = {id(owner) for owner, _, _ in _steps_to_probabilities(model)}
    logarithms = [op for op in operations_of(model) if type(op).__name__ == "Log"]
    return bool(changed) and all(id(operation) in changed for operation in logarithms)


def _steps_to_probabilities(model: keras.Model) -> list[tuple[Any, str, Any]]:
    """Return what must be replaced, and by what, so that a model gives its logits."""
    certain: list[tuple[Any, str, Any]] = []
    between: list[tuple[Any, str, Any]] = []
    for operation in reversed(operations_of(model)):
        inner = last_operation(operation) if isinstance(operation, keras.Model) else operation
        # Behind a logarithm, an earlier activation counts too.
        if _activation_of(inner) and (not certain or between):
            certain += between
            between = []
            if not hasattr(inner, "activation"):
                certain.append((inner, "call", _passed_on))
                continue
            certain.append((inner, "activation", keras.activations.linear))
            if inner.weights or inner is not operation:
                break
        elif certain and type(operation).__name__ in ("Clip", "Log"):
            between.append((operation, "call", _passed_on))
        elif not (certain and isinstance(operation, keras.layers.Rescaling)):
            break
    return certain


def _passed_on(inputs: Any, *others: Any, **options: Any) -> Any:
    return inputs


def _activation_of(operation: Any) -> str | None:
    # The layer, or `keras.ops.softmax` and `keras.ops.sigmoid` in a graph.
    if type(operation).__name__ in ("Softmax", "Sigmoid"):
        return type(operation).__name__.lower()
    name = getattr(getattr(operation, "activation", None), "__name__", None)
    return name if name in _PROBABILITIES else None


def _output(operation: Any) -> Any:
    try:
        output = operation.output
    # A layer that was never called has none.
    except (AttributeError, ValueError):
        return None
    return output if isinstance(output, keras.KerasTensor) else None

"""Hashes by which a cache recognises the very same network and the very same augmentation."""

from __future__ import annotations

import hashlib
import inspect
import json
import types
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

# Where a configuration has the name of a layer.
_NAMES = ("name", "keras_history", "input_layers", "output_layers")


def model_fingerprint(model: keras.Model) -> str:
    """Return a hash of a model's structure and weights, the same in every process."""
    try:
        config = model.get_config()
    except NotImplementedError as error:
        raise ValueError(
            f"{model.name!r} has no configuration to tell its features by, as a subclassed model: "
            "give it a `get_config`, or leave `cache_dir` out."
        ) from error
    digest = hashlib.sha256(_text(config).encode())
    for layer in model._flatten_layers():
        digest.update(_code_of(type(layer)))
    for weight in model.weights:
        values = np.ascontiguousarray(keras.ops.convert_to_numpy(weight))
        digest.update(repr((values.shape, str(values.dtype))).encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def layers_fingerprint(layers: Sequence[Any]) -> str:
    """Return a hash of what augmentation layers do; `embed` decides itself what they draw."""
    configs = [[type(layer).__name__, _without_seeds(layer.get_config())] for layer in layers]
    digest = hashlib.sha256(_text(configs).encode())
    for layer in layers:
        digest.update(_code_of(type(layer)))
    return digest.hexdigest()


def _code_of(kind: type) -> bytes:
    """Return the code of a layer's class, if it is neither Keras's nor this package's.

    Compiled code with its constants, and the values that its functions close over: what a user has
    edited between two runs changes one of them.
    """
    parts: list[bytes] = []
    for base in kind.__mro__:
        if base.__module__.split(".")[0] in ("builtins", "keras", "keras_practical", "tensorflow"):
            continue
        for name, value in sorted(vars(base).items()):
            function: Any = getattr(value, "__func__", value)
            function = inspect.unwrap(function) if callable(function) else None
            if not isinstance(function, types.FunctionType):
                continue
            parts.append(name.encode() + _code_bytes(function.__code__))
            for cell in function.__closure__ or ():
                content = _content_of(cell)
                if isinstance(content, str | bytes | int | float | bool | tuple):
                    parts.append(repr(content).encode())
    return b"".join(parts)


def _code_bytes(code: types.CodeType) -> bytes:
    constants = [
        _code_bytes(constant) if isinstance(constant, types.CodeType) else repr(constant).encode()
        for constant in code.co_consts
    ]
    return b"".join([code.co_code, *constants, repr(code.co_names).encode()])


def _content_of(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _without_seeds(config: Any) -> Any:
    if isinstance(config, dict):
        return {name: _without_seeds(part) for name, part in config.items() if name != "seed"}
    if isinstance(config, list | tuple):
        return [_without_seeds(part) for part in config]
    return config


def _text(config: Any) -> str:
    """Return a configuration as text in which names that Keras has counted up are numbered anew."""
    numbers: dict[str, str] = {}

    def number(name: str) -> str:
        return numbers.setdefault(name, f"name {len(numbers)}")

    def renamed(part: Any, is_name: bool) -> Any:
        if isinstance(part, dict):
            # The name of a policy says what it does.
            policy = str(part.get("class_name", "")).endswith("DTypePolicy")
            return {
                str(key): value if policy else renamed(value, is_name=key in _NAMES)
                for key, value in part.items()
            }
        if isinstance(part, list | tuple):
            return [renamed(value, is_name) for value in part]
        return number(part) if is_name and isinstance(part, str) else part

    plain = renamed(keras.saving.serialize_keras_object(config), is_name=False)
    return json.dumps(plain, sort_keys=True, default=str)

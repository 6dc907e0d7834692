"""Hashes by which a cache recognises the very same network and the very same augmentation."""

from __future__ import annotations

import hashlib
import json
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
    for weight in model.weights:
        values = np.ascontiguousarray(keras.ops.convert_to_numpy(weight))
        digest.update(repr((values.shape, str(values.dtype))).encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def layers_fingerprint(layers: Sequence[Any]) -> str:
    """Return a hash of what augmentation layers do; `embed` decides itself what they draw."""
    configs = [[type(layer).__name__, _without_seeds(layer.get_config())] for layer in layers]
    return hashlib.sha256(_text(configs).encode()).hexdigest()


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

"""Hashes by which a cache recognises the very same network and the very same augmentation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np


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
    """Return a hash of what layers do, as their configuration has it."""
    text = "".join(_text([type(layer).__name__, layer.get_config()]) for layer in layers)
    return hashlib.sha256(text.encode()).hexdigest()


def _text(config: Any) -> str:
    """Return a configuration as text in which names that Keras has counted up are numbered anew."""
    names: dict[str, str] = {}

    def collect(part: Any) -> None:
        if isinstance(part, dict):
            if isinstance(part.get("name"), str):
                names.setdefault(part["name"], f"name {len(names)}")
            for value in part.values():
                collect(value)
        elif isinstance(part, list | tuple):
            for value in part:
                collect(value)

    def renamed(part: Any) -> Any:
        if isinstance(part, dict):
            return {str(key): renamed(value) for key, value in part.items()}
        if isinstance(part, list | tuple):
            return [renamed(value) for value in part]
        return names.get(part, part) if isinstance(part, str) else part

    plain = keras.saving.serialize_keras_object(config)
    collect(plain)
    return json.dumps(renamed(plain), sort_keys=True, default=str)

"""Which class of a model a map is asked for, and what the model gives for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_practical._validation import check_count


def class_outputs(outputs: Any, activation: str | None) -> np.ndarray:
    """Return what a model gives for each class: float64 of shape `(batch, classes)`.

    One output stands for class 1; class 0 gets the rest of a probability, or the opposite.
    """
    if isinstance(outputs, dict | list | tuple):
        listed = ", ".join(str(name) for name in outputs) if isinstance(outputs, dict) else ""
        raise ValueError(
            "`model` must have one output; make a model of one of them, such as "
            "keras.Model(model.inputs, model.outputs[0]). "
            f"Received: {len(outputs)} outputs {listed}".rstrip()
        )
    rows = keras.ops.convert_to_numpy(outputs).astype("float64")
    rows = rows[:, None] if rows.ndim == 1 else rows
    if rows.ndim != 2:
        raise ValueError(
            "`model` must give one row of class scores for each picture. "
            f"Received: outputs of shape {rows.shape}"
        )
    if rows.shape[1] == 1:
        others = 1 - rows if activation == "sigmoid" else -rows
        rows = np.concatenate([others, rows], axis=1)
    return rows


def chosen_class(scores: np.ndarray, class_index: int | None) -> int:
    """Return the class asked for, or else the one with the highest score."""
    if class_index is None:
        return int(scores.argmax())
    check_count("class_index", class_index, minimum=0)
    if class_index >= len(scores):
        raise ValueError(
            f"`class_index` must be from 0 to {len(scores) - 1} for this model. "
            f"Received: class_index={class_index}"
        )
    return int(class_index)


def class_name_of(class_index: int, class_names: Sequence[str] | None) -> str:
    """Return a class's name, or its number where there are no names."""
    if class_names is None:
        return f"class {class_index}"
    if class_index >= len(class_names):
        raise ValueError(
            f"`class_names` must have a name for class {class_index}. "
            f"Received: {len(class_names)} names"
        )
    return class_names[class_index]

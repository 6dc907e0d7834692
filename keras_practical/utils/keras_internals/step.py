"""Change a model's compiled training step for the length of one `fit`.

Several callbacks may do so at once. Each takes its change back when `fit` ends; Ctrl-C or an error
skips that, so the next `fit` takes back whatever it finds before it compiles its own step.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras


@dataclass
class Overlay:
    """What one callback changes.

    `step` wraps the model's `train_step`, `function` the compiled `train_function`; `undo` is
    called once when the overlay is taken off.
    """

    undo: Callable[[], None]
    step: Callable[[Callable[..., Any]], Callable[..., Any]] | None = None
    function: Callable[[Callable[..., Any]], Callable[..., Any]] | None = None


def put_on(model: keras.Model, overlay: Overlay) -> None:
    """Add an overlay and have the training step compiled anew."""
    overlays = [*vars(model).get("_overlays", []), overlay]
    _clear(model)
    step = model.train_step
    for each in overlays:
        if each.step is not None:
            step = each.step(step)
    # Into the dictionary: nothing here is part of the model's state. `partial`, because JAX may
    # reuse what it traced for an equal function, and bound methods of a model equal each other.
    vars(model)["train_step"] = functools.partial(step)
    model.make_train_function(force=True)
    for each in overlays:
        if each.function is not None:
            model.train_function = each.function(model.train_function)
    vars(model)["_overlays"] = overlays

    def make_train_function(force: bool = False) -> Any:
        for each in overlays:
            take_off(model, each)
        return model.make_train_function(force=force)

    vars(model)["make_train_function"] = make_train_function


def take_off(model: keras.Model, overlay: Overlay) -> None:
    """Take an overlay back, and with it what was compiled; nothing happens if it is gone."""
    overlays = vars(model).get("_overlays", [])
    if overlay not in overlays:
        return
    overlay.undo()
    model.train_function = None
    vars(model)["_overlays"] = [each for each in overlays if each is not overlay]
    if not vars(model)["_overlays"]:
        _clear(model)


def give_back_state(model: keras.Model, state: Any) -> None:
    """Give a model the state that a JAX `fit` holds, before an error ends that `fit`."""
    if state is None:
        return
    groups = (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )
    for variables, values in zip(groups, state, strict=True):
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)


def _clear(model: keras.Model) -> None:
    for name in ("_overlays", "train_step", "make_train_function"):
        vars(model).pop(name, None)

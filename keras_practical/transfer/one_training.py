"""Two calls of `fit` that are one training for callbacks, and for a run that was killed."""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_practical.utils.keras_internals.layers import state_variables

__all__ = ["OneTraining", "TrainingBackup"]

_HOOKS = (
    "on_epoch_begin",
    "on_epoch_end",
    "on_test_begin",
    "on_test_end",
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_test_batch_begin",
    "on_test_batch_end",
)
# Hooks under their other name, which subclasses may have chosen.
_OLD_NAMES = {"on_train_batch_begin": "on_batch_begin", "on_train_batch_end": "on_batch_end"}
# What Keras's callbacks remember from epoch to epoch.
_REMEMBERED = ("best", "best_epoch", "best_weights", "cooldown_counter", "wait", "stopped_epoch")


class OneTraining(keras.callbacks.Callback):
    """Several callbacks for which the `fit`s of `fine_tune`, one after the other, are one.

    They see the whole model, also while its head alone is trained, `on_train_begin` once before
    the first epoch, and `on_train_end` once, when `finish` is called.

    Args:
        callbacks: The user's.
        model: The whole model.
        epochs: Epochs in all.
        after_epoch: Called after each epoch, when all of them have seen it.

    Example:

    >>> training = OneTraining([], keras.Sequential(), epochs=2)
    >>> training.stopped_by is None
    True
    """

    def __init__(
        self,
        callbacks: Sequence[keras.callbacks.Callback],
        model: keras.Model,
        *,
        epochs: int,
        after_epoch: Callable[[int, dict[str, Any]], None] = lambda epoch, logs: None,
    ) -> None:
        super().__init__()
        self.callbacks = list(callbacks)
        self.stopped_by: keras.callbacks.Callback | None = None
        self._whole = model
        self.epochs = epochs
        self._after_epoch = after_epoch
        self._begun = False
        self._noted: dict[str, np.ndarray] | None = None
        for hook in _HOOKS:
            # Keras calls batch hooks, which cost time, only of callbacks that have them.
            if any(_defines(callback, hook) for callback in self.callbacks) or "epoch" in hook:
                setattr(self, hook, functools.partial(self._pass_on, hook))

    def set_model(self, model: keras.Model) -> None:
        """Note what `fit` trains; the callbacks get the whole model."""
        super().set_model(model)
        for callback in self.callbacks:
            callback.set_model(self._whole)

    def set_params(self, params: dict[str, Any]) -> None:
        """Pass on `fit`'s parameters, with the epochs of both phases."""
        super().set_params(params)
        for callback in self.callbacks:
            callback.set_params({**params, "epochs": self.epochs})

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Begin once; a later phase only gives `EarlyStopping` its patience anew."""
        self.stopped_by = None
        for callback in self.callbacks:
            if not self._begun:
                self._begin(callback, logs)
            elif isinstance(callback, keras.callbacks.EarlyStopping):
                callback.wait, callback.stopped_epoch = 0, 0
        self._begun = True
        self._recall()

    def show_epoch(self, model: keras.Model, epoch: int, logs: dict[str, Any]) -> None:
        """Show the callbacks an epoch that no `fit` ran, as one in which `model` was trained."""
        self.set_model(model)
        self.set_params({"verbose": 0, "epochs": self.epochs, "steps": None})
        self.on_train_begin()
        self._pass_on("on_epoch_begin", epoch)
        self._pass_on("on_epoch_end", epoch, logs)

    def finish(self) -> None:
        """End the training for the callbacks."""
        for callback in self.callbacks if self._begun else ():
            callback.on_train_end(None)

    def remembered(self) -> dict[str, np.ndarray]:
        """Return what Keras's own callbacks have noted, as arrays by name."""
        noted: dict[str, np.ndarray] = {}
        for number, callback in enumerate(self.callbacks):
            for name in _REMEMBERED:
                value = vars(callback).get(name)
                if isinstance(value, list):
                    noted |= {f"{number}/{name}/{n}": np.asarray(v) for n, v in enumerate(value)}
                elif isinstance(value, int | float | np.number):
                    noted[f"{number}/{name}"] = np.asarray(value)
        return noted

    def remember(self, noted: dict[str, np.ndarray]) -> None:
        """Have the callbacks begin with what another run's had noted, when training begins."""
        self._noted = noted

    def _begin(self, callback: keras.callbacks.Callback, logs: dict[str, Any] | None) -> None:
        goes_on = self._noted is not None and isinstance(callback, keras.callbacks.CSVLogger)
        if not goes_on:
            callback.on_train_begin(logs)
            return
        own, callback.append = callback.append, True
        callback.on_train_begin(logs)
        callback.append = own

    def _recall(self) -> None:
        lists: dict[tuple[int, str], dict[int, np.ndarray]] = {}
        noted, self._noted = self._noted, None
        for key, value in (noted or {}).items():
            number, name, *rest = key.split("/")
            if rest:
                lists.setdefault((int(number), name), {})[int(rest[0])] = value
            else:
                setattr(self.callbacks[int(number)], name, value.item())
        for (owner, attribute), values in lists.items():
            setattr(self.callbacks[owner], attribute, [values[n] for n in sorted(values)])

    def _pass_on(self, hook: str, *arguments: Any, **options: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, hook)(*arguments, **options)
            if self._whole.stop_training and self.stopped_by is None:
                self.stopped_by = callback
        if self.stopped_by is not None:
            self.model.stop_training = True
        if hook == "on_epoch_end":
            epoch, logs = (*arguments, *options.values(), None)[:2]
            self._after_epoch(epoch, logs or {})


def _defines(callback: keras.callbacks.Callback, hook: str) -> bool:
    names = [name for name in (hook, _OLD_NAMES.get(hook)) if name]
    base = keras.callbacks.Callback
    return any(
        name in vars(callback) or getattr(type(callback), name) is not getattr(base, name)
        for name in names
    )


class TrainingBackup:
    """One file that a killed `fine_tune` goes on from, at the end of the epoch that was done last.

    It holds what is needed to end with the very weights of a run that wasn't killed: all variables
    of the model (random states too), the optimizer's, what Keras's callbacks noted, the history,
    what was drawn or found at the start, and the weights at the start of the second phase.

    Args:
        callbacks: The user's; the backup lies in the folder of the `BackupAndRestore` among them.
            Without one there is no backup.

    Raises:
        ValueError: From `restore`, if the backup is of another model.

    Example:

    >>> TrainingBackup([]).read() is None
    True
    """

    def __init__(self, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        kind = keras.callbacks.BackupAndRestore
        chosen = [callback for callback in callbacks if isinstance(callback, kind)]
        self._folder = Path(chosen[-1].backup_dir) if chosen else None
        self._deletes = bool(chosen) and chosen[-1].delete_checkpoint
        self.others = [callback for callback in callbacks if not isinstance(callback, kind)]
        self.start: list[np.ndarray] | None = None

    @property
    def _file(self) -> Path:
        assert self._folder is not None
        return self._folder / "fine_tune.npz"

    def read(self) -> dict[str, Any] | None:
        """Return what a killed run left: the settings given to `write`; `None` if there is none."""
        if self._folder is None or not self._file.exists():
            return None
        with np.load(self._file, allow_pickle=False) as arrays:
            self._arrays = {name: arrays[name] for name in arrays.files}
        settings: dict[str, Any] = json.loads(self._arrays.pop("settings").tobytes())
        start = [name for name in self._arrays if name.startswith("start/")]
        if start:
            self.start = [self._arrays.pop(f"start/{number}") for number in range(len(start))]
        return settings

    def restore(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer | None,
        training: OneTraining,
    ) -> None:
        """Give model, optimizer and callbacks the state of what was read last.

        At the start of a phase there is no `optimizer` to restore: it starts afresh.
        """
        groups: dict[str, dict[str, np.ndarray]] = {"model": {}, "optimizer": {}, "callbacks": {}}
        for name, value in self._arrays.items():
            group, rest = name.split("/", 1)
            groups[group][rest] = value
        parts = [("model", state_variables(model))]
        if optimizer is not None:
            parts.append(("optimizer", optimizer.variables))
        for name, variables in parts:
            saved = groups[name]
            shapes = [tuple(variable.shape) for variable in variables]
            if shapes != [saved[str(n)].shape for n in range(len(saved))]:
                raise ValueError(
                    f"The backup in {self._folder} belongs to another {name}: its variables have "
                    "other shapes. Give another folder, or delete this one to start afresh."
                )
        for name, variables in parts:
            for number, variable in enumerate(variables):
                variable.assign(groups[name][str(number)])
        training.remember(groups["callbacks"])

    def write(
        self,
        settings: dict[str, Any],
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        training: OneTraining,
    ) -> None:
        """Write the state at the end of an epoch; a kill meanwhile leaves the one before."""
        if self._folder is None:
            return
        arrays = {f"callbacks/{name}": value for name, value in training.remembered().items()}
        for name, variables in (
            ("model", state_variables(model)),
            ("optimizer", optimizer.variables),
        ):
            for number, variable in enumerate(variables):
                value = keras.ops.convert_to_numpy(variable)
                arrays[f"{name}/{number}"] = _storable(value)
        for number, value in enumerate(self.start or ()):
            arrays[f"start/{number}"] = _storable(value)
        arrays["settings"] = np.frombuffer(json.dumps(settings).encode(), "uint8")
        content = io.BytesIO()
        np.savez(content, allow_pickle=False, **arrays)
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = self._file.with_suffix(".partial")
        partial.write_bytes(content.getvalue())
        partial.replace(self._file)

    def remove(self) -> None:
        """Remove the backup of a run that came to its end."""
        if self._folder is not None and self._deletes:
            self._file.unlink(missing_ok=True)


def _storable(value: np.ndarray) -> np.ndarray:
    # A file of arrays knows no bfloat16.
    return value if value.dtype.isbuiltin == 1 else value.astype("float32")

"""Callbacks for a run that was killed and goes on as if nothing had happened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_practical.data.origin import origin_of
from keras_practical.utils.keras_internals.checkpoint import HookedBackup
from keras_practical.utils.keras_internals.layers import random_states
from keras_practical.utils.keras_internals.optimizer import steps_taken

if TYPE_CHECKING:
    from keras_practical.utils.types import Data

__all__ = ["BackupAndRestore", "SetEpoch"]


class BackupAndRestore(HookedBackup):
    """Keras's `BackupAndRestore`, which also keeps the state of dropout and random augmentation.

    Use it like Keras's, and with `OneCycle` and `SetEpoch` to end a run that was killed with the
    very weights of one that wasn't. Pass `double_checkpoint=True` where the kill may come while a
    checkpoint is being written.

    Args:
        backup_dir: Folder for the checkpoint. `fit` removes it when it comes to its end.
        **options: As in `keras.callbacks.BackupAndRestore`: `save_freq`, `double_checkpoint`,
            `delete_checkpoint`.

    Example:

    >>> BackupAndRestore("backup", save_freq=100).save_freq
    100

    Reference:
        https://keras.io/api/callbacks/backup_and_restore/
    """

    def __init__(self, backup_dir: str | Path, **options: Any) -> None:
        super().__init__(str(backup_dir), **options)
        self._random_states = Path(backup_dir) / "random_states.json"

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Restore, if there is anything to restore."""
        super().on_train_begin(logs)
        if self._random_states.exists():
            saved = json.loads(self._random_states.read_text()).get(self._step(), [])
            for variable, state in zip(random_states(self.model), saved, strict=False):
                variable.assign(np.array(state, keras.backend.standardize_dtype(variable.dtype)))

    def before_save(self) -> None:
        """Write the random states of this checkpoint and of the one before."""
        # Before the weights, together with those of the checkpoint before: whichever of the two
        # a killed run leaves behind, its states are there.
        before = {}
        if self._random_states.exists():
            before = json.loads(self._random_states.read_text())
        states = [variable.numpy().tolist() for variable in random_states(self.model)]
        kept = dict(list(before.items())[-1:]) | {self._step(): states}
        self._random_states.parent.mkdir(parents=True, exist_ok=True)
        partial = self._random_states.with_suffix(".partial")
        partial.write_text(json.dumps(kept))
        partial.replace(self._random_states)

    def _step(self) -> str:
        return str(steps_taken(self.model.optimizer))


class SetEpoch(keras.callbacks.Callback):
    """Let the order of training data depend on `fit`'s epoch, not on how often they were read.

    Use it with data of `load_images` or `load_volumes` to continue a killed run exactly (see
    `OneCycle`), or to train the same way whether or not the data were looked at before. Without it,
    each reading shuffles anew, as in plain Keras.

    Args:
        dataset: Training data of `load_images` or `load_volumes`, or data made from them by `.map`,
            `.prefetch`, `tf.data.Dataset.zip` and the like. `fit` may get either.

    Raises:
        ValueError: The data have no such order.

    Example:

    >>> from keras_practical import OneCycle, load_images
    >>> digits = load_images("digits", batch_size=256, verbose=False)
    >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    >>> model.add(keras.layers.Dense(10, activation="softmax"))
    >>> model.compile("adam", loss="sparse_categorical_crossentropy")
    >>> callbacks = [OneCycle(1e-2), SetEpoch(digits.train)]
    >>> _ = model.fit(digits.train, shuffle=False, verbose=0, callbacks=callbacks)

    Reference:
        `set_epoch` of PyTorch's `DistributedSampler`.
    """

    def __init__(self, dataset: Data) -> None:
        super().__init__()
        self._orders = origin_of(dataset).orders
        if not self._orders:
            raise ValueError(
                "`dataset` must be the training data of `load_images` or `load_volumes`, or made "
                f"from them by `.map` and the like. Received: {type(dataset).__name__}, of which "
                "no order is known"
            )

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Choose the order of `epoch`."""
        for order in self._orders:
            order.set_epoch(epoch)

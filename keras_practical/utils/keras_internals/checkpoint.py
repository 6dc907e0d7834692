"""Keras's backup of a run, with a hook for what it doesn't save by itself."""

from __future__ import annotations

from typing import Any

import keras


class HookedBackup(keras.callbacks.BackupAndRestore):
    """`keras.callbacks.BackupAndRestore` that calls `before_save` before each checkpoint."""

    def before_save(self) -> None:
        """Save what belongs to the checkpoint that is about to be written."""

    def _save_model(self, *arguments: Any, **options: Any) -> None:
        self.before_save()
        super()._save_model(*arguments, **options)

"""Every callback of the package, for the `callbacks` of `fit`."""

from __future__ import annotations

from keras_practical.augment.mixing import BatchMixing
from keras_practical.text.characters.state import CarriedState
from keras_practical.training.one_cycle import OneCycle
from keras_practical.training.resuming import BackupAndRestore, SetEpoch

__all__ = ["BackupAndRestore", "BatchMixing", "CarriedState", "OneCycle", "SetEpoch"]


def __dir__() -> list[str]:
    return __all__

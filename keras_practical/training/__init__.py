"""How a model is trained: rates, their schedules and how to find them.

Rooms: `curves` (in numpy), `schedules` (the same in the graph), `one_cycle`, `finder` and
`finder_rules` (which rate a curve suggests), `layer_rates` (rates by layer), `resuming` (what a
killed run needs to go on), `plots`.
"""

from typing import TYPE_CHECKING

from keras_practical.utils.faces import lazy_face

if TYPE_CHECKING:
    from keras_practical.training.curves import Segment
    from keras_practical.training.finder import LRFinderResult, find_lr
    from keras_practical.training.layer_rates import layerwise, scale_learning_rates
    from keras_practical.training.one_cycle import OneCycle
    from keras_practical.training.resuming import BackupAndRestore, SetEpoch
    from keras_practical.training.schedules import (
        CosineRestartsSchedule,
        FlatCosineSchedule,
        OneCycleSchedule,
        SegmentSchedule,
        ThreePhaseSchedule,
    )

__all__ = [
    "BackupAndRestore",
    "CosineRestartsSchedule",
    "FlatCosineSchedule",
    "LRFinderResult",
    "OneCycle",
    "OneCycleSchedule",
    "Segment",
    "SegmentSchedule",
    "SetEpoch",
    "ThreePhaseSchedule",
    "find_lr",
    "layerwise",
    "scale_learning_rates",
]

_ROOMS = {
    "training.curves": ("Segment",),
    "training.finder": ("LRFinderResult", "find_lr"),
    "training.layer_rates": ("layerwise", "scale_learning_rates"),
    "training.one_cycle": ("OneCycle",),
    "training.resuming": ("BackupAndRestore", "SetEpoch"),
    "training.schedules": (
        "CosineRestartsSchedule",
        "FlatCosineSchedule",
        "OneCycleSchedule",
        "SegmentSchedule",
        "ThreePhaseSchedule",
    ),
}

__getattr__, __dir__ = lazy_face(__name__, _ROOMS)

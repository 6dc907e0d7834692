"""What a network is made of: backbones, heads, layer groups, ensembles, losses.

Rooms: `backbones` (the table, and the one way to open a name or a model), `heads`, `class_names`
(which class is which number), `freezing`
(layer groups, and which of them train), `classifiers` (a head on a backbone), `ensembles`,
`resizing`, `losses`.
"""

from typing import TYPE_CHECKING

from keras_practical.utils.faces import lazy_face

if TYPE_CHECKING:
    from keras_practical.models.backbones import (
        BACKBONES,
        Backbone,
        build_backbone,
        preprocessing_layers,
    )
    from keras_practical.models.class_names import class_names_of
    from keras_practical.models.classifiers import classifier
    from keras_practical.models.ensembles import ensemble
    from keras_practical.models.freezing import (
        TransferSummary,
        freeze_to,
        layer_groups,
        summary,
        unfreeze,
    )
    from keras_practical.models.losses import SmoothedSparseCategoricalCrossentropy
    from keras_practical.models.resizing import resized

__all__ = [
    "BACKBONES",
    "Backbone",
    "SmoothedSparseCategoricalCrossentropy",
    "TransferSummary",
    "build_backbone",
    "class_names_of",
    "classifier",
    "ensemble",
    "freeze_to",
    "layer_groups",
    "preprocessing_layers",
    "resized",
    "summary",
    "unfreeze",
]

_ROOMS = {
    "models.backbones": ("BACKBONES", "Backbone", "build_backbone", "preprocessing_layers"),
    "models.class_names": ("class_names_of",),
    "models.classifiers": ("classifier",),
    "models.ensembles": ("ensemble",),
    "models.freezing": ("TransferSummary", "freeze_to", "layer_groups", "summary", "unfreeze"),
    "models.losses": ("SmoothedSparseCategoricalCrossentropy",),
    "models.resizing": ("resized",),
}

__getattr__, __dir__ = lazy_face(__name__, _ROOMS)

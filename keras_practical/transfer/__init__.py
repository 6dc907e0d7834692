"""Transfer learning: a classifier on a pretrained backbone, its features and its fine-tuning.

Rooms: `feature_network` (the part before the head), `embedding` and `feature_file` (features,
computed once), `probe` (a head without training), `fine_tuning` with `policy` (what it decides),
`starting_head`, `frozen_phase`, `two_phases`, `one_training`, `rates`, `budget` and `averaging`
(how far to go), `backbone_race`, `extrapolation` (what more images would bring), `feature_map`.
"""

from typing import TYPE_CHECKING

from keras_practical.utils.faces import lazy_face

if TYPE_CHECKING:
    from keras_practical.data.features import Embeddings
    from keras_practical.models.classifiers import classifier
    from keras_practical.models.ensembles import ensemble
    from keras_practical.models.freezing import (
        TransferSummary,
        freeze_to,
        layer_groups,
        summary,
        unfreeze,
    )
    from keras_practical.transfer.backbone_race import BackboneRace, RaceResult, compare_backbones
    from keras_practical.transfer.embedding import embed
    from keras_practical.transfer.extrapolation import LearningCurve, learning_curve
    from keras_practical.transfer.feature_map import EmbeddingMap, embedding_map
    from keras_practical.transfer.fine_tuning import fine_tune
    from keras_practical.transfer.policy import Recipe, recipe
    from keras_practical.transfer.probe import Probe, fit_probe, linear_probe

__all__ = [
    "BackboneRace",
    "EmbeddingMap",
    "Embeddings",
    "LearningCurve",
    "Probe",
    "RaceResult",
    "Recipe",
    "TransferSummary",
    "classifier",
    "compare_backbones",
    "embed",
    "embedding_map",
    "ensemble",
    "fine_tune",
    "fit_probe",
    "freeze_to",
    "layer_groups",
    "learning_curve",
    "linear_probe",
    "recipe",
    "summary",
    "unfreeze",
]

_ROOMS = {
    "models.classifiers": ("classifier",),
    "models.ensembles": ("ensemble",),
    "models.freezing": ("TransferSummary", "freeze_to", "layer_groups", "summary", "unfreeze"),
    "transfer.backbone_race": ("BackboneRace", "RaceResult", "compare_backbones"),
    "transfer.embedding": ("embed",),
    "data.features": ("Embeddings",),
    "transfer.extrapolation": ("LearningCurve", "learning_curve"),
    "transfer.feature_map": ("EmbeddingMap", "embedding_map"),
    "transfer.fine_tuning": ("fine_tune",),
    "transfer.probe": ("Probe", "fit_probe", "linear_probe"),
    "transfer.policy": ("Recipe", "recipe"),
}

__getattr__, __dir__ = lazy_face(__name__, _ROOMS)

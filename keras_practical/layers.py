"""Every layer of the package.

Importing `keras_practical` imports this module, so that `keras.models.load_model` knows the layers,
losses and schedules that a model was saved with.
"""

from __future__ import annotations

from keras_practical.augment.color import RandomColor
from keras_practical.augment.erasing import RandomErasing
from keras_practical.augment.geometry import RandomGeometry
from keras_practical.detection.outputs import DetectionOutputs
from keras_practical.models import losses  # noqa: F401
from keras_practical.scans.layers import AttentionPooling, SlicesAsImages
from keras_practical.text.characters.vocabulary import CharacterEmbedding
from keras_practical.text.layers import ConcatPooling, NextPiece, PieceWeights, RunningMean
from keras_practical.text.vocabulary import SubwordEmbedding
from keras_practical.training import schedules  # noqa: F401

__all__ = [
    "AttentionPooling",
    "CharacterEmbedding",
    "ConcatPooling",
    "DetectionOutputs",
    "NextPiece",
    "PieceWeights",
    "RandomColor",
    "RandomErasing",
    "RandomGeometry",
    "RunningMean",
    "SlicesAsImages",
    "SubwordEmbedding",
]


def __dir__() -> list[str]:
    return __all__

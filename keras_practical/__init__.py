"""The working habits of *Practical Deep Learning for Coders*, for plain Keras 3.

Plain Keras in, plain Keras out: each helper takes and returns ordinary Keras models, data sets,
callbacks, numbers and axes, and can be added to or dropped from a script by one line.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from keras_practical import (
    augment,
    backbones,
    calibration,
    callbacks,
    # Here for the layers of `text` and `detection`, which Keras must know when it loads a model.
    characters,  # noqa: F401
    curves,
    detection_outputs,  # noqa: F401
    intervals,
    losses,
    medical,
    optimizers,
    plots,
    resuming,
    schedules,
    subwords,  # noqa: F401
    suggestions,
    text_layers,  # noqa: F401
    transfer,
)
from keras_practical.audit import audit
from keras_practical.audit_findings import AuditFindings
from keras_practical.backbone_race import compare_backbones
from keras_practical.calibration import dont_know_threshold, temperature_scaled
from keras_practical.callbacks import OneCycle
from keras_practical.comparison import Comparison, compare
from keras_practical.cross_validation import CrossValidation, cross_validate
from keras_practical.data import ImageData, load_images
from keras_practical.embedding_map import EmbeddingMap, embedding_map
from keras_practical.embeddings import Embeddings, embed
from keras_practical.evaluate import Evaluation, evaluate, evaluate_predictions
from keras_practical.grad_cam import grad_cam
from keras_practical.heat_maps import HeatMap
from keras_practical.images import read_image
from keras_practical.index import ImageIndex, ImageRecord
from keras_practical.interpret import interpret
from keras_practical.interpretation import Interpretation
from keras_practical.intervals import wilson_interval
from keras_practical.label_errors import label_errors
from keras_practical.label_findings import LabelError, LabelErrors
from keras_practical.learning_curves import LearningCurve, learning_curve
from keras_practical.lr_finder import LRFinderResult, find_lr
from keras_practical.occlusion import occlusion
from keras_practical.operating_points import OperatingPoint, sensitivity_at_specificity
from keras_practical.predict import predict_with_labels, predict_with_tta
from keras_practical.probes import Probe, fit_probe, linear_probe
from keras_practical.resizing import resized
from keras_practical.review import Reviewable, review
from keras_practical.volume_data import VolumeBatches, VolumeData, load_volumes, pad_volumes
from keras_practical.volume_files import read_volume

if TYPE_CHECKING:
    from keras_practical import detection, style, text

__version__ = "0.1.0"

__all__ = [
    "AuditFindings",
    "Comparison",
    "CrossValidation",
    "EmbeddingMap",
    "Embeddings",
    "Evaluation",
    "HeatMap",
    "ImageData",
    "ImageIndex",
    "ImageRecord",
    "Interpretation",
    "LRFinderResult",
    "LabelError",
    "LabelErrors",
    "LearningCurve",
    "OneCycle",
    "OperatingPoint",
    "Probe",
    "Reviewable",
    "VolumeBatches",
    "VolumeData",
    "__version__",
    "audit",
    "augment",
    "backbones",
    "calibration",
    "callbacks",
    "compare",
    "compare_backbones",
    "cross_validate",
    "curves",
    "detection",
    "dont_know_threshold",
    "embed",
    "embedding_map",
    "evaluate",
    "evaluate_predictions",
    "find_lr",
    "fit_probe",
    "grad_cam",
    "interpret",
    "intervals",
    "label_errors",
    "learning_curve",
    "linear_probe",
    "load_images",
    "load_volumes",
    "losses",
    "medical",
    "occlusion",
    "optimizers",
    "pad_volumes",
    "plots",
    "predict_with_labels",
    "predict_with_tta",
    "read_image",
    "read_volume",
    "resized",
    "resuming",
    "review",
    "schedules",
    "sensitivity_at_specificity",
    "style",
    "suggestions",
    "temperature_scaled",
    "text",
    "transfer",
    "wilson_interval",
]

# Whole fields of their own, imported by whoever first says `kp.text`: a third of the time that
# importing everything takes.
_FIELDS = ("detection", "style", "text")


def __getattr__(name: str) -> ModuleType:
    if name in _FIELDS:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_FIELDS})

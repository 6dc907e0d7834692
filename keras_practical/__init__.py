"""The working habits of *Practical Deep Learning for Coders*, for plain Keras 3.

Plain Keras in, plain Keras out: each helper takes and returns ordinary Keras models, data sets,
callbacks, numbers and axes, and can be added to or dropped from a script by one line.
"""

from keras_practical import (
    augment,
    backbones,
    calibration,
    callbacks,
    curves,
    detection,
    intervals,
    losses,
    medical,
    optimizers,
    plots,
    resuming,
    schedules,
    style,
    suggestions,
    text,
    transfer,
)
from keras_practical.backbone_race import compare_backbones
from keras_practical.calibration import dont_know_threshold, temperature_scaled
from keras_practical.callbacks import OneCycle
from keras_practical.comparison import Comparison, compare
from keras_practical.cross_validation import CrossValidation, cross_validate
from keras_practical.data import ImageData, load_images
from keras_practical.embeddings import Embeddings, embed
from keras_practical.evaluate import Evaluation, evaluate, evaluate_predictions
from keras_practical.images import read_image
from keras_practical.index import ImageIndex, ImageRecord
from keras_practical.intervals import wilson_interval
from keras_practical.learning_curves import LearningCurve, learning_curve
from keras_practical.lr_finder import LRFinderResult, find_lr
from keras_practical.operating_points import OperatingPoint, sensitivity_at_specificity
from keras_practical.predict import predict_with_labels, predict_with_tta
from keras_practical.probes import Probe, fit_probe, linear_probe
from keras_practical.resizing import resized
from keras_practical.volume_data import VolumeBatches, VolumeData, load_volumes, pad_volumes
from keras_practical.volume_files import read_volume

__version__ = "0.1.0"

__all__ = [
    "Comparison",
    "CrossValidation",
    "Embeddings",
    "Evaluation",
    "ImageData",
    "ImageIndex",
    "ImageRecord",
    "LRFinderResult",
    "LearningCurve",
    "OneCycle",
    "OperatingPoint",
    "Probe",
    "VolumeBatches",
    "VolumeData",
    "__version__",
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
    "evaluate",
    "evaluate_predictions",
    "find_lr",
    "fit_probe",
    "intervals",
    "learning_curve",
    "linear_probe",
    "load_images",
    "load_volumes",
    "losses",
    "medical",
    "optimizers",
    "pad_volumes",
    "plots",
    "predict_with_labels",
    "predict_with_tta",
    "read_image",
    "read_volume",
    "resized",
    "resuming",
    "schedules",
    "sensitivity_at_specificity",
    "style",
    "suggestions",
    "temperature_scaled",
    "text",
    "transfer",
    "wilson_interval",
]

"""Find things on pictures, from a handful of annotated ones.

    data = kp.detection.load("training.xml")
    model = kp.detection.build("MobileNetV2", data)
    kp.detection.fit(model, data)
    print(kp.detection.detect(model, "photo.jpg"))

The model is a plain Keras model on a pretrained backbone; `fit` is `model.fit` on `Windows`.
"""

from __future__ import annotations

from keras_practical.annotations import AnnotatedImage, DetectionData, load
from keras_practical.average_precision import DetectionEvaluation, evaluate, evaluate_detections
from keras_practical.detecting import Detections, detect
from keras_practical.detection_outputs import (
    DetectionOutputs,
    HeatmapLoss,
    OffsetLoss,
    SizeLoss,
)
from keras_practical.detection_plots import plot_precision_recall, show
from keras_practical.detection_training import Windows, fit
from keras_practical.detector import build, outputs_of

__all__ = [
    "AnnotatedImage",
    "DetectionData",
    "DetectionEvaluation",
    "DetectionOutputs",
    "Detections",
    "HeatmapLoss",
    "OffsetLoss",
    "SizeLoss",
    "Windows",
    "build",
    "detect",
    "evaluate",
    "evaluate_detections",
    "fit",
    "load",
    "outputs_of",
    "plot_precision_recall",
    "show",
]

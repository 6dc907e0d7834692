"""Find things on images, from a handful of annotated ones.

    data = kp.detection.load_annotations("training.xml")
    model = kp.detection.build("MobileNetV2", data)
    kp.detection.fine_tune(model, data)
    print(kp.detection.detect(model, "photo.jpg"))

The model is a plain Keras model on a pretrained backbone; `fit` is `model.fit` on `Windows`.

Rooms: `annotations`, `formats` and `lined_files` (what labelling tools write), `model`, `network`
and `outputs`, `targets` (what a detector should answer), `training`, `inference` and `boxes`,
`evaluation`, `plots`.
"""

from typing import TYPE_CHECKING

from keras_practical.utils.faces import lazy_face

if TYPE_CHECKING:
    from keras_practical.detection.annotations import (
        AnnotatedImage,
        DetectionData,
        load_annotations,
    )
    from keras_practical.detection.evaluation import (
        DetectionEvaluation,
        evaluate,
        evaluate_detections,
    )
    from keras_practical.detection.inference import Detections, detect
    from keras_practical.detection.model import build, outputs_of
    from keras_practical.detection.outputs import (
        DetectionOutputs,
        HeatmapLoss,
        OffsetLoss,
        SizeLoss,
    )
    from keras_practical.detection.plots import plot_precision_recall, show
    from keras_practical.detection.training import Windows, fine_tune

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
    "fine_tune",
    "load_annotations",
    "outputs_of",
    "plot_precision_recall",
    "show",
]

_ROOMS = {
    "detection.annotations": ("AnnotatedImage", "DetectionData", "load_annotations"),
    "detection.evaluation": ("DetectionEvaluation", "evaluate", "evaluate_detections"),
    "detection.inference": ("Detections", "detect"),
    "detection.model": ("build", "outputs_of"),
    "detection.outputs": ("DetectionOutputs", "HeatmapLoss", "OffsetLoss", "SizeLoss"),
    "detection.plots": ("plot_precision_recall", "show"),
    "detection.training": ("Windows", "fine_tune"),
}

__getattr__, __dir__ = lazy_face(__name__, _ROOMS)

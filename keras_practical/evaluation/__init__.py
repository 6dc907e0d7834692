"""How good a model really is, and where it errs.

Rooms: `outputs` (what predictions and labels mean), `prediction`, `new_images` (`predict`),
`metrics` (`evaluate`),
`comparison`, `calibration`, `operating_point`, `cross_validation`, `interpretation` with
`mistakes`, `images` and `properties` (where a model errs), `heat_maps`, `gradient_maps` and
`occlusion_maps` (where it looks), `plots`.
"""

from typing import TYPE_CHECKING

from keras_practical.utils.faces import lazy_face

if TYPE_CHECKING:
    from keras_practical.evaluation.calibration import (
        Calibration,
        Threshold,
        dont_know_threshold,
        measure_calibration,
        temperature_of,
        temperature_scaled,
        with_temperature,
    )
    from keras_practical.evaluation.comparison import Comparison, compare
    from keras_practical.evaluation.cross_validation import CrossValidation, cross_validate
    from keras_practical.evaluation.gradient_maps import grad_cam
    from keras_practical.evaluation.heat_maps import HeatMap
    from keras_practical.evaluation.interpretation import Interpretation, interpret
    from keras_practical.evaluation.metrics import Evaluation, evaluate, evaluate_predictions
    from keras_practical.evaluation.mistakes import ConfusedPair, Prediction
    from keras_practical.evaluation.new_images import Predictions, predict
    from keras_practical.evaluation.occlusion_maps import occlusion
    from keras_practical.evaluation.operating_point import (
        OperatingPoint,
        sensitivity_at_specificity,
    )
    from keras_practical.evaluation.prediction import (
        predict_side_by_side,
        predict_with_labels,
        predict_with_tta,
    )
    from keras_practical.evaluation.properties import AccuracyByProperty, PropertyBin
    from keras_practical.utils.intervals import (
        auc_interval,
        confusion_interval,
        difference_interval,
        independent_examples,
        mean_interval,
        proportion_interval,
        wilson_interval,
    )

__all__ = [
    "AccuracyByProperty",
    "Calibration",
    "Comparison",
    "ConfusedPair",
    "CrossValidation",
    "Evaluation",
    "HeatMap",
    "Interpretation",
    "OperatingPoint",
    "Prediction",
    "Predictions",
    "PropertyBin",
    "Threshold",
    "auc_interval",
    "compare",
    "confusion_interval",
    "cross_validate",
    "difference_interval",
    "dont_know_threshold",
    "evaluate",
    "evaluate_predictions",
    "grad_cam",
    "independent_examples",
    "interpret",
    "mean_interval",
    "measure_calibration",
    "occlusion",
    "predict",
    "predict_side_by_side",
    "predict_with_labels",
    "predict_with_tta",
    "proportion_interval",
    "sensitivity_at_specificity",
    "temperature_of",
    "temperature_scaled",
    "wilson_interval",
    "with_temperature",
]

_ROOMS = {
    "evaluation.calibration": (
        "Calibration",
        "Threshold",
        "dont_know_threshold",
        "measure_calibration",
        "temperature_of",
        "temperature_scaled",
        "with_temperature",
    ),
    "evaluation.comparison": ("Comparison", "compare"),
    "evaluation.cross_validation": ("CrossValidation", "cross_validate"),
    "evaluation.gradient_maps": ("grad_cam",),
    "evaluation.heat_maps": ("HeatMap",),
    "evaluation.interpretation": ("Interpretation", "interpret"),
    "evaluation.metrics": ("Evaluation", "evaluate", "evaluate_predictions"),
    "evaluation.mistakes": ("ConfusedPair", "Prediction"),
    "evaluation.new_images": ("Predictions", "predict"),
    "evaluation.occlusion_maps": ("occlusion",),
    "evaluation.operating_point": ("OperatingPoint", "sensitivity_at_specificity"),
    "evaluation.prediction": ("predict_side_by_side", "predict_with_labels", "predict_with_tta"),
    "evaluation.properties": ("AccuracyByProperty", "PropertyBin"),
    "utils.intervals": (
        "auc_interval",
        "confusion_interval",
        "difference_interval",
        "independent_examples",
        "mean_interval",
        "proportion_interval",
        "wilson_interval",
    ),
}

__getattr__, __dir__ = lazy_face(__name__, _ROOMS)

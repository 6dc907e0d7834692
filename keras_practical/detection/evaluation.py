"""How good a detector is on annotated images: average precision, by COCO's own program.

Reached as `keras_practical.detection.evaluate`.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_practical.detection.annotations import DetectionData
from keras_practical.detection.inference import Detections, detect
from keras_practical.utils.checks import check_between, check_count
from keras_practical.utils.progress import track

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["DetectionEvaluation", "evaluate", "evaluate_detections"]

_RECALLS = np.linspace(0.0, 1.0, 101)
# Boxes with hardly a score are part of a precision-recall curve too.
_LOWEST_SCORE = 0.01


@dataclass(frozen=True, kw_only=True)
class DetectionEvaluation:
    """How good a detector is; prints as text.

    Average precision is the mean precision over all recalls, in [0, 1]; the mean over the classes
    that have objects. A box is right if its intersection over union with an object's is at least so
    much, and no surer box was right about the same object.

    Attributes:
        average_precision_50: At an intersection over union of .5.
        average_precision: COCO's: mean over .5, .55, … .95.
        class_average_precision_50: For each class, as `average_precision_50`; `nan` for a class
            without objects.
        threshold: The score from which a box counts as reported in the three numbers below.
        found: Number of objects found at the threshold, at an intersection over union of .5.
        missed: Number of objects not found.
        false_alarms: Number of boxes that are none.
        class_names: One name a class.
        recalls: float64 of shape `(101,)`: 0, .01, … 1.
        precisions: float64 of shape `(classes, 101)`: the precision at each recall at an
            intersection over union of .5, `nan` for a class without objects.
        detections: What was found on each image, in order.

    Example:

    >>> truth = DetectionData((), ("cat",))
    >>> evaluate_detections([], truth).found
    0
    """

    average_precision_50: float
    average_precision: float
    class_average_precision_50: tuple[float, ...]
    threshold: float
    found: int
    missed: int
    false_alarms: int
    class_names: tuple[str, ...]
    recalls: np.ndarray = field(repr=False, compare=False)
    precisions: np.ndarray = field(repr=False, compare=False)
    detections: tuple[Detections, ...] = field(repr=False, compare=False)

    def __str__(self) -> str:
        lines = [
            f"average precision {self.average_precision_50:.3f} at IoU .5, "
            f"{self.average_precision:.3f} at .5 to .95",
            f"from score {self.threshold:g}: {self.found} of {self.found + self.missed} objects "
            f"found, {self.false_alarms} false alarm{'s' * (self.false_alarms != 1)}",
        ]
        if len(self.class_names) > 1:
            width = max(len(name) for name in self.class_names)
            lines += [
                f"{name:<{width}}  {value:.3f}"
                if value == value
                else f"{name:<{width}}  no objects"
                for name, value in zip(
                    self.class_names, self.class_average_precision_50, strict=True
                )
            ]
        return "\n".join(lines)

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """Draw precision against recall, a curve for each class."""
        from keras_practical.detection.plots import plot_precision_recall

        return plot_precision_recall(self, ax=ax)


def evaluate(
    model: keras.Model,
    data: DetectionData,
    *,
    threshold: float = 0.4,
    max_detections: int | None = None,
    recall_points: int | None = 101,
    verbose: bool = True,
    **options: Any,
) -> DetectionEvaluation:
    """Measure a detector on annotated images that it hasn't seen.

    Use it on held-out images: average precision says how well right boxes can be told from wrong
    ones by their scores, at any threshold; the counts, how it does at yours.

    Args:
        model: A trained detector.
        data: From `load_annotations`, with the model's classes.
        threshold: The score from which the counts take a box as reported, in [0, 1].
        max_detections: As in `evaluate_detections`.
        recall_points: As there.
        verbose: Whether to show a progress bar.
        **options: As in `detect`: `overlap`, `smallest_pixels`, …

    Returns:
        A `DetectionEvaluation`; print it.

    Raises:
        ValueError: As in `detect`, or the data has other classes.

    Example:

    >>> from keras_practical.detection.annotations import AnnotatedImage
    >>> from keras_practical.detection.model import build
    >>> boxes = np.array([[8, 8, 40, 40]] * 8)
    >>> truth = AnnotatedImage(np.zeros((64, 64, 3)), boxes, np.zeros(8), 64, 64)
    >>> network = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Conv2D(4, 3, 8)])
    >>> data = DetectionData((truth,) * 3, ("cat",))
    >>> model = build(network, data, object_pixels=16, seed=0, verbose=False)
    >>> evaluate(model, data).missed
    24

    Reference:
        pycocotools, https://github.com/ppwwyyxx/cocoapi.
    """
    images = track(data.images, "Detecting", len(data), show=verbose)
    detected = [
        detect(model, image.source, threshold=_LOWEST_SCORE, verbose=False, **options)
        for image in images
    ]
    return evaluate_detections(
        detected,
        data,
        threshold=threshold,
        max_detections=max_detections,
        recall_points=recall_points,
    )


def evaluate_detections(
    detections: Sequence[Detections],
    data: DetectionData,
    *,
    threshold: float = 0.4,
    max_detections: int | None = None,
    recall_points: int | None = 101,
) -> DetectionEvaluation:
    """Measure boxes that were found before, by any detector, as `evaluate` does.

    The rules are COCO's, but that all boxes count. A class without objects is left out of the mean.
    Boxes of one score are ranked in the order of the images. Objects marked to be ignored (crowd,
    difficult) are neither found nor missed, and boxes that lie by half or more in one of them are
    no false alarms.

    Args:
        detections: What was found on each image of the data, in order.
        data: From `load_annotations`.
        threshold: As in `evaluate`.
        max_detections: The surest boxes of a class on one image that count; 100 is COCO's rule, for
            comparison with published figures. Default: all.
        recall_points: At how many recalls from 0 to 1 the precision is averaged, >= 2: 101 is
            COCO's rule, 11 Pascal VOC's of 2007. `None`: at each object, the exact area below the
            curve, as VOC has it since 2010.

    Returns:
        A `DetectionEvaluation`.

    Raises:
        ValueError: There isn't one entry an image, the classes differ, a box has its edges the
            wrong way round or isn't finite, or an argument is outside its range.

    Example:

    >>> from keras_practical.detection.annotations import AnnotatedImage
    >>> box = np.array([[10.0, 10, 30, 30]])
    >>> truth = DetectionData((AnnotatedImage("a.jpg", box, [0], 40, 40),), ("cat",))
    >>> found = Detections(
    ...     boxes=box, scores=np.array([0.9]), labels=np.array([0]), class_names=("cat",)
    ... )
    >>> print(evaluate_detections([found], truth))
    average precision 1.000 at IoU .5, 1.000 at .5 to .95
    from score 0.4: 1 of 1 objects found, 0 false alarms

    Reference:
        Lin et al., *Microsoft COCO* (2014), arXiv 1405.0312.
    """
    check_between("threshold", threshold, 0.0, 1.0)
    if max_detections is None:
        max_detections = max((len(result.scores) for result in detections), default=0) or 1
    check_count("max_detections", max_detections)
    if recall_points is not None:
        check_count("recall_points", recall_points, minimum=2)
    if len(detections) != len(data):
        raise ValueError(
            f"`detections` must have one entry an image. Received: {len(detections)} for "
            f"{len(data)} images"
        )
    for result in detections:
        if tuple(result.class_names) != tuple(data.class_names):
            raise ValueError(
                "`data` must have the detector's classes, in order: pass class_names= to "
                f"`load_annotations`. Received: {', '.join(data.class_names)}; the detector has "
                f"{', '.join(result.class_names)}"
            )
    _check_boxes(detections)
    judge = _judge(detections, data, max_detections)
    averages, precisions = _averages(judge, recall_points), _precisions(judge, _RECALLS)
    by_class = averages[0]
    known = ~np.isnan(by_class)
    outcomes = _outcomes(judge, threshold)
    return DetectionEvaluation(
        average_precision_50=float(by_class[known].mean()) if known.any() else float("nan"),
        average_precision=float(averages[:, known].mean()) if known.any() else float("nan"),
        class_average_precision_50=tuple(by_class.tolist()),
        threshold=threshold,
        found=outcomes[0],
        missed=outcomes[1],
        false_alarms=outcomes[2],
        class_names=tuple(data.class_names),
        recalls=_RECALLS,
        precisions=precisions[0].T,
        detections=tuple(detections),
    )


def _check_boxes(detections: Sequence[Detections]) -> None:
    """Raise `ValueError` for boxes that COCO's program would leave out, or rank anyhow."""
    for number, result in enumerate(detections):
        boxes = np.asarray(result.boxes, "float64").reshape(-1, 4)
        scores = np.asarray(result.scores, "float64")
        turned = (boxes[:, 2:] < boxes[:, :2]).any(1)
        bad = turned | ~np.isfinite(boxes).all(1) | ~np.isfinite(scores)
        if bad.any():
            place = int(np.argmax(bad))
            raise ValueError(
                "Boxes must be (left, top, right, bottom) with right >= left and bottom >= top, "
                f"and scores finite. Received: box {place} of image {number}: "
                f"{boxes[place].tolist()}, score {scores[place]:g}"
            )


def _judge(detections: Sequence[Detections], data: DetectionData, max_detections: int) -> Any:
    """Return COCO's judge of the boxes, who has compared all of them with the objects."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    images = [{"id": number} for number in range(len(data))]
    categories = [{"id": number} for number in range(len(data.class_names))]
    truth = [
        _entry(index, label, box) | {"iscrowd": int(ignored), "ignore": int(ignored)}
        for index, image in enumerate(data)
        for box, label, ignored in zip(image.boxes, image.labels, image.ignored, strict=True)
    ]
    answers = [
        _entry(index, label, box) | {"score": float(score)}
        for index, result in enumerate(detections)
        for box, label, score in zip(result.boxes, result.labels, result.scores, strict=True)
    ]
    # It talks about each of its steps.
    with contextlib.redirect_stdout(io.StringIO()):
        sets = []
        for entries in (truth, answers):
            # Numbers from 1: it takes 0 for "matched nothing".
            numbered = [entry | {"id": number} for number, entry in enumerate(entries, 1)]
            coco = COCO()
            coco.dataset = {"images": images, "categories": categories, "annotations": numbered}
            coco.createIndex()
            sets.append(coco)
        judge = COCOeval(*sets, "bbox")
        judge.params.maxDets = [max_detections]
        # Boxes of any size count.
        judge.params.areaRng, judge.params.areaRngLbl = [[0.0, float("inf")]], ["all"]
        judge.evaluate()
    return judge


def _precisions(judge: Any, recalls: np.ndarray) -> np.ndarray:
    """Return precisions `(overlaps, recalls, classes)`, NaN for a class without objects."""
    judge.params.recThrs = recalls
    with contextlib.redirect_stdout(io.StringIO()):
        judge.accumulate()
    # Axes: overlap, recall, class, area (all), most boxes an image.
    # pycocotools adds 2.2e-16 to the divisor, so a precision of 1 comes out as 1 - 2e-16.
    precisions = judge.eval["precision"][:, :, :, 0, -1].round(12)
    return np.where(precisions < 0, np.nan, precisions)


def _averages(judge: Any, recall_points: int | None) -> np.ndarray:
    """Return average precisions of shape `(overlaps, classes)`."""
    if recall_points is not None:
        return _precisions(judge, np.linspace(0.0, 1.0, recall_points)).mean(1)
    # As many steps of recall as a class has objects.
    counts = {
        label: sum(
            not entry["ignore"]
            for entry in judge.cocoGt.anns.values()
            if entry["category_id"] == label
        )
        for label in judge.params.catIds
    }
    columns = []
    for place, (_, count) in enumerate(sorted(counts.items())):
        recalls = np.arange(1, max(1, count) + 1) / max(1, count)
        columns.append(_precisions(judge, recalls)[:, :, place].mean(1))
    return np.stack(columns, axis=1)


def _entry(index: int, label: int, box: np.ndarray) -> dict[str, Any]:
    left, top, right, bottom = (float(edge) for edge in box)
    width, height = right - left, bottom - top
    return {
        "image_id": index,
        "category_id": int(label),
        "bbox": [left, top, width, height],
        "area": width * height,
    }


def _outcomes(judge: Any, threshold: float) -> tuple[int, int, int]:
    """Count hits, misses and false alarms at an overlap of .5 among boxes of at least a score."""
    hits = false_alarms = objects = 0
    everything = judge.params.areaRng[0]
    for entry in judge.evalImgs:
        if entry is None or entry["aRng"] != everything:
            continue
        shown = np.array(entry["dtScores"]) >= threshold
        counts = shown & ~np.asarray(entry["dtIgnore"][0], bool)
        right = np.asarray(entry["dtMatches"][0]) > 0
        hits += int((counts & right).sum())
        false_alarms += int((counts & ~right).sum())
        objects += int((~np.asarray(entry["gtIgnore"], bool)).sum())
    return hits, objects - hits, false_alarms

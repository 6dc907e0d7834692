"""A detector's boxes on a photo of any size, looked at in tiles at several scales.

Reached as `keras_practical.detection.detect`.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from keras_practical.data.reading import read_image
from keras_practical.detection.model import outputs_of
from keras_practical.detection.outputs import DetectionOutputs
from keras_practical.utils.checks import check_between, check_choice, check_count, check_positive
from keras_practical.utils.progress import progress_bar

__all__ = ["Detections", "detect"]

_TILE = 512
# Boxes that are compared with all others at once.
_BLOCK = 256
# Grey, as what lies outside an image is in training.
_FILL = 127.5


@dataclass(frozen=True, eq=False, kw_only=True)
class Detections:
    """What a detector found on one image, the surest first; prints as a list.

    Attributes:
        boxes: float32 of shape `(n, 4)`: `(left, top, right, bottom)`, the edges in pixels of the
            upright image.
        scores: float32 of shape `(n,)`, in [0, 1].
        labels: int64 of shape `(n,)`: indices into `class_names`.
        class_names: One name a class.

    Example:

    >>> found = Detections(
    ...     boxes=np.array([[1.2, 2, 11, 22]]),
    ...     scores=np.array([0.9]),
    ...     labels=np.array([0]),
    ...     class_names=("cat",),
    ... )
    >>> print(found)
    cat 0.90 at left 1, top 2, right 11, bottom 22
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def names(self) -> tuple[str, ...]:
        """Each box's class name."""
        return tuple(self.class_names[label] for label in self.labels)

    def above(self, threshold: float) -> Detections:
        """Return those with at least this score."""
        kept = self.scores >= threshold
        return Detections(
            boxes=self.boxes[kept],
            scores=self.scores[kept],
            labels=self.labels[kept],
            class_names=self.class_names,
        )

    def __str__(self) -> str:
        if not len(self):
            return "nothing found"
        rows = zip(self.names, self.scores, np.rint(self.boxes).astype(int), strict=True)
        return "\n".join(
            f"{name} {score:.2f} at left {left}, top {top}, right {right}, bottom {bottom}"
            for name, score, (left, top, right, bottom) in rows
        )


def detect(
    model: keras.Model,
    image: str | Path | bytes | np.ndarray,
    *,
    threshold: float = 0.4,
    overlap: float = 0.3,
    tta: str | None = "flip",
    smallest_pixels: float | None = None,
    largest_pixels: float | None = None,
    max_detections: int | None = None,
    verbose: bool = True,
) -> Detections:
    """Find the objects on an image.

    Use it on any photo: it's read upright, looked at together with its mirror image in scales a
    factor of 1.4 apart, large scales in tiles so that memory stays small, and the boxes that
    mean the same object become one. The plain-Keras part is `model.predict`, whose outputs
    `DetectionOutputs` describes.

    Args:
        model: A trained detector, also one loaded from its `.keras` file.
        image: An image's path, its bytes, or an array, as in `kp.read_image`.
        threshold: The lowest score to report, in [0, 1].
        overlap: Intersection over union from which two boxes of a class are the same object,
            in (0, 1]: higher where things stand close behind each other.
        tta: `"flip"`: the image and its mirror image are asked, and their answers averaged.
            `None`: the image alone, in half the time; also for things that a mirror makes others.
        smallest_pixels: Size (side of a square of the same area) of the smallest objects to look
            for. Default: as `build` decided by the training boxes. Halving it takes four times as
            long.
        largest_pixels: Size of the largest objects. Default: as `build` decided.
        max_detections: The most boxes to return, the surest first. Default: all.
        verbose: Whether to show a progress bar.

    Returns:
        `Detections`: boxes in pixels of the image, scores, labels.

    Raises:
        ValueError: An argument is outside its range, the model isn't a detector, or the image
            can't be read.

    Example:

    >>> from keras_practical.detection.annotations import AnnotatedImage, DetectionData
    >>> from keras_practical.detection.model import build
    >>> truth = AnnotatedImage("a.jpg", np.array([[8, 8, 40, 40]] * 8), [0] * 8, 64, 64)
    >>> network = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Conv2D(4, 3, 8)])
    >>> data = DetectionData((truth,) * 3, ("cat",))
    >>> model = build(network, data, object_pixels=16, seed=0, verbose=False)
    >>> print(detect(model, np.zeros((64, 64, 3)), threshold=0.3))
    nothing found

    Reference:
        *Objects as Points*, arXiv 1904.07850, section 4.1 (peaks); SNIP, arXiv 1711.08189 (scales).
    """
    check_between("threshold", threshold, 0.0, 1.0)
    check_between("overlap", overlap, 1e-6, 1.0)
    if max_detections is not None:
        check_count("max_detections", max_detections)
    check_choice("tta", tta, ("flip", None))
    outputs = outputs_of(model)
    low = outputs.smallest_pixels if smallest_pixels is None else smallest_pixels
    high = outputs.largest_pixels if largest_pixels is None else largest_pixels
    check_positive("smallest_pixels", low)
    if not high >= low:
        raise ValueError(
            f"`largest_pixels` must be at least smallest_pixels={low:g}. "
            f"Received: largest_pixels={high!r}"
        )
    pixels = read_image(image)
    height, width = pixels.shape[:2]
    scales = [outputs.object_pixels / size for size in _sizes(low, high)]
    shapes = [tuple(max(1, round(side * scale)) for side in (height, width)) for scale in scales]
    grids = [_grid(outputs, shape) for shape in shapes]
    boxes, scores, labels = [np.zeros((0, 4))], [np.zeros(0)], [np.zeros(0, "int64")]
    count = sum(len(tiles) for _, tiles in grids)
    with progress_bar("Detecting", count, show=verbose) as advance:
        for shape, (side, tiles) in zip(shapes, grids, strict=True):
            scaled = read_image(pixels, image_size=shape, aspect="stretch")
            back = np.tile([width / shape[1], height / shape[0]], 2)
            for rows, columns in tiles:
                tile = _cut(scaled, rows[0], columns[0], side)
                peaks = _peaks(_maps(model, tile, tta), outputs.stride, threshold)
                edges, own = _placed(peaks[0], rows, columns)
                boxes.append(edges[own] * back)
                scores.append(peaks[1][own])
                labels.append(peaks[2][own])
                advance(1)
    edges = np.clip(np.concatenate(boxes), 0.0, (width, height, width, height))
    all_scores, all_labels = np.concatenate(scores), np.concatenate(labels)
    kept = non_maximum_suppression(edges, all_scores, all_labels, overlap)[:max_detections]
    return Detections(
        boxes=averaged(edges, all_scores, all_labels, kept).astype("float32"),
        scores=all_scores[kept].astype("float32"),
        labels=all_labels[kept],
        class_names=outputs.class_names,
    )


def _sizes(low: float, high: float) -> list[float]:
    """Return sizes at most a factor of 1.4 apart, such that all from low to high are near one."""
    count = max(1, math.ceil(2 * math.log2(high / low) - 1e-6))
    step = (high / low) ** (1 / count)
    return [low * step ** (index + 0.5) for index in range(count)]


# Where a tile begins along one side, and the part of that side that belongs to it.
_Span = tuple[int, tuple[int, int]]


def _grid(
    outputs: DetectionOutputs, shape: tuple[int, ...]
) -> tuple[int, list[tuple[_Span, _Span]]]:
    """Return the side of the tiles that cover an image, and the rows and columns of each."""
    side = outputs.window_pixels
    # Two sizes of tiles are all that is ever compiled.
    if not outputs.fixed_window and max(shape) > side:
        side = max(side, _TILE)
    margin = min(int(outputs.object_pixels), side // 4)
    rows, columns = (_tiles(length, side, margin) for length in shape)
    return side, list(itertools.product(rows, columns))


def _cut(pixels: np.ndarray, top: int, left: int, side: int) -> np.ndarray:
    """Return one tile as a batch, grey where there is no image."""
    tile = np.full((1, side, side, 3), _FILL, "float32")
    part = pixels[top : top + side, left : left + side]
    tile[0, : part.shape[0], : part.shape[1]] = part
    return tile


def _placed(boxes: np.ndarray, rows: _Span, columns: _Span) -> tuple[np.ndarray, np.ndarray]:
    """Return a tile's boxes in the image, and which of them are this tile's to report."""
    (top, (first_y, last_y)), (left, (first_x, last_x)) = rows, columns
    boxes = boxes + np.tile([left, top], 2)
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    # Each place belongs to one tile, in which it isn't near an edge.
    return boxes, (first_x <= x) & (x < last_x) & (first_y <= y) & (y < last_y)


def _maps(model: keras.Model, tile: np.ndarray, tta: str | None) -> dict[str, np.ndarray]:
    """Return the model's maps of one tile."""
    views = tile if tta is None else np.concatenate([tile, tile[:, :, ::-1]])
    maps = {name: np.asarray(value) for name, value in model.predict_on_batch(views).items()}
    if tta is None:
        return {name: value[0] for name, value in maps.items()}
    # In the mirror what lies right lies left.
    mirrored = {name: value[1, :, ::-1] for name, value in maps.items()}
    mirrored["offsets"] = mirrored["offsets"] * np.array([-1.0, 1.0], "float32")
    return {name: (value[0] + mirrored[name]) / 2 for name, value in maps.items()}


def _tiles(length: int, side: int, margin: int) -> list[_Span]:
    """Return the tiles along one side."""
    if length <= side:
        return [(0, (0, length))]
    count = math.ceil((length - 2 * margin) / (side - 2 * margin))
    starts = [round(index * (length - side) / (count - 1)) for index in range(count)]
    cuts = [(a + side + b) // 2 for a, b in itertools.pairwise(starts)]
    return list(zip(starts, zip([0, *cuts], [*cuts, length], strict=True), strict=True))


def _peaks(
    maps: dict[str, np.ndarray], stride: int, threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the boxes of the cells that no neighbour of the class outdoes."""
    heat = maps["heatmap"]
    around = np.pad(heat, ((1, 1), (1, 1), (0, 0)))
    views = np.lib.stride_tricks.sliding_window_view(around, (3, 3), axis=(0, 1))
    y, x, labels = np.nonzero((heat >= views.max((-2, -1))) & (heat >= threshold))
    centres = (np.stack([x, y], axis=-1) + 0.5) * stride + maps["offsets"][y, x]
    half = maps["sizes"][y, x] / 2
    boxes = np.concatenate([centres - half, centres + half], axis=-1)
    return boxes, heat[y, x, labels], labels


def overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the intersection over the union of each box with each other, `(n, m)` in [0, 1]."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0.0, None), axis=-1)
    joined = areas(boxes)[:, None] + areas(others)[None] - shared
    return shared / np.maximum(joined, 1e-9)


def areas(boxes: np.ndarray) -> np.ndarray:
    """Return the boxes' areas, of shape `(n,)`."""
    return np.prod(boxes[:, 2:] - boxes[:, :2], axis=-1)


def non_maximum_suppression(
    boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, overlap: float
) -> np.ndarray:
    """Return the places of the best box of each heap, best first; classes don't compete."""
    # A stable sort, so that equal scores come out in the same order everywhere.
    order = np.argsort(-scores, kind="stable")
    kept = []
    while len(order):
        best, others = order[0], order[1:]
        kept.append(best)
        shared = overlaps(boxes[best : best + 1], boxes[others])[0]
        order = others[(shared < overlap) | (labels[others] != labels[best])]
    return np.array(kept, "int64")


def averaged(
    boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, kept: np.ndarray
) -> np.ndarray:
    """Return the kept boxes, each the mean of those that overlap it by half, weighted by score.

    Gidaris & Komodakis, *Object detection via a multi-region & semantic segmentation-aware CNN
    model* (2015), section 6 ("bounding box voting").
    """
    edges = np.empty((len(kept), 4))
    # In blocks: a crowded image has thousands of boxes, and each is compared with all.
    for start in range(0, len(kept), _BLOCK):
        block = kept[start : start + _BLOCK]
        same = (overlaps(boxes[block], boxes) >= 0.5) & (labels[block][:, None] == labels)
        weights = same * scores
        edges[start : start + _BLOCK] = weights @ boxes / weights.sum(1, keepdims=True)
    return edges

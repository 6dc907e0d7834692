"""Boxes `(left, top, right, bottom)` in numpy: overlap, and one of many that mean the same."""

from __future__ import annotations

import numpy as np


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
    same = (overlaps(boxes[kept], boxes) >= 0.5) & (labels[kept][:, None] == labels)
    weights = same * scores
    return weights @ boxes / weights.sum(1, keepdims=True)

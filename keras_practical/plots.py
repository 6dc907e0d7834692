"""Plots: each takes an `ax` (or makes one) and returns it.

    kp.plots.show_batch(photos.train)
    kp.plots.learning_curves(history, metric="loss")
    kp.plots.confusion(counts, class_names=photos.class_names)

They take on the style in use, such as `plt.style.use("dark_background")`, and their colours are
told apart by colour-blind people, on a white page and on a black one.
"""

from __future__ import annotations

from keras_practical.data.plots import show_batch, show_images
from keras_practical.evaluation.plots import accuracies, confusion, heatmap, overlaid, reliability
from keras_practical.training.plots import learning_curves, learning_rate_finder, schedule

__all__ = [
    "accuracies",
    "confusion",
    "heatmap",
    "learning_curves",
    "learning_rate_finder",
    "overlaid",
    "reliability",
    "schedule",
    "show_batch",
    "show_images",
]

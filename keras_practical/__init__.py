"""The working habits of *Practical Deep Learning for Coders*, for plain Keras 3.

Plain Keras in, plain Keras out: each helper takes and returns ordinary Keras models, data sets,
callbacks, numbers and axes, and can be added to or dropped from a script by one line.
"""

from keras_practical import (
    augment,
    backbones,
    callbacks,
    curves,
    losses,
    optimizers,
    plots,
    resuming,
    schedules,
    suggestions,
    transfer,
)
from keras_practical.callbacks import OneCycle
from keras_practical.data import ImageData, load_images
from keras_practical.embeddings import Embeddings, embed
from keras_practical.evaluate import Evaluation, evaluate, wilson_interval
from keras_practical.images import read_image
from keras_practical.index import ImageIndex, ImageRecord
from keras_practical.lr_finder import LRFinderResult, find_lr
from keras_practical.predict import predict_with_labels, predict_with_tta
from keras_practical.resizing import resized

__version__ = "0.1.0"

__all__ = [
    "Embeddings",
    "Evaluation",
    "ImageData",
    "ImageIndex",
    "ImageRecord",
    "LRFinderResult",
    "OneCycle",
    "__version__",
    "augment",
    "backbones",
    "callbacks",
    "curves",
    "embed",
    "evaluate",
    "find_lr",
    "load_images",
    "losses",
    "optimizers",
    "plots",
    "predict_with_labels",
    "predict_with_tta",
    "read_image",
    "resized",
    "resuming",
    "schedules",
    "suggestions",
    "transfer",
    "wilson_interval",
]

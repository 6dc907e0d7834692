"""What signatures call the things that Keras and tf.data leave untyped.

For readers and type checkers: nothing imports it at run time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import keras
import numpy.typing as npt

__all__ = ["Arrays", "Augmentation", "BackbonePart", "Data", "Image", "Shape", "Tensor"]

# A tensor of the backend in use, a `KerasTensor`, or a numpy array in their place; for several
# inputs, a list or mapping of them.
Tensor: TypeAlias = Any
# The shape of a tensor, with None for what isn't known; for several, a list or mapping of them.
Shape: TypeAlias = Any
# What `fit` takes: a batched `tf.data.Dataset`, a `keras.utils.PyDataset`, or arrays
# `(inputs, labels)`.
Data: TypeAlias = Any
# A layer, several in order, or a function of a batch of images.
Augmentation: TypeAlias = keras.layers.Layer | Sequence[keras.layers.Layer] | Callable[..., Any]
# `(inputs, labels)`, of equal length.
Arrays: TypeAlias = tuple[npt.ArrayLike, npt.ArrayLike]
# What names the pretrained part of a model: layers of it, or their names.
BackbonePart: TypeAlias = str | keras.layers.Layer | Sequence[str | keras.layers.Layer]
# The pixels of one image, or its file.
Image: TypeAlias = npt.ArrayLike | str | Path

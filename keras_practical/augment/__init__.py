"""Augmentation for small data: the layers, presets made of them, and a look at what they do.

A preset is a plain list of Keras layers. Read it, print it, change it; pass it to
`transfer.classifier(augmentation=...)`, put it into a model of your own, or map a `tf.data.Dataset`
with it.

Rooms: `geometry`, `color` and `erasing` (the layers), `warping` (one interpolation for all
transforms), `mixing` (of images in a batch), `presets`, `previewing`, `removal`.
"""

from typing import TYPE_CHECKING

from keras_practical.utils.faces import lazy_face

if TYPE_CHECKING:
    from keras_practical.augment.color import RandomColor
    from keras_practical.augment.erasing import RandomErasing
    from keras_practical.augment.geometry import RandomGeometry
    from keras_practical.augment.mixing import BatchMixing
    from keras_practical.augment.presets import (
        Recommendation,
        digits,
        documents,
        light,
        medical_greyscale,
        recommended,
        standard,
        strong,
        top_down,
    )
    from keras_practical.augment.previewing import preview
    from keras_practical.augment.removal import without_augmentation

__all__ = [
    "BatchMixing",
    "RandomColor",
    "RandomErasing",
    "RandomGeometry",
    "Recommendation",
    "digits",
    "documents",
    "light",
    "medical_greyscale",
    "preview",
    "recommended",
    "standard",
    "strong",
    "top_down",
    "without_augmentation",
]

_ROOMS = {
    "augment.color": ("RandomColor",),
    "augment.geometry": ("RandomGeometry",),
    "augment.mixing": ("BatchMixing",),
    "augment.erasing": ("RandomErasing",),
    "augment.previewing": ("preview",),
    "augment.removal": ("without_augmentation",),
    "augment.presets": (
        "Recommendation",
        "digits",
        "documents",
        "light",
        "medical_greyscale",
        "recommended",
        "standard",
        "strong",
        "top_down",
    ),
}

__getattr__, __dir__ = lazy_face(__name__, _ROOMS)

"""Presets of augmentation: plain lists of Keras layers, to read, to print and to change.

Reached as `keras_practical.augment.light` and so on.
"""

from __future__ import annotations

from typing import Any

import keras

from keras_practical._validation import ImageSize
from keras_practical.color import RandomColor
from keras_practical.geometry import RandomGeometry

__all__ = [
    "RandomErasing",
    "digits",
    "documents",
    "light",
    "medical_greyscale",
    "standard",
    "strong",
    "top_down",
]


@keras.saving.register_keras_serializable(package="keras_practical")
class RandomErasing(keras.layers.RandomErasing):
    """Keras's `RandomErasing`, which erases in training only, also in an exported model.

    Keras's layer takes a call that doesn't say otherwise for training, and so goes on erasing in
    what `model.export` writes.

    Args:
        **options: As in `keras.layers.RandomErasing`.

    Example:

    >>> picture = keras.ops.ones((1, 4, 4, 3))
    >>> float(keras.ops.min(RandomErasing(factor=(1, 1), fill_value=0.0)(picture)))
    1.0

    Reference:
        Zhong et al., *Random Erasing Data Augmentation* (2017), arXiv 1708.04896.
    """

    def call(self, data: Any, training: bool = False) -> Any:
        """Return the pictures, with a hole in training."""
        return super().call(data, training=training)


def light(*, image_size: ImageSize | None = None, seed: int | None = None) -> list[Any]:
    """Return augmentation for photos that hardly changes them: mirrored, nudged.

    Use it for a few epochs on a pretrained network with some tens of photos of each class. In plain
    Keras: `RandomFlip`, `RandomZoom`, `RandomBrightness`.

    Args:
        image_size: Pixels of the result, as in `RandomGeometry`. Default: as they come.
        seed: Decides what is drawn. Default: Keras's global seed.

    Returns:
        A list of Keras layers.

    Example:

    >>> [type(layer).__name__ for layer in light()]
    ['RandomGeometry', 'RandomColor']

    Reference:
        `RandomGeometry`, `RandomColor`.
    """
    return [
        RandomGeometry(horizontal_flip=0.5, zoom=(1.0, 1.1), image_size=image_size, seed=seed),
        RandomColor(brightness=0.05, contrast=0.1, seed=_next(seed, 1)),
    ]


def standard(*, image_size: ImageSize | None = None, seed: int | None = None) -> list[Any]:
    """Return augmentation for photos of things that stand upright: fastai's defaults.

    Use it to fine-tune on photos, or to train on them from scratch. In plain Keras: a stack of
    `RandomFlip`, `RandomRotation`, `RandomZoom`, `RandomPerspective`, `RandomBrightness` and
    `RandomContrast`.

    Args:
        image_size: As in `light`.
        seed: As in `light`.

    Returns:
        A list of Keras layers.

    Example:

    >>> standard(image_size=64)[0].rotation
    (-10.0, 10.0)

    Reference:
        fastai's `aug_transforms`: the same kinds and probabilities; `perspective` is milder than
        its `Warp`.
    """
    return [
        RandomGeometry(
            horizontal_flip=0.5,
            rotation=10,
            zoom=(1.0, 1.1),
            perspective=0.1,
            probability=0.75,
            image_size=image_size,
            seed=seed,
        ),
        RandomColor(
            brightness=0.2, contrast=0.2, space="logit", probability=0.75, seed=_next(seed, 1)
        ),
    ]


def strong(*, image_size: ImageSize | None = None, seed: int | None = None) -> list[Any]:
    """Return augmentation for long training on few photos: crops, tilts, colours, a hole.

    Use it to train from scratch, or for many epochs. In plain Keras: the stack of `standard`, with
    `RandomCrop`, `RandomSaturation`, `RandomHue` and `RandomErasing`.

    Args:
        image_size: As in `light`.
        seed: As in `light`.

    Returns:
        A list of Keras layers.

    Example:

    >>> [type(layer).__name__ for layer in strong()]
    ['RandomGeometry', 'RandomColor', 'RandomErasing']

    Reference:
        Random-resized-crop: arXiv 1409.4842; erasing: Zhong et al., *Random Erasing Data
        Augmentation* (2017), arXiv 1708.04896.
    """
    return [
        RandomGeometry(
            crop=(0.35, 1.0),
            horizontal_flip=0.5,
            rotation=15,
            shear=5,
            perspective=0.1,
            probability={"rotation": 0.75, "shear": 0.5, "perspective": 0.5},
            image_size=image_size,
            seed=seed,
        ),
        RandomColor(
            brightness=0.2,
            contrast=0.3,
            saturation=0.3,
            hue=0.03,
            grayscale=0.05,
            probability=0.75,
            seed=_next(seed, 1),
        ),
        # Grey: drawing noise for the hole, the default, would cost more than all the rest.
        RandomErasing(
            factor=(0.0, 0.5),
            scale=(0.02, 0.15),
            fill_value=127.5,
            seed=_next(seed, 2),
            data_format="channels_last",
        ),
    ]


def documents(*, image_size: ImageSize | None = None, seed: int | None = None) -> list[Any]:
    """Return augmentation for scanned or photographed pages: never mirrored, hardly turned.

    Args:
        image_size: As in `light`.
        seed: As in `light`.

    Returns:
        A list of Keras layers.

    Example:

    >>> documents()[0].horizontal_flip
    0.0

    Reference:
        `RandomGeometry`, `RandomColor`.
    """
    return [
        RandomGeometry(
            rotation=2,
            zoom=0.05,
            shear=2,
            translation=0.03,
            perspective=0.05,
            fill_mode="nearest",
            image_size=image_size,
            seed=seed,
        ),
        RandomColor(brightness=0.1, contrast=0.2, gamma=0.2, seed=_next(seed, 1)),
    ]


def medical_greyscale(*, image_size: ImageSize | None = None, seed: int | None = None) -> list[Any]:
    """Return augmentation for X-rays, CT and MR: no mirroring (the heart is on the left), no hues.

    Args:
        image_size: As in `light`.
        seed: As in `light`.

    Returns:
        A list of Keras layers.

    Example:

    >>> medical_greyscale()[1].hue
    (0.0, 0.0)

    Reference:
        `RandomGeometry`, `RandomColor`.
    """
    return [
        RandomGeometry(
            rotation=7,
            zoom=0.1,
            translation=0.05,
            fill_mode="constant",
            image_size=image_size,
            seed=seed,
        ),
        RandomColor(brightness=0.1, contrast=0.2, gamma=0.2, seed=_next(seed, 1)),
    ]


def top_down(*, image_size: ImageSize | None = None, seed: int | None = None) -> list[Any]:
    """Return augmentation for satellites and microscopes: any turn, mirrored both ways.

    Args:
        image_size: As in `light`.
        seed: As in `light`.

    Returns:
        A list of Keras layers.

    Example:

    >>> top_down()[0].rotation
    (-180.0, 180.0)

    Reference:
        `RandomGeometry`, `RandomColor`.
    """
    return [
        RandomGeometry(
            horizontal_flip=0.5,
            vertical_flip=0.5,
            rotation=180,
            zoom=0.1,
            image_size=image_size,
            seed=seed,
        ),
        RandomColor(brightness=0.1, contrast=0.2, saturation=0.1, seed=_next(seed, 1)),
    ]


def digits(*, image_size: ImageSize | None = None, seed: int | None = None) -> list[Any]:
    """Return augmentation for single digits and letters: never mirrored, on black.

    Args:
        image_size: As in `light`.
        seed: As in `light`.

    Returns:
        A list of Keras layers.

    Example:

    >>> len(digits())
    1

    Reference:
        `RandomGeometry`.
    """
    return [
        RandomGeometry(
            rotation=10,
            zoom=0.1,
            shear=10,
            translation=0.08,
            fill_mode="constant",
            image_size=image_size,
            seed=seed,
        )
    ]


def _next(seed: int | None, place: int) -> int | None:
    """Return a seed of a layer's own: with the same one, all mirrored pictures would be darker."""
    return None if seed is None else 1000 * seed + place

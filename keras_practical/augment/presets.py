"""Presets of augmentation: plain lists of Keras layers, to read, to print and to change.

Reached as `keras_practical.augment.light` and so on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras

from keras_practical.augment.color import RandomColor
from keras_practical.augment.erasing import RandomErasing
from keras_practical.augment.geometry import RandomGeometry
from keras_practical.augment.mixing import BatchMixing
from keras_practical.utils.checks import ImageSize, check_count

__all__ = [
    "Recommendation",
    "digits",
    "documents",
    "light",
    "medical_greyscale",
    "recommended",
    "standard",
    "strong",
    "top_down",
]


def light(
    *,
    image_size: ImageSize | None = None,
    value_range: tuple[float, float] = (0.0, 255.0),
    seed: int | None = None,
) -> list[keras.layers.Layer]:
    """Return augmentation for photos that hardly changes them: mirrored, nudged.

    Use it for a few epochs on a pretrained network with some tens of photos of each class. In plain
    Keras: `RandomFlip`, `RandomZoom`, `RandomBrightness`.

    Args:
        image_size: Pixels of the result, as in `RandomGeometry`. Default: as they come.
        value_range: The smallest and the largest value of a pixel.
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
        RandomColor(brightness=0.05, contrast=0.1, value_range=value_range, seed=_next(seed, 1)),
    ]


def standard(
    *,
    image_size: ImageSize | None = None,
    value_range: tuple[float, float] = (0.0, 255.0),
    seed: int | None = None,
) -> list[keras.layers.Layer]:
    """Return augmentation for photos of things that stand upright: fastai's defaults.

    Use it to fine-tune on photos, or to train on them from scratch. In plain Keras: a stack of
    `RandomFlip`, `RandomRotation`, `RandomZoom`, `RandomPerspective`, `RandomBrightness` and
    `RandomContrast`.

    Args:
        image_size: As in `light`.
        value_range: As in `light`.
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
            brightness=0.2,
            contrast=0.2,
            space="logit",
            probability=0.75,
            value_range=value_range,
            seed=_next(seed, 1),
        ),
    ]


def strong(
    *,
    image_size: ImageSize | None = None,
    value_range: tuple[float, float] = (0.0, 255.0),
    seed: int | None = None,
) -> list[keras.layers.Layer]:
    """Return augmentation for long training on few photos: crops, tilts, colours, a hole.

    Use it to train from scratch, or for many epochs. In plain Keras: the stack of `standard`, with
    `RandomCrop`, `RandomSaturation`, `RandomHue` and `RandomErasing`.

    Args:
        image_size: As in `light`.
        value_range: As in `light`.
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
            value_range=value_range,
            seed=_next(seed, 1),
        ),
        # Grey: drawing noise for the hole, the default, would cost more than all the rest.
        RandomErasing(
            factor=(0.0, 0.5),
            scale=(0.02, 0.15),
            fill_value=(value_range[0] + value_range[1]) / 2,
            value_range=value_range,
            seed=_next(seed, 2),
            data_format="channels_last",
        ),
    ]


def documents(
    *,
    image_size: ImageSize | None = None,
    value_range: tuple[float, float] = (0.0, 255.0),
    seed: int | None = None,
) -> list[keras.layers.Layer]:
    """Return augmentation for scanned or photographed pages: never mirrored, hardly turned.

    Args:
        image_size: As in `light`.
        value_range: As in `light`.
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
        RandomColor(
            brightness=0.1, contrast=0.2, gamma=0.2, value_range=value_range, seed=_next(seed, 1)
        ),
    ]


def medical_greyscale(
    *,
    image_size: ImageSize | None = None,
    value_range: tuple[float, float] = (0.0, 255.0),
    seed: int | None = None,
) -> list[keras.layers.Layer]:
    """Return augmentation for X-rays, CT and MR: no mirroring (the heart is on the left), no hues.

    Args:
        image_size: As in `light`.
        value_range: As in `light`.
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
            fill_value=value_range[0],
            image_size=image_size,
            seed=seed,
        ),
        RandomColor(
            brightness=0.1, contrast=0.2, gamma=0.2, value_range=value_range, seed=_next(seed, 1)
        ),
    ]


def top_down(
    *,
    image_size: ImageSize | None = None,
    value_range: tuple[float, float] = (0.0, 255.0),
    seed: int | None = None,
) -> list[keras.layers.Layer]:
    """Return augmentation for satellites and microscopes: any turn, mirrored both ways.

    Args:
        image_size: As in `light`.
        value_range: As in `light`.
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
        RandomColor(
            brightness=0.1,
            contrast=0.2,
            saturation=0.1,
            value_range=value_range,
            seed=_next(seed, 1),
        ),
    ]


def digits(
    *,
    image_size: ImageSize | None = None,
    value_range: tuple[float, float] = (0.0, 255.0),
    seed: int | None = None,
) -> list[keras.layers.Layer]:
    """Return augmentation for single digits and letters: never mirrored, on black.

    Args:
        image_size: As in `light`.
        value_range: As in `light`.
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
            fill_value=value_range[0],
            image_size=image_size,
            seed=seed,
        )
    ]


def _next(seed: int | None, index: int) -> int | None:
    """Return a seed of a layer's own: with the same one, all mirrored images would be darker."""
    return None if seed is None else 1000 * seed + index


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """What `recommended` recommends.

    Attributes:
        augmentation: A list of Keras layers, empty where none helps.
        callbacks: Callbacks for `fit` or `fine_tune`: a `BatchMixing`, or none.
        reason: Why, in a sentence.

    Example:

    >>> recommended(400).reason
    'with so many images a pretrained network gains nothing from it in a few epochs'
    """

    augmentation: list[Any]
    callbacks: list[keras.callbacks.Callback]
    reason: str

    def __str__(self) -> str:
        return self.reason


def recommended(
    images_per_class: int,
    *,
    pretrained: bool = True,
    image_size: ImageSize | None = None,
    value_range: tuple[float, float] = (0.0, 255.0),
    seed: int | None = None,
) -> Recommendation:
    """Return the augmentation to start from, by the number of images of each class.

    Use it for photos when you have no reason to do otherwise, then compare with what you believe
    in. It has no equivalent in plain Keras.

    Args:
        images_per_class: Training images of the smallest class, >= 1.
        pretrained: Whether the network is a pretrained one, trained for a few epochs, or starts
            from random weights.
        image_size: As in `light`.
        value_range: As in `light`.
        seed: Decides what is drawn and mixed. Default: Keras's global seed.

    Returns:
        A `Recommendation` with `augmentation`, `callbacks` and `reason`.

    Raises:
        ValueError: An argument is outside its range.

    Example:

    >>> few = recommended(5)
    >>> [type(layer).__name__ for layer in few.augmentation], few.callbacks
    (['RandomGeometry', 'RandomColor', 'RandomErasing'], [])

    Reference:
        Measured on photos of cats and dogs, features of a frozen MobileNetV2 with and without three
        augmented views, ten draws: with 5 photos of each class `strong` is worth 3.4 +- 0.9 points,
        `standard` 3.3 +- 0.7, `light` 2.5 +- 0.7; with 20, 0.2 +- 0.2, 0.1 +- 0.1, 0.2 +- 0.1; with
        100 and more, nothing or less. From scratch, on 2,000 such photos, `strong` with mixing gave
        86.6 +- 1.9 % (three seeds), neither of them 68.9 % (one seed).
        The form is that of BiT's hyper-rule: Kolesnikov et al. (2020), arXiv 1912.11370.
    """
    check_count("images_per_class", images_per_class)
    options: dict[str, Any] = {
        "image_size": image_size,
        "value_range": value_range,
        "seed": seed,
    }
    if not pretrained:
        mixing = BatchMixing(seed=seed or 0)
        return Recommendation(
            augmentation=strong(**options),
            callbacks=[mixing],
            reason="a network from scratch sees each image many times, best never the same way",
        )
    if images_per_class <= 10:
        return Recommendation(
            augmentation=strong(**options),
            callbacks=[],
            reason="so few images gain from every view of them",
        )
    if images_per_class <= 50:
        return Recommendation(
            augmentation=light(**options),
            callbacks=[],
            reason="with some tens of images more of it gains nothing",
        )
    return Recommendation(
        augmentation=[],
        callbacks=[],
        reason="with so many images a pretrained network gains nothing from it in a few epochs",
    )

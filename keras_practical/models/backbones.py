"""What must be known of a pretrained network to build on it: a table, and how it is read."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from keras_practical.utils.checks import (
    check_choice,
)
from keras_practical.utils.keras_home import keras_home
from keras_practical.utils.keras_internals.layers import every_layer

__all__ = [
    "BACKBONES",
    "Backbone",
    "architecture_of",
    "build_backbone",
    "preprocessing_layers",
]

PREPROCESSING = ("none", "minus_one_to_one", "caffe", "torch")


@dataclass(frozen=True, slots=True)
class Backbone:
    """How to use one architecture of `keras.applications`.

    Attributes:
        name: The constructor's name in `keras.applications`.
        preprocessing: What its weights expect of pixels in [0, 255]: `"none"` (the network scales
            them itself), `"minus_one_to_one"`, `"caffe"` (BGR less the ImageNet mean) or
            `"torch"` (RGB, ImageNet mean and deviation).
        default_size: The side, in pixels, of the images that its weights were trained on.
        group_starts: Parts of layers' names at which the second, third, ... layer group starts.
        mark: The name of a layer, or its end, that only this family of architectures has.

    Example:

    >>> BACKBONES["MobileNetV2"].default_size
    224

    Reference:
        https://keras.io/api/applications/
    """

    name: str
    preprocessing: str
    default_size: int
    group_starts: tuple[str, ...]
    mark: str


def _family(
    names: str,
    preprocessing: str,
    group_starts: tuple[str, ...],
    mark: str,
    sizes: str = "224",
) -> dict[str, Backbone]:
    """Return the table's rows for architectures that share everything but their size."""
    constructors = names.split()
    sides = [int(side) for side in sizes.split()] * (1 if " " in sizes else len(constructors))
    return {
        name: Backbone(name, preprocessing, side, group_starts, mark)
        for name, side in zip(constructors, sides, strict=True)
    }


BACKBONES: dict[str, Backbone] = {
    **_family(
        "ConvNeXtTiny ConvNeXtSmall ConvNeXtBase ConvNeXtLarge ConvNeXtXLarge",
        "none",
        ("downsampling_block_1", "downsampling_block_2"),
        "_stage_3_block_0_depthwise_conv",
    ),
    **_family(
        "DenseNet121 DenseNet169 DenseNet201",
        "torch",
        ("conv4_block1_", "conv5_block1_"),
        "conv5_block16_concat",
    ),
    **_family(
        "EfficientNetB0 EfficientNetB1 EfficientNetB2 EfficientNetB3 EfficientNetB4 "
        "EfficientNetB5 EfficientNetB6 EfficientNetB7",
        "none",
        ("block4a_", "block6a_"),
        "block6a_dwconv",
        "224 240 260 300 380 456 528 600",
    ),
    **_family(
        "EfficientNetV2B0 EfficientNetV2B1 EfficientNetV2B2 EfficientNetV2B3 "
        "EfficientNetV2S EfficientNetV2M EfficientNetV2L",
        "none",
        ("block4a_", "block6a_"),
        "block6a_dwconv2",
        "224 240 260 300 384 480 480",
    ),
    **_family("InceptionV3", "minus_one_to_one", ("mixed2", "mixed7"), "mixed9_1", "299"),
    **_family("InceptionResNetV2", "minus_one_to_one", ("mixed_6a", "mixed_7a"), "mixed_7a", "299"),
    **_family("MobileNet", "minus_one_to_one", ("conv_pad_6", "conv_pad_12"), "conv_dw_12"),
    **_family("MobileNetV2", "minus_one_to_one", ("block_6_", "block_13_"), "block_13_expand"),
    # Large first: it has all names that the small one has.
    **_family(
        "MobileNetV3Large",
        "none",
        ("expanded_conv_6_", "expanded_conv_12_"),
        "expanded_conv_14_project",
    ),
    **_family(
        "MobileNetV3Small",
        "none",
        ("expanded_conv_3_", "expanded_conv_8_"),
        "expanded_conv_10_project",
    ),
    **_family(
        "NASNetMobile", "minus_one_to_one", ("_reduce_4", "_reduce_8"), "reduction_concat_reduce_8"
    ),
    **_family(
        "NASNetLarge",
        "minus_one_to_one",
        ("_reduce_6", "_reduce_12"),
        "reduction_concat_reduce_12",
        "331",
    ),
    **_family(
        "ResNet50 ResNet101 ResNet152",
        "caffe",
        ("conv4_block1_", "conv5_block1_"),
        "conv5_block3_3_bn",
    ),
    **_family(
        "ResNet50V2 ResNet101V2 ResNet152V2",
        "minus_one_to_one",
        ("conv4_block1_", "conv5_block1_"),
        "conv5_block3_preact_bn",
    ),
    **_family("VGG16 VGG19", "caffe", ("block4_", "block5_"), "block5_conv3"),
    **_family("Xception", "minus_one_to_one", ("block5_", "block13_"), "block14_sepconv2", "299"),
}


def architecture_of(layer: keras.layers.Layer) -> Backbone | None:
    """Return which architecture of `keras.applications` a model is or holds, by its layers' names.

    Args:
        layer: A model, or any layer.

    Returns:
        The row of one of its family in `BACKBONES`, whatever its size; `None` if it is no such.

    Example:

    >>> network = keras.applications.MobileNetV2(weights=None, input_shape=(96, 96, 3))
    >>> architecture_of(keras.Sequential([network])).name
    'MobileNetV2'
    """
    names = tuple(inner.name for inner in every_layer(layer))
    for row in BACKBONES.values():
        if any(name.endswith(row.mark) for name in names):
            return row
    return None


def build_backbone(
    name: str, *, image_size: tuple[int, int], weights: str | Path | None = "imagenet"
) -> keras.Model:
    """Build a `keras.applications` network without its classifier, for any image size.

    Its ImageNet weights always come from the one file for the default size, which is then all that
    a machine needs, whatever `image_size` is. The plain-Keras equivalent is
    `keras.applications.MobileNetV2(include_top=False, input_shape=...)`.

    Args:
        name: A name in `BACKBONES`.
        image_size: `(height, width)` in pixels.
        weights: `"imagenet"`, the path of a weights file, or `None` for random weights.

    Returns:
        A model from pixels, preprocessed, to a feature map; its name is `name`.

    Raises:
        ValueError: `name` isn't in the table, or there is no such weights file.
        RuntimeError: The weights are neither in Keras's cache nor can they be downloaded.

    Example:

    >>> build_backbone("MobileNetV2", image_size=(96, 96), weights=None).output_shape
    (None, 3, 3, 1280)
    """
    check_choice("backbone", name, BACKBONES)
    constructor = getattr(keras.applications, name)
    default = (BACKBONES[name].default_size,) * 2
    if weights is None:
        model = constructor(include_top=False, weights=None, input_shape=(*image_size, 3))
    elif weights != "imagenet":
        if not Path(weights).is_file():
            raise ValueError(
                f"There is no weights file {str(weights)!r}. `weights` takes 'imagenet', a file's "
                "path or None."
            )
        model = constructor(include_top=False, weights=None, input_shape=(*image_size, 3))
        model.load_weights(weights)
    else:
        model = _with_imagenet_weights(constructor, default)
        if image_size != default:
            pretrained = model
            model = constructor(include_top=False, weights=None, input_shape=(*image_size, 3))
            model.set_weights(pretrained.get_weights())
    model.name = name
    return model


def preprocessing_layers(preprocessing: str) -> list[Callable[[Any], Any]]:
    """Return the layers that turn RGB pixels in [0, 255] into what a backbone expects.

    Args:
        preprocessing: `"none"`, `"minus_one_to_one"`, `"caffe"` or `"torch"`.

    Returns:
        Keras layers to call one after the other; none for `"none"`. They save and load with the
        model, unlike a call of `keras.applications.*.preprocess_input` before it.

    Raises:
        ValueError: `preprocessing` is none of these.

    Example:

    >>> [layer] = preprocessing_layers("minus_one_to_one")
    >>> [float(value) for value in layer(keras.ops.array([0.0, 127.5, 255.0]))]
    [-1.0, 0.0, 1.0]
    """
    check_choice("preprocessing", preprocessing, PREPROCESSING)
    if preprocessing == "minus_one_to_one":
        return [keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="preprocessing")]
    if preprocessing == "torch":
        mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        return [
            keras.layers.Normalization(
                mean=[255 * value for value in mean],
                variance=[(255 * value) ** 2 for value in deviation],
                name="preprocessing",
            )
        ]
    if preprocessing == "caffe":
        mean_bgr = (103.939, 116.779, 123.68)
        return [
            lambda images: keras.ops.flip(images, axis=-1),
            keras.layers.Normalization(mean=mean_bgr, variance=(1.0,) * 3, name="preprocessing"),
        ]
    return []


def _with_imagenet_weights(
    constructor: Callable[..., keras.Model], size: tuple[int, int]
) -> keras.Model:
    try:
        return constructor(include_top=False, weights="imagenet", input_shape=(*size, 3))
    # Keras raises a bare Exception when a download fails.
    except Exception as error:
        found = re.search(r"https?://\S+", str(error))
        if found is None:
            raise
        address = found.group(0).rstrip(":,.")
        file = address.rsplit("/", 1)[1]
        folder = keras_home() / "models"
        raise RuntimeError(
            f"The ImageNet weights of {constructor.__name__} are not at hand and can't be "
            f"downloaded. Keras looked for {folder / file} and then asked {address}. To go on "
            f"offline, fetch that address on a machine with a connection and put {file} into "
            f"{folder} (or into models/ below a folder that the environment variable KERAS_HOME "
            "names), or pass weights=<path of the file>, or weights=None to train from scratch."
        ) from error

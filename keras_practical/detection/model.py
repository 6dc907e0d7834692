"""A detector on a pretrained backbone.

Reached as `keras_practical.detection.build`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_practical.detection.annotations import DetectionData
from keras_practical.detection.outputs import (
    DetectionOutputs,
    HeatmapLoss,
    OffsetLoss,
    SizeLoss,
)
from keras_practical.models.backbones import preprocessing_layers
from keras_practical.models.opening import OpenedBackbone, open_backbone
from keras_practical.utils.checks import check_between, check_count, check_positive
from keras_practical.utils.keras_internals.graph import outputs_in
from keras_practical.utils.keras_internals.layers import every_layer

if TYPE_CHECKING:
    from keras_practical.utils.types import Tensor

__all__ = ["build", "outputs_of"]

# Strides worth tapping. On faces a third map, of stride 32, made it worse.
_STRIDES = (8, 16)
_PROBE_PIXELS = 256
# Convolutions without padding: their maps' cells don't lie a whole number of pixels apart.
_OUT_OF_STEP = ("InceptionResNetV2", "InceptionV3", "NASNetLarge", "NASNetMobile")

# What is looked for is this much smaller and larger than anything in the training images.
_MARGIN = 1.5
# With fewer it's a matter of luck which image one has: see benchmarks/faces.py.
_FEWEST_BOXES, _FEWEST_IMAGES = 8, 3
_FIRST_SCORE = 0.02


def build(
    backbone: str | keras.Model,
    data: DetectionData,
    *,
    weights: str | Path | None = "imagenet",
    train_backbone: bool = False,
    object_pixels: float = 48.0,
    channels: int = 64,
    dropout: float = 0.1,
    preprocessing: str | None = None,
    seed: int | None = None,
    verbose: bool = True,
) -> keras.Model:
    """Build a detector of the objects in annotated images, compiled, its backbone frozen.

    Use it to find things on images from a handful of examples. It's an ordinary functional Keras
    model: an image in, a heatmap of the objects' centres, their sizes and offsets out, all at one
    scale; `detect` looks at an image at several. The range of sizes to look for is decided by the
    boxes. Keras has no detector; KerasHub has pretrained ones with a pipeline of their own.

    Args:
        backbone: A name in `keras_practical.models.BACKBONES` (but Inception and NASNet, whose
            maps aren't in step with the image), or a functional or sequential `keras.Model` from
            RGB images to feature maps.
        data: What the detector is for, from `load_annotations`: its classes and the sizes of its
            boxes count.
        weights: `"imagenet"`, a weights file's path, or `None` for random weights. Not used with a
            `keras.Model`.
        train_backbone: Whether the backbone trains too: needed if its weights are random.
            `BatchNormalization` with ImageNet weights stays in inference mode all the same.
        object_pixels: The size, in pixels, to which images are scaled for an object: more sees
            finer detail, and costs its square in time.
        channels: Width of the detector's own layers.
        dropout: Part of the backbone's channels left out in each training step, in [0, 1).
        preprocessing: As in `transfer.classifier`.
        seed: Decides the first weights and the dropout. Default: Keras's global seed.
        verbose: Whether to print what was decided.

    Returns:
        A compiled `keras.Model` from pixels in [0, 255] of shape `(batch, height, width, 3)`, sides
        multiples of 32, to a dictionary: see `DetectionOutputs`, its last layer.

    Raises:
        ValueError: An argument is outside its range, there are no boxes, or the backbone has no
            usable maps.
        RuntimeError: The ImageNet weights can't be had; the text says how to go on offline.

    Example:

    >>> from keras_practical.detection.annotations import AnnotatedImage
    >>> boxes = np.array([[9.0, 9, 49, 49]] * 8)
    >>> image = AnnotatedImage(np.zeros((64, 64, 3)), boxes, np.zeros(8, int), 64, 64)
    >>> data = DetectionData((image,) * 3, ("cat",))
    >>> model = build("MobileNetV2", data, weights=None)
    build: objects of 27–60 pixels, scaled to 48; stride 8; 86,725 of 703,365 parameters train

    Reference:
        *Objects as Points*, arXiv 1904.07850; training at one scale, testing at several: Singh &
        Davis, *An Analysis of Scale Invariance in Object Detection* (2018), arXiv 1711.08189.
    """
    check_count("channels", channels)
    check_positive("object_pixels", object_pixels)
    check_between("dropout", dropout, 0.0, 0.9)
    sizes = data.sizes
    if not len(sizes):
        raise ValueError("`data` must have at least one box to learn from. Received: none")
    _say_if_few(data)
    opened = _opened(backbone, weights, preprocessing)
    body, strides = tapped(opened.model)
    _freeze(body, train_backbone, weights is None or isinstance(backbone, keras.Model))
    fixed = body.input_shape[1]
    # A window holds an object and twice its size on each side, in whole cells of any stride.
    window = fixed or 32 * math.ceil(5 * object_pixels / 32)

    inputs = keras.Input((fixed, fixed, 3), name="images")
    features = inputs
    for layer in preprocessing_layers(opened.preprocessing):
        features = layer(features)
    maps = body(features)
    maps = list(maps) if isinstance(maps, list | tuple) else [maps]
    joined = neck(maps, strides, channels=channels, dropout=dropout, seed=seed)
    classes = len(data.class_names)
    raw = [
        # float32 also under mixed precision: half precision would round the sizes.
        keras.layers.Conv2D(
            count,
            1,
            dtype="float32",
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01, seed=seed),
            bias_initializer=keras.initializers.Constant(bias),
            name=name,
        )(joined)
        # Nearly all cells are background: to start there saves the first steps.
        for name, count, bias in (
            ("centres", classes, math.log(_FIRST_SCORE / (1 - _FIRST_SCORE))),
            ("boxes", 4, 0.0),
        )
    ]
    low, high = np.quantile(sizes, (0.01, 0.99))
    outputs = DetectionOutputs(
        data.class_names,
        stride=strides[0],
        object_pixels=object_pixels,
        window_pixels=window,
        smallest_pixels=float(low) / _MARGIN,
        largest_pixels=float(high) * _MARGIN,
        fixed_window=fixed is not None,
        dtype="float32",
        name="detections",
    )
    predicted = outputs(keras.layers.Concatenate(dtype="float32")(raw))
    model = keras.Model(inputs, predicted, name=f"{body.name}_detector")
    model.compile(
        optimizer=keras.optimizers.Adam(1e-3),
        loss={
            "heatmap": HeatmapLoss(),
            "sizes": SizeLoss(),
            "offsets": OffsetLoss(stride=outputs.stride),
        },
    )
    if verbose:
        trained = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
        print(
            f"build: objects of {outputs.smallest_pixels:.0f}–{outputs.largest_pixels:.0f} pixels, "
            f"scaled to {object_pixels:g}; stride {strides[0]}; {trained:,} of "
            f"{model.count_params():,} parameters train"
        )
    return model


def outputs_of(model: keras.Model) -> DetectionOutputs:
    """Return a detector's last layer, which knows its classes, its stride and its sizes.

    Args:
        model: What `build` returned, or `keras.models.load_model` of its file.

    Returns:
        The layer; its attributes are its constructor's arguments.

    Raises:
        ValueError: The model isn't a detector.

    Example:

    >>> outputs_of(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]))
    Traceback (most recent call last):
    ValueError: `model` must be a detector, as `detection.build` makes it. Received: sequential...
    """
    layers = [layer for layer in model.layers if isinstance(layer, DetectionOutputs)]
    if len(layers) != 1:
        raise ValueError(
            "`model` must be a detector, as `detection.build` makes it. "
            f"Received: {model.name}, which has {len(layers)} DetectionOutputs layers"
        )
    return layers[0]


def _freeze(body: keras.Model, train: bool, train_batch_norm: bool) -> None:
    body.trainable = True
    for layer in every_layer(body, include_self=False):
        frozen_norm = isinstance(layer, keras.layers.BatchNormalization) and not train_batch_norm
        layer.trainable = train and not frozen_norm


def _say_if_few(data: DetectionData) -> None:
    """Warn of what is too little to learn from."""
    few = [f"{n} boxes of {name!r}" for name, n in data.counts.items() if n < _FEWEST_BOXES]
    images = sum(bool(len(image.boxes)) for image in data)
    if images < _FEWEST_IMAGES:
        few.insert(0, f"{images} image{'s' * (images != 1)} with objects")
    if few:
        warnings.warn(
            f"There is little to learn from: {', '.join(few)}. Annotate at least {_FEWEST_BOXES} "
            f"boxes of each class on at least {_FEWEST_IMAGES} images, or expect missed objects "
            "and false alarms.",
            stacklevel=3,
        )


def _opened(
    backbone: str | keras.Model, weights: str | Path | None, preprocessing: str | None
) -> OpenedBackbone:
    """Return a backbone that takes images of any size, if it can."""
    if backbone in _OUT_OF_STEP:
        raise ValueError(
            f"`backbone` can't be one of {', '.join(_OUT_OF_STEP)}, whose maps aren't in step "
            f"with the image. Take MobileNetV2, for example. Received: {backbone!r}"
        )
    opened = open_backbone(
        backbone, any_size=True, weights=weights, preprocessing=preprocessing, rgb=True
    )
    if opened.shape[0] != opened.shape[1]:
        raise ValueError(
            "`backbone` must take images that are square or of any size. "
            f"Received: input shape {opened.model.input_shape}"
        )
    return opened


def tapped(backbone: keras.Model) -> tuple[keras.Model, tuple[int, ...]]:
    """Return the model from an image to the backbone's last maps at each stride, and the strides.

    The last layer before a map shrinks has seen most. The first stride is the detector's.
    """
    side = backbone.input_shape[1] or _PROBE_PIXELS
    outputs = [tensors[0] for tensors in outputs_in(backbone).values() if len(tensors) == 1]
    everything = keras.Model(backbone.inputs, outputs)
    shapes = everything.compute_output_shape((1, side, side, backbone.input_shape[3]))
    last: dict[int, Any] = {}
    for output, shape in zip(outputs, shapes, strict=True):
        if len(shape) == 4 and shape[1] and shape[1] == shape[2]:
            stride = round(side / shape[1])
            # A padded map, which some networks have before they shrink it, isn't in step.
            if shape[1] == -(-side // stride):
                last[stride] = output
    strides = tuple(stride for stride in _STRIDES if stride in last)
    if not strides:
        # A shallow network: the smallest map it has.
        strides = tuple(sorted({2, 4} & set(last)))[-1:]
    if not strides:
        raise ValueError(
            "`backbone` must have feature maps 8 or 16 (or 2 or 4) times smaller than its "
            "images, as padded convolutions make them. Received: maps "
            f"{', '.join(str(stride) for stride in sorted(last)) or 'none'} times smaller"
        )
    return keras.Model(
        backbone.inputs, [last[stride] for stride in strides], name=backbone.name
    ), strides


def neck(
    maps: Sequence[Any], strides: Sequence[int], *, channels: int, dropout: float, seed: int | None
) -> Tensor:
    """Return one feature map at the first stride that knows what all the maps know."""
    layers = keras.layers

    def seeded(offset: int) -> int | None:
        return None if seed is None else seed + offset

    def convolved(features: Tensor, size: int, offset: int) -> Tensor:
        features = layers.Conv2D(
            channels,
            size,
            padding="same",
            use_bias=False,
            kernel_initializer=keras.initializers.GlorotUniform(seeded(offset)),
        )(features)
        # Training is short: the usual momentum of 0.99 would still remember the first weights.
        return layers.BatchNormalization(momentum=0.9)(features)

    joined = None
    for index in reversed(range(len(maps))):
        dropped = layers.SpatialDropout2D(dropout, seed=seeded(10 + index))(maps[index])
        own = convolved(dropped, 1, 20 + index)
        if joined is not None:
            factor = strides[index + 1] // strides[index]
            # Keras's bilinear upsampling can't be compiled for images of unknown size; the
            # convolution below smooths as well.
            own = layers.Add()([own, layers.UpSampling2D(factor)(joined)])
        joined = own
    joined = convolved(layers.ReLU()(joined), 3, 30)
    return layers.ReLU()(joined)

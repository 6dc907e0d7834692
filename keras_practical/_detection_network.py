"""From a backbone to a map of features at one stride: which of its layers to tap, and the neck."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from keras_practical import backbones
from keras_practical._validation import check_choice

# Strides worth tapping. On faces a third map, of stride 32, made it worse.
_STRIDES = (8, 16)
_PROBE_PIXELS = 256
# Convolutions without padding: their maps' cells don't lie a whole number of pixels apart.
_OUT_OF_STEP = ("InceptionResNetV2", "InceptionV3", "NASNetLarge", "NASNetMobile")


def open_backbone(
    backbone: str | keras.Model, weights: str | Path | None, preprocessing: str | None
) -> tuple[keras.Model, str]:
    """Return a backbone that takes pictures of any size, if it can, and its preprocessing."""
    if isinstance(backbone, str):
        check_choice("backbone", backbone, backbones.BACKBONES)
        if backbone in _OUT_OF_STEP:
            raise ValueError(
                f"`backbone` can't be one of {', '.join(_OUT_OF_STEP)}, whose maps aren't in step "
                f"with the picture. Take MobileNetV2, for example. Received: {backbone!r}"
            )
        default = backbones.BACKBONES[backbone].preprocessing
        # `None` sizes build a network without a size of its own.
        size: Any = (None, None)
        model = backbones.build(backbone, image_size=size, weights=weights)
        return model, preprocessing or default
    shape = getattr(backbone, "input_shape", None)
    if not isinstance(backbone, keras.Model) or not isinstance(shape, tuple) or len(shape) != 4:
        raise ValueError(
            "`backbone` must be a name in keras_practical.backbones.BACKBONES or a keras.Model of "
            f"one batch of images. Received: {type(backbone).__name__} with input shape {shape}"
        )
    if shape[1] != shape[2] or shape[3] != 3:
        raise ValueError(
            "`backbone` must take RGB pictures that are square or of any size. "
            f"Received: input shape {shape}"
        )
    return backbone, preprocessing or "none"


def tapped(backbone: keras.Model) -> tuple[keras.Model, tuple[int, ...]]:
    """Return the model from a picture to the backbone's last maps at each stride, and the strides.

    The last layer before a map shrinks has seen most. The first stride is the detector's.
    """
    side = backbone.input_shape[1] or _PROBE_PIXELS
    layers = [layer for layer in backbone.layers if isinstance(layer.output, keras.KerasTensor)]
    everything = keras.Model(backbone.inputs, [layer.output for layer in layers])
    shapes = everything.compute_output_shape((1, side, side, backbone.input_shape[3]))
    last: dict[int, Any] = {}
    for layer, shape in zip(layers, shapes, strict=True):
        if len(shape) == 4 and shape[1] and shape[1] == shape[2]:
            stride = round(side / shape[1])
            # A padded map, which some networks have before they shrink it, isn't in step.
            if shape[1] == -(-side // stride):
                last[stride] = layer.output
    strides = tuple(stride for stride in _STRIDES if stride in last)
    if not strides:
        # A shallow network: the smallest map it has.
        strides = tuple(sorted({2, 4} & set(last)))[-1:]
    if not strides:
        raise ValueError(
            "`backbone` must have feature maps 8 or 16 (or 2 or 4) times smaller than its "
            "pictures, as padded convolutions make them. Received: maps "
            f"{', '.join(str(stride) for stride in sorted(last)) or 'none'} times smaller"
        )
    return keras.Model(
        backbone.inputs, [last[stride] for stride in strides], name=backbone.name
    ), strides


def neck(
    maps: Sequence[Any], strides: Sequence[int], *, channels: int, dropout: float, seed: int | None
) -> Any:
    """Return one feature map at the first stride that knows what all the maps know."""
    layers = keras.layers

    def seeded(offset: int) -> int | None:
        return None if seed is None else seed + offset

    def convolved(features: Any, size: int, offset: int) -> Any:
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
    for place in reversed(range(len(maps))):
        dropped = layers.SpatialDropout2D(dropout, seed=seeded(10 + place))(maps[place])
        own = convolved(dropped, 1, 20 + place)
        if joined is not None:
            factor = strides[place + 1] // strides[place]
            # Keras's bilinear upsampling can't be compiled for pictures of unknown size; the
            # convolution below smooths as well.
            own = layers.Add()([own, layers.UpSampling2D(factor)(joined)])
        joined = own
    joined = convolved(layers.ReLU()(joined), 3, 30)
    return layers.ReLU()(joined)

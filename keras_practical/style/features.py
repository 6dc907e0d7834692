"""Which layers of a network say what an image shows and how it is painted, and their maps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import keras

from keras_practical.models.backbones import preprocessing_layers
from keras_practical.models.resizing import resized
from keras_practical.utils.keras_internals.graph import outputs_in

__all__ = ["StyleLayers", "feature_maps", "style_layers"]

PIXELS = "pixels"
_PROBE_PIXELS = 256


@dataclass(frozen=True)
class StyleLayers:
    """Names of a network's layers, by what `style.harmonize` and `style.restyle` ask of them.

    `"pixels"` is the name of the image's own patches of 3 x 3 pixels, for networks whose first
    map is already smaller than the image and so says little of single pixels and their colours.

    Attributes:
        content: The layer that holds what is shown where.
        coarse: Layers of the first pass, which matches larger patterns.
        fine: Layers of the second pass, from the first to `reference` or so.
        reference: The layer of the second pass whose patches are matched.
        histogram: Layers of `fine` whose histograms are matched too.

    Example:

    >>> STYLE_LAYERS["VGG19"].reference
    'block4_conv1'
    """

    content: str
    coarse: tuple[str, ...]
    fine: tuple[str, ...]
    reference: str
    histogram: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, each once, in a fixed order."""
        names = (self.content, self.reference, *self.coarse, *self.fine, *self.histogram)
        return tuple(dict.fromkeys(names))


# As in the paper.
STYLE_LAYERS = {
    name: StyleLayers(
        content="block4_conv1",
        coarse=("block3_conv1", "block4_conv1", "block5_conv1"),
        fine=("block1_conv1", "block2_conv1", "block3_conv1", "block4_conv1"),
        reference="block4_conv1",
        histogram=("block1_conv1", "block4_conv1"),
    )
    for name in ("VGG16", "VGG19")
}


def style_layers(extractor: keras.Model, layers: StyleLayers | None) -> StyleLayers:
    """Return the layers to use: those given, the paper's for VGG, or the last of each resolution.

    Args:
        extractor: A network of RGB images.
        layers: Names, or `None`.

    Returns:
        Names that the network has.

    Raises:
        ValueError: It has no layer of such a name, or none that gives maps.

    Example:

    >>> layers = keras.layers
    >>> network = keras.Sequential([keras.Input((None, None, 3))])
    >>> for name in ("one", "two", "three"):
    ...     network.add(layers.Conv2D(4, 3, 2, padding="same", name=name))
    >>> style_layers(network, None).fine
    ('pixels', 'one', 'two', 'three')
    """
    if layers is None:
        layers = STYLE_LAYERS.get(extractor.name.upper()) or _by_resolution(extractor)
    known = {PIXELS, *(layer.name for layer in extractor.layers)}
    for name in layers.names:
        if name not in known:
            raise ValueError(
                f"`layers` names a layer that {extractor.name!r} doesn't have: {name!r}. "
                f"It has: {', '.join(sorted(known))}"
            )
    return layers


def feature_maps(
    extractor: keras.Model, names: tuple[str, ...], preprocessing: str, size: tuple[int, int]
) -> keras.Model:
    """Return the model from images in [0, 255] to the maps of some layers, by their names.

    Args:
        extractor: The network; it isn't changed.
        names: Of its layers.
        preprocessing: One of `models.backbones.PREPROCESSING`.
        size: Height and width of the images.

    Returns:
        A model whose output is a dictionary.

    Example:

    >>> network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, name="c")])
    >>> feature_maps(network, ("c",), "none", (16, 12)).output["c"].shape
    (None, 14, 10, 4)
    """
    if None not in extractor.input_shape[1:3] and extractor.input_shape[1:3] != size:
        extractor = resized(extractor, size)
    maps = keras.Model(
        extractor.inputs,
        {name: outputs_in(extractor)[name][0] for name in names if name != PIXELS},
    )
    inputs = features = keras.Input((*size, 3))
    for layer in preprocessing_layers(preprocessing):
        features = layer(features)
    values = maps(features)
    if PIXELS in names:
        centred = inputs / 127.5 - 1.0
        values[PIXELS] = keras.ops.image.extract_patches(centred, 3, strides=1, padding="same")
    return keras.Model(inputs, values)


def _by_resolution(extractor: keras.Model) -> StyleLayers:
    """Choose the last layer before each time that the map shrinks, down to a sixteenth."""
    side = extractor.input_shape[1] or _PROBE_PIXELS
    outputs = {
        name: tensors[0] for name, tensors in outputs_in(extractor).items() if len(tensors) == 1
    }
    layers = [layer for layer in extractor.layers if layer.name in outputs]
    everything = keras.Model(extractor.inputs, [outputs[layer.name] for layer in layers])
    shapes = everything.compute_output_shape((1, side, side, 3))
    last: dict[int, str] = {}
    begun = False
    for layer, shape in zip(layers, shapes, strict=True):
        # What only scales pixels has no features yet.
        begun = begun or any(len(weight.shape) == 4 for weight in layer.weights)
        if begun and len(shape) == 4 and not isinstance(layer, keras.layers.ZeroPadding2D):
            # To the nearest power of two: unpadded convolutions lose a few pixels besides.
            last[2 ** round(math.log2(side / shape[1]))] = layer.name
    fine = [last[stride] for stride in sorted(last) if stride <= 8]
    coarse = [last[stride] for stride in sorted(last) if 4 <= stride <= 16] or fine
    if not fine:
        raise ValueError(
            "`extractor` must have feature maps at least an eighth as large as its images; "
            f"{extractor.name!r} has none. Name layers of its with layers=StyleLayers(...)."
        )
    ends = tuple(dict.fromkeys((fine[0], fine[-1])))
    if min(last) > 1:
        fine, ends = [PIXELS, *fine], (PIXELS, *ends)
    return StyleLayers(fine[-1], tuple(coarse), tuple(fine), fine[-1], ends)

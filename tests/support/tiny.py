"""Tiny networks and data that several tests share."""

import keras
import numpy as np

from keras_practical.data.features import Embeddings


def tiny_backbone(seed=0):
    """Return a network from 8 x 8 pixels to a feature map, with two BatchNormalization layers."""
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(4, 3, name="early"),
            keras.layers.BatchNormalization(name="norm_1"),
            keras.layers.Conv2D(4, 3, name="middle"),
            keras.layers.BatchNormalization(name="norm_2"),
            keras.layers.ReLU(),
            keras.layers.Conv2D(6, 3, name="late"),
        ],
        name="tiny",
    )


def strided_network(side=None, again=()):
    """Return an untrained network with maps of strides 8 and 16."""
    layers = [keras.Input((side, side, 3)), keras.layers.Rescaling(1 / 127.5, offset=-1)]
    for width in (8, 16, 32, 32):
        for strides in (2, *again):
            layers += [
                keras.layers.Conv2D(width, 3, strides=strides, padding="same", use_bias=False),
                keras.layers.BatchNormalization(momentum=0.8),
                keras.layers.ReLU(),
            ]
    return keras.Sequential(layers, name="small")


def tiny_data(n=24, classes=3, seed=0):
    """Return uint8 images of shape (n, 8, 8, 3) whose class is their brightest channel."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    images = rng.integers(0, 100, (n, 8, 8, 3))
    images[np.arange(n), :, :, labels] += 120
    return images.astype("uint8"), labels.astype("int64")


def blobs(n=200, size=8, classes=3, distance=1.5, seed=0):
    """Return embeddings of classes that lie around centres of their own."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    centres = rng.normal(size=(classes, size))
    features = rng.normal(size=(n, size)) + distance * centres[labels]
    names = tuple("abcdefgh"[:classes])
    return Embeddings((10 + 5 * features).astype("float32"), labels, (), names)


def weights_by_layer(model):
    """Return a copy of every weight, by its path."""
    return {weight.path: weight.numpy().copy() for weight in model.weights}
